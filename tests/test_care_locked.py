"""A catalog that another process keeps locked: commands report it and do not wait for ever."""

import contextlib
import os
import sqlite3
import subprocess

import pytest

from support.catalogs import make_template


BUILD = ["build", "--", "sh", "-c", "echo x > $0", "{out}"]


@contextlib.contextmanager
def locked(store):
    with contextlib.closing(
        sqlite3.connect(store.path / "v1/catalog.db", isolation_level=None)
    ) as db:
        db.execute("begin exclusive")
        yield db


@pytest.mark.parametrize("command", [["ls"], ["gc"], BUILD])
def test_waiting_is_reported_once(copies, command):
    copies.build_app()
    with locked(copies) as db:
        process = copies.start(*command)
        message = process.stderr.readline()
        assert message == (
            f"mintfs: waiting for the catalog {copies.path}/v1/catalog.db, which process "
            f"{os.getpid()} has locked\n"
        )
        db.execute("rollback")
        out, err = process.communicate(timeout=1500)
    assert process.returncode == 0 and "waiting" not in err, err


def test_every_wait_ends(copies):
    """The commands run at the same time, since each waits for its full time."""
    key = copies.build_app()
    make_template(copies.path, 1)
    commands = [
        ["ls"], ["stats"], ["show", "app"], ["gc"], ["evict", "app"], ["pin", key], ["verify"],
        ["name", "new", "app"], ["session", "new", "app"], BUILD,
    ]
    with locked(copies):
        running = [(words, copies.start(*words)) for words in commands]
        for words, process in running:
            try:
                _, err = process.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            # A template that was built exists, whether or not the catalog has it.
            assert process.returncode == (0 if words is BUILD else 4), (words, err)
            assert err.count("waiting for the catalog") == 1, (words, err)
            assert f"catalog {copies.path}/v1/catalog.db: process {os.getpid()} has kept it locked" in err
            assert "try again" in err, (words, err)
    assert not list((copies.path / "v1").glob("pins/*"))
    copies.run("ls")
