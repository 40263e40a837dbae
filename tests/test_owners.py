"""Files of several owners: users, root, and a builder's container."""

import errno
import json
import os
import shutil
import stat
import subprocess
import threading

import pytest

from support.basics import needs_root
from support.checkouts import rows, shell


def as_owner(project, *command, **kwargs):
    return subprocess.run(
        command, check=True, cwd=project.root, capture_output=True, text=True,
        env={**project.env, "HOME": str(project.root)}, **project.as_user, **kwargs
    )


def in_checkout(project):
    """Builds in a store inside the checkout, as tools/gitlab/mintfs.yml does; returns the key."""
    project.store = project.root / ".mintfs"
    project.env["MINTFS_STORE"] = str(project.store)
    tree = 'mkdir -p "$MINTFS_DIR/a/b" && echo x >"$MINTFS_DIR/a/b/x" && echo y >"$MINTFS_OUT"'
    return project.build(builder=shell(tree))


def harden(project, key):
    """Makes the directories read-only, as older versions did."""
    files = project.template(key) / "files"
    for path in (files / "a/b", files / "a", files):
        path.chmod(0o555)


# ---- stores that other tools remove ----


@pytest.mark.parametrize("tool", ["git clean", "rm", "rmtree"])
def test_a_store_is_removed_as_any_directory(ordinary, tool):
    in_checkout(ordinary)
    if tool == "git clean":
        as_owner(ordinary, "git", "init", "-q", ".")
        as_owner(ordinary, "git", "clean", "-ffdx")
    elif tool == "rm":
        as_owner(ordinary, "rm", "-rf", ".mintfs")
    else:
        as_owner(ordinary, "/usr/bin/python3", "-c", "import shutil; shutil.rmtree('.mintfs')")
    assert not ordinary.store.exists()
    assert "nothing to remove" in ordinary.run("clean", "--yes").stderr


def test_the_files_of_a_template_stay_read_only(ordinary):
    key = in_checkout(ordinary)
    files = ordinary.template(key) / "files"
    assert stat.S_IMODE((files / "a/b/x").stat().st_mode) == 0o444
    assert all(
        stat.S_IMODE(path.stat().st_mode) == 0o755 for path in (files, files / "a", files / "a/b")
    )


def test_verify_makes_directories_of_older_stores_removable(ordinary):
    key = in_checkout(ordinary)
    harden(ordinary, key)
    assert ordinary.run("verify").stderr.count(" 0 problems") == 1
    assert key in ordinary.run("build", "-i", "migrations", "--", *shell(
        'mkdir -p "$MINTFS_DIR/a/b" && echo x >"$MINTFS_DIR/a/b/x" && echo y >"$MINTFS_OUT"'
    )).stdout
    # `verify --all` also updates the modes.
    ordinary.run("verify", "--all")
    as_owner(ordinary, "rm", "-rf", ".mintfs")
    assert not ordinary.store.exists()


@pytest.mark.parametrize("left", ["all", "templates", "locks"])
def test_clean_removes_a_store_that_lost_its_marker(ordinary, left):
    """As rm -rf and git clean leave it when they are interrupted."""
    key = in_checkout(ordinary)
    for name in ("sessions", "pins"):
        ordinary.run("pin", key)
    harden(ordinary, key)
    (ordinary.store / "mintfs-store").unlink()
    if left != "all":
        (ordinary.store / "CACHEDIR.TAG").unlink()
        for path in (ordinary.store / "v1").iterdir():
            if path.name != left:
                subprocess.run(["chmod", "-R", "u+w", path], check=True)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    ordinary.run("clean", "--yes")
    assert not ordinary.store.exists()


def test_a_directory_that_is_no_store_is_left_alone(project):
    for name in ("v1/templates/thesis", "v1/thesis", "thesis"):
        shutil.rmtree(project.store, ignore_errors=True)
        (project.store / "v1/templates").mkdir(parents=True)
        (project.store / name).write_text("years of work")
        assert "is not a store of mintfs" in project.fail("clean", "--yes", status=1)
        assert (project.store / name).read_text() == "years of work"
    (project.store / "CACHEDIR.TAG").write_text("Signature: another's")
    (project.store / "thesis").unlink()
    assert "is not a store of mintfs" in project.fail("clean", "--yes", status=1)


# ---- templates that a step restored as root ----


