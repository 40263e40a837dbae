"""When a customer, a product or a cart was changed last.

Revision ID: 0044
Revises: 0043
Create Date: 2023-11-06
"""
import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    for table in ("customers", "products", "carts"):
        # SQLite wants a constant default for a column that is added.
        op.add_column(
            table,
            sa.Column(
                "updated_at",
                sa.DateTime,
                nullable=False,
                server_default="1970-01-01 00:00:00.000000",
            ),
        )
        op.execute(f"UPDATE {table} SET updated_at = created_at")
