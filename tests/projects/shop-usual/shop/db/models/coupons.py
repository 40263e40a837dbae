from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Integer, String
from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import relationship

from .base import Base, one_of, utcnow

COUPON_KINDS = ("percent", "fixed")


class Coupon(Base):
    """`value` is a percentage or an amount of cents, as `kind` says."""

    __tablename__ = "coupons"
    __table_args__ = (
        UniqueConstraint("code"),
        CheckConstraint(one_of("kind", COUPON_KINDS), name="ck_coupons_kind"),
    )

    id = Column(Integer, primary_key=True)
    code = Column(String(40), nullable=False)
    kind = Column(String(20), nullable=False, default="percent")
    value = Column(Integer, nullable=False)
    min_order_cents = Column(Integer, nullable=False, default=0)
    max_uses = Column(Integer)
    valid_until = Column(DateTime)

    redemptions = relationship("CouponRedemption", back_populates="coupon")


class CouponRedemption(Base):
    __tablename__ = "coupon_redemptions"
    __table_args__ = (UniqueConstraint("order_id"),)

    id = Column(Integer, primary_key=True)
    coupon_id = Column(ForeignKey("coupons.id"), nullable=False, index=True)
    order_id = Column(ForeignKey("orders.id"), nullable=False)
    discount_cents = Column(Integer, nullable=False)
    redeemed_at = Column(DateTime, nullable=False, default=utcnow)

    coupon = relationship("Coupon", back_populates="redemptions")