@pytest.fixture
def restored(ordinary):
    """A template that root's step restored, in an ordinary user's store; its key."""
    key = ordinary.build("-n", "app")
    subprocess.run(["chown", "-R", "0:0", ordinary.template(key)], check=True)
    (ordinary.store / "v1/catalog.db").unlink()
    return key


@needs_root
def test_every_command_reports_a_template_that_root_owns(ordinary, restored):
    project, runs = ordinary, ordinary.runs()
    whose = f"template {restored[:12]} in {project.store}/v1/templates belongs to user 0"
    out = f"sudo chown -R 65534:65534 '{project.store}/v1/templates'"
    message = project.fail(
        "build", "-n", "app", "-i", "migrations", "--", *project.builder(), status=125
    )
    assert whose in message and out in message
    assert project.runs() == runs, "the builder ran, though nothing could be published"
    listed = project.run("ls")
    assert whose in listed.stderr and "no templates" not in listed.stderr
    verified = project.run("verify", "--all", "--json", status=5)
    assert whose in verified.stderr
    assert json.loads(verified.stdout)["problems"] == [
        {"kind": "foreign", "what": restored, "repaired": False}
    ]
    assert whose in project.fail("show", restored[:12], status=1)
    checks = json.loads(project.run("doctor", "--json", status=1).stdout)["checks"]
    (bad,) = [check for check in checks if check["level"] == "bad"]
    assert f"v1/templates/{restored}" in bad["text"] and "user 0" in bad["text"]
    # The command that doctor suggests repairs it.
    subprocess.run(bad["command"].removeprefix("sudo "), shell=True, check=True)
    assert project.build("-n", "app") == restored and project.runs() == runs


@needs_root
@pytest.mark.parametrize("part", ["files", "files/app.db"])
def test_a_build_names_the_owner_of_an_unreadable_part(ordinary, part):
    key = ordinary.build()
    path = ordinary.template(key) / part
    os.chown(path, 0, 0)
    path.chmod(0o700)
    (ordinary.store / "v1/catalog.db").unlink()
    message = ordinary.fail("build", "-i", "migrations", "--", *ordinary.builder(), status=125)
    assert "chown -R 65534:65534" in message and "belongs to user" in message
    assert ordinary.runs() == 1


@needs_root
def test_a_readable_template_that_root_owns_is_used(ordinary):
    key = ordinary.build("-n", "app")
    subprocess.run(["chown", "-R", "0:0", ordinary.template(key)], check=True)
    ordinary.template(key).chmod(0o755)
    (ordinary.store / "v1/catalog.db").unlink()
    assert ordinary.build("-n", "app") == key and ordinary.runs() == 1
    done = ordinary.run("evict", key, status=4)
    assert "sudo chown -R 65534:65534" in done.stderr


# ---- builders that run as another user ----


def build_with_root(project, script, status=0):
    """Builds with a script that root runs in {dir}, as a builder in a container would."""
    hand = project.root / "hand"
    os.mkfifo(hand)
    hand.chmod(0o666)

    def serve():
        place = hand.read_text().strip()
        subprocess.run(["sh", "-ec", script], cwd=place, check=True)
        hand.write_text("done\n")

    thread = threading.Thread(target=serve)
    thread.start()
    done = project.run(
        "build", "--", *shell(f"echo {{dir}} >{hand}; read x <{hand}"), status=status
    )
    thread.join()
    hand.unlink()
    return done


@needs_root
def test_files_of_another_user_are_copied(ordinary):
    done = build_with_root(ordinary, "umask 022; sqlite3 app.db 'create table t(a)'; echo x >other")
    key = done.stdout.strip()
    files = ordinary.template(key) / "files"
    assert rows(files / "app.db") == [("t", [])]
    assert {path.stat().st_uid for path in files.iterdir()} == {65534}
    assert ordinary.leftovers() == []


@needs_root
@pytest.mark.parametrize(
    "script, what",
    [("umask 077; echo x >app.db", "app.db"), ("echo x >app.db; mkdir sub; echo y >sub/y", "sub")],
)
def test_a_file_that_cannot_be_copied_is_an_error_that_names_its_owner(ordinary, script, what):
    message = build_with_root(ordinary, script, status=125).stderr
    assert f"builder left {what}, which belongs to user 0" in message
    assert "docker run --user 65534:65534" in message
    if what == "sub":
        assert "sudo rm -rf" in message


