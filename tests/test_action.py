"""The steps of tools/action, one after the other, as a runner runs them: cold, then warm.

A runner's cache is a tar of the directory that the key step names, and nothing else. The steps must
also pass where nothing can be mounted, so no test requires a mount unless it says so.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support import users
from support.basics import IS_ROOT, MINTFS

ROOT = Path(__file__).resolve().parent.parent
CI = ROOT / "tools/action/ci.sh"

CREATE = """\
import pathlib, sqlite3, sys
with open(sys.argv[2], "a") as log:
    log.write("run\\n")
db = sqlite3.connect(sys.argv[1])
for path in sorted(pathlib.Path("migrations").glob("*.sql")):
    db.executescript(path.read_text())
"""
ARGUMENTS = "-i migrations -i create.py\n  -- python3 'create.py' {out} "


class Machine:
    """A fresh HOME, a checkout, and the variables that a runner sets."""

    def __init__(self, place: Path, name: str, log: Path):
        self.home, self.log = place / name, log
        self.checkout = self.home / "work/project"
        (self.checkout / "migrations").mkdir(parents=True)
        (self.checkout / "migrations/1.sql").write_text("create table a(b);")
        (self.checkout / "create.py").write_text(CREATE)
        tools = self.home / "bin"
        tools.mkdir()
        (tools / "mintfs").symlink_to(MINTFS)
        self.output = self.home / "output"
        self.summary = self.home / "summary"
        self.env = {
            "HOME": str(self.home),
            "PATH": f"{tools}:{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "MINTFS_CI_ARGUMENTS": f"{ARGUMENTS} {log}",
            "MINTFS_MOUNT": str(self.home / "mnt"),
        }

    def step(self, name, status=0, **env) -> dict:
        """Runs a step; returns its outputs."""
        self.output.write_text("")
        done = subprocess.run(
            ["sh", str(CI), name],
            cwd=self.checkout,
            env={**self.env, "GITHUB_OUTPUT": str(self.output), **env},
            capture_output=True,
            text=True,
            timeout=1500,
        )
        assert done.returncode == status, (name, done.returncode, done.stdout, done.stderr)
        self.stderr = done.stderr
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())

    def mintfs(self, *args) -> str:
        done = subprocess.run(
            ["mintfs", *args], cwd=self.checkout, env=self.env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def runs(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def machines(place):
    """Makes machines by name, which share a log of the builder's runs."""
    made = []

    def make(name) -> Machine:
        made.append(Machine(place, name, place / "runs"))
        return made[-1]

    yield make
    for machine in made:
        machine.step("finish")


def pack(path: str, target: Path):
    with tarfile.open(target, "w:gz") as tar:
        tar.add(path, arcname=path.lstrip("/"))


def unpack(source: Path, old: str, new: str, umask=0o022):
    """Unpacks like a cache action: the umask applies to modes, and files belong to the user."""
    before = os.umask(umask)
    try:
        with tarfile.open(source) as tar:
            for member in tar.getmembers():
                target = Path(new + "/" + member.name.removeprefix(old.lstrip("/")))
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(tar.extractfile(member).read())
    finally:
        os.umask(before)


