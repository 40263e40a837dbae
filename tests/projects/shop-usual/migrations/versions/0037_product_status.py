"""A product is a draft, active or discontinued, where it was active or not.

Revision ID: 0037
Revises: 0036
Create Date: 2023-03-06
"""
import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    op.add_column(
        "products", sa.Column("status", sa.String(20), nullable=False, server_default="draft")
    )
    # What is off sale was discontinued if it was ever sold, and is a draft if not.
    op.execute(
        """
        UPDATE products SET status = CASE
            WHEN active THEN 'active'
            WHEN id IN (SELECT product_id FROM order_lines) THEN 'discontinued'
            ELSE 'draft'
        END
        """
    )
    op.execute("UPDATE products SET description = '' WHERE description IS NULL")
    with op.batch_alter_table("products") as batch:
        batch.drop_column("active")
        batch.alter_column("description", existing_type=sa.Text, nullable=False)
        batch.create_check_constraint(
            "ck_products_status", "status IN ('draft', 'active', 'discontinued')"
        )
        batch.create_check_constraint("ck_products_price_cents", "price_cents >= 0")
