"""Orders are looked up by customer and by day.

Revision ID: 0008
Revises: 0007
Create Date: 2021-04-06
"""
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("ix_orders_customer_id", "orders", ["customer_id"])
    op.create_index("ix_orders_created_at", "orders", ["created_at"])
