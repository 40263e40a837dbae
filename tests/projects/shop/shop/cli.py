"""The shop from the command line: python -m shop. The database is $DATABASE_URL."""
import argparse
import sys
from typing import Optional, Sequence

from sqlalchemy.orm import Session

from . import reports, repositories
from .db import connect, open_session
from .db.models import utcnow
from .errors import InvalidInput, ShopError
from .services import carts, orders, payments, returns, shipping, stock
from .text import format_cents


def quantities(words: Sequence[str]) -> "dict[str, int]":
    """['MUG-RED', 'APRON:2'] as {'MUG-RED': 1, 'APRON': 2}."""
    wanted: "dict[str, int]" = {}
    for word in words:
        sku, _, number = word.partition(":")
        if number and not number.isdecimal():
            raise InvalidInput(f"not a quantity: {word}")
        wanted[sku] = wanted.get(sku, 0) + int(number or 1)
    return wanted


def list_products(session: Session, args: argparse.Namespace) -> None:
    category = repositories.category_by_path(session, args.category)
    for product in repositories.products_in(session, category):
        free = stock.available(session, product)
        print(f"{product.sku:14} {format_cents(product.price_cents):>8} {free:>5}  {product.name}")


def place(session: Session, args: argparse.Namespace) -> None:
    now = utcnow()
    customer = repositories.customer_by_email(session, args.email)
    cart = carts.open_for(session, customer, now)
    for sku, quantity in quantities(args.item).items():
        carts.add(session, cart, repositories.product_by_sku(session, sku), quantity, now)
    if args.coupon:
        carts.apply_coupon(session, cart, args.coupon, now)
    order = orders.place(session, cart, now)
    print(order.number, format_cents(order.total_cents))


def pay(session: Session, args: argparse.Namespace) -> None:
    order = repositories.order_by_number(session, args.number)
    payments.pay(session, order, "card", args.reference, order.total_cents, utcnow())
    print(order.number, order.status)


def ship(session: Session, args: argparse.Namespace) -> None:
    order = repositories.order_by_number(session, args.number)
    carrier = repositories.carrier_by_code(session, args.carrier)
    parcel = quantities(args.item) or None
    shipping.ship(session, order, carrier, args.tracking, utcnow(), parcel)
    print(order.number, order.status)


def deliver(session: Session, args: argparse.Namespace) -> None:
    order = repositories.order_by_number(session, args.number)
    for shipment in order.shipments:
        if shipment.delivered_at is None:
            shipping.deliver(session, shipment, utcnow())
    print(order.number, order.status)


def cancel(session: Session, args: argparse.Namespace) -> None:
    order = repositories.order_by_number(session, args.number)
    orders.cancel(session, order, utcnow(), args.reason)
    print(order.number, order.status)


def take_back(session: Session, args: argparse.Namespace) -> None:
    order = repositories.order_by_number(session, args.number)
    warehouse = repositories.warehouse_by_code(session, args.warehouse)
    announced = returns.request(session, order, quantities(args.item), "at the counter", utcnow())
    amount = returns.receive(session, announced, warehouse, utcnow())
    print(order.number, "refunded", format_cents(amount))


def show(session: Session, args: argparse.Namespace) -> None:
    order = repositories.order_by_number(session, args.number)
    print(order.number, order.status, f"{order.created_at:%Y-%m-%d}", order.ship_to_name or "-")
    for line in order.lines:
        print(f"{line.quantity:>4} {line.sku:14} {format_cents(line.total_cents):>8}")
    for label in ("discount", "shipping", "tax", "total"):
        print(f"     {label:14} {format_cents(getattr(order, label + '_cents')):>8}")
    for event in order.events:
        print(f"     {event.created_at:%Y-%m-%d %H:%M} {event.kind} {event.detail}".rstrip())


def report(session: Session, args: argparse.Namespace) -> None:
    if args.which == "sales":
        for month in reports.sales_by_month(session):
            print(f"{month.month} {month.orders:>4} {format_cents(month.revenue_cents):>10}")
    elif args.which == "best":
        for product in reports.best_sellers(session):
            print(f"{product.sku:14} {product.units:>4}")
    else:
        for item in reports.low_stock(session):
            print(f"{item.sku:14} {item.available:>4} {item.supplier}")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="shop", description="A small shop.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name, function, *positional, **options):
        sub = commands.add_parser(name)
        sub.set_defaults(run=function)
        for argument in positional:
            sub.add_argument(argument)
        for option, default in options.items():
            sub.add_argument(f"--{option}", default=default)
        return sub

    command("products", list_products, "category")
    command("place", place, "email", coupon=None).add_argument("item", nargs="+")
    command("pay", pay, "number", "reference")
    command("ship", ship, "number", "tracking", carrier="post").add_argument("item", nargs="*")
    command("deliver", deliver, "number")
    command("cancel", cancel, "number", reason="")
    command("return", take_back, "number", warehouse="MAIN").add_argument("item", nargs="+")
    command("show", show, "number")
    command("report", report).add_argument("which", choices=("sales", "best", "low-stock"))
    return top


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = parser().parse_args(argv)
    engine = connect()
    try:
        with open_session(engine) as session, session.begin():
            args.run(session, args)
    except ShopError as error:
        print(f"shop: {error}", file=sys.stderr)
        return 1
    finally:
        engine.dispose()
    return 0
