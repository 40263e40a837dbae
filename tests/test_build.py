"""mintfs key, build and ls, from outside: what a script sees of them.

The binary under test is $MINTFS. No test needs a mount.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.basics import IS_ROOT, MINTFS, eventually, is_alive, seeded

KEY = re.compile(r"[0-9a-f]{64}\n")
NOBODY = 65534

CREATE = """\
import pathlib, sqlite3, sys, time
log = pathlib.Path(sys.argv[2])
with log.open("a") as f:
    f.write("run\\n")
db = sqlite3.connect(sys.argv[1])
db.execute("pragma journal_mode=" + (sys.argv[3] if len(sys.argv) > 3 else "delete"))
for path in sorted(pathlib.Path("migrations").glob("*.sql")):
    db.executescript(path.read_text())
db.commit()
print("to stdout")
print("to stderr", file=sys.stderr)
time.sleep(float(sys.argv[4]) if len(sys.argv) > 4 else 0)
"""


class Project:
    """A checkout with three migrations, and a store."""

    def __init__(self, root: Path, store: Path, runs: Path):
        self.root, self.store, self.runs_file = root, store, runs
        self.binary, self.as_user = MINTFS, {}
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("MINTFS_")}
        self.env["MINTFS_STORE"] = str(store)
        (root / "migrations").mkdir(parents=True)
        (root / "create.py").write_text(CREATE)
        for i in range(3):
            (root / f"migrations/{i}.sql").write_text(
                f"create table t{i}(a integer primary key, b text);"
                f"insert into t{i} values({i}, 'ünï');"
            )

    def clone(self, root: Path) -> "Project":
        other = Project(root / "other", self.store, self.runs_file)
        shutil.rmtree(other.root)
        shutil.copytree(self.root, other.root, symlinks=True)
        return other

    def builder(self, *more: str, python: str = sys.executable) -> list:
        return [python, "create.py", "{out}", "../runs", *more]

    def start(self, *args, **kwargs) -> subprocess.Popen:
        return subprocess.Popen(
            [self.binary, *map(str, args)],
            cwd=kwargs.pop("cwd", self.root),
            env={**self.env, **kwargs.pop("env", {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **self.as_user,
            **kwargs,
        )

    def run(self, *args, status=0, **kwargs) -> subprocess.CompletedProcess:
        process = self.start(*args, **kwargs)
        out, err = process.communicate(timeout=1500)
        assert process.returncode == status, (args, process.returncode, out, err)
        assert "Sanitizer" not in err and "runtime error" not in err, err
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def key(self, *options, builder=None, **kwargs) -> str:
        done = self.run(
            "key", "-i", "migrations", *options, "--", *(builder or self.builder()), **kwargs
        )
        assert KEY.fullmatch(done.stdout), done.stdout
        return done.stdout.strip()

    def build(self, *options, builder=None, **kwargs) -> str:
        done = self.run(
            "build", "-i", "migrations", *options, "--", *(builder or self.builder()), **kwargs
        )
        assert KEY.fullmatch(done.stdout), done.stdout
        return done.stdout.strip()

    def fail(self, *args, status=125, **kwargs) -> str:
        """Runs what must fail; returns its one message, with stdout empty."""
        done = self.run(*args, status=status, **kwargs)
        assert done.stdout == ""
        assert done.stderr.startswith("mintfs: "), done.stderr
        return done.stderr

    def runs(self) -> int:
        file = self.root.parent / "runs"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def templates(self) -> list:
        return json.loads(self.run("ls", "--json").stdout)["templates"]

    def template(self, key: str) -> Path:
        return self.store / "v1/templates" / key

    def manifest(self, key: str) -> dict:
        return json.loads((self.template(key) / "manifest.json").read_text())

    def leftovers(self) -> list:
        return [
            p.name for sub in ("building", "locks") for p in (self.store / "v1" / sub).iterdir()
        ]


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / "checkout", tmp_path / "store", tmp_path / "runs")
    yield made
    # A template that a test took by its own hands may be unwritable: let pytest remove it.
    subprocess.run(["chmod", "-R", "u+rwX", str(tmp_path)], check=False)


def rows(path) -> list:
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as db:
        tables = db.execute("select name from sqlite_schema where type='table' order by 1")
        return [(t, db.execute(f"select * from {t}").fetchall()) for (t,) in tables]


def shell(script: str) -> list:
    return ["sh", "-c", script]


@pytest.fixture
def ordinary(place):
    """A project of an ordinary user, who runs mintfs there, whoever runs the tests."""
    made = Project(place / "checkout", place / "store", place / "runs")
    if IS_ROOT:
        made.binary = shutil.copy(MINTFS, place / "mintfs")
        made.as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    return made


needs_root = pytest.mark.skipif(not IS_ROOT, reason="mounting a small tmpfs takes root")


# ---- hits and misses ----


def test_a_miss_builds_and_a_hit_runs_nothing(project):
    first = project.build("-n", "unit")
    assert project.runs() == 1
    assert project.build("-n", "unit") == first == project.key()
    assert project.runs() == 1
    assert rows(project.template(first) / "files/app.db")[0] == ("t0", [(0, "ünï")])
    (row,) = project.templates()
    assert (row["key"], row["names"], row["hits"]) == (first, ["unit"], 1)
    assert row["saved_ns"] == row["build_time_ns"] > 0
    assert project.leftovers() == []


def test_results_alone_on_stdout(project):
    done = project.run("build", "-i", "migrations", "--", *project.builder())
    assert KEY.fullmatch(done.stdout)
    assert "to stdout\n" in done.stderr and "to stderr\n" in done.stderr


def test_a_hit_says_nothing(project):
    project.build()
    done = project.run("build", "-i", "migrations", "--", *project.builder())
    assert done.stderr == ""


def test_a_name_follows_the_last_build_hit_or_miss(project):
    old = project.build("-n", "unit")
    (project.root / "migrations/3.sql").write_text("create table t3(a);")
    new = project.build("-n", "unit")
    assert {r["key"]: r["names"] for r in project.templates()} == {old: [], new: ["unit"]}
    (project.root / "migrations/3.sql").unlink()
    assert project.build("-n", "unit") == old
    assert {r["key"]: r["names"] for r in project.templates()} == {old: ["unit"], new: []}


def test_sealed_files_are_read_only_and_the_manifest_knows_their_modes(project):
    key = project.build(
        builder=shell(
            'mkdir -p "$MINTFS_DIR/a/empty" && echo x > "$MINTFS_DIR/a/x.txt" &&'
            'chmod 640 "$MINTFS_DIR/a/x.txt" && ln -s a/x.txt "$MINTFS_DIR/link"'
        )
    )
    files = project.template(key) / "files"
    assert stat.S_IMODE((files / "a/x.txt").stat().st_mode) == 0o444
    assert stat.S_IMODE((files / "a").stat().st_mode) == 0o555
    entries = {e["path"]: e for e in project.manifest(key)["entries"]}
    assert list(entries) == ["a", "a/empty", "a/x.txt", "link"]
    assert entries["a/x.txt"]["mode"] == "0640"
    assert entries["a/x.txt"]["sha256"] == hashlib.sha256(b"x\n").hexdigest()
    assert entries["link"]["target"] == "a/x.txt"


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "wal"])
def test_journal_modes_are_sealed_and_remembered(project, mode):
    key = project.build(builder=project.builder(mode))
    files = project.template(key) / "files"
    assert [p.name for p in files.iterdir()] == ["app.db"]
    assert (files / "app.db").read_bytes()[18:20] == b"\1\1"
    (entry,) = project.manifest(key)["entries"]
    assert entry["sqlite"] is True and entry.get("wal", False) is (mode == "wal")
    assert len(rows(files / "app.db")) == 3


def test_a_wal_that_nobody_checkpointed_is_in_the_template(project):
    script = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        "db.execute('pragma journal_mode=wal'); db.execute('create table t(a)');"
        "db.executemany('insert into t values(?)', [(i,) for i in range(1000)]);"
        "db.commit(); os._exit(0)"
    )
    key = project.build(builder=[sys.executable, "-c", script, "{out}"])
    files = project.template(key) / "files"
    assert [p.name for p in files.iterdir()] == ["app.db"]
    assert len(rows(files / "app.db")[0][1]) == 1000


def test_a_hot_journal_is_rolled_back(project):
    script = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        "db.execute('pragma cache_size=1'); db.execute('create table t(a)');"
        "db.execute('insert into t values(1)'); db.commit();"
        "db.executemany('insert into t values(?)', [('x' * 3000,) for i in range(1000)]);"
        "assert os.path.exists(sys.argv[1] + '-journal'); os._exit(0)"
    )
    key = project.build(builder=[sys.executable, "-c", script, "{out}"])
    files = project.template(key) / "files"
    assert [p.name for p in files.iterdir()] == ["app.db"]
    assert rows(files / "app.db") == [("t", [(1,)])]


def test_builder_sees_where_to_write(project):
    key = project.build(
        "--file",
        "data/shop.db",
        builder=shell(
            'test "$MINTFS_OUT" = "$1" && test "$MINTFS_DIR" = "$2" &&'
            'test "$1" = "$2/data/shop.db" && pwd > "$2/cwd" && cat > "$2/stdin" && echo x > "$1"'
        )
        + ["sh", "{out}", "{dir}"],
    )
    files = project.template(key) / "files"
    assert (files / "cwd").read_text().strip() == str(project.root.resolve())
    assert (files / "stdin").read_bytes() == b""
    assert (files / "data/shop.db").read_text() == "x\n"
    assert project.manifest(key)["file"] == "data/shop.db"


def test_odd_paths(project, tmp_path):
    root = tmp_path / "ein Verzeichnis mit Ümläuten 'und \"mehr"
    project.root.rename(root)
    project.root = root
    project.env["MINTFS_STORE"] = str(root / "störe $HOME")
    project.store = root / "störe $HOME"
    raw = os.fsdecode(b"not-utf8-\xff\xfe")
    (root / "migrations" / raw).write_text("-- x")
    key = project.build(
        "--to", "a b/ü.db", builder=shell(f'echo x > "$MINTFS_OUT"; echo y > "$MINTFS_DIR/{raw}"')
    )
    assert (root / "a b/ü.db").read_text() == "x\n"
    assert sorted(p.name for p in (project.template(key) / "files").iterdir()) == sorted(
        ["app.db", raw]
    )
    assert project.build(builder=shell(f'echo x > "$MINTFS_OUT"; echo y > "$MINTFS_DIR/{raw}"'))


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o027])
def test_umask(project, umask):
    key = project.build("--to", "copy.db", umask=umask)
    assert stat.S_IMODE(project.store.stat().st_mode) == 0o700
    assert stat.S_IMODE((project.template(key) / "files/app.db").stat().st_mode) == 0o444
    assert stat.S_IMODE((project.root / "copy.db").stat().st_mode) == 0o666 & ~umask
    assert project.build(umask=umask) == key
    assert project.runs() == 1


# ---- keys ----


def test_what_does_not_change_a_key(project, tmp_path):
    key = project.build()
    (project.root / "migrations/__pycache__").mkdir()
    (project.root / "migrations/__pycache__/x.cpython-311.pyc").write_text("x")
    for name in ("y.pyc", ".0.sql.swp", "0.sql~", "#0.sql#", "4913"):
        (project.root / "migrations" / name).write_text("x")
    (project.root / "migrations/.#0.sql").symlink_to("user@host.1:2")
    (project.root / "migrations/.git").mkdir()
    (project.root / "migrations/.git/HEAD").write_text("x")
    os.utime(project.root / "migrations/0.sql", (1, 1))
    (project.root / "migrations/1.sql").chmod(0o755)
    assert project.key() == key
    other = project.clone(tmp_path / "elsewhere")
    assert other.key() == key
    for session in ("unit", "e2e"):
        link = tmp_path / ".nox" / session / "bin" / Path(sys.executable).name
        link.parent.mkdir(parents=True)
        link.symlink_to(sys.executable)
        assert project.build(builder=project.builder(python=str(link))) == key
    assert project.runs() == 1


@pytest.mark.skipif(not IS_ROOT, reason="chown takes root")
def test_owners_do_not_change_a_key(project):
    key = project.key()
    os.chown(project.root / "migrations/0.sql", 12345, 12345)
    assert project.key() == key


def test_what_changes_a_key(project):
    seen = {project.key()}

    def is_new(*options, **kwargs):
        key = project.key(*options, **kwargs)
        assert key not in seen, (options, kwargs)
        seen.add(key)

    file = project.root / "migrations/0.sql"
    text = file.read_bytes()
    file.write_bytes(text[:-1] + b" ")
    is_new()
    file.write_bytes(text)
    (project.root / "migrations/sub").mkdir()
    (project.root / "migrations/sub/0.sql").write_text("")
    is_new()
    shutil.rmtree(project.root / "migrations/sub")
    file.rename(file.with_name("0a.sql"))
    is_new()
    file.with_name("0a.sql").rename(file)
    (project.root / "migrations/2.sql").rename(project.root / "kept")
    is_new()
    (project.root / "kept").rename(project.root / "migrations/2.sql")
    is_new(builder=project.builder("more"))
    is_new(builder=project.builder("mo", "re"))
    is_new("--salt", "1")
    is_new("--salt", "2")
    is_new("--file", "other.db")
    is_new("-e", "VAR")
    is_new("-e", "VAR", env={"VAR": ""})
    is_new("-e", "VAR", env={"VAR": "1"})
    is_new("--as", "text")
    is_new("-i", "create.py")
    assert project.key() in seen


def test_defaults_and_order_do_not_matter(project):
    assert project.key("--file", "app.db") == project.key()
    env = {"A": "1", "B": "2"}
    assert project.key("-e", "A", "-e", "B", env=env) == project.key(
        "--env", "B", "--env=A", "-e", "A", env=env
    )
    assert (
        project.key("-i", "create.py")
        == project.key("--input", "create.py", "-i", ".", "-x", "mintfs.conf")
        != ""
    )
    assert project.key("-i", "migrations/0.sql") == project.key()
    assert project.key("-i", "migrations/**") == project.key("-i", "./migrations/") == project.key()


def test_arguments_below_the_root_count_by_their_relative_path(project, tmp_path):
    other = project.clone(tmp_path / "elsewhere")

    def builder(p):
        return [
            "/usr/bin/python3",
            p.root / "create.py",
            f"--config={p.root}/a.ini",
            p.root,
            "x/../y",
        ]

    key = project.key(builder=builder(project))
    assert key == other.key(builder=builder(other))
    assert key == project.key(builder=["python3", "create.py", "--config=a.ini", ".", "x/../y"])
    link = tmp_path / "link"
    link.symlink_to(project.root)
    assert key == project.key(
        builder=["python3", link / "create.py", f"--config={link}/b/../a.ini", f"{link}/", "x/../y"]
    )


def test_a_path_elsewhere_is_warned_of_and_counts_as_typed(project):
    done = project.run("key", "-i", "migrations", "--", "/usr/bin/python3", "/usr/share/x", "y")
    assert done.stderr.count("\n") == 1
    assert 'warning: the builder\'s argument "/usr/share/x"' in done.stderr
    assert "--as" in done.stderr
    done = project.run("key", "-i", "migrations", "--as", "x", "--", "python3", "/usr/share/x")
    assert done.stderr == ""
    done = project.run("key", "-i", "migrations", "--", "python3", f"sqlite:///{project.root}/x.db")
    assert "names the place of this checkout" in done.stderr


def test_as_stands_for_all_arguments(project):
    a = project.key("--as", "make", builder=["python3", "a"])
    assert a == project.key("--as", "make", builder=["/opt/ruby", "b", "c"])
    assert a != project.key("--as", "make2", builder=["python3", "a"])


def test_the_directory_below_the_root_counts_with_relative_arguments(project):
    for name in ("a", "b"):
        (project.root / name).mkdir()
    keys = {
        project.key("--root", root, cwd=cwd, builder=["make.sh"])
        for root, cwd in (
            (".", project.root),
            ("..", project.root / "a"),
            ("..", project.root / "b"),
        )
    }
    assert len(keys) == 3


def test_key_needs_and_makes_no_store(project):
    project.key()
    assert not project.store.exists()
    project.run("key", "--", "true", env={"HOME": "", "MINTFS_STORE": ""})


def test_the_store_is_no_input(project):
    inside = project.root / "migrations/cache"
    env = {"MINTFS_STORE": str(inside)}
    before = project.key(env=env)
    assert project.build(env=env) == before
    assert project.build(env=env) == before == project.key(env=env)


def test_links_among_inputs(project, tmp_path):
    migrations = project.root / "migrations"
    (project.root / "shared").mkdir()
    (project.root / "shared/a.sql").write_text("-- a")
    before = project.key()
    (migrations / "a.sql").symlink_to("../shared/a.sql")
    linked = project.key()
    assert linked != before
    (project.root / "shared/a.sql").write_text("-- b")
    changed = project.key()
    assert changed not in (linked, before)
    (migrations / "a.sql").unlink()
    (migrations / "dir").symlink_to("../shared")
    in_dir = project.key()
    (project.root / "shared/a.sql").write_text("-- c")
    assert project.key() not in (in_dir, changed)
    (project.root / "shared/loop").symlink_to("..")
    (project.root / "shared/again").symlink_to(".")
    project.key()
    (migrations / "outside").symlink_to(tmp_path)
    message = project.fail("key", "-i", "migrations", "--", "true")
    assert "migrations/outside: leads outside the root" in message
    (migrations / "outside").unlink()
    (migrations / "dangling").symlink_to("nowhere")
    message = project.fail("key", "-i", "migrations", "--", "true")
    assert "migrations/dangling: a symbolic link that leads nowhere" in message


def test_patterns_do_not_explode(project):
    deep = project.root / "deep"
    here = deep
    for _ in range(60):
        here = here / "a"
    here.mkdir(parents=True)
    (here / "x.sql").write_text("")
    start = time.monotonic()
    project.run("key", "-i", "**/" * 25 + "*.sql", "--", "true")
    pattern = "*a" * 200 + "b"
    (project.root / ("a" * 250)).write_text("")
    project.fail("key", "-i", pattern, "--", "true")
    # Exponential would be years; this bound is no timing of ours.
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "args, message",
    [
        (["-i", "nothing"], "input nothing: no such file or directory"),
        (["-i", "*.nothing"], "input *.nothing matches no file"),
        (["-i", "migrations/**/x"], "input migrations/**/x matches no file"),
        (["-i", "empty"], "input empty matches no file"),
        (["-i", "migrations", "-x", "*.sql"], "input migrations matches no file"),
        (["-i", ".."], "input .. is outside the root"),
        (["-i", "../*"], "input ../* is outside the root"),
        (["-i", "migrations/../../x"], "is outside the root"),
        (["-i", "/etc/passwd"], "input /etc/passwd is outside the root"),
        (["-i", ""], "an input is empty"),
        (["-i", "migrations/[a"], "makes no sense"),
        (["-x", "[a", "-i", "migrations"], "makes no sense"),
        (["-i", "pipe"], "pipe: a named pipe"),
        (["-i", "odd"], "odd/socket: a socket"),
        (["-e", "A=B"], '--env "A=B": give the variable\'s name alone'),
        (["-e", ""], "give the variable's name alone"),
        (["--root", "nowhere"], "root nowhere: No such file"),
        (["--root", "create.py"], "root create.py: Not a directory"),
        (["--file", "../x"], "--file ../x: must be a relative path"),
        (["--file", "/x"], "--file /x: must be a relative path"),
        (["--file", ""], "must be a relative path"),
        (["--file", "a" * 256], "must be a relative path"),
        (["-n", "abcd"], '"abcd" cannot be a name'),
        (["-n", "a/b"], "cannot be a name"),
        (["-n", "a" * 65], "cannot be a name"),
        (["-n", ".a"], "cannot be a name"),
        (["-q"], "unknown option -q"),
        (["--nonsense"], "unknown option --nonsense"),
    ],
)
def test_bad_arguments(project, args, message):
    (project.root / "empty").mkdir()
    (project.root / "odd").mkdir()
    os.mkfifo(project.root / "pipe")
    with socket.socket(socket.AF_UNIX) as s:
        cwd = os.getcwd()
        os.chdir(project.root)
        s.bind("odd/socket")
        os.chdir(cwd)
    for command in ("key", "build"):
        assert message in project.fail(command, *args, "--", "true")
    if project.store.exists():
        assert project.leftovers() == []


def test_bad_usage(project):
    assert "a value is missing behind -i" in project.fail("key", "-i")
    assert "no builder behind --" in project.fail("build", "--")
    assert "and no mintfs.conf here" in project.fail("build")
    assert "a builder goes behind --" in project.fail("build", "unit")
    assert "before python3" in project.fail("build", "python3", "create.py")
    assert "unknown option --to" in project.fail("key", "--to", "x", "--", "true")
    assert project.run("build", "--help").stdout.startswith("usage: mintfs build ")
    assert "takes no operand" in project.fail("ls", "x", status=2)
    assert "unknown option" in project.fail("ls", "--nonsense", status=2)


def test_an_unreadable_input(ordinary):
    project = ordinary
    (project.root / "migrations/0.sql").chmod(0)
    assert "migrations/0.sql: Permission denied" in project.fail(
        "key", "-i", "migrations", "--", "true"
    )


def test_an_input_that_vanishes_while_it_is_read(project):
    """Files come and go beneath `key`: it must answer with a key or this one message."""
    many = project.root / "many"
    many.mkdir()
    for i in range(3000):
        (many / f"{i:05}").write_text("x" * 100)
    seen = 0
    rng = seeded("vanishing")
    for _ in range(40):
        process = project.start("key", "-i", "many", "--", "true")
        victims = []
        while process.poll() is None:
            victim = many / f"{rng.randrange(3000):05}"
            if victim.exists():
                victim.unlink()
                victims.append(victim)
        out, err = process.communicate()
        if process.returncode == 0:
            assert KEY.fullmatch(out) and err == ""
        else:
            assert process.returncode == 125 and out == ""
            assert re.fullmatch(r"mintfs: input many/\d+: vanished while it was read\n", err)
            seen += 1
        for victim in victims:
            victim.write_text("x" * 100)
    assert seen, "it never met a file that had vanished"


# ---- mintfs.conf ----


def test_conf(project):
    (project.root / "mintfs.conf").write_text(
        "# templates\n[unit]\ninput = migrations/0.sql\n    migrations/1.sql\n"
        "input = migrations/2.sql\nexclude = *.md\nenv = SEED\nsalt = a b ; c\nfile = data/x.db\n"
        f"builder = {sys.executable} -c\n"
        "  \"import os, sys; open(sys.argv[1], 'w').write('; # ' + sys.argv[2])\"\n"
        "  {out} 'two words'\n"
    )
    done = project.run("build")
    key = done.stdout.strip()
    assert (project.template(key) / "files/data/x.db").read_text() == "; # two words"
    assert project.run("key", "unit").stdout.strip() == key
    assert project.run("key", env={"SEED": "1"}).stdout.strip() != key
    manifest = project.manifest(key)
    assert manifest["name"] == "unit" and manifest["salt"] == "a b ; c"
    assert [i["path"] for i in manifest["inputs"]] == [f"migrations/{i}.sql" for i in range(3)]
    assert manifest["environment"] == ["SEED"]
    # Flags add and replace.
    assert project.run("key", "-i", "create.py").stdout.strip() != key
    assert project.run("build", "-n", "other").stdout.strip() == key
    assert project.templates()[0]["names"] == ["other", "unit"]
    # A builder on the command line: the file is not even read.
    (project.root / "mintfs.conf").write_text("nonsense")
    project.build()


def test_conf_with_several_sections(project):
    (project.root / "mintfs.conf").write_text(
        "[unit]\ninput = migrations\nbuilder = sh -c 'echo 1 > $MINTFS_OUT'\n"
        "[e2e]\ninput = migrations\nbuilder = sh -c 'echo 2 > $MINTFS_OUT'\n"
    )
    assert "several templates, say which: unit, e2e" in project.fail("build")
    assert "no [it]; there is: unit, e2e" in project.fail("build", "it")
    key = project.run("build", "e2e").stdout.strip()
    assert (project.template(key) / "files/app.db").read_text() == "2\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("[a]\nbuilder = x\nbulider = x\n", 'mintfs.conf:3: unknown key "bulider"'),
        ("[a]\nbuilder = 'x\n", "mintfs.conf:2: a quote is not closed"),
        ("builder = x\n", "mintfs.conf:1: before the first [NAME]"),
        ("[a]\n[a]\n", "mintfs.conf:2: [a] stands twice"),
        ("[a b]\n", "mintfs.conf:1: [a b]: a name is"),
        ("[a\n", "mintfs.conf:1: a section is [NAME]"),
        ("[a]\nsalt = 1\nsalt = 2\n", 'mintfs.conf:3: "salt" has one value'),
        ("[a]\nbuilder\n", "mintfs.conf:2: neither [NAME] nor KEY = VALUE"),
        ("[a]\ninput = x\n", "[a] names no builder"),
        ("", "no [NAME] section"),
        ("[a]\nbuilder = x\n[b]\nnonsense = x\n", "mintfs.conf:4: unknown key"),
        ("[a]\0\n", "not a text file"),
    ],
)
def test_bad_conf(project, text, message):
    (project.root / "mintfs.conf").write_text(text)
    assert message in project.fail("key")
    assert message in project.fail("build")


# ---- many at once ----


def test_32_builds_at_once_run_the_builder_once(project):
    builder = project.builder("wal", "0.5")
    processes = [
        project.start("build", "-i", "migrations", "-n", "unit", "--", *builder) for _ in range(32)
    ]
    done = [p.communicate(timeout=1500) for p in processes]
    assert [p.returncode for p in processes] == [0] * 32, [e for _, e in done]
    assert len({out for out, _ in done}) == 1 and KEY.fullmatch(done[0][0])
    assert project.runs() == 1
    waiting = [err for _, err in done if "waiting for" in err]
    assert all(err.count("\n") == 1 for err in waiting)
    for err in waiting:
        assert re.fullmatch(
            r"mintfs: waiting for (pid \d+|another process), which builds [0-9a-f]{12}( \(unit\))?\n",
            err,
        )
    assert len(waiting) >= 16
    assert project.leftovers() == []
    (row,) = project.templates()
    assert row["hits"] == 31


def test_two_keys_build_side_by_side(project):
    """Each builder waits for the other's traces: one after the other would never end."""
    script = "touch ../{0}; while ! test -e ../{1}; do sleep 0.01; done; echo > $MINTFS_OUT"
    a = project.start("build", "--", *shell(script.format("a", "b")))
    b = project.start("build", "--", *shell(script.format("b", "a")))
    assert a.wait(30) == 0 and b.wait(30) == 0
    a.communicate(), b.communicate()


