from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Integer, String
from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import relationship

from .base import Base, one_of, utcnow

MOVEMENT_KINDS = ("opening", "receive", "adjust", "reserve", "release", "ship", "return")


class Warehouse(Base):
    __tablename__ = "warehouses"
    __table_args__ = (UniqueConstraint("code"),)

    id = Column(Integer, primary_key=True)
    code = Column(String(10), nullable=False)
    name = Column(String(100), nullable=False)


class StockLevel(Base):
    """How many pieces lie in a warehouse, and how many of them are promised to orders."""

    __tablename__ = "stock_levels"
    __table_args__ = (
        CheckConstraint("reserved >= 0 AND reserved <= on_hand", name="ck_stock_levels_reserved"),
    )

    product_id = Column(ForeignKey("products.id"), primary_key=True)
    warehouse_id = Column(ForeignKey("warehouses.id"), primary_key=True)
    on_hand = Column(Integer, nullable=False, default=0)
    reserved = Column(Integer, nullable=False, default=0)

    product = relationship("Product", back_populates="stock_levels")
    warehouse = relationship("Warehouse")

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


class StockMovement(Base):
    """The ledger: on_hand and reserved are the sums of these."""

    __tablename__ = "stock_movements"
    __table_args__ = (
        CheckConstraint(one_of("kind", MOVEMENT_KINDS), name="ck_stock_movements_kind"),
    )

    id = Column(Integer, primary_key=True)
    product_id = Column(ForeignKey("products.id"), nullable=False, index=True)
    warehouse_id = Column(ForeignKey("warehouses.id"), nullable=False)
    kind = Column(String(20), nullable=False)
    quantity = Column(Integer, nullable=False)
    reference = Column(String(40), index=True)
    created_at = Column(DateTime, nullable=False, default=utcnow)
