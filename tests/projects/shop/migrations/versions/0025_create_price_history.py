"""The prices of products over time; it begins with today's.

Revision ID: 0025
Revises: 0024
Create Date: 2022-02-07
"""
import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.create_table(
        "price_history",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("product_id", sa.Integer, nullable=False),
        sa.Column("price_cents", sa.Integer, nullable=False),
        sa.Column("valid_from", sa.DateTime, nullable=False),
        sa.Column("valid_until", sa.DateTime),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name="fk_price_history_product_id"
        ),
    )
    op.create_index("ix_price_history_product_id", "price_history", ["product_id"])
    op.execute(
        """
        INSERT INTO price_history (product_id, price_cents, valid_from)
        SELECT id, price_cents, created_at FROM products
        """
    )
