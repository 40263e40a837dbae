from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import relationship

from .base import Base, one_of, utcnow

CUSTOMER_STATUSES = ("active", "blocked", "erased")


class Customer(Base):
    __tablename__ = "customers"
    __table_args__ = (
        CheckConstraint(one_of("status", CUSTOMER_STATUSES), name="ck_customers_status"),
    )

    id = Column(Integer, primary_key=True)
    email = Column(String(200), nullable=False, unique=True, index=True)
    first_name = Column(String(100), nullable=False)
    last_name = Column(String(100), nullable=False, index=True)
    phone = Column(String(40))
    status = Column(String(20), nullable=False, default="active")
    loyalty_points = Column(Integer, nullable=False, default=0)
    created_at = Column(DateTime, nullable=False, default=utcnow)
    updated_at = Column(DateTime, nullable=False, default=utcnow, onupdate=utcnow)

    addresses = relationship("Address", back_populates="customer", cascade="all, delete-orphan")
    consents = relationship("Consent", back_populates="customer", cascade="all, delete-orphan")
    orders = relationship("Order", back_populates="customer")

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class Address(Base):
    __tablename__ = "addresses"
    __table_args__ = (
        Index(
            "ix_addresses_default",
            "customer_id",
            "kind",
            unique=True,
            sqlite_where=text("is_default = 1"),
        ),
    )

    id = Column(Integer, primary_key=True)
    customer_id = Column(ForeignKey("customers.id"), nullable=False, index=True)
    kind = Column(String(20), nullable=False, default="shipping")
    line1 = Column(String(200), nullable=False)
    line2 = Column(String(200))
    postal_code = Column(String(20), nullable=False)
    city = Column(String(100), nullable=False)
    country_code = Column(String(2), nullable=False)
    is_default = Column(Boolean, nullable=False, default=False)

    customer = relationship("Customer", back_populates="addresses")


class Consent(Base):
    """That a customer wants to hear from us on a channel, and since when."""

    __tablename__ = "consents"
    __table_args__ = (UniqueConstraint("customer_id", "channel"),)

    id = Column(Integer, primary_key=True)
    customer_id = Column(ForeignKey("customers.id"), nullable=False)
    channel = Column(String(20), nullable=False)
    granted_at = Column(DateTime, nullable=False, default=utcnow)
    withdrawn_at = Column(DateTime)

    customer = relationship("Customer", back_populates="consents")
