"""mintfs.conf as this package reads it, compared with the command."""

import json

import mintfs
import pytest
from mintfs import _project_conf

from .ways import Way


@pytest.fixture
def command(store, place, monkeypatch):
    made = Way("copy", store, store.home / "tmp")
    monkeypatch.chdir(place)
    for name in ("MINTFS_BINARY", "MINTFS_STORE", "MINTFS_BACKEND"):
        monkeypatch.setenv(name, made.env[name])
    return made


GOOD = """\
\ufeff# a comment
; another

root    = .

[app]
input   = one.sql
          two words.sql
   # indented comment

  more.sql
exclude = *.md
env=SEED
input = again.sql
salt    =
file    = sub/app.db
builder = sh -c ': >"$0"; true # not a comment'
          "{out}" 'it''s' "a \\"quoted\\" \\\\ word" back\\ slash ''
"""


def test_a_section_means_the_same_to_the_command(command, place, monkeypatch):
    (place / "mintfs.conf").write_text(GOOD)
    for name in ("one", "two words", "more", "again"):
        (place / f"{name}.sql").write_text("x")
    monkeypatch.setenv("SEED", "7")
    key = mintfs.template()
    shown = json.loads(command.store.run("show", "--json", key).stdout)
    spec = _project_conf.read(place, None)
    assert spec.builder == shown["builder"]
    assert spec.builder[3:] == ["{out}", "its", 'a "quoted" \\ word', "back slash", ""]
    assert spec.lists["input"] == ["one.sql", "two words.sql", "more.sql", "again.sql"]
    assert sorted(spec.lists["input"]) == [row["path"] for row in shown["inputs"]]
    assert spec.single == {"salt": "", "file": "sub/app.db"} and shown["salt"] == ""
    assert (spec.file, shown["file"], spec.name) == ("sub/app.db", "sub/app.db", "app")
    assert spec.lists["env"] == ["SEED"] and shown["environment"] == ["SEED=7"]


def test_placeholders_mean_the_same_to_the_command(command, place):
    """The words that a builder gets from the command and from this package."""
    words = [
        "{out}", "x{out}.bak", "${out}", "#{dir}", "{out}=1", "const {out}=1", "{{out}}",
        "{{dir}}{dir}", "{{out}", "${{out}}",
    ]  # fmt: skip
    script = 'printf "%s\\n" "$@" >"$0"'
    key = mintfs.template(builder=["sh", "-c", script, "{out}", *words])
    with mintfs.database(key) as db:
        filled = db.path("app.db").read_text().splitlines()
    out = filled[0]
    places = {"out": out, "dir": out[: -len("/app.db")]}
    assert [_project_conf.fill(word, places) for word in words] == filled
    assert [word for word in words if _project_conf.has_out(word)] == [
        "{out}", "x{out}.bak", "{out}=1", "{{out}",
    ]  # fmt: skip


BAD = {
    "": "no [NAME] section",
    "input = x\n": "mintfs.conf:1: before the first [NAME]",
    "[app]\n\nwhat is this\n": "mintfs.conf:3: neither [NAME] nor KEY = VALUE",
    "root = ..\nroot = .\n[app]\nbuilder = x\n": 'mintfs.conf:2: "root" has one value',
    "[app\n": "mintfs.conf:1: a section is [NAME] and nothing else",
    "[app] more\n": "mintfs.conf:1: a section is [NAME] and nothing else",
    "[app]\n[app]\n": "mintfs.conf:2: there are two sections [app]",
    "[app]\nsalt = 1\nsalt = 2\n": 'mintfs.conf:3: "salt" has one value',
    "[app]\ninputs = 1\n": 'mintfs.conf:2: unknown key "inputs"',
    "[app]\nbuilder = sh 'x\n": "mintfs.conf:2: a quote is not closed",
    "[app]\ninput = x\n": "[app] names no builder",
    "[a]\nbuilder = x\n[b]\nbuilder = x\n": "mintfs.conf has several templates; name one: a, b",
}


@pytest.mark.parametrize("text", BAD)
def test_broken_files_get_the_commands_message(command, place, text):
    (place / "mintfs.conf").write_text(text)
    with pytest.raises(mintfs.Error) as of_the_command:
        mintfs.template()
    with pytest.raises(mintfs.Error) as ours:
        _project_conf.read(place, None)
    assert BAD[text] in str(of_the_command.value)
    assert BAD[text] in str(ours.value)


def test_missing_files_and_sections_are_errors(command, place):
    with pytest.raises(mintfs.Error, match="no mintfs.conf in"):
        _project_conf.read(place, None)
    (place / "mintfs.conf").write_text("[app]\nbuilder = x\n")
    with pytest.raises(mintfs.Error, match=r"mintfs.conf has no \[other\]; there is: app") as ours:
        _project_conf.read(place, "other")
    with pytest.raises(mintfs.Error) as of_the_command:
        mintfs.template("other")
    assert str(ours.value) == str(of_the_command.value)
    (place / "mintfs.conf").write_bytes(b"[app]\nbuilder = \xff\n")
    with pytest.raises(mintfs.Error, match="mintfs.conf"):
        _project_conf.read(place, None)


def test_lines_are_split_into_words():
    assert _project_conf.split_words("  a  'b c' d\\ e ") == ["a", "b c", "d e"]
    assert _project_conf.split_words("") == []
    assert _project_conf.split_words("\"\\n\" '\\'") == ["\\n", "\\"]
    for bad in ("'", '"a', "a\\"):
        with pytest.raises(ValueError):
            _project_conf.split_words(bad)
