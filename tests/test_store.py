"""The store and its catalog: who may use them, and how damage is repaired."""

import errno
import json
import os
import re
import resource
import shutil
import sqlite3
import stat
import subprocess

import pytest

from support.basics import needs_root
from support.checkouts import KEY, rows, shell


# ---- the store ----


def test_store_is_marked_private_and_tagged(project):
    project.build()
    assert stat.S_IMODE(project.store.stat().st_mode) == 0o700
    assert (
        (project.store / "CACHEDIR.TAG")
        .read_text()
        .startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    )
    assert (project.store / "mintfs-store").is_file()


def test_a_store_that_others_can_write_is_refused(project):
    project.build()
    project.store.chmod(0o770)
    message = project.fail("build", "--", "true")
    assert f"chmod go-w '{project.store}'" in message
    assert f"chmod go-w '{project.store}'" in project.fail("ls", status=1)
    subprocess.run(["chmod", "go-w", project.store], check=True)
    project.build()
    (project.store / "v1/templates").chmod(0o777)
    assert f"chmod go-w '{project.store}/v1/templates'" in project.fail("build", "--", "true")


def test_a_directory_with_other_files_is_refused(project):
    project.store.mkdir()
    (project.store / "thesis.txt").write_text("years of work")
    message = project.fail("build", "--", "true")
    assert f"{project.store} is not a store of mintfs" in message and "MINTFS_STORE" in message
    assert [p.name for p in project.store.iterdir()] == ["thesis.txt"]


@needs_root
def test_a_store_of_another_user_is_refused(project):
    project.store.mkdir()
    os.chown(project.store, 12345, 12345)
    assert "belongs to user 12345, not to you (0)" in project.fail("build", "--", "true")


def test_a_store_that_is_a_file_is_refused(project):
    project.store.write_text("")
    message = project.fail("build", "--", "true")
    assert f"store {project.store}: {os.strerror(errno.ENOTDIR)}; set MINTFS_STORE" in message


def test_a_low_limit_on_open_files_is_named(project):
    project.build()

    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (7, 7))

    message = project.fail("ls", status=1, preexec_fn=lower)
    assert os.strerror(errno.EMFILE) in message and "ulimit -n 1024" in message


