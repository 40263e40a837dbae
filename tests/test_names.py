"""What a name means: its section in the mintfs.conf in force, or the last build under it."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from support.basics import IS_ROOT, MINTFS, needs_root
from support.checkouts import Project
from support.users import NOBODY, SOMEBODY

COPIES = {"MINTFS_BACKEND": "copy"}
CONF = """\
[app]
input = migrations
builder = sh -c 'cat migrations/*.sql | sqlite3 -bail "$0"; echo run >>../runs' {out}
"""


@pytest.fixture
def app(project):
    """The project, described by its mintfs.conf, at the root of a repository."""
    return described(project)


def described(project) -> Project:
    (project.root / "mintfs.conf").write_text(CONF)
    (project.root / ".git").mkdir()
    return project


def new(project, *words, **kwargs):
    """The tables of a new session, and the messages."""
    done = project.run("session", "new", *words, env=COPIES, **kwargs)
    path = done.stdout.strip()
    with sqlite3.connect(f"{path}/app.db") as db:
        tables = {name for name, in db.execute("select name from sqlite_master where type='table'")}
    db.close()
    project.run("session", "rm", path)
    message = [line for line in done.stderr.splitlines() if "sessions are plain copies" not in line]
    return tables, message


def add_table(project, name):
    (project.root / f"migrations/{name}.sql").write_text(f"create table {name}(a);")


# ---- a name is never stale, and never another checkout's ----


def test_a_name_means_the_changed_migrations(app):
    assert new(app, "app")[0] == {"t0", "t1", "t2"}
    add_table(app, "late")
    assert new(app, "app")[0] == {"t0", "t1", "t2", "late"}
    assert new(app, "app") == ({"t0", "t1", "t2", "late"}, [])
    assert app.runs() == 2


def test_two_checkouts_may_use_one_name(app, tmp_path):
    other = app.clone(tmp_path / "second")
    add_table(other, "others")
    (other.root.parent / "runs").touch()
    app.run("build")
    other.run("build")
    for _ in range(2):
        assert new(app, "app") == ({"t0", "t1", "t2"}, [])
        assert new(other, "app") == ({"t0", "t1", "t2", "others"}, [])
    keys = {project.run("key", "app").stdout for project in (app, other)}
    assert len(keys) == 2
    for project in (app, other):
        shown = project.run("show", "--json", "app")
        assert f'"key": "{project.run("key").stdout.strip()}"' in shown.stdout
        assert shown.stderr == ""
        # On the mount, the name is the last build's, whether that was a hit or a miss.
        key = project.run("build").stdout.strip()
        assert f'"key": "{key}"' in project.run("name", "--json").stdout
    # evict uses the section as well: the other checkout's template stays.
    app.run("pin", "app")
    other.run("evict", "app")
    assert [row["key"] for row in app.templates()] == [app.run("key").stdout.strip()]
    app.run("unpin", "app")
    app.run("evict", "app")
    assert app.templates() == []


def test_without_a_section_a_name_is_the_last_build_with_a_message(app, tmp_path):
    key = app.run("build").stdout.strip()
    for words in (["session", "new", "app"], ["show", "app"], ["pin", "app"], ["unpin", "app"],
                  ["name", "other", "app"], ["verify", "app"], ["session", "rm", "app/s"]):
        if words[-1] == "app/s":
            app.run("session", "new", key, "s", env=COPIES)
        done = app.run(*words, cwd=tmp_path, env=COPIES)
        (message,) = [line for line in done.stderr.splitlines() if "[app]" in line]
        assert message.startswith("mintfs: app: no mintfs.conf here has a section [app]")
        assert key[:12] in message
    for words in (["show", key], ["show", key[:8]], ["verify", key]):
        assert "mintfs.conf" not in app.run(*words, cwd=tmp_path).stderr


def test_a_file_without_that_section_leaves_the_last_build(app, tmp_path):
    app.run("build", "-n", "base")
    tables, (message,) = new(app, "base")
    assert tables == {"t0", "t1", "t2"} and "section [base]" in message


def test_read_only_commands_build_nothing(app):
    app.make_store()
    key = app.run("key").stdout.strip()
    for words in (["show", "app"], ["pin", "app"], ["evict", "app"], ["verify", "app"],
                  ["verify", "--rebuild", "app"], ["name", "x", "app"]):
        message = app.fail(*words, status=3)
        assert f"({key[:12]}) is not built; type: mintfs build app" in message
        assert "last template" not in message
    assert app.runs() == 0
    old = app.run("build").stdout.strip()
    add_table(app, "late")
    message = app.fail("show", "app", status=3)
    assert message.count("\n") == 1
    assert f"The last template built under that name is {old[:12]}" in message
    assert app.runs() == 1 and app.run("show", old).returncode == 0


def test_a_section_that_cannot_be_read_is_an_error(app):
    app.run("build")
    (app.root / "mintfs.conf").write_text(CONF + "inptu = x\n")
    for words in (["session", "new", "app"], ["show", "app"], ["evict", "app"]):
        assert "mintfs.conf:4: unknown key" in app.fail(*words, status=2)
    shutil.rmtree(app.root / "migrations")
    (app.root / "mintfs.conf").write_text(CONF)
    assert "input migrations" in app.fail("session", "new", "app", status=3)


def test_a_session_is_found_under_the_section_s_current_template(app):
    app.run("session", "new", "app", "one", env=COPIES)
    old = app.run("key").stdout.strip()
    add_table(app, "late")
    message = app.fail("session", "rm", "app/one", status=3)
    assert app.run("key").stdout[:12] in message and "mintfs session ls" in message
    app.run("session", "rm", f"{old}/one")


def test_rebuild_by_name_uses_the_section(app):
    app.run("build")
    (app.root / "sub").mkdir()
    app.run("verify", "--rebuild", "app", cwd=app.root / "sub")
    assert app.runs() == 2


# ---- which mintfs.conf ----


def test_the_nearest_file_is_in_force(app):
    sub = app.root / "a/b"
    sub.mkdir(parents=True)
    key = app.run("build").stdout
    done = app.run("build", cwd=sub)
    assert done.stdout == key and app.runs() == 1
    assert new(app, "app", cwd=sub) == new(app, cwd=sub) == ({"t0", "t1", "t2"}, [])
    (sub.parent / "mintfs.conf").write_text("[app]\nbuilder = sh -c 'echo near >$MINTFS_OUT'\n")
    near = app.run("build", "app", cwd=sub).stdout.strip()
    assert (app.template(near) / "files/app.db").read_text() == "near\n"
    assert app.run("build").stdout == key
    (sub.parent / "mintfs.conf").write_text("[app]\nnonsense = x\n")
    assert "mintfs: ../mintfs.conf:2: unknown key" in app.fail("key", cwd=sub)


def test_the_builder_runs_in_the_file_s_directory(app):
    sub = app.root / "a/b"
    sub.mkdir(parents=True)
    (app.root / "mintfs.conf").write_text(
        "[app]\nbuilder = sh -c 'pwd >$MINTFS_OUT; echo $PWD $MINTFS_STORE >>$MINTFS_OUT'\n"
    )
    env = {"MINTFS_STORE": ".store"}
    key = app.run("build", "--to", "placed", cwd=sub, env=env).stdout.strip()
    message = f"{app.root}\n{app.root} {sub}/.store\n"
    assert (sub / f".store/v1/templates/{key}/files/app.db").read_text() == message
    assert (sub / "placed").read_text() == message, "--to is relative to where it was typed"
    assert app.run("key").stdout.strip() == key


@pytest.mark.parametrize("mark", [".git", ".hg", ".jj", "a .git file"])
def test_the_search_ends_at_the_repository(app, mark):
    inner = app.root / "vendor/lib"
    (inner / "src").mkdir(parents=True)
    (inner / mark.split()[-1].replace("file", ".git")).touch()
    if mark == "a .git file":
        (inner / ".git").write_text("gitdir: elsewhere\n")
    app.run("key", cwd=inner.parent)
    for place in (inner, inner / "src"):
        assert "no mintfs.conf here" in app.fail("build", cwd=place)
        assert 'no template "app"' in app.fail("session", "new", "app", status=3, cwd=place)


def test_the_search_ends_at_the_home_directory(app):
    home = app.root / "home"
    (home / "x").mkdir(parents=True)
    assert app.run("key", cwd=home / "x").stdout == app.run("key").stdout
    for place in (home, home / "x"):
        assert "no mintfs.conf here" in app.fail("key", cwd=place, env={"HOME": str(home)})
    (home / "mintfs.conf").write_text("[home]\nbuilder = x\n")
    app.run("key", "home", cwd=home / "x", env={"HOME": str(home)})


@pytest.mark.parametrize("owner", ["oneself", "another"])
def test_a_file_in_a_public_directory_is_skipped(app, tmp_path, owner):
    """As in /tmp: a file there must not disturb the projects of other users below it."""
    shared = tmp_path / "shared"
    (shared / "own").mkdir(parents=True)
    (shared / "mintfs.conf").write_text("[app]\nbuilder = x\n")
    app.run("build")
    app.run("key", cwd=shared / "own")
    shared.chmod(0o1777)
    if owner == "another":
        if not IS_ROOT:
            pytest.skip("only root gives files away")
        os.chown(shared / "mintfs.conf", NOBODY, NOBODY)
    assert "no mintfs.conf here" in app.fail("key", cwd=shared / "own")
    assert new(app, "app", cwd=shared / "own")[0] == {"t0", "t1", "t2"}
    # A user who types the command in that directory means its file.
    if owner == "oneself":
        app.run("key", cwd=shared)
    else:
        assert "belongs to user" in app.fail("key", cwd=shared)


def test_the_user_s_settings_are_not_a_project_s_file(app):
    home = app.root / "home"
    (home / ".config/mintfs").mkdir(parents=True)
    (home / ".config/mintfs/mintfs.conf").write_text("max-size = 1G\n")
    env = {"HOME": str(home)}
    message = app.fail("key", cwd=home / ".config/mintfs", env=env)
    assert "no mintfs.conf here" in message


def test_a_link_to_the_user_s_own_file_is_used(app, tmp_path):
    (app.root / "mintfs.conf").rename(tmp_path / "kept.conf")
    (app.root / "mintfs.conf").symlink_to(tmp_path / "kept.conf")
    app.run("key")
    (app.root / "mintfs.conf").unlink()
    (app.root / "mintfs.conf").symlink_to("nowhere")
    assert "mintfs.conf: a symbolic link that leads nowhere" in app.fail("key")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_not_a_regular_file_is_an_error(app, make):
    (app.root / "sub").mkdir()
    (app.root / "mintfs.conf").unlink()
    make(app.root / "mintfs.conf")
    assert "mintfs: ../mintfs.conf: not a regular file" in app.fail("key", cwd=app.root / "sub")


def test_a_removed_current_directory_has_no_file(app, tmp_path):
    app.run("build")
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'cd "{gone}" && rmdir "{gone}" && exec "{MINTFS}" "$@"'
    for words, status in ((["key"], 125), (["show", "app"], 0)):
        done = subprocess.run(["sh", "-c", script, "-", *words], env=app.env, capture_output=True,
                              text=True, timeout=1500)
        gone.mkdir()
        assert done.returncode == status and "mintfs.conf here" in done.stderr


# ---- the owner of mintfs.conf ----


@needs_root
@pytest.mark.parametrize("what", ["file", "link", "its target", "directory, too"])
@pytest.mark.parametrize("where", [".", "sub/deeper"])
def test_another_users_file_is_not_used(app, tmp_path, what, where):
    conf, cwd = app.root / "mintfs.conf", app.root / where
    cwd.mkdir(parents=True, exist_ok=True)
    app.run("build", "-n", "app")
    if what in ("link", "its target"):
        conf.rename(tmp_path / "target.conf")
        conf.symlink_to(tmp_path / "target.conf")
        os.chown(conf, *(2 * [0 if what == "its target" else NOBODY]), follow_symlinks=False)
        os.chown(tmp_path / "target.conf", *(2 * [NOBODY if what == "its target" else 0]))
    else:
        os.chown(conf, NOBODY, NOBODY)
        if what == "directory, too":
            os.chown(app.root, NOBODY, NOBODY)
    runs = app.runs()
    add_table(app, "late")
    for words, status in ((["build"], 125), (["key", "app"], 125), (["session", "new"], 1),
                          (["session", "new", "app"], 1), (["show", "app"], 1)):
        message = app.fail(*words, status=status, cwd=cwd)
        assert f"belongs to user {NOBODY}, not to you (0)" in message
        assert f"export MINTFS_TRUST='{app.root}'" in message
    assert app.runs() == runs
    for trust in (app.root, f"/nowhere:{app.root.parent}/", "/"):
        app.run("key", cwd=cwd, env={"MINTFS_TRUST": str(trust)})
    for trust in (f"{app.root}x", app.root / "sub", "", ":", "/nowhere"):
        app.fail("key", cwd=cwd, env={"MINTFS_TRUST": str(trust)})
    # A builder or a key on the command line needs no file.
    app.run("key", "--", "true", cwd=cwd)


@needs_root
def test_root_s_file_and_the_sudo_caller_s_are_trusted(ordinary):
    """Root's, as in an image to which root copied the files, and under sudo the caller's."""
    project = described(ordinary)
    (project.root / ".git").rmdir()
    assert "not to you (65534)" not in project.run("key").stderr
    os.chown(project.root / "mintfs.conf", SOMEBODY, SOMEBODY)
    assert f"belongs to user {SOMEBODY}" in project.fail("key")
    project.binary, project.as_user = MINTFS, {}
    assert f"belongs to user {SOMEBODY}" in project.fail("key")
    project.run("key", env={"SUDO_UID": str(SOMEBODY)})
    assert f"belongs to user {SOMEBODY}" in project.fail("key", env={"SUDO_UID": "1"})


# ---- -C ----


def test_the_directory_option_acts_as_cd(app, tmp_path):
    key = app.run("key").stdout
    (app.root / "sub").mkdir()
    for words in (["-C", app.root], [f"-C{app.root}"], ["--directory", app.root],
                  [f"--directory={app.root}"], ["-C", "checkout"], ["-C", tmp_path, "-C", "checkout"],
                  ["-C", app.root / "sub", "-C", ".."], ["-C", "checkout/sub/"], ["-C", "./checkout"]):
        assert app.run(*words, "key", cwd=tmp_path).stdout == key
    assert app.run("-C", app.root, "help", "key", cwd=tmp_path).stdout.startswith("usage: mintfs key")
    done = app.run("-C", app.root, "build", "--to", "placed", cwd=tmp_path)
    assert (app.root / "placed").exists() and done.stdout == key
    for words, status in ((["-C", "nowhere", "key"], 125), (["-C", "nowhere", "build"], 125),
                          (["-C", "nowhere", "ls"], 3), (["-C", "create.sh", "ls"], 1),
                          (["-C"], 2), (["--directory"], 2), (["-C", "", "ls"], 3)):
        message = app.fail(*words, status=status)
        assert "-C" in message or "--directory" in message


def test_the_directory_option_keeps_links_as_they_were_typed(app, tmp_path):
    """Builders that name the checkout by a link have the same key as in the file's directory."""
    link = tmp_path / "link"
    link.symlink_to(app.root)
    (app.root / "sub").mkdir()
    (app.root / "mintfs.conf").write_text(f"[app]\nbuilder = python3 {link}/sub/../x.py\n")
    env = {"PWD": str(link)}
    key = app.run("key", cwd=link, env=env)
    assert key.stderr == ""
    for words, cwd in ((["-C", link], tmp_path), (["-C", "link"], tmp_path), ([], link / "sub")):
        done = app.run(*words, "key", cwd=cwd, env={"PWD": str(cwd)})
        assert (done.stdout, done.stderr) == (key.stdout, "")


