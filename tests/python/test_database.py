"""mintfs.template(), database(), sealed() and memory(), in each way."""

import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest
import sqlalchemy

import mintfs
from mintfs import _stdlib

from .ways import CREATE_DB


def rows(path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM orders").fetchone()[0]


def order(path, item="mug"):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO orders(item) VALUES (?)", (item,))


# ---- templates ----


def test_a_template_is_built_once(here, project, capfd):
    key = mintfs.template()
    assert len(key) == 64 and int(key, 16)
    assert "migrated" in capfd.readouterr().err
    assert mintfs.template() == mintfs.template("app") == key
    assert project.runs() == 1
    assert os.path.samefile(project.interpreters()[0], sys.executable)


@pytest.mark.parametrize("word", ["python", "python3"])
def test_a_builder_gets_this_interpreter_whatever_its_name(here, project, monkeypatch, word):
    """Debian has no `python`, and python3.13 may be in the directory of an earlier python3."""
    programs = project.path / "programs"
    programs.mkdir()
    for name in ("python", "python3"):
        (programs / name).write_text("#!/bin/sh\nexit 9\n")
        (programs / name).chmod(0o755)
    interpreter = programs / "it's python3.x"
    interpreter.symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setattr(sys, "executable", str(interpreter))
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    mintfs.template(builder=[word, project.path / "create_db.py", "{out}"])
    assert project.interpreters() == [str(interpreter)]
    mintfs.template(builder=["sh", "-c", 'test -z "$MINTFS_PYTHON" && echo >"$0"', "{out}"])


def test_template_takes_the_arguments_of_build(here, project, monkeypatch):
    builder = ["python3", project.path / "create_db.py", "{out}"]
    keys = [
        mintfs.template(inputs=["migrations"], builder=builder),
        mintfs.template(inputs="migrations", builder="python3 create_db.py {out}"),
        mintfs.template(inputs="migrations", builder=builder, exclude="*.txt"),
        mintfs.template(inputs="migrations", builder=builder, salt="2"),
        mintfs.template(inputs="migrations", builder=builder, file="other.db"),
        mintfs.template(inputs="migrations", builder=builder, as_="the app"),
        mintfs.template(inputs="migrations", builder=builder, env="SEED"),
    ]
    monkeypatch.setenv("SEED", "7")
    keys.append(mintfs.template(inputs="migrations", builder=builder, env=["SEED"]))
    # A pattern that excludes nothing, and another spelling of a path, do not change a real key.
    assert len(set(keys)) == (8 if here.name == "none" else 6)
    assert mintfs.template("mugs", inputs="migrations", builder=builder, salt="2") == keys[3]
    with mintfs.database("mugs") as db:
        assert db.key == keys[3]
    with mintfs.database(keys[4]) as db:
        assert db.path().name == "other.db"


def test_root_and_file_are_honoured(here, project, monkeypatch, place):
    monkeypatch.chdir(place)
    key = mintfs.template(root=project.path, to="build/app.db")
    order(project.path / "build/app.db")
    assert mintfs.template(root=project.path, to=project.path / "build/app.db") == key
    assert rows(project.path / "build/app.db") == 0
    assert project.runs() == 1


def test_the_environment_can_name_the_template(here, project, monkeypatch):
    key = mintfs.template(salt="other")
    monkeypatch.setenv("MINTFS_TEMPLATE", key)
    assert mintfs.template() == key != mintfs.template("app")
    with mintfs.database() as db:
        assert db.key == key
    assert mintfs.template(salt="other") == key


@pytest.mark.parametrize(
    "script, status, message",
    [
        ("exit 3", 3, "builder sh exited with 3"),
        ("kill -9 $$", None, "builder sh was ended by signal"),
        ("true", None, "builder left nothing in"),
        (": >other.db", None, None),
    ],
)
def test_a_failed_builder_raises_its_error(here, script, status, message, capfd):
    builder = ["sh", "-c", 'echo "I am here" >&2; cd "$0"; ' + script, "{dir}"]
    if message is None:
        assert mintfs.template(builder=builder)
        builder.append("{out}")
        message = "but not app.db"
    with pytest.raises(mintfs.Error, match=message) as caught:
        mintfs.template(builder=builder)
    assert "I am here" in capfd.readouterr().err
    if status:
        assert isinstance(caught.value, mintfs.BuilderFailed)
        assert caught.value.status == status and "I am here" in caught.value.output


@pytest.mark.parametrize("word, status", [("no-such-program", 127), ("./create_db.py", 126)])
def test_a_builder_that_cannot_be_run_raises_126_or_127(here, word, status):
    with pytest.raises(mintfs.BuilderFailed, match=word) as caught:
        mintfs.template(builder=[word, "{out}"])
    assert caught.value.status == status


def test_an_empty_builder_is_a_usage_error(here):
    with pytest.raises(mintfs.UsageError, match="no words"):
        mintfs.template(builder="  ")


def test_a_builder_cannot_ask_for_its_own_template(here, project):
    code = "import mintfs; mintfs.template()"
    (project.path / "mintfs.conf").write_text(f"[app]\nbuilder = python3 -c '{code}'\n")
    with pytest.raises(mintfs.BuilderFailed) as caught:
        mintfs.template()
    assert "very template that it makes" in caught.value.output


def test_a_damaged_database_is_refused(here):
    with pytest.raises(mintfs.Error, match="app.db"):
        mintfs.template(builder=["sh", "-c", 'printf "SQLite format 3\\0rubbish" >"$0"', "{out}"])


def test_a_missing_mintfs_conf_is_an_error(here, project):
    (project.path / "mintfs.conf").unlink()
    with pytest.raises(mintfs.Error, match="no mintfs.conf|mintfs.conf"):
        mintfs.template()
    with pytest.raises(mintfs.Error, match="mintfs.conf"):
        mintfs.database()


def test_a_file_to_place_cannot_be_a_directory(here, project):
    with pytest.raises(mintfs.Error, match="directory"):
        mintfs.template(to="migrations")


# ---- databases ----


def test_databases_are_fresh_and_isolated(here):
    with mintfs.database() as one, mintfs.database(one.key) as two:
        order(one.path())
        assert (rows(one.path()), rows(two.path())) == (1, 0)
        assert one.backend == two.backend == here.backend
        assert one.directory != two.directory
        assert repr(one) == f"<mintfs.Database {one.directory}>"
    assert not one.directory.exists()
    assert repr(one) == f"<mintfs.Database closed {one.directory}>"
    one.close()
    with pytest.raises(mintfs.Error, match="was closed"):
        one.path()
    with pytest.raises(mintfs.Error, match="was closed"):
        one.reset()


def test_reset_keeps_the_path(here):
    with mintfs.database() as db:
        path = db.path()
        order(path)
        (db.directory / "beside").write_text("x")
        db.directory.chmod(0o750)
        db.reset()
        assert db.path() == path and rows(path) == 0
        assert sorted(os.listdir(db.directory)) == ["app.db"]
        if here.name == "mount":
            assert db.directory.stat().st_mode & 0o777 == 0o750
        for _ in range(5):
            order(path)
            db.reset()
            assert rows(path) == 0


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_handle_that_is_left_open_keeps_the_old_files(here, mode):
    """As the documentation describes."""
    with mintfs.database() as db:
        order(db.path())
        left = sqlite3.connect(db.path())
        assert left.execute(f"PRAGMA journal_mode = {mode}").fetchone() == (mode,)
        assert left.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        db.reset()
        assert rows(db.path()) == 0
        assert left.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        try:
            left.execute("INSERT INTO orders(item) VALUES ('lost')")
            left.commit()
            assert mode == "wal"
        except sqlite3.OperationalError as error:
            assert mode == "delete" and "readonly database" in str(error)
        assert rows(db.path()) == 0
    left.close()
    assert not db.directory.exists()


def test_a_session_removed_by_others_can_be_closed(here):
    db = mintfs.database()
    remove = ["rmdir"] if here.name == "mount" else ["rm", "-r"]
    subprocess.run([*remove, db.directory], check=True)
    with pytest.raises(mintfs.Error):
        db.reset()
    db.close()


@pytest.mark.on_ways("mount")
def test_the_command_does_what_the_mount_refuses(here, monkeypatch, capfd):
    """If the mount refuses a call, the command takes over, and no partial session remains."""
    key = mintfs.template()
    mintfs.database(key).close()

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    with monkeypatch.context() as patch:
        patch.setattr(_stdlib.os, "setxattr", refuse)
        with mintfs.database(key) as db:
            assert len(here.sessions()) == 1
            order(db.path())
            db.reset()
            assert rows(db.path()) == 0
            assert len(here.sessions()) == 1
    with monkeypatch.context() as patch:
        patch.setattr(_stdlib.Path, "rename", refuse)
        with mintfs.database(key) as db:
            db.reset()
            assert len(here.sessions()) == 1


def test_several_databases_need_a_name(here, project):
    (project.path / "two.py").write_text(
        CREATE_DB + "open(sys.argv[1][:-6] + 'notes', 'w').close()\n"
        "sqlite3.connect(sys.argv[1][:-6] + 'log.db').execute('CREATE TABLE log(a)')\n"
    )
    key = mintfs.template(builder="python3 two.py {out}", inputs="migrations")
    with mintfs.database(key) as db:
        assert list(db.databases()) == ["app.db", "log.db"]
        assert rows(db.path("app.db")) == 0
        assert db.url("log.db") == f"sqlite:///{db.directory}/log.db"
        assert db.path("notes").exists()
        for ask in (db.path, lambda: str(db.url), lambda: f"{db.url}", db.uri, db.url):
            with pytest.raises(mintfs.SeveralDatabases, match="app.db, log.db") as caught:
                ask()
            assert caught.value.names == ("app.db", "log.db")
        # Used as text without str(), it is the message.
        assert isinstance(db.url, str) and "app.db, log.db" in repr(db.url)
        with pytest.raises((sqlalchemy.exc.ArgumentError, mintfs.SeveralDatabases), match="log.db"):
            sqlalchemy.create_engine(db.url)
        with pytest.raises(mintfs.NotFound, match="no other.db in .*: app.db, log.db"):
            db.path("other.db")
        for bad in ("../x", "/etc/passwd"):
            with pytest.raises(mintfs.UsageError, match="relative"):
                db.path(bad)


def test_an_encrypted_database_is_the_only_file(here):
    """path() and url mean it although SQLite does not recognize it."""
    key = mintfs.template(builder=["sh", "-c", 'echo secret >"$0"', "{out}"])
    with mintfs.database(key) as db:
        assert db.path().read_text() == "secret\n"


def test_directories_links_and_wal_mode_are_kept(here, project):
    (project.path / "wal.py").write_text(
        "import os, sqlite3, sys\n"
        "os.makedirs('deep', exist_ok=True); os.symlink('deep/app.db', 'link.db')\n"
        "db = sqlite3.connect('deep/app.db'); db.execute('PRAGMA journal_mode = wal')\n"
        "db.execute('CREATE TABLE orders(id INTEGER PRIMARY KEY, item)'); db.commit()\n"
        "sys.stdout.flush(); os._exit(0)\n"  # leaves its side files
    )
    script = 'cd "$0" && exec python3 "$1"'
    builder = ["sh", "-c", script, "{dir}", project.path / "wal.py"]
    key = mintfs.template(builder=builder)
    with mintfs.database(key) as db:
        assert sorted(path.name for path in db.directory.rglob("*")) == [
            "app.db",
            "deep",
            "link.db",
        ]
        path = db.path("deep/app.db")
        order(path)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert rows(db.path("link.db")) == 1
    to = project.path / "placed.db"
    mintfs.template(builder=builder, file="deep/app.db", to=to)
    with closing(sqlite3.connect(to)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_unknown_template_is_not_found(here):
    mintfs.template()
    for unknown in ("0" * 64, "nobody"):
        with pytest.raises(mintfs.NotFound, match=unknown):
            mintfs.database(unknown)
        with pytest.raises(mintfs.NotFound, match=unknown):
            mintfs.sealed(unknown)


def test_sealed_databases_are_the_templates_own_files(here):
    key = mintfs.template()
    files = mintfs.sealed(key)
    assert files.databases() == ("app.db",)
    assert rows_of_uri(files.uri()) == 2
    assert files.uri().endswith("/app.db?mode=ro&immutable=1")
    assert files.url.endswith("?mode=ro&immutable=1&uri=true")
    assert files.path().stat().st_mode & 0o222 == 0
    assert os.listdir(files.directory) == ["app.db"]
    with closing(sqlite3.connect(files.uri(), uri=True)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM goods")
    assert mintfs.sealed().key == key


def rows_of_uri(uri) -> int:
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM goods").fetchone()[0]


def test_memory_is_a_copy_in_memory(here):
    with closing(mintfs.memory(timeout=1)) as one, closing(mintfs.memory("app")) as two:
        one.execute("DELETE FROM goods")
        assert one.execute("SELECT count(*) FROM goods").fetchone() == (0,)
        assert two.execute("SELECT count(*) FROM goods").fetchone() == (2,)


def test_memory_takes_the_name_of_one_of_several(here, project):
    (project.path / "two.py").write_text(
        CREATE_DB + "sqlite3.connect(sys.argv[1][:-6] + 'log.db').execute('CREATE TABLE log(a)')\n"
    )
    key = mintfs.template(builder="python3 two.py {out}", inputs="migrations")
    with closing(mintfs.memory(key, "log.db")) as log:
        assert log.execute("SELECT * FROM log").fetchall() == []
    with pytest.raises(mintfs.SeveralDatabases):
        mintfs.memory(key)


@pytest.mark.on_ways("mount", "copy")
def test_a_template_is_found_in_the_store_where_it_was_built(here, place):
    """Even if that is not the store of this process."""
    other = {**os.environ, "MINTFS_STORE": str(place / "other"), "MINTFS_BACKEND": "copy"}
    key = mintfs.template(environ=other)
    assert (place / "other/v1/templates" / key).is_dir()
    sealed = mintfs.sealed(key)
    assert place / "other" in sealed.directory.parents


@pytest.mark.on_ways("none")
def test_read_only_or_missing_files_are_removed(here):
    with mintfs.database() as db:
        closed = db.directory / "closed"
        closed.mkdir()
        (closed / "file").touch(0o400)
        closed.chmod(0)
        db.reset()
        assert [path.name for path in db.directory.iterdir()] == ["app.db"]
        shutil.rmtree(db.directory)


def test_urls_are_text(here):
    with mintfs.database() as db:
        url = db.url
        assert isinstance(url, str) and url == f"sqlite:///{db.directory}/app.db" == url()
        assert pickle.loads(pickle.dumps(url)) == url
        assert url(driver="aiosqlite").startswith("sqlite+aiosqlite:////")
        assert rows_of_uri(db.uri()) == 2


# ---- processes ----


def test_threads_have_databases_of_their_own(here):
    """At the same time."""
    key, failures = mintfs.template(), []

    def work():
        try:
            for _ in range(5):
                with mintfs.database(key) as db:
                    order(db.path())
                    assert rows(db.path()) == 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_open_databases_are_removed_with_the_process(way, project):
    output = way.script(
        "import mintfs; print(*(mintfs.database().directory for _ in range(3)))", cwd=project.path
    )
    assert len(output.split()) == 3


def test_forks_leave_each_others_databases_alone(way, project):
    way.script(
        """
import os, mintfs
with mintfs.database() as mine:
    if os.fork() == 0:
        theirs = mintfs.database()
        assert theirs.directory != mine.directory
        mine.close()
        raise SystemExit
    assert os.wait()[1] == 0
    assert mine.path().exists()
assert not mine.directory.exists()
""",
        cwd=project.path,
    )


def test_a_name_keeps_its_first_meaning(here, project):
    first = mintfs.template()
    with mintfs.database("app") as db:
        assert db.key == first
    second = mintfs.template("app", salt="another")
    with mintfs.database("app") as db:
        assert db.key == first != second
