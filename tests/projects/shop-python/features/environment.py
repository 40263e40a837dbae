"""Scenarios tagged @database have one of their own, and context.shop is a session on it."""
import sys
from pathlib import Path

import mintfs.behave
from behave import fixture, use_fixture

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from shop.db import connect, open_session, sqlite_url  # noqa: E402


@fixture
def database(context):
    engine = connect(sqlite_url(context.db.path()))
    with open_session(engine) as context.shop:
        yield context.shop
    engine.dispose()


def before_scenario(context, scenario):
    if "database" in scenario.effective_tags:
        use_fixture(mintfs.behave.database, context)
        use_fixture(database, context)
