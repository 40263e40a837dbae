from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Integer, String
from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import relationship

from .base import Base, utcnow


class Payment(Base):
    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("reference"),
        CheckConstraint("amount_cents >= 0", name="ck_payments_amount_cents"),
    )

    id = Column(Integer, primary_key=True)
    order_id = Column(ForeignKey("orders.id"), nullable=False, index=True)
    provider = Column(String(40), nullable=False)
    reference = Column(String(80), nullable=False)
    amount_cents = Column(Integer, nullable=False)
    created_at = Column(DateTime, nullable=False, default=utcnow)

    order = relationship("Order", back_populates="payments")
    refunds = relationship("Refund", back_populates="payment", order_by="Refund.id")


class Refund(Base):
    __tablename__ = "refunds"
    __table_args__ = (CheckConstraint("amount_cents > 0", name="ck_refunds_amount_cents"),)

    id = Column(Integer, primary_key=True)
    payment_id = Column(ForeignKey("payments.id"), nullable=False, index=True)
    amount_cents = Column(Integer, nullable=False)
    reason = Column(String(200), nullable=False, default="")
    created_at = Column(DateTime, nullable=False, default=utcnow)

    payment = relationship("Payment", back_populates="refunds")
