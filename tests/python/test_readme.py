"""Every block of code in tools/python/README.md and docs/python.md runs as it is printed there."""

import re
import shutil
import subprocess
import sys

import pytest

from .ways import CREATE_DB, PACKAGE

APPLICATION = """
import os
from sqlalchemy import create_engine, text
from sqlalchemy.pool import {pool}

engine = create_engine(os.environ["DATABASE_URL"], poolclass={pool})

def place_order(item):
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO orders(item) VALUES (:item)"), {{"item": item}})

def count_orders():
    with engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM orders")).scalar_one()
"""
TEST_ENGINE = """
import pytest
from application import count_orders, engine, place_order

@pytest.mark.parametrize("n", range(10))
def test_orders(n):
    assert count_orders() == 0
    place_order("mug")
    assert count_orders() == 1
"""


PAGES = [PACKAGE / "README.md", PACKAGE.parents[1] / "docs/python.md"]


def blocks() -> dict:
    """The blocks of code by the names in the comments above them."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    found = re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert len(dict(found)) == len(found) == len(re.findall(r"^```\w+$", text, re.MULTILINE))
    return dict(found)


@pytest.fixture
def project(project):
    """A checkout with the blocks, except those that have their own directories."""
    for name, text in blocks().items():
        path = project.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return project


def test_the_pytest_example_works(way, project):
    output = way.pytest(project, "-q", "test_ten_lines.py", "test_from_nothing.py").stdout
    assert "2 passed" in output and project.runs() == 2


def test_the_override_works(way, project):
    shutil.copy(project.path / "override/conftest.py", project.path)
    (project.path / "mintfs.conf").unlink()
    assert "1 passed" in way.pytest(project, "-q", "test_ten_lines.py").stdout


def test_the_plain_example_works(way, project):
    lines = way.run("plain.py", cwd=project.path).stdout.splitlines()
    assert len(lines) == 3 and lines[1] == f"sqlite:///{lines[0]}"
    assert lines[2] == f"{lines[1]} {lines[0]}"


@pytest.mark.parametrize("pool", ["QueuePool", "NullPool", "SingletonThreadPool"])
def test_the_engine_examples_work(way, project, pool):
    for file in (project.path / "engine").iterdir():
        shutil.move(file, project.path / file.name)
    project.write(application=APPLICATION.format(pool=pool), test_engine=TEST_ENGINE)
    files = ["test_engine.py", "test_async.py", "test_memory.py"]
    assert "12 passed" in way.pytest(project, "-q", *files).stdout
    if pool == "NullPool":
        return
    # Without dispose() the pool's connection keeps the files of the previous test.
    conftest = project.path / "conftest.py"
    before = conftest.read_text()
    conftest.write_text(re.sub(r"    engine\.dispose\(\).*\n", "", before))
    assert conftest.read_text() != before
    output = way.pytest(project, "-q", "test_engine.py", status=1).stdout
    assert "9 failed, 1 passed" in output and "assert 1 == 0" in output


@pytest.mark.on_ways("mount")
def test_the_shell_example_works(way, project):
    """With MNT set as its comment says."""
    way.script("import mintfs; mintfs.template()", cwd=project.path)
    point = way.store.home / "mnt"
    done = subprocess.run(
        ["sh", "-eu", "example.sh"],
        cwd=project.path,
        env={"PATH": "/usr/bin:/bin", "MNT": str(point)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_every_block_compiles():
    for name, text in blocks().items():
        if name.endswith(".py"):
            compile(text, name, "exec")
    assert "{out}" in blocks()["mintfs.conf"] and sys.argv and CREATE_DB
