"""Suppliers of products.

Revision ID: 0017
Revises: 0016
Create Date: 2021-08-09
"""
import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "suppliers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("email", sa.String(200)),
        sa.Column("lead_time_days", sa.Integer, nullable=False, server_default="14"),
        sa.UniqueConstraint("name", name="uq_suppliers_name"),
    )
    with op.batch_alter_table("products") as batch:
        batch.add_column(sa.Column("supplier_id", sa.Integer))
        batch.create_foreign_key("fk_products_supplier_id", "suppliers", ["supplier_id"], ["id"])
    op.create_index("ix_products_supplier_id", "products", ["supplier_id"])
