"""mintfs doctor reports what works and what to type, also on machines where little works."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from support.basics import IS_ROOT, MINTFS
from support.care import SCHEMAS
from support.catalogs import check_schema
from support.mounts import unmount_lazily
from support.stores import binary_for_all
from support.users import NOBODY, as_user

LEVELS = {"ok", "hint", "bad"}
root_only = pytest.mark.skipif(not IS_ROOT, reason="only root can make such a machine")


class Doctor:
    """A bare environment, and commands that prepare a private mount namespace."""

    def __init__(self, place: Path):
        self.place = place
        self.home = place / "nest"
        self.home.mkdir()
        self.env = {"HOME": str(self.home), "PATH": "/usr/bin:/bin"}

    def run(self, *args, status=0, setup="", prefix=(), **env):
        binary = binary_for_all(self.place) if prefix else MINTFS
        command = [*prefix, str(binary), "doctor", *args]
        if setup:
            command = ["unshare", "-m", "sh", "-ec", f'{setup}\nexec "$@"', "-", *command]
        every = {k: v for k, v in {**self.env, **env}.items() if v is not None}
        done = subprocess.run(command, env=every, capture_output=True, text=True, timeout=1500)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def checks(self, *args, **kwargs) -> dict:
        """The last finding of each check, and the whole answer under ""."""
        answer = json.loads(self.run("--json", *args, **kwargs))
        assert answer["ok"] == all(row["level"] != "bad" for row in answer["checks"])
        for row in answer["checks"]:
            assert set(row) == {"check", "level", "text", "command", "fixed"}
            assert row["level"] in LEVELS and row["text"]
            assert row["level"] != "bad" or row["command"] or row["text"]
        return {"": answer, **{row["check"]: row for row in answer["checks"]}}


@pytest.fixture
def doctor(place):
    return Doctor(place)


def test_doctor_changes_nothing_without_fix(doctor):
    text = doctor.run()
    assert "store" in text and "backend" in text
    assert list(doctor.home.iterdir()) == []
    assert all(line[:4].strip() in LEVELS | {""} for line in text.splitlines())


def test_json_has_its_fields(doctor):
    answer = doctor.checks()[""]
    check_schema(answer, SCHEMAS["doctor"])
    assert answer["store"] == f"{doctor.home}/.cache/mintfs"


def test_fix_creates_the_store(doctor):
    assert doctor.checks("--fix")["store"]["fixed"] is True
    assert (doctor.home / ".cache/mintfs/mintfs-store").exists()
    assert doctor.checks()["store"]["level"] == "ok"


def test_modes_are_reported_and_fixed(doctor):
    doctor.run("--fix")
    store = doctor.home / ".cache/mintfs"
    (store / "v1").chmod(0o777)
    row = doctor.checks(status=1)["store"]
    assert row["level"] == "bad" and row["command"] == f"chmod go-w '{store}/v1'"
    assert (store / "v1").stat().st_mode & 0o777 == 0o777
    doctor.run("--fix")
    assert (store / "v1").stat().st_mode & 0o777 == 0o755


def test_a_foreign_directory_is_not_a_store(doctor):
    (doctor.home / "mine").write_text("data")
    row = doctor.checks("--fix", status=1, MINTFS_STORE=str(doctor.home))["store"]
    assert row["level"] == "bad" and "not a store" in row["text"]
    assert [path.name for path in doctor.home.iterdir()] == ["mine"]


def test_a_home_that_does_not_exist_is_no_problem_for_another_store(doctor):
    checks = doctor.checks(HOME="/nowhere/at/all", MINTFS_STORE=str(doctor.place / "s"))
    assert checks["HOME"]["level"] == "ok"


@root_only
def test_a_home_of_another_user_is_a_hint(doctor):
    os.chown(doctor.home, NOBODY, NOBODY)
    row = doctor.checks()["HOME"]
    assert row["level"] == "hint" and "container jobs" in row["text"]
    assert row["command"].startswith("export MINTFS_STORE=")


@pytest.mark.parametrize("wish", ["copy", "fuse", "auto", ""])
def test_the_backend_follows_the_setting(doctor, wish):
    done = subprocess.run(
        [MINTFS, "doctor", "--json"],
        env={**doctor.env, "MINTFS_BACKEND": wish},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    answer = json.loads(done.stdout)
    assert answer["backend"]["wish"] == (wish or "auto")
    if wish == "copy":
        assert answer["backend"]["fuse_from_bytes"] is None
    if wish == "fuse":
        assert done.returncode == (0 if answer["backend"]["can_mount"] else 1)


def test_an_unknown_backend_is_bad(doctor):
    row = doctor.checks(status=1, MINTFS_BACKEND="tape")["backend"]
    assert row["level"] == "bad" and "tape" in row["text"]


@root_only
def test_without_fuse_sessions_are_copies(doctor):
    checks = doctor.checks(setup="mount --bind /dev/null /dev/fuse")
    assert checks["/dev/fuse"]["level"] == "hint"
    assert checks["backend"]["text"].startswith("copies")
    assert checks[""]["backend"] == {
        "wish": "auto",
        "can_mount": False,
        "mounted_at": None,
        "fuse_from_bytes": None,
    }
    row = doctor.checks(
        setup="mount --bind /dev/null /dev/fuse", status=1, MINTFS_BACKEND="fuse"
    )["backend"]
    assert row["command"] == "unset MINTFS_BACKEND"


@root_only
def test_doctor_works_where_nothing_else_does(doctor):
    """No FUSE, a read-only root, a tiny /dev/shm, no HOME and no PATH."""
    setup = """
        mount --bind /dev/null /dev/fuse
        mount -t tmpfs -o size=1m none /dev/shm
        mount -o remount,ro,bind /
    """
    for args in ([], ["--fix"]):
        checks = doctor.checks(*args, setup=setup, status=1, HOME="/nowhere", PATH="/usr/bin:/bin")
        assert checks["store"]["level"] == "bad"
        assert checks["/dev/shm"]["level"] == "hint"
        assert checks["backend"]["level"] == "ok"


@root_only
def test_without_user_and_home_a_store_is_suggested(doctor):
    checks = doctor.checks(prefix=as_user(54321), status=1, HOME=None)
    assert "set MINTFS_STORE" in checks["store"]["text"]
    assert checks["store"]["command"] == "export MINTFS_STORE=/var/tmp/mintfs-54321"


@root_only
def test_fusermount3_without_new_privileges_is_a_hint(doctor, fuse):
    setup = f'mknod -m 666 {doctor.home}/fuse c 10 229; mount --bind {doctor.home}/fuse /dev/fuse'
    os.chmod(doctor.home, 0o755)
    row = doctor.checks(
        setup=setup, prefix=[*as_user(NOBODY), "--no-new-privs"], MINTFS_STORE="/var/tmp/none-there"
    )["fusermount3"]
    assert row["level"] == "hint" and "privileges" in row["text"]


@root_only
def test_an_ordinary_user_mounts_through_fusermount3(doctor, fuse):
    setup = f'mknod -m 666 {doctor.home}/fuse c 10 229; mount --bind {doctor.home}/fuse /dev/fuse'
    places = {"MINTFS_STORE": "/var/tmp/none-there", "MINTFS_MOUNT": "/tmp/none-there"}
    checks = doctor.checks(setup=setup, prefix=as_user(NOBODY), **places)
    assert checks["mounting"]["text"] == "through fusermount3"
    assert checks[""]["backend"]["can_mount"] is True


@root_only
@pytest.mark.parametrize("where, level", [("/srv/mnt", "hint"), ("/tmp/mnt", "ok"), ("", "ok")])
def test_the_profile_of_newer_fusermount3_is_explained(doctor, fuse, where, level):
    """With a simulated AppArmor and profile."""
    os.chmod(doctor.home, 0o755)
    setup = f"""
        mknod -m 666 {doctor.home}/fuse c 10 229
        mount --bind {doctor.home}/fuse /dev/fuse
        mkdir -p {doctor.home}/etc {doctor.home}/modules/apparmor/parameters
        cp -a /etc/passwd /etc/group /etc/ld.so.cache {doctor.home}/etc
        mkdir {doctor.home}/etc/apparmor.d
        touch {doctor.home}/etc/apparmor.d/fusermount3
        echo Y >{doctor.home}/modules/apparmor/parameters/enabled
        mount --bind {doctor.home}/etc /etc
        mount --bind {doctor.home}/modules /sys/module
    """
    row = doctor.checks(setup=setup, prefix=as_user(NOBODY), MINTFS_STORE="/var/tmp/none-there",
                        MINTFS_MOUNT=where)["AppArmor"]
    assert row["level"] == level and "/tmp" in row["text"]
    assert row["command"] == ("unset MINTFS_MOUNT" if level == "hint" else None)


@root_only
def test_root_in_a_user_namespace_mounts_by_itself(doctor, fuse):
    """An ordinary user who is root in a user namespace may call mount(2)."""
    setup = f'mknod -m 666 {doctor.home}/fuse c 10 229; mount --bind {doctor.home}/fuse /dev/fuse'
    checks = doctor.checks(
        setup=setup,
        prefix=[*as_user(NOBODY), "unshare", "-Urm"],
        MINTFS_STORE="/var/tmp/none-there",
        MINTFS_MOUNT="/tmp/none-there",
    )
    assert checks["mounting"]["text"].startswith("tried")


def test_a_mount_is_reported(doctor, mount):
    env = {"MINTFS_STORE": str(mount.store.path)}
    checks = doctor.checks(**env)
    assert str(mount.point) in checks["mounts"]["text"]
    assert checks[""]["backend"]["mounted_at"] == str(mount.point)
    assert checks[""]["backend"]["fuse_from_bytes"] == 0


@root_only
def test_a_dead_mount_is_reported_and_unmounted(doctor, mount):
    mount.kill()
    try:
        rows = doctor.checks(MINTFS_BACKEND="copy")[""]["checks"]
        (row,) = [row for row in rows if str(mount.point) in row["text"]]
        assert (row["check"], row["level"]) == ("mounts", "hint")
        assert row["command"] == f"umount -l '{mount.point}'"
        # In a mount namespace of its own, since --fix unmounts every dead mount of this machine.
        said = doctor.run("--fix", setup=":", MINTFS_BACKEND="copy")
        assert f"there was a dead mount at {mount.point}: unmounted" in said
        subprocess.run(["sh", "-c", row["command"]], check=True)
        assert not mount.is_mounted()
    finally:
        if mount.is_mounted():
            unmount_lazily(mount.point)


@pytest.mark.parametrize("words", [["--cure"], ["now"]])
def test_bad_usage_is_refused(doctor, words):
    assert doctor.run(*words, status=2) == ""
