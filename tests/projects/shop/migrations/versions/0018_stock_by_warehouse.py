"""Stock lies in warehouses; what there was lies in the main one.

Revision ID: 0018
Revises: 0017
Create Date: 2021-08-23
"""
import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    warehouses = op.create_table(
        "warehouses",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("code", sa.String(10), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.UniqueConstraint("code", name="uq_warehouses_code"),
    )
    op.bulk_insert(warehouses, [{"id": 1, "code": "MAIN", "name": "Main warehouse"}])

    op.create_table(
        "stock_levels",
        sa.Column("product_id", sa.Integer, primary_key=True),
        sa.Column("warehouse_id", sa.Integer, primary_key=True),
        sa.Column("on_hand", sa.Integer, nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_stock_levels_product_id"),
        sa.ForeignKeyConstraint(
            ["warehouse_id"], ["warehouses.id"], name="fk_stock_levels_warehouse_id"
        ),
    )
    # A stock below zero was a known fault of the old import, and means none.
    op.execute(
        """
        INSERT INTO stock_levels (product_id, warehouse_id, on_hand)
        SELECT id, 1, max(stock, 0) FROM products
        """
    )
    with op.batch_alter_table("products") as batch:
        batch.drop_column("stock")
