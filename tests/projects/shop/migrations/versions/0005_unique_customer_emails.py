"""One account per e-mail address, in whatever case it was typed.

Revision ID: 0005
Revises: 0004
Create Date: 2021-03-15
"""
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("UPDATE customers SET email = lower(trim(email))")

    # Whoever registered twice keeps the older account, and the addresses of both.
    bind = op.get_bind()
    duplicates = bind.execute(
        sa.text(
            """
            SELECT customers.id, oldest.id AS kept
            FROM customers
            JOIN (SELECT email, min(id) AS id FROM customers GROUP BY email) AS oldest
              ON oldest.email = customers.email AND oldest.id <> customers.id
            """
        )
    ).all()
    for duplicate in duplicates:
        pair = {"id": duplicate.id, "kept": duplicate.kept}
        bind.execute(
            sa.text("UPDATE addresses SET customer_id = :kept WHERE customer_id = :id"), pair
        )
        bind.execute(sa.text("DELETE FROM customers WHERE id = :id"), {"id": duplicate.id})

    op.create_index("ix_customers_email", "customers", ["email"], unique=True)
