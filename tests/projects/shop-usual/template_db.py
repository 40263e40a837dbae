"""Makes the database that the tests start from: all migrations, then the seed.

    python template_db.py PATH
"""
import logging
import sys
from pathlib import Path
from typing import Union

from alembic import command
from alembic.config import Config

from shop.db import connect, open_session, sqlite_url
from shop.db.seed import seed

ROOT = Path(__file__).resolve().parent


def migrate(path: Union[str, Path], revision: str = "head") -> None:
    """Takes the database at `path`, which is made if it is not there, up to a revision."""
    config = Config(str(ROOT / "alembic.ini"))
    config.set_main_option("script_location", str(ROOT / "migrations").replace("%", "%%"))
    config.attributes.update(url=sqlite_url(path), log=False)
    command.upgrade(config, revision)


def create(path: Union[str, Path]) -> None:
    """Makes a migrated and seeded database at `path`, where there is none yet."""
    migrate(path)
    engine = connect(sqlite_url(path))
    with open_session(engine) as session:
        seed(session)
        session.commit()
    engine.dispose()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    create(sys.argv[1])