def test_a_cold_job_builds_and_a_warm_one_restores(machines, place):
    cold = machines("cold")
    assert Path(cold.env["HOME"]).exists() and cold.runs() == 0
    cold.step("install")
    key = cold.step("key")
    assert re.fullmatch("[0-9a-f]{64}", key["key"])
    assert key["path"] == f"{cold.home}/.cache/mintfs/v1/templates/{key['key']}"
    assert not Path(key["store"]).exists(), "computing a key makes no store"
    built = cold.step("build")
    assert built == {"cache-hit": "false", "key": key["key"], "seconds-saved": "0.0"}
    assert cold.runs() == 1
    cold.step("mount")
    session = cold.mintfs("session", "new", key["key"])
    assert (Path(session) / "app.db").read_bytes().startswith(b"SQLite")
    cold.mintfs("session", "rm", session)
    cold.step("finish", MINTFS_CI_HIT="false")
    assert "was built in this job" in cold.summary.read_text()
    pack(key["path"], place / "cache.tar.gz")

    warm = machines("warm")
    warm.step("install")
    again = warm.step("key")
    assert again["key"] == key["key"]
    # A careless umask: all may write to the restored files, which is repaired.
    unpack(place / "cache.tar.gz", key["path"], again["path"], umask=0)
    found = warm.step("build")
    assert found["cache-hit"] == "true" and float(found["seconds-saved"]) > 0
    assert warm.runs() == 1, "no migration ran on the second machine"
    restored = Path(again["path"]) / "files/app.db"
    assert restored.stat().st_mode & 0o777 == 0o444
    warm.step("mount")
    session = warm.mintfs("session", "new", key["key"])
    warm.mintfs("session", "rm", session)
    warm.step("finish", MINTFS_CI_HIT="true", MINTFS_CI_SECONDS="1.5", MINTFS_CI_MAX_SIZE="1G")
    assert "1.5 s of migrations saved" in warm.summary.read_text()


def test_a_damaged_cache_is_not_a_hit(machines, place):
    cold, warm = machines("cold"), machines("warm")
    key = cold.step("key")
    cold.step("build")
    pack(key["path"], place / "cache.tar.gz")
    again = warm.step("key")
    unpack(place / "cache.tar.gz", key["path"], again["path"])
    database = Path(again["path"]) / "files/app.db"
    database.write_bytes(database.read_bytes()[:-1] + b"x")
    assert warm.step("build")["cache-hit"] == "false"
    assert warm.runs() == 2
    assert "damaged" in warm.stderr


def test_a_key_of_another_job_needs_no_builder(machines, place):
    cold, warm = machines("cold"), machines("warm")
    key = cold.step("key")
    cold.step("build")
    pack(key["path"], place / "cache.tar.gz")
    shutil.rmtree(warm.checkout / "migrations")
    given = {"MINTFS_CI_KEY": key["key"], "MINTFS_CI_NAME": "app"}
    again = warm.step("key", **given)
    unpack(place / "cache.tar.gz", key["path"], again["path"])
    assert warm.step("build", **given)["cache-hit"] == "true"
    assert warm.mintfs("session", "rm", warm.mintfs("session", "new", "app")) == ""


def test_a_key_of_other_inputs_fails_the_build(machines):
    machine = machines("one")
    machine.step("build", status=1, MINTFS_CI_KEY="0" * 64)
    assert "do not see the same inputs" in machine.stderr


def test_a_failing_builder_fails_the_step(machines):
    machine = machines("one")
    (machine.checkout / "create.py").write_text("raise SystemExit(7)")
    outputs = machine.step("build", status=7)
    assert not outputs.get("path") and machine.mintfs("ls") == ""


def test_arguments_are_words_not_code(machines):
    machine = machines("one")
    trap = machine.home / "trap"
    machine.step("key", MINTFS_CI_ARGUMENTS=f"-- echo '$(touch {trap})' `touch {trap}` ; touch {trap}")
    assert not trap.exists()


@pytest.mark.parametrize("words", [
    ["--salt", "", "--", "sh", "-c", 'echo >"$1"', "", "{out}", ""],
    ["--as", "", "-e", "A", "--", "true"],
    ["--", "printf", "%s", "a  b", "it's", 'say "so"', "back\\slash", "*", "$HOME", "", "x"],
])
def test_arguments_are_passed_on_unchanged(machines, words):
    """Including empty ones: without them the builder and the key would differ."""
    machine = machines("one")
    given = shlex.join(words)
    assert machine.step("key", MINTFS_CI_ARGUMENTS=given)["key"] == machine.mintfs("key", *words)


def test_arguments_with_an_open_quote_fail(machines):
    machine = machines("one")
    assert machine.step("key", status=1, MINTFS_CI_ARGUMENTS="-- echo 'x") == {}


