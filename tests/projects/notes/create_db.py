"""python3 create_db.py PATH: an application's database, with its first rows."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

with closing(sqlite3.connect(sys.argv[1])) as connection:
    connection.executescript(Path(__file__).with_name("schema.sql").read_text())
print("created", flush=True)
