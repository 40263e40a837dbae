"""What every development and test database holds: a catalogue, customers, a year of orders.

Always the same rows: the tests know some of them by name.
"""
import random
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from .models import (
    Address,
    Carrier,
    Category,
    Consent,
    Coupon,
    CouponRedemption,
    Customer,
    Order,
    OrderEvent,
    OrderLine,
    Payment,
    Product,
    Review,
    Shipment,
    ShipmentLine,
    StockLevel,
    StockMovement,
    Supplier,
    Tag,
    Warehouse,
)

OPENED = datetime(2024, 1, 2, 9, 0)

# slug, name, slug of the parent
CATEGORIES = [
    ("home", "Home", None),
    ("kitchen", "Kitchen", "home"),
    ("mugs", "Mugs", "kitchen"),
    ("knives", "Knives", "kitchen"),
    ("textiles", "Textiles", "home"),
    ("books", "Books", None),
    ("cookbooks", "Cookbooks", "books"),
    ("novels", "Novels", "books"),
    ("garden", "Garden", None),
    ("tools", "Tools", "garden"),
    ("seeds", "Seeds", "garden"),
]

SUPPLIERS = [
    ("Harbour Ceramics", "orders@ceramics.example", 10),
    ("Ironbridge Cutlers", "sales@cutlers.example", 21),
    ("Paper Lantern Press", "trade@press.example", 5),
    ("Green Thumb Growers", None, 14),
]

# sku, name, category, supplier, price in cents, grams, pieces in MAIN, in NORTH, tags
PRODUCTS = [
    ("MUG-RED", "Red mug", "mugs", 0, 1290, 350, 40, 10, "gift stoneware"),
    ("MUG-BLUE", "Blue mug", "mugs", 0, 1290, 350, 25, 0, "gift stoneware"),
    ("MUG-XL", "Extra large mug", "mugs", 0, 1890, 520, 3, 2, "stoneware"),
    ("BOWL-SET", "Set of four bowls", "kitchen", 0, 4990, 2400, 12, 4, "stoneware"),
    ("KNIFE-CHEF", "Chef's knife, 20 cm", "knives", 1, 8900, 240, 15, 5, "steel"),
    ("KNIFE-BREAD", "Bread knife", "knives", 1, 5450, 210, 9, 0, "steel"),
    ("KNIFE-PARING", "Paring knife", "knives", 1, 1995, 60, 30, 30, "steel"),
    ("BOARD-OAK", "Oak board", "kitchen", 1, 3450, 1900, 7, 0, "wood"),
    ("TOWEL-LINEN", "Linen tea towel", "textiles", None, 1150, 90, 80, 40, "gift linen"),
    ("APRON", "Apron", "textiles", None, 2900, 300, 18, 6, "linen"),
    ("BOOK-SOUP", "Soups for a week", "cookbooks", 2, 2200, 700, 20, 8, "gift"),
    ("BOOK-BREAD", "Bread, slowly", "cookbooks", 2, 2600, 850, 14, 3, ""),
    ("BOOK-SEA", "The sea at five", "novels", 2, 1400, 380, 33, 11, ""),
    ("BOOK-NIGHT", "Night train", "novels", 2, 1200, 340, 2, 0, ""),
    ("SPADE", "Border spade", "tools", 3, 4200, 1700, 6, 6, "steel wood"),
    ("SECATEURS", "Secateurs", "tools", 3, 3690, 260, 10, 5, "steel"),
    ("SEED-BEAN", "Runner beans", "seeds", 3, 295, 30, 200, 100, ""),
    ("SEED-DILL", "Dill", "seeds", 3, 195, 5, 150, 50, ""),
]

COUPONS = [
    {"code": "WELCOME10", "kind": "percent", "value": 10},
    {"code": "FIVER", "kind": "fixed", "value": 500, "min_order_cents": 2500},
    {"code": "ONCE", "kind": "percent", "value": 20, "max_uses": 1},
    {"code": "SUMMER23", "kind": "percent", "value": 15, "valid_until": datetime(2023, 9, 30)},
]

# The first three are the people in the tests.
NAMES = [
    "Ada Lovelace",
    "Grace Hopper",
    "Alan Turing",
    "Edsger Dijkstra",
    "Barbara Liskov",
    "Donald Knuth",
    "Frances Allen",
    "Niklaus Wirth",
    "Radia Perlman",
    "Tony Hoare",
    "Margaret Hamilton",
    "Dennis Ritchie",
    "Adele Goldberg",
    "Robin Milner",
    "Lynn Conway",
    "Ken Thompson",
]

PLACES = [("10115", "Berlin", "DE"), ("1010", "Wien", "AT"), ("20095", "Hamburg", "DE")]

ORDERS = 60


def seed(session: Session) -> None:
    """Fills a migrated, empty database. The caller commits."""
    rng = random.Random(2024)
    categories = _add_categories(session)
    products = _add_products(session, categories)
    coupons = [Coupon(**columns) for columns in COUPONS]
    session.add_all(coupons)
    customers = _add_customers(session)
    session.flush()
    for position in range(ORDERS):
        _add_order(session, rng, position, customers, products, coupons[0])
    session.flush()
    _add_reviews(session)


def _add_categories(session: Session) -> "dict[str, Category]":
    categories: "dict[str, Category]" = {}
    for position, (slug, name, parent) in enumerate(CATEGORIES):
        above = categories.get(parent) if parent else None
        categories[slug] = Category(
            slug=slug,
            name=name,
            parent=above,
            path=f"{above.path}/{slug}" if above else slug,
            position=position,
        )
    session.add_all(categories.values())
    return categories


