"""An order says how its total comes about: lines, discount, shipping, tax within.

Revision ID: 0034
Revises: 0033
Create Date: 2022-11-21
"""
import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    for column in ("subtotal_cents", "shipping_cents", "tax_cents"):
        op.add_column("orders", sa.Column(column, sa.Integer, nullable=False, server_default="0"))
    op.execute(
        """
        UPDATE orders SET subtotal_cents = coalesce(
            (SELECT sum(quantity * unit_price_cents) FROM order_lines WHERE order_id = orders.id),
            total_cents + discount_cents
        )
        """
    )
    # What the old totals hold beyond the lines was shipping; it never appeared anywhere.
    op.execute(
        """
        UPDATE orders SET shipping_cents = max(0, total_cents - subtotal_cents + discount_cents)
        """
    )
    op.execute(
        """
        UPDATE orders SET tax_cents = coalesce(
            (SELECT sum(CAST(round(quantity * unit_price_cents * tax_rate_bp
                                   / (10000.0 + tax_rate_bp)) AS INTEGER))
             FROM order_lines WHERE order_id = orders.id),
            0
        )
        """
    )