def test_a_waiter_builds_when_the_builder_fails(project):
    (project.root / "build.sh").write_text(
        "echo run >> ../runs; if test -e ../failed; then echo ok > $MINTFS_OUT; exit 0; fi;"
        "touch ../failed; while ! test -e ../go; do sleep 0.01; done; exit 3"
    )
    first = project.start("build", "--", "sh", "build.sh")
    eventually(lambda: project.runs() == 1, "the first builder")
    second = project.start("build", "--", "sh", "build.sh")
    eventually(lambda: "waiting" in second.stderr.readline(), "the second to wait")
    (project.root.parent / "go").touch()
    assert first.wait(30) == 3
    assert second.wait(30) == 0
    assert project.runs() == 2
    first.communicate(), second.communicate()


def test_killed_at_random_moments(project):
    """SIGKILL to mintfs build, and to its builder: the next build succeeds, ls shows whole ones."""
    rng = seeded("killed")
    pids = project.root.parent / "pids"
    builder = shell(
        "echo $$ > ../pids.new; mv ../pids.new ../pids;"
        f"exec {sys.executable} create.py $MINTFS_OUT ../runs wal 0.05"
    )
    for round_ in range(20):
        pids.unlink(missing_ok=True)
        options = ["-i", "migrations", "--salt", str(round_), "-n", "unit"]
        process = project.start("build", *options, "--", *builder)
        target = "mintfs" if round_ % 2 else "builder"
        if target == "builder":
            eventually(lambda: pids.exists() or process.poll() is not None, "the builder")
            time.sleep(rng.uniform(0, 0.15))
            try:
                os.kill(int(pids.read_text()), signal.SIGKILL)
            except (ProcessLookupError, FileNotFoundError):
                pass
        else:
            time.sleep(rng.uniform(0, 0.25))
            process.kill()
        shown = project.templates()
        for row in shown:
            manifest = project.manifest(row["key"])
            for entry in manifest["entries"]:
                data = (project.template(row["key"]) / "files" / entry["path"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        process.communicate(timeout=1500)
        assert process.returncode in ((0, 137) if target == "builder" else (0, -9))
        if pids.exists():
            pid = int(pids.read_text())
            eventually(lambda: not is_alive(pid), "the builder to be gone")
        key = project.build(*options[2:], builder=builder)
        assert len(rows(project.template(key) / "files/app.db")) == 3
        assert project.leftovers() == [], target
    assert len(project.templates()) == 20


def children_gone(project) -> bool:
    file = project.root.parent / "children"
    return not any(is_alive(int(pid)) for pid in file.read_text().split())


# Children and grandchildren, one of them in a session of its own and deaf to polite signals.
FAMILY = (
    "trap 'echo got INT >&2; exit 9' INT; trap 'echo got TERM >&2; exit 9' TERM;"
    "trap 'echo got HUP >&2; exit 9' HUP;"
    "sleep 1000 & echo $! >> ../children;"
    "setsid sh -c 'trap \"\" INT TERM HUP; echo $$ >> ../children; sleep 1000' &"
    "while test $(wc -l < ../children) -lt 2; do sleep 0.01; done;"
    "echo x > $MINTFS_OUT; touch ../started; while :; do sleep 0.02; done"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_builder_and_leave_nothing(project, number):
    process = project.start("build", "--", *shell(FAMILY))
    eventually((project.root.parent / "started").exists, "the builder")
    process.send_signal(number)
    out, err = process.communicate(timeout=1500)
    assert process.returncode == -number
    assert out == "" and f"got {number.name[3:]}\n" in err
    assert children_gone(project)
    assert project.leftovers() == [] and project.templates() == []


def test_a_killed_mintfs_takes_its_builder_along(project):
    process = project.start("build", "--", *shell(FAMILY))
    eventually((project.root.parent / "started").exists, "the builder")
    process.kill()
    process.communicate(timeout=1500)
    eventually(lambda: children_gone(project), "the builder's family to be gone")
    assert len(project.leftovers()) >= 1
    project.build()
    assert project.leftovers() == []


def test_a_parent_that_ignores_its_children(project):
    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    process = project.start("build", "--", *shell("echo > $MINTFS_OUT"), preexec_fn=ignore)
    assert process.wait(30) == 0
    process.communicate()


def test_a_second_signal_does_not_wait(project):
    script = "trap '' INT TERM; touch ../started; while :; do sleep 0.02; done"
    process = project.start("build", "--", *shell(script))
    eventually((project.root.parent / "started").exists, "the builder")
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=1500)
    assert process.returncode == -signal.SIGINT
    assert time.monotonic() - start < 4
    assert project.leftovers() == []


def test_a_waiter_can_be_interrupted(project):
    script = "touch ../started; while ! test -e ../go; do sleep 0.02; done; echo > $MINTFS_OUT"
    first = project.start("build", "--", *shell(script))
    eventually((project.root.parent / "started").exists, "the builder")
    second = project.start("build", "--", *shell(script))
    assert "waiting for pid" in second.stderr.readline()
    second.send_signal(signal.SIGTERM)
    assert second.wait(30) == -signal.SIGTERM
    (project.root.parent / "go").touch()
    assert first.wait(30) == 0
    first.communicate(), second.communicate()


# ---- builders that fail ----


@pytest.mark.parametrize(
    "script, status, message",
    [
        ("exit 7", 7, "builder sh exited with 7; nothing is published"),
        ("kill -KILL $$", 137, "ended by signal 9 (Killed)"),
        ("kill -SEGV $$", 139, "ended by signal 11"),
        (
            ":",
            125,
            "it may have migrated another database: check DATABASE_URL, or sqlalchemy.url in alembic.ini",
        ),
        (
            "ln -s /etc/passwd $MINTFS_DIR/l",
            125,
            "l -> /etc/passwd: a symbolic link that leads out",
        ),
        (
            "mkdir $MINTFS_DIR/d; ln -s ../../x $MINTFS_DIR/d/l",
            125,
            "d/l -> ../../x: a symbolic link that leads out",
        ),
        ("cd $MINTFS_DIR; ln -s . here; ln -s here/.. out", 125, "a symbolic link that leads out"),
        ("mkfifo $MINTFS_DIR/p", 125, "left p: a named pipe"),
        (
            f'{sys.executable} -c \'import os, socket; os.chdir(os.environ["MINTFS_DIR"]); socket.socket(1).bind("s")\'',
            125,
            "left s: a socket",
        ),
        ("echo broken > $MINTFS_DIR/x; mkdir $MINTFS_DIR/app.db", 125, "but not app.db"),
        ("printf 'SQLite format 3\\0garbage' > $MINTFS_OUT", 125, "broken database: app.db"),
        (
            f"{sys.executable} create.py $MINTFS_OUT ../runs && head -c 8192 $MINTFS_OUT > ../h && cp ../h $MINTFS_OUT",
            125,
            "broken database: app.db",
        ),
    ],
)
def test_builders_that_leave_what_cannot_be_a_template(project, script, status, message):
    builder = shell(script) + (["{out}"] if "but not" in message else [])
    assert message in project.fail("build", "--", *builder, status=status)
    assert project.leftovers() == [] and project.templates() == []


@needs_root
def test_a_device_is_refused(project):
    message = project.fail("build", "--", *shell("mknod $MINTFS_DIR/n c 1 3"), status=125)
    assert "left n: a device" in message
    assert project.templates() == []


def test_builders_that_cannot_run(project):
    (project.root / "noexec.sh").write_text("#!/bin/sh\n")
    assert "cannot run the builder no-such-program" in project.fail(
        "build", "--", "no-such-program", status=127
    )
    assert "Permission denied" in project.fail("build", "--", "./noexec.sh", status=126)
    assert project.leftovers() == []


def test_the_named_file_must_be_there(project):
    message = project.fail("build", "--file", "x.db", "--", *shell("echo > $MINTFS_DIR/y.db"))
    assert "but not x.db" in message
    # Without a name, and without {out}, whatever lies there is the template.
    key = project.build(builder=shell("echo > $MINTFS_DIR/y.db"))
    assert [e["path"] for e in project.manifest(key)["entries"]] == ["y.db"]


def test_the_only_database_is_the_one_that_people_mean(project):
    builder = [sys.executable, "create.py", "{dir}/shop.sqlite", "../runs"]
    key = project.build("--to", "copy.db", builder=builder)
    assert project.manifest(key)["file"] == "shop.sqlite"
    assert len(rows(project.root / "copy.db")) == 3


def test_an_input_that_the_builder_changes(project):
    message = project.fail(
        "build", "-i", "migrations", "--", *shell("echo > migrations/9.sql; echo > $MINTFS_OUT")
    )
    assert "input migrations/9.sql was added while the builder ran" in message
    message = project.fail(
        "build", "-i", "migrations", "--", *shell("echo -- >> migrations/9.sql; echo > $MINTFS_OUT")
    )
    assert "input migrations/9.sql was changed while the builder ran" in message
    message = project.fail(
        "build", "-i", "migrations", "--", *shell("rm migrations/9.sql; echo > $MINTFS_OUT")
    )
    assert "input migrations/9.sql was removed while the builder ran" in message
    assert project.templates() == [] and project.leftovers() == []


def test_a_builder_that_asks_for_its_own_template(project):
    (project.root / "build.sh").write_text(f"{MINTFS} build -i migrations -- sh build.sh")
    message = project.fail("build", "-i", "migrations", "--", "sh", "build.sh", status=125)
    assert "asks for the very template that it makes" in message
    # Another one is fine.
    (project.root / "outer.sh").write_text(
        f"k=$({MINTFS} build -- sh -c 'echo inner > $MINTFS_OUT') && echo $k > $MINTFS_OUT"
    )
    key = project.build(builder=["sh", "outer.sh"])
    inner = (project.template(key) / "files/app.db").read_text().strip()
    assert (project.template(inner) / "files/app.db").read_text() == "inner\n"


def test_a_process_that_goes_on_writing(project):
    script = (
        "exec 9<>$MINTFS_OUT; echo x >&9; (sleep 1000 >/dev/null 2>&1 & echo $! > ../children);"
        "touch ../started"
    )
    message = project.fail("build", "--", *shell(script))
    assert "app.db: a process still has it open for writing" in message
    eventually(lambda: children_gone(project), "the process to be gone")
    assert project.templates() == [] and project.leftovers() == []


def test_a_process_that_keeps_the_database_open(project):
    script = (
        "import os, sqlite3, sys, time; db = sqlite3.connect(sys.argv[1]);"
        "db.execute('pragma journal_mode=wal'); db.execute('create table t(a)');"
        "ready, tell = os.pipe(); os.fork() and (os.close(tell), os.read(ready, 1), os._exit(0));"
        "db = sqlite3.connect(sys.argv[1]); db.execute('select * from t').fetchall();"
        "open('../children', 'w').write(str(os.getpid())); os.write(tell, b'.'); time.sleep(1000)"
    )
    message = project.fail("build", "--", sys.executable, "-c", script, "{out}")
    assert "app.db" in message and "process still" in message
    eventually(lambda: children_gone(project), "the process to be gone")
    assert project.templates() == [] and project.leftovers() == []


def test_hard_links_to_files_outside_are_cut(project):
    outside = project.root / "outside.db"
    with sqlite3.connect(outside) as db:
        db.execute("pragma journal_mode=wal")
        db.execute("create table t(a)")
    db.close()
    before = outside.read_bytes()
    key = project.build(builder=shell("ln outside.db $MINTFS_OUT || cp outside.db $MINTFS_OUT"))
    assert outside.read_bytes() == before
    assert outside.stat().st_nlink == 1 and outside.stat().st_mode & 0o200
    assert project.manifest(key)["entries"][0]["wal"] is True


def test_the_builder_inherits_no_descriptor(project):
    script = (
        "import os, sys; here = '/proc/self/fd/'; open_now = os.listdir(here);"
        "links = [f for f in open_now if int(f) > 2 and os.path.lexists(here + f)];"
        "open(sys.argv[1], 'w').write(repr(links))"
    )
    key = project.build(builder=[sys.executable, "-c", script, "{out}"])
    assert (project.template(key) / "files/app.db").read_text() == "[]"


# ---- sealing ----


def sealed(project, script, *more):
    """Builds with a Python script that has `db`, a connection, and `path`."""
    text = (
        "import os, sqlite3, sys; path = sys.argv[1]; db = sqlite3.connect(path)\n"
        + script
        + "\ndb.commit(); db.close()\n"
    )
    (project.root / "seal.py").write_text(text)
    return project.run("build", "-i", "seal.py", "--", sys.executable, "seal.py", "{out}", *more)


@pytest.mark.parametrize(
    "script",
    [
        "db.create_function('mine', 1, lambda x: x, deterministic=True)\n"
        "db.executescript('create table t(a); create index i on t(mine(a)); insert into t values(1)')",
        "db.create_function('mine', 1, lambda x: x, deterministic=True)\n"
        "db.executescript('create table t(a check(mine(a) = a)); insert into t values(1)')",
        "db.create_collation('mine', lambda a, b: (a < b) - (a > b))\n"
        "db.executescript('create table t(a text collate mine primary key) without rowid;"
        "create index i on t(a collate mine); insert into t values(1), (2), (3)')",
    ],
)
def test_what_only_the_application_knows_is_a_warning(project, script):
    done = sealed(project, script)
    key = done.stdout.strip()
    assert "warning: app.db: integrity_check could not judge all of it" in done.stderr
    (warning,) = project.manifest(key)["warnings"]
    assert "mine" in warning


def test_an_unknown_module_and_newer_sql(project):
    done = sealed(
        project,
        "db.executescript('create table t(a); insert into t values(1); create view v as select 1;"
        "create virtual table f using fts5(x); pragma writable_schema=1')\n"
        "db.execute(\"update sqlite_schema set sql = replace(sql, 'fts5', 'nobody') where name = 'f'\")\n"
        "db.execute(\"update sqlite_schema set sql = 'CREATE VIEW v AS SELECT a FROM WHERE WHERE' where name = 'v'\")",
    )
    key = done.stdout.strip()
    assert any("malformed database schema (v)" in w for w in project.manifest(key)["warnings"])


def test_a_broken_constraint_is_a_warning(project):
    done = sealed(
        project,
        "db.executescript('create table t(a check(a > 0)); pragma ignore_check_constraints=1;"
        "insert into t values(-1)')",
    )
    assert "CHECK constraint failed in t" in done.stderr


@pytest.mark.parametrize(
    "helper",
    [
        "",
        "db.create_function('mine', 1, lambda x: x, deterministic=True)\ndb.executescript('create table m(a); create index mi on m(mine(a)); insert into m values(1)')\n",
    ],
)
def test_corruption_is_refused(project, helper):
    script = (
        helper + "db.executescript('create table t(a); create index i on t(a)')\n"
        "db.executemany('insert into t values(?)', [(os.urandom(100),) for _ in range(1000)])\n"
        "db.commit(); db.close()\n"
        "f = open(path, 'r+b'); f.seek(4096 * 12 + 8); f.write(os.urandom(3000)); f.close()\n"
        "db = sqlite3.connect(':memory:')"
    )
    (project.root / "seal.py").write_text(
        "import os, sqlite3, sys; path = sys.argv[1]; db = sqlite3.connect(path)\n" + script
    )
    message = project.fail("build", "--", sys.executable, "seal.py", "{out}")
    assert "builder left a broken database: app.db" in message
    assert project.templates() == []


def test_an_index_that_disagrees_is_corruption(project):
    (project.root / "seal.py").write_text(
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.executescript('create table t(a); create index i on t(a); insert into t values(1), (2);"
        "pragma writable_schema=1')\n"
        "db.execute(\"update sqlite_schema set sql = 'create index i on t(a) where a > 1' where name = 'i'\")\n"
    )
    assert "wrong # of entries in index i" in project.fail(
        "build", "--", sys.executable, "seal.py", "{out}"
    )


def test_encrypted_files_are_opaque(project):
    header = bytearray(b"SQLite format 3\0" + b"\x10\0\1\1\x50\x40\x20\x20" + os.urandom(8))
    (project.root / "plain-header").write_bytes(bytes(header) + os.urandom(8160))
    (project.root / "whole").write_bytes(os.urandom(8192))
    (project.root / "whole-wal").write_bytes(os.urandom(100))
    key = project.build(builder=shell("cp plain-header whole whole-wal $MINTFS_DIR"))
    entries = project.manifest(key)["entries"]
    assert [e["path"] for e in entries] == ["plain-header", "whole", "whole-wal"]
    assert not any(e.get("sqlite") for e in entries)
    for entry in entries:
        data = (project.root / entry["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]


def test_pages_of_all_kinds_stay_as_they_are(project):
    for page_size in (512, 4096, 65536):
        for vacuum in (0, 1, 2):
            key = sealed(
                project,
                f"db.executescript('pragma page_size={page_size}; pragma auto_vacuum={vacuum};"
                "pragma application_id=77; pragma user_version=5; pragma journal_mode=wal;"
                "create table t(a); insert into t values(zeroblob(100000))')",
                f"{page_size}-{vacuum}",
            ).stdout.strip()
            with sqlite3.connect(
                f"file:{project.template(key)}/files/app.db?immutable=1", uri=True
            ) as db:
                for pragma, value in (
                    ("page_size", page_size),
                    ("auto_vacuum", vacuum),
                    ("application_id", 77),
                    ("user_version", 5),
                ):
                    assert db.execute(f"pragma {pragma}").fetchone() == (value,)
            db.close()


def test_triggers_do_not_run_and_rows_stay(project):
    script = (
        "db.executescript('pragma journal_mode=wal; create table t(a); create table log(a);"
        "create trigger r after insert on t begin insert into log values(new.a); end;"
        "insert into t values(1)')"
    )
    key = sealed(project, script).stdout.strip()
    assert rows(project.template(key) / "files/app.db") == [("log", [(1,)]), ("t", [(1,)])]


# ---- --to ----


def test_to_places_the_file(project):
    target = project.root / "build/sub/.template.db"
    key = project.build("--to", target, builder=project.builder("wal"))
    assert target.read_bytes()[18:20] == b"\2\2"
    with sqlite3.connect(target) as db:
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
        db.execute("insert into t0 values(9, 'mine')")
    db.close()
    # A hit replaces what has changed, and its side files, which belong to the old content.
    Path(f"{target}-wal").write_bytes(b"stale")
    assert project.build("--to", target, builder=project.builder("wal")) == key
    assert not Path(f"{target}-wal").exists()
    assert rows(target)[0] == ("t0", [(0, "ünï")])
    # And leaves alone what has not.
    before = target.stat()
    project.build("--to", target, builder=project.builder("wal"))
    assert target.stat().st_ino == before.st_ino and target.stat().st_mtime_ns == before.st_mtime_ns
    assert [p.name for p in target.parent.iterdir()] == [".template.db"]


def test_to_a_bad_place(project):
    (project.root / "dir").mkdir()
    for place in ("dir", "new/", ""):
        project.fail("build", "-i", "migrations", "--to", place, "--", *project.builder())
    assert project.runs() == 0
    message = project.fail("build", "--to", "create.py/x", "--", *shell("echo > $MINTFS_OUT"))
    assert "--to create.py/x" in message
    message = project.fail(
        "build", "--to", "x", "--", *shell("echo > $MINTFS_DIR/a; echo > $MINTFS_DIR/b")
    )
    assert "the template holds no file app.db" in message
    assert not (project.root / "x").exists()


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


def test_a_store_that_others_can_write(project):
    project.build()
    project.store.chmod(0o770)
    message = project.fail("build", "--", "true")
    assert f"chmod go-w '{project.store}'" in message
    assert f"chmod go-w '{project.store}'" in project.fail("ls", status=1)
    subprocess.run(["chmod", "go-w", project.store], check=True)
    project.build()
    (project.store / "v1/templates").chmod(0o777)
    assert f"chmod go-w '{project.store}/v1/templates'" in project.fail("build", "--", "true")


def test_a_store_that_is_not_ours(project):
    project.store.mkdir()
    (project.store / "thesis.txt").write_text("years of work")
    message = project.fail("build", "--", "true")
    assert f"{project.store} is not a store of mintfs" in message and "MINTFS_STORE" in message
    assert [p.name for p in project.store.iterdir()] == ["thesis.txt"]


@needs_root
def test_a_store_of_another_user(project):
    project.store.mkdir()
    os.chown(project.store, 12345, 12345)
    assert "belongs to user 12345, not to you (0)" in project.fail("build", "--", "true")


def test_a_store_that_is_a_file(project):
    project.store.write_text("")
    assert f"store {project.store}: Not a directory" in project.fail("build", "--", "true")


def test_where_the_store_is(project, tmp_path):
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


def test_a_read_only_store(ordinary):
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
def test_a_read_only_file_system(project, tmp_path):
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
def test_a_full_disk(project, size):
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


def test_a_catalog_of_a_later_version_is_left_alone(project):
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


def test_a_template_brought_by_tar(project, tmp_path):
    key = project.build("-n", "unit")
    env = {"MINTFS_STORE": str(tmp_path / "second")}
    project.run("ls", env=env)
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
    # The label of its manifest came along, since nothing here had it.
    assert (row["names"], row["hits"]) == (["here", "unit"], 1)


@pytest.mark.parametrize("how", ["flip", "shorten", "remove", "link", "manifest", "other"])
def test_a_damaged_template_from_elsewhere_is_built_anew(project, tmp_path, how):
    key = project.build()
    env = {"MINTFS_STORE": str(tmp_path / "second")}
    project.run("ls", env=env)
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
    assert str(there) in done.stderr and "is put aside and built anew" in done.stderr
    assert len(re.findall("(?m)^mintfs: .*(damaged|put aside)", done.stderr)) == 2
    assert project.runs() == 2
    assert len(rows(file)) == 3
    assert list((tmp_path / "second/v1/building").iterdir()) == []


def test_ls_for_people(project):
    assert "no templates in" in project.run("ls").stderr
    key = project.build("-n", "unit")
    head, line = project.run("ls").stdout.splitlines()
    assert head.split()[:3] == ["NAME", "KEY", "SIZE"]
    assert line.split()[:2] == ["unit", key[:12]]
