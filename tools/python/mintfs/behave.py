"""Databases for behave.

    from behave import use_fixture
    from mintfs.behave import database

    def before_scenario(context, scenario):
        use_fixture(database, context)          # or in before_feature: one for all its scenarios

    # in steps: context.db.path(), context.db.url, context.db.reset()
"""

from typing import Any, Iterator, Optional

import mintfs
from behave import fixture  # type: ignore[import]


@fixture(name="fixture.mintfs.database")  # type: ignore[misc]
def database(
    context: Any, template: Optional[str] = None, name: str = "db"
) -> Iterator[mintfs.Database]:
    """A fresh database as context.db, or under another name, until the scope of the call ends.

    `template` is a key or a name, by default the template of mintfs.conf.
    """
    with mintfs.database(template) as made:
        setattr(context, name, made)
        yield made