def _add_products(session: Session, categories: "dict[str, Category]") -> "list[Product]":
    main = session.execute(select(Warehouse).filter_by(code="MAIN")).scalar_one()
    north = Warehouse(code="NORTH", name="Northern warehouse")
    suppliers = [Supplier(name=n, email=e, lead_time_days=days) for n, e, days in SUPPLIERS]
    tags: "dict[str, Tag]" = {}
    session.add_all([north, *suppliers])

    products = []
    for sku, name, category, supplier, price, grams, in_main, in_north, words in PRODUCTS:
        product = Product(
            sku=sku,
            slug=sku.lower(),
            name=name,
            description=f"{name}.",
            category=categories[category],
            supplier=None if supplier is None else suppliers[supplier],
            price_cents=price,
            tax_rate_bp=700 if categories[category].path.startswith("books") else 1900,
            weight_grams=grams,
            status="active",
            created_at=OPENED,
            updated_at=OPENED,
            tags=[tags.setdefault(word, Tag(name=word)) for word in words.split()],
        )
        products.append(product)
        session.add(product)
        session.flush()
        for warehouse, pieces in ((main, in_main), (north, in_north)):
            if pieces:
                session.add(StockLevel(product=product, warehouse=warehouse, on_hand=pieces))
                session.add(
                    StockMovement(
                        product_id=product.id,
                        warehouse_id=warehouse.id,
                        kind="opening",
                        quantity=pieces,
                        created_at=OPENED,
                    )
                )
    return products


def _add_customers(session: Session) -> "list[Customer]":
    customers = []
    for position, name in enumerate(NAMES):
        first, last = name.split()
        postal_code, city, country = PLACES[position % len(PLACES)]
        since = OPENED + timedelta(days=position)
        customer = Customer(
            email=f"{first}@example.com".lower(),
            first_name=first,
            last_name=last,
            created_at=since,
            updated_at=since,
            addresses=[
                Address(
                    line1=f"Long Street {position + 1}",
                    postal_code=postal_code,
                    city=city,
                    country_code=country,
                    is_default=True,
                )
            ],
        )
        if position % 2 == 0:
            customer.consents.append(Consent(channel="email", granted_at=since))
        customers.append(customer)
    session.add_all(customers)
    return customers


def _add_order(
    session: Session,
    rng: random.Random,
    position: int,
    customers: "list[Customer]",
    products: "list[Product]",
    coupon: Coupon,
) -> None:
    """One order of the past: all but the cancelled ones were paid, sent and delivered."""
    placed = OPENED + timedelta(days=20 + 5 * position, minutes=rng.randrange(600))
    customer = rng.choice(customers[3:])
    address = customer.addresses[0]
    cancelled = position % 12 == 11
    discounted = position % 6 == 5
    lines = [
        OrderLine(
            product=product,
            sku=product.sku,
            name=product.name,
            quantity=rng.randint(1, 3),
            unit_price_cents=product.price_cents,
            tax_rate_bp=product.tax_rate_bp,
        )
        for product in rng.sample(products, rng.randint(1, 4))
    ]
    subtotal = sum(line.total_cents for line in lines)
    discount = subtotal // 10 if discounted else 0
    shipping = 0 if subtotal - discount >= 5000 else 490
    order = Order(
        number=f"S-{placed.year}-{position + 1:06d}",
        customer=customer,
        coupon=coupon if discounted else None,
        status="cancelled" if cancelled else "delivered",
        subtotal_cents=subtotal,
        discount_cents=discount,
        shipping_cents=shipping,
        tax_cents=(subtotal - discount) * 19 // 119,
        total_cents=subtotal - discount + shipping,
        ship_to_name=customer.name,
        ship_to_line1=address.line1,
        ship_to_postal_code=address.postal_code,
        ship_to_city=address.city,
        ship_to_country_code=address.country_code,
        created_at=placed,
        lines=lines,
        events=[OrderEvent(kind="placed", created_at=placed)],
    )
    session.add(order)
    session.flush()
    if cancelled:
        order.events.append(OrderEvent(kind="cancelled", created_at=placed + timedelta(hours=1)))
        return

    sent, arrived = placed + timedelta(days=1), placed + timedelta(days=3)
    order.payments.append(
        Payment(
            provider="card",
            reference=f"seed-{position + 1}",
            amount_cents=order.total_cents,
            created_at=placed,
        )
    )
    order.shipments.append(
        Shipment(
            carrier=session.get(Carrier, 1),
            tracking_code=f"SEED{position + 1:06d}",
            shipped_at=sent,
            delivered_at=arrived,
            lines=[ShipmentLine(order_line=line, quantity=line.quantity) for line in lines],
        )
    )
    order.events += [
        OrderEvent(kind="paid", created_at=placed),
        OrderEvent(kind="shipped", created_at=sent),
        OrderEvent(kind="delivered", created_at=arrived),
    ]
    customer.loyalty_points += order.total_cents // 100
    customer.updated_at = placed
    if discounted:
        session.add(
            CouponRedemption(
                coupon=coupon, order_id=order.id, discount_cents=discount, redeemed_at=placed
            )
        )


def _add_reviews(session: Session) -> None:
    """Each customer's first purchase, reviewed with three to five stars."""
    reviewed = set()
    lines = session.execute(
        select(OrderLine).join(Order).where(Order.status == "delivered").order_by(OrderLine.id)
    ).scalars()
    for line in lines:
        customer = line.order.customer
        if customer.id not in reviewed:
            reviewed.add(customer.id)
            session.add(
                Review(
                    product=line.product,
                    customer=customer,
                    rating=3 + customer.id % 3,
                    title=f"About the {line.name.lower()}",
                    status="published",
                    created_at=line.order.created_at + timedelta(days=10),
                )
            )
