"""The pages for people: their links and paths exist, and what they show works as it is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.basics import MINTFS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "tools/**/*.md", ".github/**/*.md")
    for page in ROOT.glob(pattern)
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

# A path in backquotes that is one of the source tree.
SOURCE_PATH = re.compile(r"`((?:fs|tools|tests|scripts|docs|\.ci|\.github)/[\w./-]*\w/?)`")
CREATE_DB = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as database:
    database.executescript(open("migrations/1.sql").read())
"""
TEST_OF_GUIDE = """
import sqlite3

def test_order(database):
    sqlite3.connect(database).execute("INSERT INTO orders(item) VALUES ('mug')")
"""


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(page: str) -> dict:
    """The blocks of code that have a file name in a comment above them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return dict(re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL))


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{name} links to {target}"


@pytest.mark.parametrize("name", NAMES)
def test_paths_in_the_source_exist(name):
    for path in SOURCE_PATH.findall(prose(ROOT / name)):
        if re.search("frob|LAYER", path):  # of what CONTRIBUTING.md adds
            continue
        assert (ROOT / path).exists(), f"{name} names {path}"


def test_functions_of_the_tour_exist():
    text = "".join(path.read_text() for path in ROOT.glob("[ft][so]*/**/*.[ch]"))
    for function in re.findall(r"`(\w+)\(\)`", prose(ROOT / "docs/architecture.md")):
        assert re.search(rf"\b{function}\(", text), function


def test_modules_of_the_tour_are_in_their_layer():
    tour = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    paragraphs = re.findall(r"^\*\*`(fs/\w+|tools)`\*\* (.*?)\n\n", tour, re.DOTALL | re.MULTILINE)
    assert len(paragraphs) == 6
    for layer, text in paragraphs:
        for module in re.findall(r"`(\w+\.[ch])`", text):
            assert (ROOT / layer / module).exists(), f"{layer} has no {module}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


@pytest.fixture
def shown(place):
    """shown(PAGE): a project with the files that the page shows, and how to run commands in it."""

    def write(page: str):
        (place / "migrations").mkdir()
        (place / "migrations/1.sql").write_text("CREATE TABLE orders(item TEXT);")
        (place / "create_db.py").write_text(CREATE_DB)
        (place / "app/models").mkdir(parents=True)
        (place / "app/models/order.py").touch()
        (place / "poetry.lock").touch()
        (place / "bin").mkdir()
        (place / "bin/mintfs").symlink_to(MINTFS)
        for name, text in blocks(page).items():
            (place / name).write_text(text)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MINTFS", "XDG_", "PYTEST"))}
        env = {
            **kept,
            "HOME": str(place),
            "MINTFS_STORE": str(place / "store"),
            "MINTFS_MOUNT": str(place / "mnt"),
            "MINTFS_BACKEND": "copy",
            "PATH": f"{place}/bin:{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT / "tools/python"),
        }

        def run(*command):
            done = subprocess.run(
                command, cwd=place, env=env, capture_output=True, text=True, timeout=600
            )
            assert done.returncode == 0, (done.stdout, done.stderr)
            return done.stdout

        return run

    return write


def test_pytest_example_of_the_readme(shown):
    run = shown("README.md")
    plugin = ["-p", "mintfs.pytest_plugin", "-p", "no:cacheprovider"]
    assert "1 passed" in run(sys.executable, "-m", "pytest", *plugin, "test_order.py")


def test_fixture_of_the_guide(shown, place):
    run = shown("docs/guide.md")
    (place / "test_order.py").write_text(TEST_OF_GUIDE)
    assert "1 passed" in run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_order.py")


@pytest.mark.parametrize("page, script, unmount", [
    ("README.md", "example.sh", ""),
    ("docs/guide.md", "sessions.sh", "; mintfs umount"),
])  # fmt: skip
def test_shell_examples(fuse, shown, place, page, script, unmount):
    run = shown(page)
    # The names on the mount exist after the first build, which the example itself runs.
    run("sh", "-euc", f". ./{script}{unmount}")
    assert not (place / "mnt").exists() or not list((place / "mnt").iterdir())
