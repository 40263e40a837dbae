"""Customers have a status, a telephone, and a point for each euro they have spent.

Revision ID: 0039
Revises: 0038
Create Date: 2023-05-08
"""
import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    with op.batch_alter_table("customers") as batch:
        batch.add_column(
            sa.Column("status", sa.String(20), nullable=False, server_default="active")
        )
        batch.add_column(
            sa.Column("loyalty_points", sa.Integer, nullable=False, server_default="0")
        )
        batch.add_column(sa.Column("phone", sa.String(40)))
        batch.create_check_constraint(
            "ck_customers_status", "status IN ('active', 'blocked', 'erased')"
        )
    op.execute(
        """
        UPDATE customers SET loyalty_points = coalesce(
            (SELECT sum(total_cents) / 100 FROM orders
             WHERE customer_id = customers.id AND status IN ('paid', 'shipped', 'delivered')),
            0
        )
        """
    )
