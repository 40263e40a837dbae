"""Figures for the people in the office."""
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from .db.models import Category, Order, OrderLine, Product, StockLevel

SOLD = ("paid", "shipped", "delivered")


class MonthlySales(NamedTuple):
    month: str
    orders: int
    revenue_cents: int


class ProductSales(NamedTuple):
    sku: str
    units: int
    revenue_cents: int


class LowStock(NamedTuple):
    sku: str
    available: int
    supplier: str


def sales_by_month(session: Session) -> "list[MonthlySales]":
    month = func.strftime("%Y-%m", Order.created_at)
    query = (
        select(month, func.count(), func.sum(Order.total_cents))
        .where(Order.status.in_(SOLD))
        .group_by(month)
        .order_by(month)
    )
    return [MonthlySales(*row) for row in session.execute(query)]


def best_sellers(session: Session, limit: int = 5) -> "list[ProductSales]":
    rows = session.execute(
        text(
            """
            SELECT sku, units, revenue_cents FROM product_sales
            WHERE units > 0 ORDER BY units DESC, sku LIMIT :limit
            """
        ),
        {"limit": limit},
    )
    return [ProductSales(*row) for row in rows]


def low_stock(session: Session, below: int = 10) -> "list[LowStock]":
    """What is on sale and about to run out, scarcest first."""
    free = func.coalesce(func.sum(StockLevel.on_hand - StockLevel.reserved), 0)
    query = (
        select(Product, free)
        .outerjoin(StockLevel)
        .where(Product.status == "active")
        .group_by(Product.id)
        .having(free < below)
        .order_by(free, Product.sku)
    )
    return [
        LowStock(product.sku, available, product.supplier.name if product.supplier else "-")
        for product, available in session.execute(query)
    ]


def revenue_by_top_category(session: Session) -> "dict[str, int]":
    """Goods sold, before discounts and shipping, by the categories at the top of the tree."""
    query = (
        select(Category.path, OrderLine.quantity * OrderLine.unit_price_cents)
        .select_from(OrderLine)
        .join(Order)
        .join(Product)
        .join(Category)
        .where(Order.status.in_(SOLD))
    )
    revenue: "dict[str, int]" = {}
    for path, cents in session.execute(query):
        top = path.split("/")[0]
        revenue[top] = revenue.get(top, 0) + cents
    return dict(sorted(revenue.items()))
