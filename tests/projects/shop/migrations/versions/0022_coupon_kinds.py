"""A coupon takes off a percentage or a fixed amount: percent becomes kind and value.

Revision ID: 0022
Revises: 0021
Create Date: 2021-11-02
"""
import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute("UPDATE coupons SET code = upper(trim(code))")
    with op.batch_alter_table("coupons") as batch:
        batch.alter_column("percent", new_column_name="value")
        batch.add_column(sa.Column("kind", sa.String(20), nullable=False, server_default="percent"))
        batch.create_check_constraint("ck_coupons_kind", "kind IN ('percent', 'fixed')")
