"""A store for one test, and templates for it."""

import contextlib
import functools
import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from support.basics import MINTFS, PATIENCE_SECONDS


@functools.cache
def _app_db(tables: int, rows: int, page_size: int, journal_mode: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "app.db"
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute(f"pragma page_size={page_size}")
            db.execute(f"pragma journal_mode={journal_mode}")
            db.execute("pragma synchronous=off")
            for t in range(tables):
                db.execute(f"create table t{t}(id integer primary key, text, blob)")
                db.execute(f"create index i{t} on t{t}(text)")
                db.executemany(
                    f"insert into t{t} values(?, ?, ?)",
                    (
                        (r, f"row {r} of table {t}", bytes([r % 256]) * (r % 97))
                        for r in range(rows)
                    ),
                )
            db.commit()
        return path.read_bytes()


def clean_environment(home: Path) -> dict:
    """Our environment without variables that point to the store or settings of the tests' user."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MINTFS", "XDG_"))}
    return {**env, "HOME": str(home), "LC_ALL": "C.UTF-8"}


class Store:
    def __init__(self, home: Path, namespace=None):
        self.home = home
        self.path = home / "store"
        self.namespace = namespace
        self.binary = MINTFS
        self.env = {**clean_environment(home), "MINTFS_STORE": str(self.path)}

    def command(self, *args) -> list:
        prefix = self.namespace.prefix() if self.namespace else []
        return [*prefix, str(self.binary), *map(str, args)]

    def start(self, *args, env=None, **kwargs) -> subprocess.Popen:
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(
            self.command(*args), env={**self.env, **(env or {})}, text=True, **kwargs
        )

    def run(self, *args, status=0, **kwargs) -> subprocess.CompletedProcess:
        """Runs mintfs, and asserts its exit status."""
        process = self.start(*args, **kwargs)
        try:
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
        except BaseException:
            process.kill()
            raise
        assert process.returncode == status, (args, process.returncode, out, err)
        assert "Sanitizer" not in err and "runtime error" not in err, err
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def fail(self, *args, status, **kwargs) -> str:
        """Runs a command that must fail, with nothing on stdout; returns its message."""
        done = self.run(*args, status=status, **kwargs)
        assert done.stdout == "", done.stdout
        assert done.stderr.startswith("mintfs: "), done.stderr
        return done.stderr

    def build(self, *builder, name="app", options=()) -> str:
        """Builds a template with this builder; returns its key."""
        named = ["-n", name] if name else []
        done = self.run("build", *named, *options, "--", *builder)
        return done.stdout.strip()

    def build_app(
        self, name="app", tables=4, rows=50, page_size=4096, journal_mode="delete", salt=""
    ) -> str:
        """Builds a template of one SQLite database, app.db; returns its key."""
        made = self.home / f"{tables}-{rows}-{page_size}-{journal_mode}.db"
        if not made.exists():
            made.write_bytes(_app_db(tables, rows, page_size, journal_mode))
        options = ["--salt", salt] if salt else []
        return self.build("cp", made, "{out}", name=name, options=options)

    def build_tree(self, script: str, name="tree") -> str:
        """Builds a template of the files that a shell script creates in its working directory."""
        return self.build("sh", "-ec", 'cd "$0"; ' + script, "{dir}", name=name)

    def template(self, key: str, file="app.db") -> Path:
        """The path of a template's file in the store."""
        return self.path / "v1/templates" / key / "files" / file

    def scratch(self) -> Path:
        return self.path / "v1/sessions"

    def leftovers(self) -> list:
        """Files that commands and daemons must have removed when they ended."""
        found = []
        for folder in ("building", "locks"):
            found += (self.path / "v1" / folder).glob("*")
        found += self.scratch().glob("lock")
        found += self.scratch().glob("logs/*.new")
        return found


def make_home(parent: Path, uid: int) -> Path:
    """Creates a home directory that this user owns."""
    home = parent / "home"
    home.mkdir(mode=0o755)
    if uid != os.geteuid():
        os.chown(home, uid, uid)
    return home


def binary_for_all(home: Path) -> Path:
    """The path of a binary that every user can run: a copy if MINTFS is in a private directory."""
    if all(place.stat().st_mode & 0o001 for place in (MINTFS, *MINTFS.parents)):
        return MINTFS
    copy = home / "mintfs"
    shutil.copy(MINTFS, copy)
    copy.chmod(0o755)
    return copy
