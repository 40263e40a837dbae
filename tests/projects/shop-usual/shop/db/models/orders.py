from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Integer, String
from sqlalchemy.orm import relationship

from .base import Base, one_of, utcnow

ORDER_STATUSES = ("new", "paid", "shipped", "delivered", "cancelled")


class Order(Base):
    """What was bought, at the prices and to the address of that day."""

    __tablename__ = "orders"
    __table_args__ = (CheckConstraint(one_of("status", ORDER_STATUSES), name="ck_orders_status"),)

    id = Column(Integer, primary_key=True)
    number = Column(String(20), nullable=False, unique=True, index=True)
    customer_id = Column(ForeignKey("customers.id"), nullable=False, index=True)
    coupon_id = Column(ForeignKey("coupons.id"))
    status = Column(String(20), nullable=False, default="new")
    subtotal_cents = Column(Integer, nullable=False)
    discount_cents = Column(Integer, nullable=False, default=0)
    shipping_cents = Column(Integer, nullable=False, default=0)
    tax_cents = Column(Integer, nullable=False)  # contained in the total
    total_cents = Column(Integer, nullable=False)
    ship_to_name = Column(String(200))
    ship_to_line1 = Column(String(200))
    ship_to_line2 = Column(String(200))
    ship_to_postal_code = Column(String(20))
    ship_to_city = Column(String(100))
    ship_to_country_code = Column(String(2))
    created_at = Column(DateTime, nullable=False, default=utcnow, index=True)

    customer = relationship("Customer", back_populates="orders")
    coupon = relationship("Coupon")
    lines = relationship("OrderLine", back_populates="order", order_by="OrderLine.id")
    events = relationship("OrderEvent", order_by="OrderEvent.id")
    payments = relationship("Payment", back_populates="order", order_by="Payment.id")
    shipments = relationship("Shipment", back_populates="order", order_by="Shipment.id")
    returns = relationship("Return", back_populates="order", order_by="Return.id")


class OrderLine(Base):
    __tablename__ = "order_lines"
    __table_args__ = (CheckConstraint("quantity > 0", name="ck_order_lines_quantity"),)

    id = Column(Integer, primary_key=True)
    order_id = Column(ForeignKey("orders.id"), nullable=False, index=True)
    product_id = Column(ForeignKey("products.id"), nullable=False, index=True)
    sku = Column(String(40), nullable=False)
    name = Column(String(200), nullable=False)
    quantity = Column(Integer, nullable=False)
    unit_price_cents = Column(Integer, nullable=False)
    tax_rate_bp = Column(Integer, nullable=False, default=1900)

    order = relationship("Order", back_populates="lines")
    product = relationship("Product")

    @property
    def total_cents(self) -> int:
        return self.quantity * self.unit_price_cents


class OrderEvent(Base):
    """The order's diary, for the customer's account page and for support."""

    __tablename__ = "order_events"

    id = Column(Integer, primary_key=True)
    order_id = Column(ForeignKey("orders.id"), nullable=False, index=True)
    kind = Column(String(40), nullable=False)
    detail = Column(String(400), nullable=False, default="")
    created_at = Column(DateTime, nullable=False, default=utcnow)
