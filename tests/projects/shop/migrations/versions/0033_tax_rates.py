"""The tax that is contained in prices: 19 %, on books 7 %.

Revision ID: 0033
Revises: 0032
Create Date: 2022-11-07
"""
import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    for table in ("products", "order_lines"):
        op.add_column(
            table, sa.Column("tax_rate_bp", sa.Integer, nullable=False, server_default="1900")
        )
    op.execute(
        """
        UPDATE products SET tax_rate_bp = 700
        WHERE category_id IN (SELECT id FROM categories WHERE slug LIKE '%book%')
        """
    )
    op.execute(
        """
        UPDATE order_lines SET tax_rate_bp = (
            SELECT tax_rate_bp FROM products WHERE products.id = order_lines.product_id
        )
        """
    )
