"""`meson install` and scripts/package: which files they install, and that these run.

Making the packages, and trying them in a fresh Debian root, takes minutes: those tests run only
with MINTFS_TEST_FULL=1.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.basics import MINTFS

ROOT = Path(__file__).resolve().parent.parent
BUILD = MINTFS.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "tools/python/README.md"]


def full(test):
    """Collected only with MINTFS_TEST_FULL=1: otherwise it is not skipped but absent."""
    return test if os.environ.get("MINTFS_TEST_FULL") == "1" else None


def try_it(binary: Path, place: Path):
    """Builds a template and uses a session, with nothing but that binary."""
    env = {"HOME": str(place), "PATH": "/usr/bin:/bin", "MINTFS_BACKEND": "copy"}

    def run(*args):
        done = subprocess.run([binary, *args], env=env, capture_output=True, text=True, timeout=1500)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    script = "import sqlite3,sys; sqlite3.connect(sys.argv[1]).execute('create table a(b)')"
    key = run("build", "-n", "app", "--", sys.executable, "-c", script, "{out}")
    session = Path(run("session", "new", "app"))
    assert (session / "app.db").stat().st_size > 0
    run("session", "rm", str(session))
    assert key in run("ls", "--json")
    run("clean", "--yes")


@pytest.fixture
def installed(place):
    if not (BUILD / "build.ninja").exists():
        pytest.skip("the binary under test is not in a build directory")
    target = place / "root"
    subprocess.run(
        ["meson", "install", "-C", str(BUILD), "--no-rebuild"],
        env={**os.environ, "DESTDIR": str(target)},
        check=True,
        capture_output=True,
    )
    prefix = target / "usr/local"
    assert prefix.is_dir(), list(target.iterdir())
    return prefix


def test_install_installs_these_files_only_and_they_work(installed, place):
    there = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    wanted = {
        "bin/mintfs",
        "share/bash-completion/completions/mintfs",
        "share/doc/mintfs/LICENSE",
        *(f"share/doc/mintfs/{page.relative_to(ROOT)}" for page in PAGES),
    }
    if shutil.which("scdoc"):
        wanted |= {"share/man/man1/mintfs.1", "share/man/man7/mintfs.7"}
    assert wanted <= there
    rest = {path for path in there - wanted if not path.startswith("share/doc/mintfs/libfuse/")}
    assert rest == set()
    try_it(installed / "bin/mintfs", place)


def test_links_of_installed_pages_lead_somewhere(installed):
    pages = list(installed.rglob("*.md"))
    assert pages
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)[^)\s]*\)", page.read_text(encoding="utf-8")):
            assert re.match("[a-z]+:", target) or (page.parent / target).exists(), (page, target)


@pytest.mark.skipif(
    BUILD.parent != ROOT or "asan" in BUILD.name,
    reason="assert(3) names the sources by the paths that the compiler was given",
)
def test_no_installed_file_contains_the_path_of_the_checkout(installed):
    subprocess.run(["strip", "-S", str(installed / "bin/mintfs")], check=True)
    for path in installed.rglob("*"):
        if path.is_file():
            assert os.fsencode(ROOT) + b"/" not in path.read_bytes(), path


def test_package_explains_itself():
    script = [str(ROOT / "scripts/package")]
    assert "usage" in subprocess.run(script + ["--help"], capture_output=True, text=True).stdout
    assert subprocess.run(script + ["rpm"], capture_output=True).returncode == 2


@full
def test_the_tarball_runs_anywhere(place):
    made = package("tarball", place)
    anywhere = place / "some where ü"
    anywhere.mkdir()
    with tarfile.open(made) as tar:
        assert all(m.uid == 0 and m.mode & 0o022 == 0 for m in tar.getmembers())
        tar.extractall(anywhere)
    needed = subprocess.run(
        ["objdump", "-p", str(anywhere / "bin/mintfs")], capture_output=True, text=True, check=True
    ).stdout
    libraries = {line.split()[1] for line in needed.splitlines() if "NEEDED" in line}
    assert {name.split(".")[0] for name in libraries} <= {"libc", "libm", "ld-linux-x86-64"}
    assert (anywhere / "share/doc/mintfs/licenses/libnuma.copyright").exists()
    try_it(anywhere / "bin/mintfs", place)


@full
def test_packages_are_reproducible(place):
    for kind in ("deb", "tarball"):
        first = package(kind, place).read_bytes()
        assert package(kind, place).read_bytes() == first


@full
def test_packages_work_in_a_fresh_root(place):
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        pytest.skip("needs debootstrap and root")
    package("deb", place)
    package("tarball", place)
    script = ROOT / "scripts/try-packages"
    done = subprocess.run(
        [script, "--packages", str(place)], capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("removed, and nothing is left")


def package(kind: str, place: Path) -> Path:
    done = subprocess.run(
        [str(ROOT / "scripts/package"), "--output", str(place), kind],
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())
