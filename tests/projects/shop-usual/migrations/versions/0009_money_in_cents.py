"""Money is counted in cents: sums of floats were a cent off.

Revision ID: 0009
Revises: 0008
Create Date: 2021-04-19
"""
import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

MONEY = [
    ("products", "price", "price_cents"),
    ("orders", "total", "total_cents"),
    ("order_lines", "price", "unit_price_cents"),
]


def upgrade() -> None:
    for table, euros, cents in MONEY:
        op.add_column(table, sa.Column(cents, sa.Integer, nullable=False, server_default="0"))
        op.execute(f"UPDATE {table} SET {cents} = CAST(round({euros} * 100) AS INTEGER)")
        with op.batch_alter_table(table) as batch:
            batch.drop_column(euros)
            batch.alter_column(cents, server_default=None)
