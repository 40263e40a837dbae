"""The schema of each command's --json output, and helpers of the tests of gc, evict and others."""

import contextlib
import fcntl
import json
import os
import pty
import sqlite3
import struct
import subprocess
import termios

from support.catalogs import DAY_NS, check_schema, make_template

SESSION = {
    "id": "text",
    "key": "text",
    "backend": "text",
    "state": "text",
    "path": "text|none",
    "shared_bytes": "number|none",
    "own_bytes": "number|none",
    "open_files": "number|none",
}
TEMPLATE = {
    "key": "text",
    "names": ["text"],
    "label": "text",
    "file": "text",
    "size_bytes": "number",
    "file_count": "number",
    "created_ns": "number",
    "builder": "text",
    "build_time_ns": "number",
    "last_used_ns": "number",
    "hits": "number",
    "saved_ns": "number",
    "pinned": "flag",
    "verified": "flag",
    "sessions": "number",
    "shared_bytes": "number",
    "own_bytes": "number",
}
FILE = {
    "path": "text",
    "type": "text",
    "mode": "text",
    "size_bytes": "number",
    "sha256": "text|none",
    "target": "text|none",
    "sqlite": "flag",
    "wal": "flag",
}
SHOWN = {
    **TEMPLATE,
    "path": "text",
    "builder": ["text"],
    "salt": "text|none",
    "arguments": ["text"],
    "environment": ["text"],
    "inputs": [{"path": "text", "sha256": "text"}],
    "files": [FILE],
    "warnings": ["text"],
    "sessions": [SESSION],
}
SUMS = {
    name: "number"
    for name in (
        "hits misses builds build_time_ns saved_ns built_bytes evicted evicted_bytes sessions "
        "requests"
    ).split()
}
NOW = {name: "number" for name in ("templates", "bytes", "sessions", "own_bytes")}
VICTIM = {"key": "text", "names": ["text"], "size_bytes": "number", "last_used_ns": "number"}
SCHEMAS = {
    "ls": {"templates": [TEMPLATE], "sessions": [SESSION]},
    "show": SHOWN,
    "stats": {"days": [{"day": "text", **SUMS}], "total": SUMS, "now": NOW},
    "gc": {
        "evicted": [VICTIM],
        "evicted_bytes": "number",
        "kept": [{**VICTIM, "reason": "text", "why": "text"}],
        "left": "number",
        "left_bytes": "number",
        "over": "flag",
        "dry_run": "flag",
    },
    "name": {"names": [{"name": "text", "key": "text"}]},
    "explain": {
        "key": "text",
        "name": "text|none",
        "hit": "flag",
        "nearest": "text|none",
        "differences": [{"kind": "text", "change": "text", "what": "text"}],
    },
    "verify": {
        "templates": "number",
        "bytes": "number",
        "problems": [{"kind": "text", "what": "text", "repaired": "flag"}],
    },
    "verify --rebuild": {"key": "text", "differences": ["text"]},
    "session new": {
        name: "text" for name in ("path", "key", "id", "backend", "why")
    },
    "session ls": {
        "sessions": [
            {
                "id": "text",
                "key": "text",
                "path": "text",
                "backend": "text",
                "bytes": "number|none",
                "open_files": "number|none",
            }
        ]
    },
    "doctor": {
        "ok": "flag",
        "checks": [
            {
                "check": "text",
                "level": "text",
                "text": "text",
                "command": "text|none",
                "fixed": "flag",
            }
        ],
        "backend": {
            "wish": "text|none",
            "can_mount": "flag",
            "mounted_at": "text|none",
            "fuse_from_bytes": "number|none",
        },
        "store": "text|none",
    },
    "config": {
        "file": "text|none",
        "settings": [
            {
                "name": "text",
                "value": "text|none",
                "from": "text",
                "where": "text|none",
                "variable": "text",
                "meaning": "text",
            }
        ],
    },
}


def lock_it(file):
    """Takes an open file description lock, as fs/base/lock.h does."""
    write_lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, write_lock)


def read(store, schema, *args, **kwargs):
    """Runs a command with --json, checks the output against its schema, and returns it."""
    at = 2 if args[0] == "session" else 1
    words = [*args[:at], "--json", *args[at:]]
    answer = json.loads(store.run(*words, **kwargs).stdout)
    check_schema(answer, SCHEMAS[schema])
    return answer


def keys_of(store) -> list:
    return [row["key"] for row in read(store, "ls", "ls")["templates"]]


def row_of(store, key) -> dict:
    return next(row for row in read(store, "ls", "ls")["templates"] if row["key"] == key)


def in_terminal(store, *args, answer=None, env=None, columns=0) -> tuple:
    """Runs a command in a terminal; returns its exit status and everything that it printed."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    process = subprocess.Popen(
        store.command(*args),
        env={**store.env, "TERM": "xterm", **(env or {})},
        stdin=other,
        stdout=other,
        stderr=other,
    )
    os.close(other)
    if answer:
        os.write(main, answer)
    text = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(main)
    return process.wait(), text.decode()


def aged(store, count=6, size=1000, name=""):
    """Makes `count` templates. Template 0 was used just now, template i i days earlier."""
    store.run("ls")
    keys = [make_template(store.path, i, name=name, size=size) for i in range(count)]
    store.run("ls")
    with contextlib.closing(sqlite3.connect(store.path / "v1/catalog.db")) as db, db:
        db.execute("delete from names")
        (now,) = db.execute("select cast(strftime('%s', 'now') as integer) * 1000000000").fetchone()
        for i, key in enumerate(keys):
            db.execute(
                "update templates set last_used_ns = ? where key = ?", (now - i * DAY_NS, key)
            )
    return keys
