"""Every documented flag of every command, with good and with bad arguments.

The flags are those that `mintfs help COMMAND` names; the command lines below are what runs. That
each flag is in one of them is a test itself.
"""

import os
import re
import subprocess

import pytest

from support.basics import MINTFS

BUILDER = ["--", "sh", "-c", "echo x > $0", "{out}"]
KEY = r"(?m)^[0-9a-f]{64}$"
LAST_BUILD = r"^mintfs: app: no mintfs.conf here has a section \[app\]: .* \([0-9a-f]{12}\)\n$"
SPEC = ["--exclude", "*.md", "--env", "SEED", "--salt", "s", "--root", ".", "--as", "text"]

# Commands that run in a directory with inputs in "in", a template "app" and a session "one" of it;
# and what they print, on either stream.
GOOD = [
    (["key", "-i", "in", "-x", "*.md", "-e", "SEED", *BUILDER], KEY),
    (["key", "--input", "in", *SPEC, "--file", "x.db", *BUILDER], KEY),
    (["build", "-i", "in", "-x", "*.md", "-e", "SEED", "-n", "other", *BUILDER], KEY),
    (["build", "--input", "in", *SPEC, "--name", "other", "--file", "x.db", "--to", "y", *BUILDER],
     KEY),
    (["session", "new", "--ttl", "15m", "--owner", str(os.getpid()), "--url", "app", "two"],
     r"sqlite:///.*app\.db"),
    (["session", "new", "--json", "app"], r'"backend": "copy"'),
    (["session", "new", "--json", "--owner", str(os.getpid()), "--owner-lock", "me", "app"],
     r'"owner_lock": "/'),
    (["session", "ls"], r"(?m)^one "),
    (["session", "ls", "--json"], r'"id": "one"'),
    (["session", "reset", "one"], "^$"),
    (["session", "rm", "one"], "^$"),
    (["ls"], r"(?m)^app "),
    (["ls", "-a"], r"(?m)^one "),
    (["ls", "--all"], r"(?m)^one "),
    (["ls", "--json"], r'"label": "app"'),
    (["show", "app"], r"names: +app"),
    (["show", "--json", "app"], r'"label": "app"'),
    (["explain", "-i", "in", "-x", "*.md", "-e", "SEED", "-n", "app", *BUILDER], "^miss: "),
    (["explain", "--json", "--input", "in", *SPEC, "--name", "app", "--file", "x.db", *BUILDER],
     r'"hit": false'),
    (["stats"], r"(?m)^in all "),
    (["stats", "--json"], r'"total"'),
    (["name"], r"(?m)^app "),
    (["name", "--json"], r'"name": "app"'),
    (["name", "new", "app"], LAST_BUILD),
    (["name", "-d", "app"], "^$"),
    (["name", "--delete", "app"], "^$"),
    (["pin", "app"], LAST_BUILD),
    (["unpin", "app"], LAST_BUILD),
    (["gc"], "evicted 0 templates"),
    (["gc", "--max-size", "0", "--max-age", "none", "--keep", "0", "-n", "app", "-d"],
     "in use by a session"),
    (["gc", "--max-size", "none", "--max-age", "14d", "--keep", "3", "--name", "app", "--dry-run",
      "--json"], r'"dry_run": true'),
    (["evict", "free"], KEY),
    (["verify"], "0 problems"),
    (["verify", "-a"], "0 problems"),
    (["verify", "--all", "--repair", "--json"], r'"problems": \[\]'),
    (["verify", "--rebuild", "app", "--json"], r'"differences": \[\]'),
    (["config"], r"(?m)^max-size +5G +default"),
    (["config", "--json"], r'"name": "max-size"'),
    (["config", "max-size"], "^5G\n$"),
    (["config", "trust"], "^\n$"),
    (["clean", "-d"], "store at "),
    (["clean", "--dry-run"], "store at "),
    (["clean", "-y"], "removed"),
    (["clean", "--yes"], "removed"),
    (["doctor", "--fix"], r"(?m)^ok +store: "),
    (["doctor", "--json"], r'"checks"'),
]

# Commands that are run one after the other, with the mount point appended.
GOOD_MOUNTS = [
    ["mount", "--scratch", "scratch", "-o", "limit=64M,session_limit=32M,grace=5,idle=1h"],
    ["mount", "--replace", "-o", "strict"],
    ["mount", "--replace", "--options", "no_io_uring"],
]

