"""The contenders: the steps of a job of each on a fresh machine."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from compare.machine import Machine
from support.shops import PROJECTS

# Ends a job after its tests; nothing of it may run afterwards.
Finish = Callable[[], None]


def usual(machine: Machine, cache: Path) -> Finish:
    """All migrations in each nox session; tests copy the file."""
    machine.nox()
    return lambda: None


def cached(machine: Machine, cache: Path) -> Finish:
    """The runner's cache keeps the built file; hashFiles() is the key."""
    archive = cache / "built.tar.gz"
    found = machine.restore(archive)
    machine.nox()
    if not found:
        machine.save(archive, sorted(machine.checkout.glob("build/.template-*")))
    return lambda: None


def action(machine: Machine, cache: Path) -> Finish:
    """The steps of tools/action and tools/action/save, in their order."""
    archive = cache / "template.tar.gz"
    machine.ci("install")
    path = machine.ci("key")["path"]
    found = machine.restore(archive)
    machine.ci("build")
    if machine.env["MINTFS_BACKEND"] == "fuse":
        machine.ci("mount")
    machine.nox()
    if not found:
        machine.save(archive, [path])
    return lambda: machine.ci("finish")


def package_alone(machine: Machine, cache: Path) -> Finish:
    """As on a system without a mintfs command, where pip installs the wheel."""
    place = machine.home / "python"
    wheel = machine.env["WHEEL"]
    machine.run("install", "/usr/bin/python3", "-m", "zipfile", "-e", wheel, place)
    machine.env["PYTHONPATH"] = str(place)
    machine.nox()
    return lambda: None


def arguments_of_the_workflow() -> str:
    """The arguments of `mintfs build` in the shop that uses only the command."""
    lines = (PROJECTS / "shop/.forgejo/workflows/ci.yml").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith("TEMPLATE:"))
    words = shlex.split(" ".join(lines[start + 1 : start + 3]))
    return shlex.join(["python3" if word == "python" else word for word in words])


@dataclass
class Contender:
    name: str
    label: str
    project: str
    job: Callable[[Machine, Path], Finish]
    env: dict = field(default_factory=dict)


FUSE, COPY = {"MINTFS_BACKEND": "fuse"}, {"MINTFS_BACKEND": "copy"}
CONTENDERS = [
    Contender("usual", "as usual: migrate, copy the file", "shop-usual", usual),
    Contender("cached", "the same, built file in the CI cache", "shop-cached", cached),
    Contender("fuse", "on mintfs, with FUSE", "shop-python", action, FUSE),
    Contender("copy", "on mintfs, without FUSE", "shop-python", action, COPY),
    Contender("none", "its Python package, no command", "shop-python", package_alone),
]
