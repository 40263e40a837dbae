"""A parcel may hold part of an order; those of the past held all of it.

Revision ID: 0042
Revises: 0041
Create Date: 2023-09-11
"""
import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    op.create_table(
        "shipment_lines",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("shipment_id", sa.Integer, nullable=False),
        sa.Column("order_line_id", sa.Integer, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.UniqueConstraint(
            "shipment_id", "order_line_id", name="uq_shipment_lines_shipment_id_order_line_id"
        ),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.id"], name="fk_shipment_lines_shipment_id"
        ),
        sa.ForeignKeyConstraint(
            ["order_line_id"], ["order_lines.id"], name="fk_shipment_lines_order_line_id"
        ),
    )
    op.create_index("ix_shipment_lines_order_line_id", "shipment_lines", ["order_line_id"])
    op.execute(
        """
        INSERT INTO shipment_lines (shipment_id, order_line_id, quantity)
        SELECT shipments.id, order_lines.id, order_lines.quantity
        FROM shipments JOIN order_lines ON order_lines.order_id = shipments.order_id
        ORDER BY shipments.id, order_lines.id
        """
    )
