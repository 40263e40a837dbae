"""A fresh database for each test and each scenario: a copy of the one that nox made."""
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "build/.template-migrated.db"


@contextmanager
def fresh_database() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(shutil.copy(TEMPLATE, Path(directory, "app.db")))
