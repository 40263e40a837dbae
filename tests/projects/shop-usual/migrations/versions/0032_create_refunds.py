"""Refunds leave the table of payments, where they stood as negative amounts.

Revision ID: 0032
Revises: 0031
Create Date: 2022-09-26
"""
import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.create_table(
        "refunds",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("payment_id", sa.Integer, nullable=False),
        sa.Column("amount_cents", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(200), nullable=False, server_default=""),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.CheckConstraint("amount_cents > 0", name="ck_refunds_amount_cents"),
        sa.ForeignKeyConstraint(["payment_id"], ["payments.id"], name="fk_refunds_payment_id"),
    )
    op.create_index("ix_refunds_payment_id", "refunds", ["payment_id"])
    # A refund belongs to the first payment of its order.
    op.execute(
        """
        INSERT INTO refunds (payment_id, amount_cents, reason, created_at)
        SELECT (SELECT min(paid.id) FROM payments AS paid
                WHERE paid.order_id = payments.order_id AND paid.amount_cents > 0),
               -amount_cents, reference, created_at
        FROM payments
        WHERE amount_cents < 0
        """
    )
    op.execute("DELETE FROM payments WHERE amount_cents < 0")
    with op.batch_alter_table("payments") as batch:
        batch.create_check_constraint("ck_payments_amount_cents", "amount_cents >= 0")
