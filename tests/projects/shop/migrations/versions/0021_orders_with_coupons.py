"""An order, or a cart, may have a coupon.

Revision ID: 0021
Revises: 0020
Create Date: 2021-10-04
"""
import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    with op.batch_alter_table("orders") as batch:
        batch.add_column(sa.Column("coupon_id", sa.Integer))
        batch.add_column(
            sa.Column("discount_cents", sa.Integer, nullable=False, server_default="0")
        )
        batch.create_foreign_key("fk_orders_coupon_id", "coupons", ["coupon_id"], ["id"])
    with op.batch_alter_table("carts") as batch:
        batch.add_column(sa.Column("coupon_id", sa.Integer))
        batch.create_foreign_key("fk_carts_coupon_id", "coupons", ["coupon_id"], ["id"])
