"""Carriers, shipments, and orders that have been delivered.

Revision ID: 0023
Revises: 0022
Create Date: 2021-11-22
"""
import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    carriers = op.create_table(
        "carriers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("code", sa.String(20), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.UniqueConstraint("code", name="uq_carriers_code"),
    )
    op.bulk_insert(
        carriers,
        [
            {"id": 1, "code": "post", "name": "Post"},
            {"id": 2, "code": "courier", "name": "City courier"},
        ],
    )
    op.create_table(
        "shipments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("order_id", sa.Integer, nullable=False),
        sa.Column("carrier_id", sa.Integer, nullable=False),
        sa.Column("tracking_code", sa.String(80)),
        sa.Column("shipped_at", sa.DateTime, nullable=False),
        sa.Column("delivered_at", sa.DateTime),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_shipments_order_id"),
        sa.ForeignKeyConstraint(["carrier_id"], ["carriers.id"], name="fk_shipments_carrier_id"),
    )
    op.create_index("ix_shipments_order_id", "shipments", ["order_id"])
    # Everything went by post until now, on the day after the order.
    op.execute(
        """
        INSERT INTO shipments (order_id, carrier_id, shipped_at)
        SELECT id, 1, strftime('%Y-%m-%d %H:%M:%S.000000', created_at, '+1 day')
        FROM orders
        WHERE status = 'shipped'
        """
    )
    with op.batch_alter_table("orders") as batch:
        batch.drop_constraint("ck_orders_status", type_="check")
        batch.create_check_constraint(
            "ck_orders_status",
            "status IN ('new', 'paid', 'shipped', 'delivered', 'cancelled')",
        )
