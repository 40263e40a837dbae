"""Steps of customers: `she` is the customer named last, `the order` the one placed last."""
from datetime import datetime, timedelta

from behave import given, then, when

from shop import repositories
from shop.errors import ShopError
from shop.services import carts, orders, payments, returns, shipping, stock
from shop.text import format_cents

NOW = datetime(2025, 3, 3, 12, 0)


def attempt(context, action, *args):
    """Does what a customer asks for, and keeps the answer or the refusal."""
    context.refusal = None
    try:
        with context.shop.begin_nested():
            return action(context.shop, *args)
    except ShopError as refusal:
        context.refusal = str(refusal)
        return None


def open_cart(context, name):
    context.customer = repositories.customer_by_email(context.shop, f"{name}@example.com")
    context.cart = carts.open_for(context.shop, context.customer, NOW)


def put_in_cart(context, sku, quantity):
    product = repositories.product_by_sku(context.shop, sku)
    carts.add(context.shop, context.cart, product, quantity, NOW)


@given("{name}'s cart holds")
def cart_holds(context, name):
    open_cart(context, name)
    for row in context.table:
        put_in_cart(context, row["product"], int(row["quantity"]))


@given("{name} has ordered {quantity:d} of {sku} with the coupon {code}")
def has_ordered_with_coupon(context, name, quantity, sku, code):
    open_cart(context, name)
    put_in_cart(context, sku, quantity)
    carts.apply_coupon(context.shop, context.cart, code, NOW)
    context.order = orders.place(context.shop, context.cart, NOW)


@given("{name} has ordered {quantity:d} of {sku:w}-{rest:w}")
def has_ordered(context, name, quantity, sku, rest):
    open_cart(context, name)
    put_in_cart(context, f"{sku}-{rest}", quantity)
    context.order = orders.place(context.shop, context.cart, NOW)


@given("the order has been paid and delivered")
def paid_and_delivered(context):
    pay(context)
    post = repositories.carrier_by_code(context.shop, "post")
    shipment = shipping.ship(context.shop, context.order, post, "T1", NOW)
    shipping.deliver(context.shop, shipment, NOW)


@when("she uses the coupon {code}")
def use_coupon(context, code):
    attempt(context, carts.apply_coupon, context.cart, code, NOW)


@when("she checks out")
def check_out(context):
    context.order = attempt(context, orders.place, context.cart, NOW)


@when("she pays")
def pay(context):
    order = context.order
    attempt(context, payments.pay, order, "card", "ref", order.total_cents, NOW)


@given("she has cancelled the order")
@when("she cancels the order")
def cancel(context):
    attempt(context, orders.cancel, context.order, NOW)


@when("she returns {quantity:d} of {sku} after {days:d} days")
def give_back(context, quantity, sku, days):
    now = NOW + timedelta(days=days)
    announced = attempt(context, returns.request, context.order, {sku: quantity}, "", now)
    if announced is not None:
        main = repositories.warehouse_by_code(context.shop, "MAIN")
        context.refund = returns.receive(context.shop, announced, main, now)


@then("the order costs {total}, {shipping} of it for shipping")
def order_costs(context, total, shipping):
    order = context.order
    found = format_cents(order.total_cents), format_cents(order.shipping_cents)
    assert found == (total, shipping), found


@then("the order is {status}")
def order_is(context, status):
    assert context.order.status == status, context.order.status


@then("{quantity:d} of {sku} are left")
def are_left(context, quantity, sku):
    left = stock.available(context.shop, repositories.product_by_sku(context.shop, sku))
    assert left == quantity, left
    assert stock.ledger_agrees(context.shop)


@then("she has {points:d} points")
def has_points(context, points):
    assert context.customer.loyalty_points == points, context.customer.loyalty_points


@then("she gets {amount} back")
def gets_back(context, amount):
    assert format_cents(context.refund) == amount, context.refund
    assert payments.refunded_cents(context.order) == context.refund


@then('she is told "{message}"')
def is_told(context, message):
    assert context.refusal == message, context.refusal
