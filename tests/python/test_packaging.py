"""The package itself: its version, types, and wheel."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mintfs
from support.basics import MINTFS

from .ways import PACKAGE

MODULES = sorted((PACKAGE / "mintfs").glob("*.py"))


def test_the_command_and_the_package_have_the_same_version():
    done = subprocess.run([MINTFS, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"mintfs {mintfs.__version__}\n"
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", mintfs.__version__)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_modules_are_valid_python_3_9(module):
    """And they import only modules that Python 3.9 has."""
    text = module.read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 9))
    for node in ast.walk(tree):
        assert not isinstance(node, getattr(ast, "Match", ())), "match came with 3.10"
        names = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        for name in names:
            assert name.split(".")[0] in {*STANDARD, "mintfs", *FRAMEWORKS.get(module.stem, ())}
        if isinstance(node, (ast.AnnAssign, ast.arg)) and node.annotation:
            assert "|" not in ast.unparse(node.annotation), "X | Y came with 3.10"


STANDARD = {
    "_thread", "abc", "atexit", "builtins", "contextlib", "ctypes", "dataclasses", "fcntl", "hashlib",
    "importlib", "io", "json", "mmap", "msvcrt", "os", "pathlib", "pkgutil", "pwd", "re", "shutil",
    "signal", "sqlite3", "stat", "subprocess", "sys", "tempfile", "threading", "time", "types", "typing", "urllib",
}  # fmt: skip
FRAMEWORKS = {
    "_pytest_recorder": ("pytest",),
    "behave": ("behave",),
    "nox": ("nox",),
    "pytest_plugin": ("pytest",),
}


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_types_are_correct(platform, place):
    words = ["--strict", "--python-version", "3.9", "--platform", platform]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, "--cache-dir", place, "mintfs"],
        cwd=PACKAGE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_importing_never_fails(place):
    """Without a command, a home, anything writable or frameworks. It writes and runs nothing."""
    script = "import sys, mintfs; print(mintfs.__version__, 'pytest' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(PACKAGE)!r}); {script}"],
        cwd=place,
        env={"PATH": "/nonexistent", "MINTFS_BINARY": "/nonexistent", "TMPDIR": "/nonexistent"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{mintfs.__version__} False\n", "")
    assert list(place.iterdir()) == []


def test_the_wheel_installs_and_pytest_finds_it(place):
    """It is built without a network and installed into a virtual environment."""
    source = shutil.copytree(
        PACKAGE, place / "source", ignore=shutil.ignore_patterns("__pycache__")
    )
    offline = ["--no-index", "--no-deps", "--disable-pip-version-check", "-q"]
    env = {
        **os.environ,
        "HOME": str(place),
        "PIP_NO_CACHE_DIR": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    env.pop("PYTHONPATH", None)
    pip = [sys.executable, "-m", "pip"]
    subprocess.run(
        [*pip, "wheel", *offline, "--no-build-isolation", "-w", place / "dist", source],
        env=env,
        check=True,
    )
    (wheel,) = (place / "dist").iterdir()
    assert wheel.name == f"mintfs-{mintfs.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("mintfs/")}
        metadata = archive.read(f"mintfs-{mintfs.__version__}.dist-info/METADATA").decode()
    assert names == {f"mintfs/{path.name}" for path in MODULES} | {"mintfs/VERSION", "mintfs/py.typed"}
    assert "Requires-Python: >=3.9\n" in metadata and "Requires-Dist" not in metadata
    venv = [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip"]
    subprocess.run([*venv, place / "venv"], check=True)
    python = place / "venv/bin/python"
    subprocess.run([*pip, "--python", python, "install", *offline, wheel], env=env, check=True)
    test = Path(place, "test_it.py")
    test.write_text("def test_it(mintfs_db): assert mintfs_db.exists()\n")
    (place / "mintfs.conf").write_text("[app]\nbuilder = sh -c ': >\"$0\"' {out}\n")
    env = {**env, "MINTFS_BINARY": "", "TMPDIR": str(place)}
    # Found by its entry point; if it is also named, it is the same plugin.
    for words in ([], ["-p", "mintfs.pytest_plugin"]):
        done = subprocess.run(
            [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words, test],
            cwd=place,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and "mintfs: 0 hits, 1 built" in done.stdout, done.stdout
        (place / "conftest.py").write_text("pytest_plugins = ['mintfs.pytest_plugin']\n")
