"""The example projects as complete checkouts: most are stored as their differences from another."""

import difflib
import os
import shutil
from pathlib import Path

PROJECTS = Path(__file__).resolve().parent.parent / "projects"
MADE = (".nox", "build", "__pycache__", ".pytest_cache", "shop.db")
MIGRATIONS = len(list((PROJECTS / "shop-usual/migrations/versions").glob("*.py")))

# Projects that are stored as the files in which they differ from another project.
OVERLAYS = dict.fromkeys(("shop", "shop-python", "shop-cached"), "shop-usual")


def files(folder: Path) -> dict:
    """{path: content} of the files in the folder, without those that test runs create."""
    found = {}
    for directory, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in MADE]
        for name in set(names) - set(MADE):
            path = Path(directory, name)
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def assemble(project: str, path: Path) -> Path:
    """Writes a checkout of the project to `path`, which does not exist yet."""
    ignore = shutil.ignore_patterns(*MADE)
    for part in filter(None, (OVERLAYS.get(project), project)):
        shutil.copytree(PROJECTS / part, path, ignore=ignore, dirs_exist_ok=True)
    return path


def contents(project: str) -> dict:
    """{path: content} of the files that assemble() would write."""
    base = OVERLAYS.get(project)
    return {**(files(PROJECTS / base) if base else {}), **files(PROJECTS / project)}


def lines_changed(old: bytes, new: bytes) -> tuple:
    """How many lines are added, and how many are removed."""
    lines = list(difflib.ndiff(old.decode().splitlines(), new.decode().splitlines()))
    return sum(line.startswith("+ ") for line in lines), sum(line.startswith("- ") for line in lines)


def differences(project: str, base: str = "shop-usual") -> dict:
    """{path: (lines added, lines removed)} of the files that differ from the base."""
    old, new = contents(base), contents(project)
    return {
        name: lines_changed(old.get(name, b""), new.get(name, b""))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    }
