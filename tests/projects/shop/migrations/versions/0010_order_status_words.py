"""The status of an order is a word, not a number.

Revision ID: 0010
Revises: 0009
Create Date: 2021-05-03
"""
import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

STATUS_WORDS = {0: "new", 1: "paid", 2: "shipped", 3: "cancelled"}


def upgrade() -> None:
    op.add_column("orders", sa.Column("status_word", sa.String(20)))
    bind = op.get_bind()
    for number, word in STATUS_WORDS.items():
        bind.execute(
            sa.text("UPDATE orders SET status_word = :word WHERE status = :number"),
            {"word": word, "number": number},
        )
    with op.batch_alter_table("orders") as batch:
        batch.drop_column("status")
    with op.batch_alter_table("orders") as batch:
        batch.alter_column("status_word", new_column_name="status", nullable=False)
        batch.create_check_constraint(
            "ck_orders_status", "status IN ('new', 'paid', 'shipped', 'cancelled')"
        )