BAD = [
    (["key", "-i", "nowhere", *BUILDER], 125, "nowhere"),
    (["key", "--file", "../x", *BUILDER], 125, "--file ../x: must be a relative path"),
    (["key", "-n", "a b", *BUILDER], 125, "a b"),
    (["key", "-e", "A=B", *BUILDER], 125, "A=B"),
    (["key", "--root", "nowhere", *BUILDER], 125, "nowhere"),
    (["key", "--to", "x", *BUILDER], 125, "unknown option --to"),
    (["build", "-n", "a b", *BUILDER], 125, "a b"),
    (["build", "--to", "/dev/null/x", *BUILDER], 125, "--to /dev/null/x: "),
    (["build", "--json", *BUILDER], 125, "unknown option --json"),
    (["build"], 125, "mintfs.conf"),
    (["mount", "-o", "fast", "mnt"], 2, "fast"),
    (["mount", "--options", "grace=x", "mnt"], 2, 'grace is a number of seconds, not "x"'),
    (["mount", "-o", "limit=x", "mnt"], 2, 'limit is a size such as 64M, not "x"'),
    (["mount", "a", "b"], 2, "takes one mount point, not also b"),
    (["umount", "--force"], 2, "unknown option --force"),
    (["umount", "a", "b"], 2, "takes one mount point, not also b"),
    (["session"], 2, "wants one of new, ls, reset, rm"),
    (["session", "make"], 2, 'no action "make"'),
    (["session", "new", "--ttl", "soon", "app"], 2, "soon"),
    (["session", "new", "--owner", "me", "app"], 2, '--owner wants a process ID, not "me"'),
    (["session", "new", "nothing"], 3, 'no template "nothing"'),
    (["session", "new", "app", "a/b"], 2, "a/b"),
    (["session", "rm"], 2, "wants the ID of a session"),
    (["session", "rm", "nothing"], 3, "nothing"),
    (["session", "reset", "nothing"], 3, "nothing"),
    (["session", "rm", "--all"], 2, "rm: unknown option --all"),
    (["doctor", "now"], 2, "takes no operand: now"),
    (["doctor", "--cure"], 2, "unknown option --cure"),
    (["ls", "-lj"], 2, "unknown option -l"),
    (["ls", "x"], 2, "takes no operand: x"),
    (["ls", "--jsn"], 2, "unknown option --jsn"),
    (["show"], 2, "wants the KEY or NAME"),
    (["show", "a", "b"], 2, "wants the KEY or NAME"),
    (["show", "-x", "a"], 2, "unknown option -x"),
    (["show", "nothing"], 3, 'no template "nothing"'),
    (["show", "0" * 64], 3, "no template"),
    (["show", "a b"], 2, "neither a key nor a name"),
    (["stats", "x"], 2, "takes no operand: x"),
    (["stats", "--day"], 2, "unknown option --day"),
    (["gc", "--max-size"], 2, "--max-size wants a size"),
    (["gc", "--max-size", "big"], 2, '--max-size is "big", not a size such as 500M or 2G'),
    (["gc", "--max-size", "-1"], 2, "not a size"),
    (["gc", "--max-age", "2 weeks"], 2, "not a time such as"),
    (["gc", "--max-age", "9999999999999d"], 2, "not a time such as"),
    (["gc", "--keep", "all"], 2, '--keep is "all", not a number'),
    (["gc", "--name", "a b"], 2, '"a b" is no name'),
    (["gc", "app"], 2, "mintfs evict takes keys and names"),
    (["gc", "--all"], 2, "unknown option --all"),
    (["evict"], 2, "wants the KEY or NAME"),
    (["evict", "--force", "x"], 2, "unknown option --force"),
    (["evict", "nothing"], 3, 'no template "nothing"'),
    (["pin"], 2, "wants the KEY or NAME"),
    (["pin", "nothing"], 3, 'no template "nothing"'),
    (["pin", "-x"], 2, "unknown option -x"),
    (["unpin"], 2, "wants the KEY or NAME"),
    (["unpin", "nothing"], 3, 'no template "nothing"'),
    (["name", "new"], 2, "wants a new NAME and the KEY or NAME"),
    (["name", "a b", "app"], 2, '"a b" is no name'),
    (["name", "deadbeef", "app"], 2, '"deadbeef" is no name'),
    (["name", "new", "nothing"], 3, 'no template "nothing"'),
    (["name", "-d"], 2, "--delete wants names"),
    (["name", "-d", "nothing"], 3, 'no name "nothing"; mintfs name lists them'),
    (["name", "--rm"], 2, "unknown option --rm"),
    (["verify", "nothing"], 3, 'no template "nothing"'),
    (["verify", "--all", "app"], 2, "--all checks every template, so none can be named: app"),
    (["verify", "--rebuild"], 2, "--rebuild wants the KEY or NAME"),
    (["verify", "--rebuild", "nothing"], 3, 'no template "nothing"'),
    (["verify", "--rebuild", "app", "--all"], 2, "--rebuild takes no other option than --json"),
    (["verify", "--fix"], 2, "unknown option --fix"),
    (["explain"], 3, "mintfs.conf"),
    (["explain", "-i"], 2, "-i wants a path"),
    (["explain", "-i", "missing", "--", "true"], 3, "missing"),
    (["explain", "--"], 2, "no builder after --"),
    (["config", "x"], 2, "takes no operand: x"),
    (["config", "store", "mount"], 2, "wants one SETTING"),
    (["config", "--json", "store"], 2, "wants one SETTING"),
    (["config", "--set"], 2, "unknown option --set"),
    (["clean", "x"], 2, "takes no operand: x"),
    (["clean", "--all"], 2, "unknown option --all"),
]


