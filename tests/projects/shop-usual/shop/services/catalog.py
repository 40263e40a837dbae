"""The catalogue: products come, change their price, and go."""
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..db.models import Category, Product
from ..errors import InvalidInput
from ..text import slugify


def add_product(
    session: Session, sku: str, name: str, category: Category, price_cents: int, now: datetime
) -> Product:
    """A draft; what bears the name of another product has its number in its address too."""
    slug = slugify(name)
    if not slug or session.execute(select(Product).filter_by(slug=slug)).first():
        slug = slugify(f"{name} {sku}")
    product = Product(
        sku=sku, slug=slug, name=name, category=category, created_at=now, updated_at=now
    )
    change_price(session, product, price_cents, now)
    session.add(product)
    session.flush()
    return product


def change_price(session: Session, product: Product, price_cents: int, now: datetime) -> None:
    """The database writes the history by itself, and takes the time from updated_at."""
    if price_cents < 0:
        raise InvalidInput(f"{product.sku}: a price is not below zero")
    product.price_cents, product.updated_at = price_cents, now
    session.flush()


def discontinue(session: Session, product: Product, now: datetime) -> None:
    product.status, product.updated_at = "discontinued", now
    session.flush()
