"""`mintfs help`, the man pages and completion have one source, and agree on the commands."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.basics import MINTFS
from support.care import SCHEMAS

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "tools/man/mintfs.1.scd").read_text()
PARTS = PAGE.split("\n# COMMANDS\n")[1].split("\n# ")[0].split("\n## ")[1:]
SECTIONS = {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in PARTS}


def run(*args, status=0, **kwargs):
    done = subprocess.run([MINTFS, *args], capture_output=True, text=True, timeout=1500, **kwargs)
    assert done.returncode == status, (args, done)
    return done.stdout


def commands():
    return re.findall(r"^  ([a-z]+) +\S", run("help"), re.MULTILINE)


def test_the_page_has_all_commands():
    assert sorted(SECTIONS) == sorted(commands())


@pytest.mark.parametrize("name", SECTIONS)
def test_help_and_page_agree(name):
    first, _, rest = run("help", name).partition("\n")
    synopsis = SECTIONS[name].partition("\n\n")[0].replace("*", "")
    assert first == f"usage: mintfs {synopsis}"
    options = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", first))
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", rest))
    missing = options - told - {"-i"}
    assert name == "key" or not missing, f"no word about {missing}"
    assert run(name, "--help") == run("help", name)


@pytest.mark.parametrize("name", SECTIONS)
def test_each_option_of_the_page_is_accepted(name, place):
    """No documented option is unknown."""
    env = {"HOME": str(place), "PATH": "/usr/bin:/bin", "MINTFS_STORE": str(place / "store")}
    for option in re.findall(r"^\*(--?[a-z-]+)\*", SECTIONS[name], re.MULTILINE):
        words = [name, "new", option, "--help"] if name == "session" else [name, option, "--help"]
        done = subprocess.run([MINTFS, *words], capture_output=True, text=True, env=env, timeout=1500)
        assert "unknown option" not in done.stderr, (name, option, done.stderr)


JSON = PAGE.split("\n# JSON\n")[1].split("\n# ")[0]
ENTRIES = {
    name.replace("*", ""): text
    for name, text in re.findall(r"(?m)^(\S.*)\n((?:\t.*\n?)+)", JSON)
}


def fields_of(schema) -> set:
    """The names of all members at every depth."""
    if isinstance(schema, list):
        return fields_of(schema[0])
    if isinstance(schema, dict):
        return set(schema).union(*map(fields_of, schema.values()))
    return set()


def fields_in_page(text) -> set:
    fields = set(re.findall(r"\*([a-z_0-9]+)\*", text))
    for part in re.findall(r"TEMPLATE|SESSION|SUMS", text):
        fields |= fields_in_page(ENTRIES[part])
    return fields


@pytest.mark.parametrize("command", SCHEMAS)
def test_each_json_field_is_in_the_page(command):
    """The schemas are those that the tests of the commands use."""
    assert fields_in_page(ENTRIES[command]) == fields_of(SCHEMAS[command])


def test_the_page_describes_all_json():
    words = {entry.split()[0] for entry in ENTRIES if entry.islower() or "-" in entry}
    assert words == {name for name in SECTIONS if "--json" in SECTIONS[name]}


def test_lines_fit_eighty_columns():
    for name in SECTIONS:
        body = run("help", name).split("\n", 1)[1]
        assert max(map(len, body.splitlines())) <= 80, name


def formatted(page: str) -> bytes:
    if not shutil.which("scdoc"):
        pytest.skip("no scdoc")
    with open(ROOT / f"tools/man/{page}.scd", "rb") as source:
        return subprocess.run(["scdoc"], stdin=source, capture_output=True, check=True).stdout


@pytest.mark.parametrize("page", ["mintfs.1", "mintfs.7"])
def test_scdoc_accepts_the_man_pages(page):
    assert f'.TH "{page[:-2]}" "{page[-1]}"'.encode() in formatted(page)


def with_man(test):
    """Collected only where man(1) is installed, which containers often lack."""
    return test if shutil.which("man") else None


@with_man
@pytest.mark.parametrize("page", ["mintfs.1", "mintfs.7"])
@pytest.mark.parametrize("width", [80, 40])
def test_man_shows_the_pages_without_warnings(page, width, tmp_path):
    (tmp_path / page).write_bytes(formatted(page))
    shown = subprocess.run(
        ["man", "--warnings", "-l", str(tmp_path / page)],
        capture_output=True,
        text=True,
        env={"MANWIDTH": str(width), "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
    assert shown.returncode == 0 and "NAME" in shown.stdout
    assert [line for line in shown.stderr.splitlines() if "cannot break" not in line and
            "adjust" not in line] == []


def complete(store, *words, cwd=None) -> set:
    """The words that bash offers for the last word."""
    script = """
        PATH=$1:$PATH; source "$2"; shift 2
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mintfs; printf '%s\\n' "${COMPREPLY[@]}"
    """
    tools = store.home / "tools"
    tools.mkdir(exist_ok=True)
    if not (tools / "mintfs").exists():
        (tools / "mintfs").symlink_to(MINTFS)
    done = subprocess.run(
        ["bash", "-c", script, "-", str(tools), str(ROOT / "tools/completion/mintfs.bash"), *words],
        capture_output=True,
        text=True,
        env={"MINTFS_STORE": str(store.path), "HOME": str(store.home), "PATH": "/usr/bin:/bin"},
        timeout=1500,
        cwd=cwd,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return set(done.stdout.split())


def test_completion_offers_commands_options_and_operands(store):
    key = store.build_app()
    session = store.run("session", "new", "app", "one", env={"MINTFS_BACKEND": "copy"})
    assert set(commands()) <= complete(store, "mintfs", "")
    assert complete(store, "mintfs", "do") == {"doctor"}
    assert {"--max-size", "--keep", "--dry-run"} <= complete(store, "mintfs", "gc", "--")
    assert complete(store, "mintfs", "show", "") == {"app", key[:12]}
    assert complete(store, "mintfs", "show", key[:4]) == {key[:12]}
    assert complete(store, "mintfs", "session", "") == {"new", "ls", "reset", "rm"}
    assert complete(store, "mintfs", "session", "rm", "") == {"one"}
    assert "app" in complete(store, "mintfs", "session", "new", "a")
    assert "strict" in complete(store, "mintfs", "mount", "-o", "st")
    assert {"--directory", "-C"} <= complete(store, "mintfs", "-")
    assert complete(store, "mintfs", "-C", "/usr/shar") == {"/usr/share"}
    for option in ("-C", "--directory"):
        assert complete(store, "mintfs", option, "/usr", "do") == {"doctor"}
        assert complete(store, "mintfs", option, "/usr", "-C", "lib", "show", "ap") == {"app"}
    store.run("session", "rm", session.stdout.strip())


def test_completion_offers_sections(store):
    inside = store.home / "project/src"
    inside.mkdir(parents=True)
    assert complete(store, "mintfs", "build", "", cwd=inside) == set()
    (store.home / "mintfs.conf").write_text("[beyond]\nbuilder = x\n")
    assert complete(store, "mintfs", "build", "", cwd=inside) == {"beyond"}
    (inside.parent / "mintfs.conf").write_text("[unit]\nbuilder = [x]\n [ e2e ]\r\nbuilder = y\n")
    for words in (["build"], ["key"], ["explain"], ["session", "new"], ["show"], ["verify"]):
        assert complete(store, "mintfs", *words, "", cwd=inside) == {"unit", "e2e"}
    (inside / ".git").touch()
    assert complete(store, "mintfs", "build", "", cwd=inside) == set()


def test_completion_creates_no_store(store):
    assert complete(store, "mintfs", "help", "g") == {"gc"}
    assert complete(store, "mintfs", "show", "") == set()
    assert complete(store, "mintfs", "session", "rm", "") == set()
    assert not store.path.exists()
