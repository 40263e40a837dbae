"""What a key depends on, and mintfs.conf."""

import os
import re
import shutil
import socket
import sys
import time

import pytest

from support.basics import needs_root, seeded
from support.checkouts import KEY


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
        link = tmp_path / ".nox" / session / "bin/sh"
        link.parent.mkdir(parents=True)
        link.symlink_to("/bin/sh")
        assert project.build(builder=project.builder(shell=str(link))) == key
    assert project.runs() == 1


@needs_root
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
    is_new("-i", "create.sh")
    assert project.key() in seen


def test_defaults_and_order_do_not_matter(project):
    assert project.key("--file", "app.db") == project.key()
    env = {"A": "1", "B": "2"}
    assert project.key("-e", "A", "-e", "B", env=env) == project.key(
        "--env", "B", "--env=A", "-e", "A", env=env
    )
    assert (
        project.key("-i", "create.sh")
        == project.key("--input", "create.sh", "-i", ".", "-x", "mintfs.conf")
        != ""
    )
    assert project.key("-i", "migrations/0.sql") == project.key()
    assert project.key("-i", "migrations/**") == project.key("-i", "./migrations/") == project.key()


def test_arguments_below_the_root_count_by_their_relative_path(project, tmp_path):
    other = project.clone(tmp_path / "elsewhere")

    def builder(p):
        return [
            "/usr/bin/python3",
            p.root / "create.sh",
            f"--config={p.root}/a.ini",
            p.root,
            "x/../y",
        ]

    key = project.key(builder=builder(project))
    assert key == other.key(builder=builder(other))
    assert key == project.key(builder=["python3", "create.sh", "--config=a.ini", ".", "x/../y"])
    link = tmp_path / "link"
    link.symlink_to(project.root)
    assert key == project.key(
        builder=["python3", link / "create.sh", f"--config={link}/b/../a.ini", f"{link}/", "x/../y"]
    )


def test_a_path_outside_the_root_is_a_warning_and_counts_as_typed(project):
    done = project.run("key", "-i", "migrations", "--", "/usr/bin/python3", "/usr/share/x", "y")
    assert done.stderr.count("\n") == 1
    assert 'warning: the builder\'s argument "/usr/share/x"' in done.stderr
    assert "--as" in done.stderr
    done = project.run("key", "-i", "migrations", "--as", "x", "--", "python3", "/usr/share/x")
    assert done.stderr == ""
    done = project.run("key", "-i", "migrations", "--", "python3", f"sqlite:///{project.root}/x.db")
    assert "contains the path of this checkout" in done.stderr


def test_as_replaces_all_arguments(project):
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


def test_key_neither_needs_nor_makes_a_store(project):
    project.key()
    assert not project.store.exists()
    project.run("key", "--", "true", env={"HOME": "", "MINTFS_STORE": ""})


def test_the_store_is_not_an_input(project):
    inside = project.root / "migrations/cache"
    env = {"MINTFS_STORE": str(inside)}
    before = project.key(env=env)
    assert project.build(env=env) == before
    assert project.build(env=env) == before == project.key(env=env)


def test_links_among_inputs_count_once_and_stay_inside_the_root(project, tmp_path):
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


def test_patterns_take_linear_time(project):
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
    # Exponential time would be years.
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
        (["-i", "migrations/[a"], "pattern is not valid"),
        (["-x", "[a", "-i", "migrations"], "pattern is not valid"),
        (["-i", "pipe"], "pipe: a named pipe"),
        (["-i", "odd"], "odd/socket: a socket"),
        (["-e", "A=B"], '--env "A=B": give the variable\'s name alone'),
        (["-e", ""], "give the variable's name alone"),
        (["--root", "nowhere"], "root nowhere: No such file"),
        (["--root", "create.sh"], "root create.sh: Not a directory"),
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
def test_bad_arguments_are_errors(project, args, message):
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


def test_bad_usage_exits_with_2_or_125(project):
    assert "-i wants a path" in project.fail("key", "-i")
    assert "no builder after --" in project.fail("build", "--")
    assert "and no mintfs.conf here or in a directory above" in project.fail("build")
    assert "a builder goes after --" in project.fail("build", "unit")
    assert "before python3" in project.fail("build", "python3", "create.sh")
    assert "unknown option --to" in project.fail("key", "--to", "x", "--", "true")
    assert project.run("build", "--help").stdout.startswith("usage: mintfs build ")
    assert "takes no operand" in project.fail("ls", "x", status=2)
    assert "unknown option" in project.fail("ls", "--nonsense", status=2)


def test_an_unreadable_input_is_an_error(ordinary):
    project = ordinary
    (project.root / "migrations/0.sql").chmod(0)
    assert "migrations/0.sql: Permission denied" in project.fail(
        "key", "-i", "migrations", "--", "true"
    )


def test_an_input_that_vanishes_is_an_error_or_not_counted(project):
    """While files vanish, `key` prints either a key or this one message."""
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
    assert seen, "no run met a file that had vanished"


# ---- mintfs.conf ----


def test_a_section_describes_the_build(project):
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
    # Flags add to lists and replace values.
    assert project.run("key", "-i", "create.sh").stdout.strip() != key
    assert project.run("build", "-n", "other").stdout.strip() == key
    assert project.templates()[0]["names"] == ["other", "unit"]
    # With a builder on the command line the file is not read.
    (project.root / "mintfs.conf").write_text("nonsense")
    project.build()


def test_several_sections_need_a_name(project):
    (project.root / "mintfs.conf").write_text(
        "[unit]\ninput = migrations\nbuilder = sh -c 'echo 1 > $MINTFS_OUT'\n"
        "[e2e]\ninput = migrations\nbuilder = sh -c 'echo 2 > $MINTFS_OUT'\n"
    )
    assert "several templates; name one: unit, e2e" in project.fail("build")
    assert "no [it]; there is: unit, e2e" in project.fail("build", "it")
    key = project.run("build", "e2e").stdout.strip()
    assert (project.template(key) / "files/app.db").read_text() == "2\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("[a]\nbuilder = x\nbulider = x\n", 'mintfs.conf:3: unknown key "bulider"'),
        ("[a]\nbuilder = 'x\n", "mintfs.conf:2: a quote is not closed"),
        ("builder = x\n", "mintfs.conf:1: before the first [NAME]"),
        ("[a]\n[a]\n", "mintfs.conf:2: there are two sections [a]"),
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
def test_a_fault_in_the_file_is_named_with_its_line(project, text, message):
    (project.root / "mintfs.conf").write_text(text)
    assert message in project.fail("key")
    assert message in project.fail("build")
