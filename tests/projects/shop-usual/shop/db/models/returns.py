from sqlalchemy import Boolean, CheckConstraint, Column, DateTime, ForeignKey, Integer, String
from sqlalchemy.orm import relationship

from .base import Base, one_of, utcnow

RETURN_STATUSES = ("requested", "received", "refused")


class Return(Base):
    __tablename__ = "returns"
    __table_args__ = (CheckConstraint(one_of("status", RETURN_STATUSES), name="ck_returns_status"),)

    id = Column(Integer, primary_key=True)
    order_id = Column(ForeignKey("orders.id"), nullable=False, index=True)
    status = Column(String(20), nullable=False, default="requested")
    reason = Column(String(200), nullable=False, default="")
    created_at = Column(DateTime, nullable=False, default=utcnow)
    closed_at = Column(DateTime)

    order = relationship("Order", back_populates="returns")
    lines = relationship("ReturnLine", order_by="ReturnLine.id")


class ReturnLine(Base):
    __tablename__ = "return_lines"

    id = Column(Integer, primary_key=True)
    return_id = Column(ForeignKey("returns.id"), nullable=False, index=True)
    order_line_id = Column(ForeignKey("order_lines.id"), nullable=False)
    quantity = Column(Integer, nullable=False)
    restock = Column(Boolean, nullable=False, default=True)

    order_line = relationship("OrderLine")