# ---- root = ----

PACKAGE = """\
[app]
%s
input   = ../shared/migrations
          ../shared/[a-c]*.sql
          own.sql
          deep/*.sql
exclude = deep/old.sql
          ../shared/migrations/skip*
          *.md
builder = sh -c 'cat ../shared/migrations/*.sql own.sql | sqlite3 -bail "$0"' {out}
"""
INPUTS = ["p[k]g/deep/new.sql", "p[k]g/own.sql", "shared/b.sql", "shared/migrations/1.sql"]


@pytest.fixture
def package(project):
    root = project.root
    for name in (*INPUTS, "p[k]g/deep/old.sql", "shared/migrations/skipped.sql", "shared/x.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"create table {Path(name).stem.replace('1', 'one')}(a);")
    (root / "shared/migrations/read.md").touch()
    (root / "p[k]g/mintfs.conf").write_text(PACKAGE % "root = ..")
    return project


def inputs(project, key):
    return [row["path"] for row in project.manifest(key.strip())["inputs"]]


@pytest.mark.parametrize("missing", ["modles", "modles/*.py", "../shared/modles"])
def test_a_missing_input_is_named_with_the_directory_that_it_is_relative_to(package, missing):
    home = package.root / "p[k]g"
    (home / "mintfs.conf").write_text(f"root = ..\n[app]\ninput = {missing}\nbuilder = x\n")
    message = package.fail("build", cwd=home)
    assert f"input {missing}" in message and message.endswith(f" in {home}\n"), message


def test_inputs_may_be_outside_the_package_but_below_the_root(package):
    home = package.root / "p[k]g"
    (home / "src").mkdir()
    key = package.run("build", cwd=home).stdout
    assert inputs(package, key) == INPUTS
    assert package.run("build", cwd=home / "src").stdout == key
    # The root of the whole file, an absolute one, and the flag have the same effect.
    for text in ("root = ..\n" + PACKAGE % "", PACKAGE % f"root = {package.root}"):
        (home / "mintfs.conf").write_text(text)
        assert package.run("key", cwd=home).stdout == key
        assert package.run("key", cwd=home / "src").stdout == key
    (home / "mintfs.conf").write_text(PACKAGE % "")
    assert "or leads outside the root" in package.fail("build", cwd=home)
    (home / "mintfs.conf").write_text("[app]\ninput = ../shared\nbuilder = x\n")
    message = package.fail("build", cwd=home)
    assert "is outside the root" in message and "root = DIR in mintfs.conf" in message
    (home / "mintfs.conf").write_text(PACKAGE % "")
    assert package.run("key", "--root", "..", cwd=home).stdout == key
    assert package.run("key", "--root", "../..", cwd=home / "src").stdout == key
    # The same as on the command line.
    words = [w for i in ("shared/migrations", "shared/b.sql", "p[k]g/own.sql", "p[k]g/deep/new.sql")
             for w in ("-i", i)]
    script = 'cat ../shared/migrations/*.sql own.sql | sqlite3 -bail "$0"'
    typed = package.run("key", "--root", "..", *words, "-x", "*.md", "-x", "skip*", "--", "sh", "-c",
                        script, "{out}", cwd=home)
    assert typed.stdout == key
    with sqlite3.connect(package.template(key.strip()) / "files/app.db") as db:
        assert {n for n, in db.execute("select name from sqlite_master")} == {"one", "own", "skipped"}
    db.close()


def test_another_checkout_has_the_same_key(package, tmp_path):
    other = package.clone(tmp_path / "elsewhere")
    keys = {p.run("key", cwd=p.root / "p[k]g").stdout for p in (package, other)}
    assert len(keys) == 1


def test_a_root_that_is_the_directory_changes_no_key(app):
    key = app.run("key").stdout
    for root in (".", "./", str(app.root)):
        (app.root / "mintfs.conf").write_text(f"root = {root}\n" + CONF)
        assert app.run("key").stdout == key
    (app.root / "mintfs.conf").write_text(CONF)
    assert app.run("key", "--root", ".").stdout == key


def test_flags_add_inputs_to_the_section(package):
    home = package.root / "p[k]g"
    (package.root / "more.sql").touch()
    key = package.run("build", "-i", "../more.sql", cwd=home)
    assert inputs(package, key.stdout) == ["more.sql", *INPUTS]


@pytest.mark.parametrize("text, message", [
    ("root = nowhere\n", "root nowhere: No such file"),
    ("root = sub\n", "the root sub must be its directory, or one above it"),
    ("root = ..\nroot = ..\n", 'mintfs.conf:2: "root" has one value'),
    ("root\n", "mintfs.conf:1: before the first [NAME]: root"),
    ("salt = 1\n", "mintfs.conf:1: before the first [NAME]"),
])
def test_a_root_must_be_above_the_file(app, text, message):
    (app.root / "sub").mkdir()
    (app.root / "mintfs.conf").write_text(text + CONF)
    assert message in app.fail("key")
