"""What is in the place of the catalog and is no catalog: it is put aside, never deleted."""

import json
import os
import socket
import sqlite3
import stat

import pytest

from support.basics import needs_root

COMMANDS = [["ls"], ["stats"], ["verify", "--all"], ["gc"], ["explain", "--", "true"]]


def make_directory(path):
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        before = os.getcwd()
        os.chdir(path.parent)  # the path may be longer than an address
        made.bind(path.name)
        os.chdir(before)


def make_link(path):
    target = path.parent.parent / "thesis.txt"
    target.write_text("years of work")
    path.symlink_to(target)


THINGS = {"directory": make_directory, "pipe": os.mkfifo, "socket": make_socket, "link": make_link}
NAMES = ["catalog.db", "catalog.db-journal", "catalog.db-wal", "catalog.db.new"]


def finding(project, *options, status):
    answer = json.loads(project.run("doctor", "--json", *options, status=status).stdout)
    found = [row for row in answer["checks"] if row["check"] == "catalog"]
    assert answer["ok"] == (status == 0)
    return found[0] if found else None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("thing", THINGS)
def test_anything_but_a_file_is_renamed(project, thing, name):
    key = project.build("-n", "unit")
    v1 = project.store / "v1"
    if name != "catalog.db-journal":
        (v1 / "catalog.db").unlink()
    THINGS[thing](v1 / name)
    before = os.lstat(v1 / name)
    bad = finding(project, status=1)
    assert str(v1 / name) in bad["text"] and bad["command"] == "mintfs doctor --fix"
    assert os.lstat(v1 / name).st_ino == before.st_ino, "doctor changes nothing unless asked"
    done = project.run("ls", "--json")
    assert f"{v1 / name} is a" in done.stderr and f"it is now {name}.aside\n" in done.stderr
    assert [row["key"] for row in json.loads(done.stdout)["templates"]] == [key]
    assert os.lstat(v1 / f"{name}.aside").st_ino == before.st_ino
    for command in COMMANDS:
        assert "aside" not in project.run(*command).stderr
    assert finding(project, status=0) is None
    if thing == "directory":
        assert (v1 / f"{name}.aside/thesis.txt").read_text() == "years of work"
        assert f"{name}.aside stays" in project.run("clean", "--yes", status=1).stderr


def test_an_earlier_renamed_file_is_kept(project):
    project.build("-n", "unit")
    v1 = project.store / "v1"
    for number in ("", "-2", "-3"):
        (v1 / "catalog.db").unlink()
        make_directory(v1 / "catalog.db")
        project.run("ls")
        assert (v1 / f"catalog.db.aside{number}/thesis.txt").exists()


def test_concurrent_commands_rename_an_obstacle_once(project):
    """The second of two commands must not rename the new catalog."""
    project.build("-n", "unit")
    v1 = project.store / "v1"
    for _ in range(5):
        (v1 / "catalog.db").unlink()
        (v1 / "catalog.db").mkdir()
        started = [project.start("ls", "--json") for _ in range(8)]
        for process in started:
            assert len(json.loads(process.communicate(timeout=600)[0])["templates"]) == 1
            assert process.returncode == 0
        (v1 / "catalog.db.aside").rmdir()
        assert not list(v1.glob("*.aside*"))


@pytest.mark.parametrize("name", ["catalog.db", "catalog.db-journal"])
@pytest.mark.parametrize("mode", [0, 0o200])
def test_a_mode_that_denies_reading_to_the_owner_is_repaired(ordinary, name, mode):
    key = ordinary.build("-n", "unit")
    path = ordinary.store / "v1" / name
    path.touch()
    os.chown(path, *[(ordinary.store / "v1").stat().st_uid] * 2)
    path.chmod(mode)
    assert f"{mode:04o}" in finding(ordinary, status=1)["text"]
    assert finding(ordinary, "--fix", status=0)["fixed"]
    assert not path.exists() or stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key in ordinary.run("ls", "--json").stdout
    assert finding(ordinary, status=0) is None


@needs_root
def test_the_catalog_of_another_user_is_named_with_a_way_out(ordinary):
    ordinary.build("-n", "unit")
    path = ordinary.store / "v1/catalog.db"
    os.chown(path, 0, 0)
    path.chmod(0o600)
    message = ordinary.fail("ls", status=1)
    assert f"{path} belongs to user 0" in message
    assert f"sudo chown -R 65534:65534 '{ordinary.store}'" in message
    assert "belongs to user 0" in finding(ordinary, status=1)["text"]


def test_doctor_reports_a_later_catalog(project):
    project.build("-n", "unit")
    with sqlite3.connect(project.store / "v1/catalog.db") as db:
        db.execute("pragma user_version = 99")
    db.close()
    bad = finding(project, "--fix", status=1)
    assert bad["level"] == "bad" and "made by a later mintfs" in bad["text"]


@pytest.mark.parametrize("sql", ["drop table names", None], ids=["schema", "garbage"])
def test_doctor_reports_a_damaged_catalog(project, sql):
    project.build("-n", "unit")
    path = project.store / "v1/catalog.db"
    if sql:
        with sqlite3.connect(path) as db:
            db.execute(sql)
        db.close()
    else:
        path.write_bytes(b"rubbish" * 1000)
    assert "is damaged" in finding(project, status=1)["text"]
    assert finding(project, "--fix", status=0)["fixed"]
    assert finding(project, status=0) is None
