"""Orders that were paid before there was a table of payments get one.

Revision ID: 0016
Revises: 0015
Create Date: 2021-07-19
"""
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute(
        """
        INSERT INTO payments (order_id, provider, reference, amount_cents, created_at)
        SELECT id, 'transfer', 'before-0016-' || id, total_cents, created_at
        FROM orders
        WHERE status IN ('paid', 'shipped')
          AND id NOT IN (SELECT order_id FROM payments)
        """
    )
