from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import relationship

from .base import Base, one_of, utcnow

PRODUCT_STATUSES = ("draft", "active", "discontinued")


class Category(Base):
    """A node of the catalogue's tree; `path` is the slugs from the top, as in home/kitchen."""

    __tablename__ = "categories"
    __table_args__ = (UniqueConstraint("slug"),)

    id = Column(Integer, primary_key=True)
    parent_id = Column(ForeignKey("categories.id"))
    name = Column(String(100), nullable=False)
    slug = Column(String(100), nullable=False)
    path = Column(String(400), nullable=False, unique=True, index=True)
    position = Column(Integer, nullable=False, default=0)

    parent = relationship("Category", remote_side=[id], back_populates="children")
    children = relationship("Category", back_populates="parent", order_by="Category.position")
    products = relationship("Product", back_populates="category")


class Supplier(Base):
    __tablename__ = "suppliers"
    __table_args__ = (UniqueConstraint("name"),)

    id = Column(Integer, primary_key=True)
    name = Column(String(200), nullable=False)
    email = Column(String(200))
    lead_time_days = Column(Integer, nullable=False, default=14)

    products = relationship("Product", back_populates="supplier")


product_tags = Table(
    "product_tags",
    Base.metadata,
    Column("product_id", ForeignKey("products.id"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id"), primary_key=True),
)


class Tag(Base):
    __tablename__ = "tags"
    __table_args__ = (UniqueConstraint("name"),)

    id = Column(Integer, primary_key=True)
    name = Column(String(50), nullable=False)


class Product(Base):
    __tablename__ = "products"
    __table_args__ = (
        UniqueConstraint("sku"),
        CheckConstraint(one_of("status", PRODUCT_STATUSES), name="ck_products_status"),
        CheckConstraint("price_cents >= 0", name="ck_products_price_cents"),
    )

    id = Column(Integer, primary_key=True)
    sku = Column(String(40), nullable=False)
    slug = Column(String(200), nullable=False, unique=True, index=True)
    name = Column(String(200), nullable=False)
    description = Column(Text, nullable=False, default="")
    category_id = Column(ForeignKey("categories.id"), nullable=False, index=True)
    supplier_id = Column(ForeignKey("suppliers.id"), index=True)
    price_cents = Column(Integer, nullable=False)
    tax_rate_bp = Column(Integer, nullable=False, default=1900)  # basis points, in the price
    weight_grams = Column(Integer, nullable=False, default=0)
    status = Column(String(20), nullable=False, default="draft")
    created_at = Column(DateTime, nullable=False, default=utcnow)
    updated_at = Column(DateTime, nullable=False, default=utcnow, onupdate=utcnow)

    category = relationship("Category", back_populates="products")
    supplier = relationship("Supplier", back_populates="products")
    tags = relationship("Tag", secondary=product_tags, order_by="Tag.name")
    prices = relationship("PriceHistory", order_by="PriceHistory.valid_from")
    stock_levels = relationship("StockLevel", back_populates="product")


class PriceHistory(Base):
    """Which price was asked when. Written by a trigger on products, never by hand."""

    __tablename__ = "price_history"

    id = Column(Integer, primary_key=True)
    product_id = Column(ForeignKey("products.id"), nullable=False, index=True)
    price_cents = Column(Integer, nullable=False)
    valid_from = Column(DateTime, nullable=False)
    valid_until = Column(DateTime)
