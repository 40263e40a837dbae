from sqlalchemy import Column, DateTime, ForeignKey, Integer, String, UniqueConstraint
from sqlalchemy.orm import relationship

from .base import Base


class Carrier(Base):
    __tablename__ = "carriers"
    __table_args__ = (UniqueConstraint("code"),)

    id = Column(Integer, primary_key=True)
    code = Column(String(20), nullable=False)
    name = Column(String(100), nullable=False)


class Shipment(Base):
    __tablename__ = "shipments"

    id = Column(Integer, primary_key=True)
    order_id = Column(ForeignKey("orders.id"), nullable=False, index=True)
    carrier_id = Column(ForeignKey("carriers.id"), nullable=False)
    tracking_code = Column(String(80))
    shipped_at = Column(DateTime, nullable=False)
    delivered_at = Column(DateTime)

    order = relationship("Order", back_populates="shipments")
    carrier = relationship("Carrier")
    lines = relationship("ShipmentLine", order_by="ShipmentLine.id")


class ShipmentLine(Base):
    __tablename__ = "shipment_lines"
    __table_args__ = (UniqueConstraint("shipment_id", "order_line_id"),)

    id = Column(Integer, primary_key=True)
    shipment_id = Column(ForeignKey("shipments.id"), nullable=False)
    order_line_id = Column(ForeignKey("order_lines.id"), nullable=False, index=True)
    quantity = Column(Integer, nullable=False)

    order_line = relationship("OrderLine")
