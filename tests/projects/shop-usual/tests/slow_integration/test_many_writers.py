"""Many orders, and many who order at once."""
import random
import subprocess
import sys
import threading

import pytest
from sqlalchemy import func, select, text

from shop import repositories
from shop.db import connect, open_session, sqlite_url
from shop.db.models import Order, Product, StockLevel
from shop.errors import OutOfStock
from shop.services import orders, stock
from tests.databases import ROOT
from tests.helpers import DAY, NOW, buy, deliver, pay


def test_a_busy_month(session):
    """Orders at random, some cancelled, some delivered: the books agree to the piece."""
    rng = random.Random(7)
    customers = [
        repositories.customer_by_email(session, f"{name}@example.com")
        for name in ("ada", "grace", "alan", "barbara")
    ]
    skus = session.execute(select(Product.sku).order_by(Product.sku)).scalars().all()
    placed = refused = 0
    for number in range(120):
        items = {sku: rng.randint(1, 3) for sku in rng.sample(skus, rng.randint(1, 3))}
        now = NOW + number * DAY / 6
        try:
            with session.begin_nested():
                order = buy(session, rng.choice(customers), items, now=now)
        except OutOfStock:
            refused += 1
            continue
        placed += 1
        what = rng.random()
        if what < 0.2:
            orders.cancel(session, order, now)
        elif what < 0.4:
            orders.cancel(session, pay(session, order, now), now)
        elif what < 0.9:
            deliver(session, order, now)
    session.commit()
    assert placed and refused
    assert stock.ledger_agrees(session)
    last = session.execute(select(func.max(Order.number))).scalar_one()
    assert last == f"S-2025-{placed:06d}"
    levels = session.execute(select(StockLevel)).scalars()
    assert all(0 <= level.reserved <= level.on_hand for level in levels)


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_two_processes_order_and_a_third_reads(database, journal_mode):
    """The second one waits; nothing is sold twice, and no number is given twice."""
    engine = connect(sqlite_url(database))
    with engine.connect() as connection:
        mode = connection.execute(text(f"PRAGMA journal_mode = {journal_mode}")).scalar_one()
        assert mode == journal_mode
    buyers = [
        subprocess.Popen(
            [sys.executable, "-c", BUYER, str(database), name], cwd=ROOT, stdout=subprocess.PIPE
        )
        for name in ("ada", "grace")
    ]
    outputs = [buyer.communicate()[0].decode().split() for buyer in buyers]
    assert [buyer.returncode for buyer in buyers] == [0, 0]
    with open_session(engine) as session:
        assert sorted(outputs[0] + outputs[1]) == [f"S-2025-{n:06d}" for n in range(1, 11)]
        assert stock.ledger_agrees(session)
    engine.dispose()


BUYER = """
import sys
from sqlalchemy import event
from shop import repositories
from shop.db import connect, open_session, sqlite_url
from tests.helpers import buy

engine = connect(sqlite_url(sys.argv[1]))


@event.listens_for(engine, "connect")
def wait_long(connection, _):
    connection.isolation_level = None  # BEGIN is ours: pysqlite's comes after the first SELECT
    connection.execute("PRAGMA busy_timeout = 30000")


@event.listens_for(engine, "begin")
def begin(connection):
    connection.exec_driver_sql("BEGIN IMMEDIATE")


for _ in range(5):
    with open_session(engine) as session, session.begin():
        customer = repositories.customer_by_email(session, sys.argv[2] + "@example.com")
        print(buy(session, customer, {"APRON": 1, "MUG-RED": 1}).number)
"""


def test_readers_see_the_last_commit_while_another_writes(database):
    engine = connect(sqlite_url(database))
    with engine.connect() as connection:
        connection.execute(text("PRAGMA journal_mode = wal"))
    count = select(func.count()).select_from(Order)
    written, seen = threading.Event(), []

    def read():
        written.wait(30)
        with open_session(engine) as session:
            seen.append(session.execute(count).scalar_one())

    reader = threading.Thread(target=read)
    reader.start()
    with open_session(engine) as session:
        buy(session, repositories.customer_by_email(session, "ada@example.com"), {"APRON": 1})
        written.set()
        reader.join(30)
        session.commit()
        assert seen == [60]
        assert session.execute(count).scalar_one() == 61
    engine.dispose()
