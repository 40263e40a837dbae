"""A fresh database for each test and each scenario, of the template in mintfs.conf."""
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import mintfs

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "build/.template-migrated.db"


@contextmanager
def fresh_database() -> Iterator[Path]:
    with mintfs.database() as database:
        yield database.path()
