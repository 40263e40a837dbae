"""Coupons have a limit of uses and a least order; who used one is recorded.

Revision ID: 0040
Revises: 0039
Create Date: 2023-06-19
"""
import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    op.add_column("coupons", sa.Column("max_uses", sa.Integer))
    op.add_column(
        "coupons", sa.Column("min_order_cents", sa.Integer, nullable=False, server_default="0")
    )
    op.create_table(
        "coupon_redemptions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("coupon_id", sa.Integer, nullable=False),
        sa.Column("order_id", sa.Integer, nullable=False),
        sa.Column("discount_cents", sa.Integer, nullable=False),
        sa.Column("redeemed_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("order_id", name="uq_coupon_redemptions_order_id"),
        sa.ForeignKeyConstraint(
            ["coupon_id"], ["coupons.id"], name="fk_coupon_redemptions_coupon_id"
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_coupon_redemptions_order_id"),
    )
    op.create_index("ix_coupon_redemptions_coupon_id", "coupon_redemptions", ["coupon_id"])
    op.execute(
        """
        INSERT INTO coupon_redemptions (coupon_id, order_id, discount_cents, redeemed_at)
        SELECT coupon_id, id, discount_cents, created_at FROM orders
        WHERE coupon_id IS NOT NULL AND status <> 'cancelled'
        """
    )