@pytest.mark.parametrize("args, status, expected", BAD, ids=lambda value: str(value)[:40])
def test_bad_arguments_are_named(store, args, status, expected):
    store.build("sh", "-c", "echo x > $0", "{out}")
    message = store.fail(*args, status=status, cwd=store.home)
    assert expected in message, message


def documented(command) -> dict:
    """The flags in the help text; True if the flag takes a value."""
    text = subprocess.run(
        [MINTFS, "help", command], capture_output=True, text=True, check=True
    ).stdout
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))
    # Lines that begin with a flag show whether it takes a value; for `key` the synopsis does.
    lines = re.findall(r"(?m)^-.*", text) or re.findall(r"\[(-[^]]*)\]", text.partition("\n")[0])
    return {
        flag: any(re.search(r" [A-Z|]+$", line) for line in lines if flag in re.split(", | ", line))
        for flag in flags
    }


def commands() -> list:
    text = subprocess.run([MINTFS, "help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(?m)^  ([a-z]+) +\S", text)


def command_lines(command) -> list:
    rows = [words for words, *_ in GOOD] + GOOD_MOUNTS + [["mount", "-f"], ["mount", "--foreground"]]
    return [words for words in rows if words[0] == command]


@pytest.mark.parametrize("command", commands())
def test_each_documented_flag_is_run(command):
    flags = documented(command)
    run = {word for words in command_lines(command) for word in words}
    assert set(flags) - run == set(), "no command line above has them"


@pytest.fixture
def prepared(copies):
    """A project with a template and a session, which is a copy."""
    root = copies.home / "project"
    (root / "in").mkdir(parents=True)
    (root / "in/a.sql").write_text("a")
    copies.root = root
    copies.build("sh", "-c", "echo free > $0", "{out}", name="free")
    copies.build_app()
    copies.run("session", "new", "app", "one")
    return copies


def name_of(value):
    """Without our process ID, which differs in each worker of a parallel run."""
    words = [value] if isinstance(value, str) else value
    return " ".join("PID" if word == str(os.getpid()) else word for word in words)[:60]


@pytest.mark.parametrize("words, expected", GOOD, ids=name_of)
def test_good_arguments_are_accepted(prepared, words, expected):
    done = prepared.run(*words, cwd=prepared.root)
    assert re.search(expected, done.stdout + done.stderr), done


def test_each_flag_of_mount_works(fuse, store):
    store.build_app()
    (store.home / "scratch").mkdir()
    for words in GOOD_MOUNTS:
        done = store.run(*words, store.home / "mnt", cwd=store.home)
        assert done.stdout.strip() == str(store.home / "mnt")
    for flag in ("-f", "--foreground"):
        store.run("umount")
        process = store.start("mount", flag, store.home / "mnt")
        assert process.stdout.readline().strip() == str(store.home / "mnt")
        store.run("umount", store.home / "mnt")
        assert process.wait() == 0
        process.communicate()
        if flag == "-f":
            store.run("mount", store.home / "mnt")


@pytest.mark.parametrize("command", commands())
def test_a_missing_or_surplus_value_is_refused(store, command):
    """The message names the flag."""
    action = ["new"] if command == "session" else []
    status = 125 if command in ("key", "build") else 2
    for flag, has_value in documented(command).items():
        if has_value:
            message = store.fail(command, *action, flag, status=status)
        elif flag.startswith("--"):
            message = store.fail(command, *action, f"{flag}=x", status=status)
            assert "takes no value" in message
        else:
            message = store.fail(command, *action, f"{flag}%", status=status)
            assert "unknown option -%" in message
            continue
        assert flag in message, (flag, message)
    assert not store.path.exists()


@pytest.mark.parametrize("command", commands())
def test_help_is_the_same_by_option_and_command(store, command):
    text = store.run("help", command).stdout
    assert store.run(command, "--help").stdout == text == store.run(command, "-h").stdout
