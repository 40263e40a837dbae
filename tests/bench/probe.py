"""Prints, as JSON, how many requests each phase of a session takes.

usage: probe.py SESSIONS STATUS

It is a process of its own because only the user of a mount can access it; not even root can.
"""

import json
import os
import sqlite3
import sys
import time

sessions, status = sys.argv[1:3]
ROUNDS = 8
TRANSACTIONS = 20
totals = {}


def counts() -> dict:
    with open(status, encoding="utf-8") as file:
        return json.load(file)["counters"]["requests"]


def settled() -> dict:
    """The counts after the kernel has sent RELEASE and FORGET, for which no call waits."""
    time.sleep(0.02)
    return counts()


def difference(before: dict, after: dict) -> dict:
    return {kind: after[kind] - number for kind, number in before.items()}


def count(phase: str, action, times: int = 1):
    settled()
    own = difference(settled(), settled())
    before = settled()
    result = action()
    change = difference(before, settled())
    sums = totals.setdefault(phase, {})
    for kind, number in change.items():
        sums[kind] = sums.get(kind, 0) + (number - own[kind]) / ROUNDS / times
    return result


def connect(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("select name, sql from sqlite_master").fetchall()
    return database


def transact(database: sqlite3.Connection, times: int):
    for number in range(times):
        database.execute("begin")
        for _ in range(2):
            database.execute("insert into t07(k, v) values (?, ?)", (number, "x" * 90))
        database.execute("select v from t07 where id = 2").fetchall()
        database.execute("commit")


for turn in range(ROUNDS):
    directory = os.path.join(sessions, f"probe{turn}")
    count("make", lambda: os.mkdir(directory))
    connection = count("open, schema", lambda: connect(os.path.join(directory, "app.db")))
    count("first transaction", lambda: transact(connection, 1))
    count(f"each of {TRANSACTIONS} more", lambda: transact(connection, TRANSACTIONS), TRANSACTIONS)
    count("close", connection.close)
    count("discard", lambda: os.rmdir(directory))

print(json.dumps({phase: {kind: round(number, 3) for kind, number in sums.items() if number > 0.004}
                  for phase, sums in totals.items()}))