def test_the_environment_decides_where_the_store_is(project, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    builder = shell("echo > $MINTFS_OUT")
    for env, place in (
        ({"MINTFS_STORE": "", "XDG_CACHE_HOME": str(tmp_path / "xdg")}, tmp_path / "xdg/mintfs"),
        (
            {"MINTFS_STORE": "", "XDG_CACHE_HOME": "relative", "HOME": str(home)},
            home / ".cache/mintfs",
        ),
        ({"MINTFS_STORE": "sub/store"}, project.root / "sub/store"),
    ):
        project.build(builder=builder, env=env)
        assert (place / "v1/templates").is_dir(), env
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    key = project.build(
        builder=shell("echo $MINTFS_DIR > $MINTFS_OUT"),
        env={"MINTFS_STORE": str(tmp_path / "link")},
    )
    assert (real / "v1/templates" / key / "files/app.db").read_text().startswith(str(real))


def test_a_read_only_store_is_an_error_with_a_way_out(ordinary):
    project = ordinary
    key = project.build("-n", "unit")
    for path in (project.store, *project.store.rglob("*")):
        if path.is_dir():
            path.chmod(0o500)
        else:
            path.chmod(0o400)
    done = project.run("build", "-i", "migrations", "--", *project.builder())
    assert done.stdout.strip() == key and project.runs() == 1
    assert done.stderr.count("\n") <= 1
    message = project.fail("build", "-i", "migrations", "--", "true")
    assert str(project.store) in message and "MINTFS_STORE" in message


@needs_root
def test_a_read_only_file_system_is_an_error_with_a_way_out(project, tmp_path):
    key = project.build("-n", "unit")
    subprocess.run(["mount", "--bind", project.store, project.store], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", project.store], check=True)
        done = project.run("build", "-i", "migrations", "--", *project.builder())
        assert done.stdout.strip() == key and project.runs() == 1
        assert done.stderr.count("\n") <= 1
        message = project.fail("build", "--", "true")
        assert "the file system is read-only; set MINTFS_STORE" in message
        assert [r["key"] for r in project.templates()] == [key]
    finally:
        subprocess.run(["umount", project.store], check=True)


@needs_root
@pytest.mark.parametrize("size", ["16k", "32k", "48k", "64k", "100k", "200k"])
def test_a_full_disk_is_an_error_and_leaves_no_half_template(project, size):
    project.store.mkdir(mode=0o700)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", project.store], check=True
    )
    try:
        done = project.start("build", "--", *shell("head -c 150000 /dev/zero > $MINTFS_OUT"))
        out, err = done.communicate(timeout=1500)
        if done.returncode:
            assert out == "" and ("full" in err or "space" in err), err
            if (project.store / "v1/building").exists():
                assert list((project.store / "v1/building").iterdir()) == []
                assert list((project.store / "v1/templates").iterdir()) == []
        else:
            assert size == "200k" and KEY.fullmatch(out)
    finally:
        subprocess.run(["umount", project.store], check=True)


# ---- the catalog, and templates from elsewhere ----


def damage_delete(path):
    path.unlink()


def damage_truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def damage_empty(path):
    os.truncate(path, 0)


def damage_garbage(path):
    path.write_bytes(os.urandom(10000))


def damage_pages(path):
    data = bytearray(path.read_bytes())
    data[100:] = os.urandom(len(data) - 100)
    path.write_bytes(data)


def damage_foreign(path):
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("create table t(a)")
    db.close()


def damage_schema(path):
    with sqlite3.connect(path) as db:
        db.execute("drop table names")
    db.close()


@pytest.mark.parametrize(
    "damage",
    [
        damage_delete,
        damage_truncate,
        damage_empty,
        damage_garbage,
        damage_pages,
        damage_foreign,
        damage_schema,
    ],
)
def test_a_damaged_catalog_is_rebuilt(project, damage):
    keys = {project.build("-n", "unit"), project.build("-n", "e2e", "--salt", "1")}
    damage(project.store / "v1/catalog.db")
    done = project.run("ls", "--json")
    assert re.fullmatch(
        r"mintfs: warning: catalog \S+/v1/catalog.db was (missing|damaged): rebuilt from 2 manifests\n",
        done.stderr,
    )
    shown = json.loads(done.stdout)["templates"]
    assert {r["key"] for r in shown} == keys
    assert sorted(n for r in shown for n in r["names"]) == ["e2e", "unit"]
    assert (
        project.run("build", "-i", "migrations", "-n", "unit", "--", *project.builder()).stderr
        == ""
    )
    assert project.runs() == 2


def test_the_catalog_of_a_later_version_is_refused_and_unchanged(project):
    project.build()
    path = project.store / "v1/catalog.db"
    with sqlite3.connect(path) as db:
        db.execute("pragma user_version=2")
    db.close()
    before = path.read_bytes()
    assert "made by a later mintfs (version 2" in project.fail("ls", status=5)
    for builder in (project.builder(), ["true"]):
        message = project.fail("build", "-i", "migrations", "--", *builder)
        assert message.count("\n") == 1 and "made by a later mintfs" in message
    assert path.read_bytes() == before
    assert project.leftovers() == []


def test_a_template_unpacked_by_tar_is_a_hit(project, tmp_path):
    key = project.build("-n", "unit")
    env = {"MINTFS_STORE": str(tmp_path / "second")}
    project.make_store(env=env)
    target = tmp_path / "second/v1/templates"
    pack = subprocess.run(
        ["tar", "-C", project.store / "v1/templates", "-c", key], check=True, capture_output=True
    )
    subprocess.run(["tar", "-C", target, "-x"], input=pack.stdout, check=True, umask=0o002)
    (target / key / "files/app.db").chmod(0o664)
    assert project.build("-n", "here", env=env) == key
    assert project.runs() == 1
    assert stat.S_IMODE((target / key / "files/app.db").stat().st_mode) == 0o444
    (row,) = json.loads(project.run("ls", "--json", env=env).stdout)["templates"]
    # The name in its manifest is used, since no template here had it.
    assert (row["names"], row["hits"]) == (["here", "unit"], 1)


@pytest.mark.parametrize("how", ["flip", "shorten", "remove", "link", "manifest", "other"])
def test_a_damaged_template_from_elsewhere_is_built_again(project, tmp_path, how):
    key = project.build()
    env = {"MINTFS_STORE": str(tmp_path / "second")}
    project.make_store(env=env)
    there = tmp_path / "second/v1/templates" / key
    shutil.copytree(project.template(key), there, symlinks=True)
    (there / "files").chmod(0o755)
    file = there / "files/app.db"
    file.chmod(0o644)
    if how == "flip":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    elif how == "shorten":
        os.truncate(file, 4096)
    elif how == "remove":
        file.unlink()
    elif how == "link":
        file.unlink()
        file.symlink_to("/etc/passwd")
    elif how == "manifest":
        (there / "manifest.json").chmod(0o644)
        (there / "manifest.json").write_text("{")
    else:
        (there / "manifest.json").chmod(0o644)
        text = (there / "manifest.json").read_text().replace(key, "0" * 64)
        (there / "manifest.json").write_text(text)
    done = project.run("build", "-i", "migrations", "--", *project.builder(), env=env)
    assert done.stdout.strip() == key
    assert str(there) in done.stderr and "is put aside and built again" in done.stderr
    assert len(re.findall("(?m)^mintfs: .*(damaged|put aside)", done.stderr)) == 2
    assert project.runs() == 2
    assert len(rows(file)) == 3
    assert list((tmp_path / "second/v1/building").iterdir()) == []


LOOKING = [
    (["ls"], 0),
    (["stats"], 0),
    (["name"], 0),
    (["config"], 0),
    (["gc"], 0),
    (["verify"], 0),
    (["session", "ls"], 0),
    (["explain", "--", "true"], 0),
    (["show", "app"], 3),
    (["umount"], 3),
    (["evict", "app"], 3),
    (["pin", "app"], 3),
    (["unpin", "app"], 3),
    (["name", "new", "app"], 3),
    (["verify", "app"], 3),
    (["session", "rm", "one"], 3),
    (["session", "reset", "one"], 3),
]


@pytest.mark.parametrize("has_directory", [False, True])
@pytest.mark.parametrize("command, status", LOOKING, ids=lambda value: str(value)[:40])
def test_read_only_commands_make_no_store(project, command, status, has_directory):
    if has_directory:
        project.store.mkdir()
    done = project.run(*command, status=status)
    if command != ["config"]:
        assert f"there is no store at {project.store} yet" in done.stderr
    if status == 0:
        at = 2 if command[0] == "session" else 1
        json.loads(project.run(*command[:at], "--json", *command[at:]).stdout)
    assert list(project.store.parent.glob("store/*")) == []
    assert project.store.exists() == has_directory


def test_doctor_makes_a_store_only_on_request(project):
    for words, is_made in ((["doctor"], False), (["doctor", "--fix"], True)):
        project.start(*words).communicate(timeout=1500)
        assert (project.store / "v1").is_dir() == project.store.exists() == is_made


def test_ls_prints_a_table(project):
    key = project.build("-n", "unit")
    head, line = project.run("ls").stdout.splitlines()
    assert head.split()[:3] == ["NAME", "KEY", "SIZE"]
    assert line.split()[:2] == ["unit", key[:12]]


@pytest.mark.parametrize("text", [b"0,", b"{},", b'"",', b"[[["])
def test_a_manifest_that_would_take_gigabytes_is_refused(project, text):
    """The address space is limited to 1.5 GiB; reading 200 MB of JSON takes 4."""
    key = project.build()
    manifest = project.template(key) / "manifest.json"
    manifest.chmod(0o644)
    for size in (60 << 20, 200 << 20):
        manifest.write_bytes(b'{"x": [' + text * (size // len(text)) + b"0]}")
        limit = (3 << 29, 3 << 29)
        message = project.fail(
            "show", key, status=5,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
        )
        assert "manifest.json: damaged: larger than a manifest can be" in message
    assert project.build() == key and project.runs() == 2
