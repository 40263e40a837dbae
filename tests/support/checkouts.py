"""A checkout with migrations, from which mintfs builds templates; for tests without a mount."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

from support.basics import MINTFS, is_alive

KEY = re.compile(r"[0-9a-f]{64}\n")

# create.sh FILE LOG [JOURNAL-MODE [SECONDS]]: a builder in sh, which starts faster than Python.
CREATE = """\
set -e
echo run >>"$2"
{
    echo "pragma journal_mode=${3:-delete}; begin;"
    cat migrations/*.sql
    echo "commit;"
} | sqlite3 -bail "$1" >"$2.out"
echo to stdout
echo to stderr >&2
sleep "${4:-0}"
"""


class Project:
    """A checkout with three migrations, and a store."""

    def __init__(self, root: Path, store: Path, runs: Path):
        self.root, self.store, self.runs_file = root, store, runs
        self.binary, self.as_user = MINTFS, {}
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("MINTFS_")}
        self.env["MINTFS_STORE"] = str(store)
        (root / "migrations").mkdir(parents=True)
        (root / "create.sh").write_text(CREATE)
        for i in range(3):
            (root / f"migrations/{i}.sql").write_text(
                f"create table t{i}(a integer primary key, b text);"
                f"insert into t{i} values({i}, 'ünï');"
            )

    def clone(self, root: Path) -> "Project":
        other = Project(root / "other", self.store, self.runs_file)
        shutil.rmtree(other.root)
        shutil.copytree(self.root, other.root, symlinks=True)
        return other

    def builder(self, *more: str, shell: str = "sh") -> list:
        return [shell, "create.sh", "{out}", "../runs", *more]

    def start(self, *args, **kwargs) -> subprocess.Popen:
        return subprocess.Popen(
            [self.binary, *map(str, args)],
            cwd=kwargs.pop("cwd", self.root),
            env={**self.env, **kwargs.pop("env", {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **self.as_user,
            **kwargs,
        )

    def run(self, *args, status=0, **kwargs) -> subprocess.CompletedProcess:
        process = self.start(*args, **kwargs)
        out, err = process.communicate(timeout=1500)
        assert process.returncode == status, (args, process.returncode, out, err)
        assert "Sanitizer" not in err and "runtime error" not in err, err
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def make_store(self, **kwargs):
        """Creates the store, with an empty catalog."""
        self.start("doctor", "--fix", **kwargs).communicate(timeout=1500)
        self.run("ls", **kwargs)

    def key(self, *options, builder=None, **kwargs) -> str:
        done = self.run(
            "key", "-i", "migrations", *options, "--", *(builder or self.builder()), **kwargs
        )
        assert KEY.fullmatch(done.stdout), done.stdout
        return done.stdout.strip()

    def build(self, *options, builder=None, **kwargs) -> str:
        done = self.run(
            "build", "-i", "migrations", *options, "--", *(builder or self.builder()), **kwargs
        )
        assert KEY.fullmatch(done.stdout), done.stdout
        return done.stdout.strip()

    def fail(self, *args, status=125, **kwargs) -> str:
        """Runs a command that must fail, with nothing on stdout; returns its one message."""
        done = self.run(*args, status=status, **kwargs)
        assert done.stdout == ""
        assert done.stderr.startswith("mintfs: "), done.stderr
        return done.stderr

    def runs(self) -> int:
        file = self.root.parent / "runs"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def templates(self) -> list:
        return json.loads(self.run("ls", "--json").stdout)["templates"]

    def template(self, key: str) -> Path:
        return self.store / "v1/templates" / key

    def manifest(self, key: str) -> dict:
        return json.loads((self.template(key) / "manifest.json").read_text())

    def leftovers(self) -> list:
        return [
            p.name for sub in ("building", "locks") for p in (self.store / "v1" / sub).iterdir()
        ]


def rows(path) -> list:
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as db:
        tables = db.execute("select name from sqlite_schema where type='table' order by 1")
        return [(t, db.execute(f"select * from {t}").fetchall()) for (t,) in tables]


def shell(script: str) -> list:
    return ["sh", "-c", script]


def children_gone(project: Project) -> bool:
    """Whether the processes that a builder recorded in ../children have ended."""
    file = project.root.parent / "children"
    return not any(is_alive(int(pid)) for pid in file.read_text().split())
