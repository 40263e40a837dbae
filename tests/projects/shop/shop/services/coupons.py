"""Coupons: whether one may be used, and what it takes off."""
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..db.models import Coupon, CouponRedemption, Order
from ..errors import CouponRefused
from ..text import format_cents


def uses(session: Session, coupon: Coupon) -> int:
    query = select(func.count()).select_from(CouponRedemption).filter_by(coupon_id=coupon.id)
    return session.execute(query).scalar_one()


def check(session: Session, coupon: Coupon, subtotal_cents: int, now: datetime) -> None:
    """Raises CouponRefused, with the reason, if the coupon cannot be used on such an order."""
    if coupon.valid_until is not None and now > coupon.valid_until:
        raise CouponRefused(f"{coupon.code} expired on {coupon.valid_until:%Y-%m-%d}")
    if subtotal_cents < coupon.min_order_cents:
        least = format_cents(coupon.min_order_cents)
        raise CouponRefused(f"{coupon.code} is for orders of {least} and more")
    if coupon.max_uses is not None and uses(session, coupon) >= coupon.max_uses:
        raise CouponRefused(f"{coupon.code} has been used up")


def discount(coupon: Coupon, subtotal_cents: int) -> int:
    """What the coupon takes off: never more than the goods cost, fractions in our favour."""
    if coupon.kind == "percent":
        return subtotal_cents * coupon.value // 100
    return min(coupon.value, subtotal_cents)


def redeem(session: Session, coupon: Coupon, order: Order, now: datetime) -> None:
    session.add(
        CouponRedemption(
            coupon=coupon,
            order_id=order.id,
            discount_cents=order.discount_cents,
            redeemed_at=now,
        )
    )


def give_back(session: Session, order: Order) -> None:
    """A cancelled order has not used its coupon."""
    redemption = session.execute(
        select(CouponRedemption).filter_by(order_id=order.id)
    ).scalar_one_or_none()
    if redemption is not None:
        session.delete(redemption)
