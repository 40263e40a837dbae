"""A view for the reports: what was sold of each product.

Revision ID: 0038
Revises: 0037
Create Date: 2023-03-27
"""
from alembic import op

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    op.execute(
        """
        CREATE VIEW product_sales AS
        SELECT products.id AS product_id,
               products.sku,
               products.name,
               coalesce(sum(sold.quantity), 0) AS units,
               coalesce(sum(sold.quantity * sold.unit_price_cents), 0) AS revenue_cents
        FROM products
        LEFT JOIN (
            SELECT order_lines.* FROM order_lines
            JOIN orders ON orders.id = order_lines.order_id
            WHERE orders.status IN ('paid', 'shipped', 'delivered')
        ) AS sold ON sold.product_id = products.id
        GROUP BY products.id
        """
    )
