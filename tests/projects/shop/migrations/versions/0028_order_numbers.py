"""Order numbers for people, counted by year: S-2022-000001.

Revision ID: 0028
Revises: 0027
Create Date: 2022-06-13
"""
import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.add_column("orders", sa.Column("number", sa.String(20)))
    op.execute(
        """
        UPDATE orders SET number = (
            SELECT printf('S-%s-%06d', counted.year, counted.position)
            FROM (
                SELECT id,
                       strftime('%Y', created_at) AS year,
                       row_number() OVER (
                           PARTITION BY strftime('%Y', created_at) ORDER BY created_at, id
                       ) AS position
                FROM orders
            ) AS counted
            WHERE counted.id = orders.id
        )
        """
    )
    with op.batch_alter_table("orders") as batch:
        batch.alter_column("number", existing_type=sa.String(20), nullable=False)
    op.create_index("ix_orders_number", "orders", ["number"], unique=True)