# ---- {out} that is a link ----


@pytest.mark.parametrize("target", ["v5.sqlite", "{dir}/v5.sqlite", "d/../v5.sqlite", "d/up/v5.sqlite"])
def test_out_may_be_a_link_to_a_file_beside_it(project, target):
    make = f'cd "$1"; mkdir d; ln -s .. d/up; sqlite3 v5.sqlite "create table t(a)"; ln -s {target} "$2"'
    key = project.build(builder=[*shell(make), "x", "{dir}", "{out}"])
    manifest = project.manifest(key)
    assert manifest["file"] == "v5.sqlite"
    link = project.template(key) / "files/app.db"
    assert link.is_symlink() and not os.readlink(link).startswith("/")
    assert rows(link) == [("t", [])]
    to = project.root / "there.db"
    project.build("--to", to, builder=[*shell(make), "x", "{dir}", "{out}"])
    assert rows(to) == [("t", [])] and not to.is_symlink()


def test_absolute_links_inside_the_template_become_relative(project):
    make = 'mkdir -p $MINTFS_DIR/a/b; echo x >$MINTFS_OUT; ln -s $MINTFS_DIR $MINTFS_DIR/a/b/top; ln -s "$MINTFS_OUT" $MINTFS_DIR/a/l'
    key = project.build(builder=shell(make))
    targets = {e["path"]: e["target"] for e in project.manifest(key)["entries"] if "target" in e}
    assert targets == {"a/b/top": "../../.", "a/l": "../app.db"}


@pytest.mark.parametrize(
    "script, message",
    [
        ("ln -s /etc/hostname {out}", "app.db -> /etc/hostname: a symbolic link that leads out"),
        ("touch {dir}/x; ln -s gone {out}", "app.db -> gone: a symbolic link that leads to no file"),
        ("mkdir {dir}/d; ln -s d {out}; touch {dir}/d/x", "app.db -> d: a symbolic link that leads to no file"),
        ("touch {dir}/x; ln -s {out} {out}", "app.db -> app.db: a symbolic link that leads to no file"),
        ("ln -s {dir}/../x {out}", "app.db -> ../x: a symbolic link that leads out"),
    ],
)
def test_out_must_not_be_a_link_to_anything_else(project, script, message):
    assert message in project.fail("build", "--", *shell(script))
    assert project.leftovers() == []


def test_a_damaged_file_behind_the_link_is_refused(project):
    make = (
        'cd "$0"; sqlite3 good "create table t(a)"; cp good v5.sqlite; truncate -s 5000 v5.sqlite;'
        "ln -s v5.sqlite app.db"
    )
    message = project.fail("build", "--", *shell(make), "{dir}")
    assert "v5.sqlite" in message and project.templates() == []


# ---- unusual umasks and homes ----


@pytest.mark.parametrize("umask", [0o177, 0o277, 0o777])
def test_a_umask_that_denies_the_owner_does_no_harm(ordinary, umask):
    """Tests of permissions set such umasks."""
    ordinary.env["MINTFS_BACKEND"] = "copy"
    key = ordinary.build("--to", "placed.db", umask=umask)
    for _ in range(2):  # the first copy makes directories that the next one needs
        made = ordinary.run("session", "new", key, umask=umask).stdout.strip()
        as_owner(ordinary, "sh", "-c", f"echo x >>'{made}/app.db'")
        ordinary.run("session", "reset", made, umask=umask)
        ordinary.run("session", "rm", made, umask=umask)
    assert stat.S_IMODE((ordinary.root / "placed.db").stat().st_mode) == 0o600


def test_without_a_home_the_message_names_the_variable_to_set(ordinary):
    """The home of a service's user often does not exist."""
    del ordinary.env["MINTFS_STORE"]
    ordinary.env.pop("XDG_CACHE_HOME", None)
    ordinary.env["HOME"] = "/nonexistent"
    message = ordinary.fail("build", "-i", "migrations", "--", *ordinary.builder())
    reason, way_out = message.split("store /nonexistent/.cache/mintfs: ")[1].split("; ", 1)
    assert reason in (os.strerror(errno.ENOENT), os.strerror(errno.EACCES))
    assert way_out.strip() == "set MINTFS_STORE to a directory of your own"
    assert ordinary.runs() == 0
