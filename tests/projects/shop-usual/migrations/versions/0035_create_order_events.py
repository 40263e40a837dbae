"""The diary of an order, with what can be told of the past.

Revision ID: 0035
Revises: 0034
Create Date: 2023-01-16
"""
import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    op.create_table(
        "order_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("order_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("detail", sa.String(400), nullable=False, server_default=""),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_order_events_order_id"),
    )
    op.create_index("ix_order_events_order_id", "order_events", ["order_id"])
    op.execute(
        """
        INSERT INTO order_events (order_id, kind, detail, created_at)
        SELECT order_id, kind, detail, created_at FROM (
            SELECT id AS order_id, 'placed' AS kind, '' AS detail, created_at FROM orders
            UNION ALL
            SELECT order_id, 'paid', reference, created_at FROM payments
            UNION ALL
            SELECT order_id, 'shipped', coalesce(tracking_code, ''), shipped_at FROM shipments
        )
        ORDER BY created_at, order_id
        """
    )
