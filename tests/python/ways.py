"""The ways of having a database: on a mount, as copies, and without the mintfs command."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from support.stores import Store

PACKAGE = Path(__file__).resolve().parents[2] / "tools/python"
BACKENDS = {"mount": "fuse", "copy": "copy", "none": "none"}
SECONDS = 300

CREATE_DB = """\
import pathlib, sqlite3, sys
with open(pathlib.Path(__file__).parent / "runs", "a") as runs:
    runs.write(sys.executable + "\\n")
db = sqlite3.connect(sys.argv[1])
for path in sorted(pathlib.Path("migrations").glob("*.sql")):
    db.executescript(path.read_text())
db.commit()
print("migrated", flush=True)
"""
MIGRATION = """\
CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT);
CREATE TABLE goods(id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO goods(name) VALUES ('mug'), ('apron');
"""
CONF = """\
[app]
input   = migrations
          create_db.py
builder = python3 create_db.py {out}
"""
ORDERS = """\
import sqlite3
from contextlib import closing

def order(path, item="mug"):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO orders(item) VALUES (?)", (item,))

def rows(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM orders").fetchone()[0]
"""


@dataclass
class Project:
    """A checkout with a migration, and a builder that records its runs."""

    path: Path

    def __post_init__(self):
        (self.path / "migrations").mkdir(parents=True)
        (self.path / "migrations/1.sql").write_text(MIGRATION)
        (self.path / "create_db.py").write_text(CREATE_DB)
        (self.path / "mintfs.conf").write_text(CONF)

    def write(self, **files: str):
        """name="text": name.py"""
        for name, text in files.items():
            (self.path / f"{name}.py").write_text(text)

    def interpreters(self) -> list:
        """Those that the builder ran with."""
        runs = self.path / "runs"
        return runs.read_text().splitlines() if runs.exists() else []

    def runs(self) -> int:
        return len(self.interpreters())


@dataclass
class Way:
    name: str
    store: Store
    temporary: Path
    env: dict = field(default_factory=dict)

    def __post_init__(self):
        self.temporary.mkdir(exist_ok=True)
        ours = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        self.env = {
            **self.store.env,
            "PYTHONPATH": os.pathsep.join([str(PACKAGE), *filter(None, ours)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.temporary),
            "MINTFS_BINARY": "" if self.name == "none" else str(self.store.binary),
        }
        if self.name == "copy":
            self.env["MINTFS_BACKEND"] = "copy"
        for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_TESTRUNUID"):
            self.env.pop(name, None)

    @property
    def backend(self) -> str:
        return BACKENDS[self.name]

    def start(self, *words, env=None, **kwargs) -> subprocess.Popen:
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        prefix = self.store.namespace.prefix() if self.store.namespace else []
        cwd = kwargs.pop("cwd", self.temporary)
        return subprocess.Popen(
            [*prefix, "sh", "-c", 'cd "$0" && exec "$@"', cwd, sys.executable, *words],
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            text=True,
            **kwargs,
        )

    def run(self, *words, status=0, **kwargs) -> subprocess.CompletedProcess:
        """Python with these words; it ends with that status, or the test fails."""
        process = self.start(*words, **kwargs)
        try:
            out, err = process.communicate(timeout=SECONDS)
        except BaseException:
            process.kill()
            raise
        assert process.returncode == status, (process.returncode, out, err)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def script(self, text: str, *args, **kwargs) -> str:
        """What a script prints."""
        return self.run("-c", text, *args, **kwargs).stdout

    def pytest(self, project: Project, *args, **kwargs) -> subprocess.CompletedProcess:
        words = ["-m", "pytest", "-p", "mintfs.pytest_plugin", "-p", "no:cacheprovider", *args]
        return self.run(*words, cwd=project.path, **kwargs)

    def sessions(self) -> list:
        """Those that were left in the store, or in a test run's directory."""
        found = [path for path in self.temporary.glob("mintfs-*")]
        if self.name != "none":
            output = self.store.run("session", "ls", "--json", env=self.backend_variable())
            found += json.loads(output.stdout)["sessions"]
        return found

    def backend_variable(self) -> dict:
        return {"MINTFS_BACKEND": "copy"} if self.name == "copy" else {}


def counts(done) -> dict:
    """{"passed": 3, ...}, from the last line."""
    found = re.findall(r"(\d+) (passed|failed|errors?|skipped)", done.stdout.splitlines()[-1])
    return {what: int(number) for number, what in found}


def last_line(text: str, start: str = "mintfs: ") -> Optional[str]:
    """The last line with this beginning."""
    lines = [line for line in text.splitlines() if line.startswith(start)]
    return lines[-1] if lines else None
