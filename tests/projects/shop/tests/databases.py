"""A fresh database for each test and each scenario: a session of mintfs."""
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "build/.template-migrated.db"
KEY = ROOT / "build/.template-key"


@contextmanager
def fresh_database() -> Iterator[Path]:
    new = ["mintfs", "session", "new", KEY.read_text().strip()]
    directory = subprocess.run(new, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        yield Path(directory, "app.db")
    finally:
        subprocess.run(["mintfs", "session", "rm", directory], check=True)
