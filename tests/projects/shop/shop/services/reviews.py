"""Reviews: by buyers, one a product, shown when a moderator has agreed."""
from datetime import datetime
from typing import Optional

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .. import repositories
from ..db.models import Customer, Product, Review
from ..errors import InvalidInput, WrongState


def write(
    session: Session,
    customer: Customer,
    product: Product,
    rating: int,
    now: datetime,
    title: str = "",
    body: str = "",
) -> Review:
    """A second review of the same product replaces the first, and has to be looked at again."""
    if rating not in range(1, 6):
        raise InvalidInput("a rating is 1 to 5 stars")
    if not repositories.has_bought(session, customer, product):
        raise WrongState(f"{customer.email} has not bought {product.sku}")
    query = select(Review).filter_by(customer=customer, product=product)
    review = session.execute(query).scalar_one_or_none()
    if review is None:
        review = Review(customer=customer, product=product)
        session.add(review)
    review.rating, review.title, review.body = rating, title, body
    review.status, review.created_at = "pending", now
    session.flush()
    return review


def moderate(session: Session, review: Review, publish: bool) -> None:
    review.status = "published" if publish else "rejected"
    session.flush()


def average(session: Session, product: Product) -> Optional[float]:
    query = select(func.avg(Review.rating)).filter_by(product_id=product.id, status="published")
    return session.execute(query).scalar_one()
