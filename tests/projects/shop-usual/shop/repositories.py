"""Looking things up by the names that people use for them; NotFound where there is none."""
from typing import Any, Optional

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .db.models import (
    Address,
    Carrier,
    Cart,
    Category,
    Coupon,
    Customer,
    Order,
    OrderLine,
    Product,
    Warehouse,
)
from .errors import NotFound


def _one(session: Session, model: Any, what: str, **key: Any) -> Any:
    found = session.execute(select(model).filter_by(**key)).scalar_one_or_none()
    if found is None:
        raise NotFound(what, next(iter(key.values())))
    return found


def customer_by_email(session: Session, email: str) -> Customer:
    return _one(session, Customer, "customer", email=email.strip().lower())


def product_by_sku(session: Session, sku: str) -> Product:
    return _one(session, Product, "product", sku=sku)


def order_by_number(session: Session, number: str) -> Order:
    return _one(session, Order, "order", number=number)


def coupon_by_code(session: Session, code: str) -> Coupon:
    return _one(session, Coupon, "coupon", code=code.strip().upper())


def carrier_by_code(session: Session, code: str) -> Carrier:
    return _one(session, Carrier, "carrier", code=code)


def warehouse_by_code(session: Session, code: str) -> Warehouse:
    return _one(session, Warehouse, "warehouse", code=code)


def category_by_path(session: Session, path: str) -> Category:
    return _one(session, Category, "category", path=path.strip("/"))


def open_cart(session: Session, customer: Customer) -> Optional[Cart]:
    query = select(Cart).filter_by(customer=customer, status="open")
    return session.execute(query).scalar_one_or_none()


def default_address(session: Session, customer: Customer, kind: str = "shipping") -> Address:
    query = select(Address).filter_by(customer=customer, kind=kind, is_default=True)
    address = session.execute(query).scalar_one_or_none()
    if address is None:
        raise NotFound(f"{kind} address of", customer.email)
    return address


def products_in(session: Session, category: Category) -> "list[Product]":
    """What is on sale in a category and in those below it."""
    query = (
        select(Product)
        .join(Category)
        .where(
            (Category.path == category.path) | Category.path.startswith(category.path + "/"),
            Product.status == "active",
        )
        .order_by(Product.name)
    )
    return list(session.execute(query).scalars())


def has_bought(session: Session, customer: Customer, product: Product) -> bool:
    query = (
        select(func.count())
        .select_from(OrderLine)
        .join(Order)
        .where(
            Order.customer_id == customer.id,
            Order.status.in_(("paid", "shipped", "delivered")),
            OrderLine.product_id == product.id,
        )
    )
    return session.execute(query).scalar_one() > 0
