"""Stock is a ledger: every change is a row, and the first is the balance found.

Revision ID: 0019
Revises: 0018
Create Date: 2021-09-06
"""
import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "stock_movements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("product_id", sa.Integer, nullable=False),
        sa.Column("warehouse_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("reference", sa.String(40)),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name="fk_stock_movements_product_id"
        ),
        sa.ForeignKeyConstraint(
            ["warehouse_id"], ["warehouses.id"], name="fk_stock_movements_warehouse_id"
        ),
    )
    op.create_index("ix_stock_movements_product_id", "stock_movements", ["product_id"])
    op.execute(
        """
        INSERT INTO stock_movements (product_id, warehouse_id, kind, quantity, created_at)
        SELECT product_id, warehouse_id, 'opening', on_hand, '2021-09-06 00:00:00.000000'
        FROM stock_levels
        WHERE on_hand > 0
        """
    )
