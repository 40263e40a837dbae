"""Stock is promised to orders before it leaves.

Revision ID: 0041
Revises: 0040
Create Date: 2023-08-14
"""
import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    # The ledger's older words for goods in and goods out.
    op.execute("UPDATE stock_movements SET kind = 'receive' WHERE kind = 'in'")
    op.execute("UPDATE stock_movements SET kind = 'ship' WHERE kind = 'out'")
    with op.batch_alter_table("stock_movements") as batch:
        batch.create_check_constraint(
            "ck_stock_movements_kind",
            "kind IN ('opening', 'receive', 'adjust', 'reserve', 'release', 'ship', 'return')",
        )
        batch.create_index("ix_stock_movements_reference", ["reference"])
    with op.batch_alter_table("stock_levels") as batch:
        batch.add_column(sa.Column("reserved", sa.Integer, nullable=False, server_default="0"))
        batch.create_check_constraint(
            "ck_stock_levels_reserved", "reserved >= 0 AND reserved <= on_hand"
        )