def test_empty_arguments_mean_mintfs_conf(machines):
    machine = machines("one")
    conf = f"[app]\ninput = migrations\n  create.py\nbuilder = python3 create.py {{out}} {machine.log}\n"
    (machine.checkout / "mintfs.conf").write_text(conf)
    assert machine.step("key", MINTFS_CI_ARGUMENTS="") == machine.step("key")
    assert machine.step("build", MINTFS_CI_ARGUMENTS=" \n")["cache-hit"] == "false"


def test_paths_that_json_would_escape_are_cached(machines):
    """The outputs contain paths, not their JSON."""
    machine = machines('a "quoted" \\ ünï\tone')
    key = machine.step("key")
    assert key["store"] == f"{machine.home}/.cache/mintfs"
    assert key["path"] == f"{key['store']}/v1/templates/{key['key']}"
    assert machine.step("build")["cache-hit"] == "false"
    assert Path(key["path"]).is_dir() and machine.step("key")["present"] == "true"
    assert machine.step("build")["cache-hit"] == "true"
    broken = machine.step("key", status=1, MINTFS_STORE=f"{machine.home}/two\nlines")
    assert broken == {} and "line break" in machine.stderr


@pytest.mark.skipif(not IS_ROOT, reason="only root can change owners")
@pytest.mark.parametrize("variable", ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"])
def test_the_checkout_of_another_user_is_trusted(machines, variable):
    """For example in a container, whose root works in a mounted checkout."""
    machine = machines("one")
    conf = machine.checkout / "mintfs.conf"
    conf.write_text(f"[app]\ninput = migrations\nbuilder = python3 create.py {{out}} {machine.log}\n")
    os.chown(conf, users.NOBODY, users.NOBODY)
    machine.step("key", status=125, MINTFS_CI_ARGUMENTS="")
    assert f"belongs to user {users.NOBODY}" in machine.stderr
    given = {"MINTFS_CI_ARGUMENTS": "", variable: str(machine.checkout)}
    assert machine.step("build", **given)["cache-hit"] == "false"
    variables = machine.home / "variables"
    machine.step("install", GITHUB_ENV=str(variables), **given)
    assert f"MINTFS_TRUST={machine.checkout}\n" in variables.read_text()


def test_without_a_mount_sessions_are_copies(machines):
    machine = machines("one")
    key = machine.step("build")["key"]
    machine.step("mount", MINTFS_BACKEND="copy")
    assert "copies" in machine.stderr
    machine.mintfs("session", "rm", machine.mintfs("session", "new", key))


def path_without_mintfs(place: Path) -> str:
    """A directory with links to all programs on PATH but mintfs."""
    programs = place / "programs"
    programs.mkdir()
    for directory in filter(os.path.isdir, os.environ["PATH"].split(":")):
        for name in os.listdir(directory):
            if name != "mintfs" and not os.path.lexists(programs / name):
                (programs / name).symlink_to(os.path.abspath(os.path.join(directory, name)))
    return str(programs)


def test_install_unpacks_a_tarball(machines, place):
    machine = machines("one")
    tree = place / "tree/bin"
    tree.mkdir(parents=True)
    shutil.copy(MINTFS, tree / "mintfs")
    with tarfile.open(place / "mintfs.tar.gz", "w:gz") as tar:
        tar.add(tree, arcname="bin")
        tar.add(ROOT / "tools/python/mintfs", arcname="share/mintfs/python/mintfs")
    added, variables = machine.home / "path", machine.home / "variables"
    path = path_without_mintfs(place)
    machine.step("install", status=1, PATH=path)
    assert "MINTFS_TARBALL" in machine.stderr
    machine.step(
        "install",
        PATH=path,
        MINTFS_TARBALL=str(place / "mintfs.tar.gz"),
        GITHUB_PATH=str(added),
        GITHUB_ENV=str(variables),
        TMPDIR=str(machine.home),
    )
    assert os.access(Path(added.read_text().strip()) / "mintfs", os.X_OK)
    (name, _, python), = [line.partition("=") for line in variables.read_text().splitlines()]
    assert name == "PYTHONPATH"
    env = {"PYTHONPATH": python, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", "import mintfs"], env=env, check=True)
