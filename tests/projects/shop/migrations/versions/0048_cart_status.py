"""A customer has one open cart; older ones were abandoned, or ordered.

Revision ID: 0048
Revises: 0047
Create Date: 2024-03-25
"""
import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"


def upgrade() -> None:
    op.add_column(
        "carts", sa.Column("status", sa.String(20), nullable=False, server_default="open")
    )
    op.execute(
        """
        UPDATE carts SET status = 'ordered'
        WHERE EXISTS (
            SELECT 1 FROM orders
            WHERE orders.customer_id = carts.customer_id AND orders.created_at >= carts.updated_at
        )
        """
    )
    op.execute(
        """
        UPDATE carts SET status = 'abandoned'
        WHERE status = 'open' AND id NOT IN (
            SELECT max(id) FROM carts WHERE status = 'open' GROUP BY customer_id
        )
        """
    )
    op.create_index(
        "ix_carts_open",
        "carts",
        ["customer_id"],
        unique=True,
        sqlite_where=sa.text("status = 'open'"),
    )
