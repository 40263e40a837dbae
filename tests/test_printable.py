"""Names from outside cannot control the terminal."""

import json
import os
import unicodedata

import pytest

from support.care import in_terminal
from support.checkouts import shell

# An escape, a C1 control sequence, an override, an isolate, a line separator, and invalid UTF-8.
EVIL = b"a\x1b[31m\xc2\x9b31m\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8\xff\x9bz"
NAME = os.fsdecode(EVIL)


def check(text):
    for c in text:
        assert c in "\n\r" or c.isprintable() or unicodedata.category(c) == "Co", (c, text)


def commands_that_print_evil_names(store):
    """(exit status, *words) of commands that print an EVIL path, builder, file or input."""
    key = store.key
    yield 0, "ls"
    yield 0, "show", key
    yield 0, "session", "ls"
    yield 0, "doctor"
    yield 0, "clean", "-d"
    yield 0, "explain", "-i", NAME, "--", "sh", "-c", "true", NAME
    yield 0, "config"
    yield 0, "verify", "-a"
    yield 2, "show", NAME
    yield 3, "session", "rm", NAME
    yield 125, "build", "-i", NAME + "x", "--", "true"
    yield 2, "gc", NAME
    yield 0, "gc", "--max-size", "0"


@pytest.fixture
def evil(store, monkeypatch):
    store.path = store.home / NAME / "store"
    store.env |= {"MINTFS_STORE": str(store.path), "MINTFS_BACKEND": "copy"}
    (store.home / NAME).mkdir()
    monkeypatch.chdir(store.home)
    with open(b"input" + EVIL, "wb"):
        pass
    os.rename(b"input" + EVIL, EVIL + b"/in")
    store.key = store.run(
        "build", "-n", "app", "-i", f"{NAME}/in", "--",
        *shell(f"echo >{{dir}}/{NAME}; echo >{{out}}"),
    ).stdout.strip()
    return store


def test_no_command_prints_control_characters(evil, place):
    store = evil
    path = store.run("session", "new", "app", "one").stdout
    assert NAME in path or "/dev/shm" in path, "results are exact"
    for status, *command in commands_that_print_evil_names(store):
        done, text = in_terminal(store, *command, env={"NO_COLOR": "1"})
        assert done == status, (command, done, text)
        check(text)
    for status, *command in commands_that_print_evil_names(store):
        if command[0] in ("ls", "show", "doctor") and status == 0:
            done, text = in_terminal(store, command[0], "--json", *command[1:])
            assert done == 0
            check(text)
    store.run("clean", "--yes")


def test_json_is_the_same_on_a_terminal(evil):
    store = evil
    piped = json.loads(store.run("show", "--json", store.key).stdout)
    _, text = in_terminal(store, "show", "--json", store.key)
    assert json.loads(text) == piped
    assert any("\u202e" in row["path"] for row in piped["files"])
