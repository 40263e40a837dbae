"""The commands that show the cache: its contents, why a template is missing, names and settings."""

import json
import os
import re
import subprocess

import pytest

from support.care import SCHEMAS, aged, in_terminal, keys_of, read, row_of
from support.catalogs import check_schema, fake_key, make_template
from test_help import SECTIONS


# ---- contents ----


def test_ls_lists_templates_and_sessions(copies):
    key = copies.build_app()
    copies.build_app()
    path = copies.run("session", "new", "app", "one").stdout.strip()
    listing = read(copies, "ls", "ls")
    (template,) = listing["templates"]
    assert template["names"] == ["app"] and template["label"] == "app"
    assert template["hits"] == 1 and template["saved_ns"] == template["build_time_ns"] > 0
    assert template["sessions"] == 1 and template["own_bytes"] >= template["size_bytes"]
    assert template["builder"].startswith("cp ")
    (session,) = listing["sessions"]
    assert (session["id"], session["key"], session["path"]) == ("one", key, path)
    assert (session["backend"], session["state"]) == ("copy", "copy")
    text = copies.run("ls").stdout
    assert re.search(rf"(?m)^app +{key[:12]} ", text), text
    assert re.search(rf"(?m)^one +{key[:12]} +copy ", text), text


def test_ls_of_a_mount_shows_shared_and_own_bytes(mount, key):
    store = mount.store
    session = mount.new(key, "one")
    with open(session / "app.db", "r+b") as file:
        file.seek(4096)
        file.write(b"x" * 4096)
        os.fsync(file.fileno())
    listing = read(store, "ls", "ls")
    (row,) = listing["sessions"]
    assert (row["state"], row["backend"], row["path"]) == ("live", "fuse", str(session))
    assert row["shared_bytes"] == listing["templates"][0]["size_bytes"]
    assert 4096 <= row["own_bytes"] < row["shared_bytes"]
    assert listing["templates"][0]["own_bytes"] == row["own_bytes"]
    live = read(store, "stats", "stats")
    assert live["total"]["sessions"] == 1 and live["total"]["requests"] > 0
    mount.stop()
    (row,) = read(store, "ls", "ls")["sessions"]
    assert (row["id"], row["state"], row["path"]) == ("one", "at rest", None)
    after = read(store, "stats", "stats")
    assert after["total"]["sessions"] == 1
    assert after["total"]["requests"] >= live["total"]["requests"]


def test_ls_counts_many_sessions(mount, key):
    store = mount.store
    other = store.build_app(name="other", salt="other")
    for number in range(20):
        mount.new(key, f"s{number}")
    assert len(re.findall(r"(?m)^s\d+ +", store.run("ls").stdout)) == 20
    mount.new(other, "one")
    done = store.run("ls")
    assert not re.search(r"(?m)^s\d+ ", done.stdout), done.stdout
    assert re.search(rf"(?m)^{key[:12]} +live +20 ", done.stdout), done.stdout
    assert re.search(rf"(?m)^{other[:12]} +live +1 ", done.stdout), done.stdout
    assert "21 sessions; mintfs session ls lists them" in done.stderr
    for words in (["ls", "-a"], ["ls", "--all"], ["session", "ls"]):
        text = store.run(*words).stdout
        assert len(re.findall(r"(?m)^(s\d+|one) +", text)) == 21, (words, text)
    assert len(read(store, "ls", "ls")["sessions"]) == 21
    mount.stop()
    text = store.run("ls").stdout
    assert re.search(rf"(?m)^{key[:12]} +at rest +20 +- +- +-", text), text


@pytest.mark.parametrize("columns", [40, 80])
def test_tables_fit_the_terminal(copies, columns):
    env = {"COLUMNS": str(columns)}
    copies.build_app(name="a-name-of-some-length.for-the-unit-tests-of-the-shop")
    copies.run("session", "new", "a-name-of-some-length.for-the-unit-tests-of-the-shop")
    for command in (["ls"], ["stats"], ["name"]):
        lines = copies.run(*command, env=env).stdout.splitlines()
        assert lines and max(map(len, lines)) <= columns, lines
    assert copies.run("ls").stdout.count("a-name-of-some-length.for-the-unit-tests") == 1


FITTING = [
    ["ls"], ["stats"], ["name"], ["session", "ls"], ["config"], ["doctor"], ["verify", "-a"],
    ["show", "app"], ["gc", "-d", "--max-size", "0"], ["gc", "-n", "nosuch"], ["gc", "--nosuch"],
    ["explain", "-n", "app", "--salt", "other", "--", "true"], ["clean", "-d"], ["nosuch"],
    ["pin", "nosuch"], ["help"], *(["help", name] for name in SECTIONS),
]


def test_everything_fits_the_terminal(copies):
    """Except commands and words longer than a line, which could not be copied in pieces."""
    copies.build_app()
    copies.build_app(name="a-name-of-some-length.for-the-unit-tests-of-the-shop", salt="2")
    copies.run("session", "new", "app")
    for words in FITTING:
        whole = copies.run(*words).stdout if words[0] == "help" else None
        for columns in (40, 80):
            _, text = in_terminal(copies, *words, columns=columns, env={"NO_COLOR": "1"})
            lines = text.splitlines()
            assert lines
            for line in lines:
                fits = len(line) <= columns or max(map(len, line.split())) > columns - 12
                assert fits or (words == ["doctor"] and line.startswith(" " * 8)), (words, line)
            assert whole is None or text.split() == whole.split()


def test_output_to_a_pipe_is_not_wrapped(copies):
    copies.build_app()
    path = copies.run("session", "new", "app", "one").stdout.strip()
    lines = copies.run("session", "ls").stdout.splitlines()
    assert len(lines) == 2 and lines[1].split()[0] == "one" and lines[1].endswith(path)
    _, text = in_terminal(copies, "session", "ls", columns=60)
    assert re.search(r"(?m)^ID +one\r?$", text) and re.search(rf"(?m)^PATH +{path}\r?$", text), text


def test_color_only_in_a_terminal_and_not_with_no_color(copies):
    copies.build_app()
    assert "\033[" not in copies.run("ls", env={"TERM": "xterm"}).stdout
    assert "\033[1m" in in_terminal(copies, "ls")[1]
    assert "\033[1m" not in in_terminal(copies, "ls", env={"NO_COLOR": "1"})[1]


def test_show_prints_everything(copies):
    (copies.home / "in").mkdir()
    (copies.home / "in/a.sql").write_text("x")
    builder = ["sh", "-c", "echo $SEED > $0; ln -s app.db $1/link", "{out}", "{dir}"]
    done = copies.run(
        "build", "-n", "app", "-i", "in", "-e", "SEED", "--salt", "s", "--", *builder,
        env={"SEED": "7"}, cwd=copies.home,
    )
    key = done.stdout.strip()
    for text in ("app", key, key[:4], key[:12].upper()):
        shown = read(copies, "show", "show", text)
        assert shown["key"] == key and shown["builder"] == builder and shown["salt"] == "s"
    assert shown["environment"] == ["SEED=7"]
    assert [row["path"] for row in shown["inputs"]] == ["in/a.sql"]
    assert {(f["path"], f["type"], f["target"]) for f in shown["files"]} == {
        ("app.db", "file", None),
        ("link", "link", "app.db"),
    }
    text = copies.run("show", "app").stdout
    for part in (key, "in/a.sql", "SEED=7", "link"):
        assert part in text


def test_bytes_that_are_not_utf8_are_replaced(copies):
    """In the arguments of a builder and in the names of files."""
    root = copies.home / "project"
    (root / "in").mkdir(parents=True)
    with open(os.path.join(os.fsencode(root), b"in/\xff\xfe.sql"), "w") as file:
        file.write("x")
    words = ["sh", "-c", "echo > $0", "{out}", b"\xc3\xa4 \xff", "\u00fc" * 200]
    words = ["build", "-n", "app", "-i", "in", "--", *map(os.fsdecode, words)]
    process = subprocess.run(
        [copies.binary, *words], env=copies.env, cwd=root, capture_output=True, check=True
    )
    key = process.stdout.decode().strip()
    path = copies.run("session", "new", "app", "one").stdout.strip()
    (row,) = read(copies, "ls", "ls")["templates"]
    assert row["key"] == key and "\u00e4 \ufffd \u00fc" in row["builder"]
    shown = read(copies, "show", "show", "app")
    assert shown["inputs"][0]["path"] == "in/\ufffd\ufffd.sql"
    assert shown["builder"][4] == "\u00e4 \ufffd"
    for command in (["ls"], ["show", "app"], ["stats"], ["gc", "--json"], ["clean", "-d"]):
        assert copies.run(*command).stdout
    copies.run("session", "rm", path)


def test_sessions_are_listed_as_json(copies):
    copies.build_app()
    made = read(copies, "session new", "session", "new", "app", "one")
    (row,) = read(copies, "session ls", "session", "ls")["sessions"]
    assert (row["path"], row["id"]) == (made["path"], "one")


def test_control_characters_of_a_builder_reach_no_terminal(store):
    store.run("ls")
    key = make_template(store.path, 1)
    manifest = store.path / "v1/templates" / key / "manifest.json"
    manifest.write_text(manifest.read_text().replace("number-1", "\\u001b[31mred"))
    for command in (["ls"], ["show", key]):
        assert "\033" not in store.run(*command).stdout


# ---- why a template is missing ----


@pytest.fixture
def project(copies):
    root = copies.home / "project"
    (root / "in").mkdir(parents=True)
    (root / "in/a.sql").write_text("a")
    (root / "in/b.sql").write_text("b")
    copies.root = root
    return copies


COPY = ["sh", "-c", "cat in/* > $0", "{out}"]


def arguments(*options, builder=COPY):
    return ["-n", "app", "-i", "in", "-e", "SEED", *options, "--", *builder]


def test_explain_names_the_differences(project):
    missing = json.loads(project.run("explain", "--json", *arguments(), cwd=project.root).stdout)
    check_schema(missing, SCHEMAS["explain"])
    assert missing["hit"] is False and missing["nearest"] is None
    key = project.run("build", *arguments(), cwd=project.root).stdout.strip()
    hit = json.loads(
        project.run("explain", "--json", *arguments(), cwd=project.root).stdout
    )
    check_schema(hit, SCHEMAS["explain"])
    assert hit["hit"] is True and hit["key"] == key and hit["differences"] == []
    (project.root / "in/a.sql").write_text("changed")
    (project.root / "in/b.sql").unlink()
    (project.root / "in/c.sql").write_text("new")
    changed = arguments("--salt", "2", builder=[*COPY, "more"])
    done = project.run("explain", "--json", *changed, cwd=project.root, env={"SEED": "secret"})
    answer = json.loads(done.stdout)
    assert answer["hit"] is False and answer["nearest"] == key
    assert {(d["kind"], d["change"], d["what"]) for d in answer["differences"]} == {
        ("input", "changed", "in/a.sql"),
        ("input", "removed", "in/b.sql"),
        ("input", "added", "in/c.sql"),
        ("variable", "changed", "SEED"),
        ("argument", "added", "more"),
        ("salt", "changed", "2"),
    }
    assert "secret" not in done.stdout
    text = project.run("explain", *changed, cwd=project.root).stdout
    assert text.startswith("miss: ") and "input removed: in/b.sql\n" in text
    # build prints the difference in one line.
    message = project.run("build", *arguments(), cwd=project.root).stderr
    assert message == (
        f"mintfs: app: not cached; against {key[:12]}: input in/a.sql changed, "
        "input in/b.sql removed and 1 more\n"
    )


def test_build_says_in_one_line_why_it_is_needed(project):
    def messages(*words):
        return project.run("build", *words, "-i", "in", "--", *COPY, cwd=project.root).stderr

    assert messages() == "mintfs: not cached; there is no template to compare with yet\n"
    assert messages() == ""
    assert messages("-n", "app", "--salt", "1") == (
        "mintfs: app: not cached; there is no template of that name yet\n"
    )
    (project.root / "in/a.sql").write_text("changed")
    assert messages("-n", "app", "--salt", "1").endswith(": input in/a.sql changed\n")
    # Without a name, the nearest of all templates is meant; of equally near ones, the last used.
    assert messages().endswith(": salt changed\n")


def test_a_restored_template_counts(project):
    """The catalog has no row for it; explain, build and the limits notice it."""
    project.run("build", "-n", "app", "-i", "in", "--", "true", cwd=project.root, status=125)
    brought = make_template(project.path, 1, name="app", size=5000)
    done = project.run("explain", "--json", *arguments(), cwd=project.root)
    assert json.loads(done.stdout)["nearest"] == brought
    done = project.run("build", *arguments(), cwd=project.root, env={"MINTFS_MAX_SIZE": "1000"})
    assert f"against {brought[:12]}: " in done.stderr and "evicted 1 template" in done.stderr
    assert keys_of(project) == [done.stdout.strip()]


def test_explain_compares_with_the_nearest_template_of_the_name(project):
    first = project.run("build", *arguments("--salt", "1"), cwd=project.root).stdout.strip()
    (project.root / "in/c.sql").write_text("c")
    second = project.run("build", *arguments("--salt", "1"), cwd=project.root).stdout.strip()
    (project.root / "in/c.sql").write_text("d")
    done = project.run("explain", "--json", *arguments("--salt", "1"), cwd=project.root)
    assert json.loads(done.stdout)["nearest"] == second != first


# ---- names ----


def test_names_are_set_listed_and_removed(store):
    key = store.build_app()
    store.run("name", "release-1.0", key[:12])
    assert read(store, "name", "name") == {
        "names": [{"name": "app", "key": key}, {"name": "release-1.0", "key": key}]
    }
    store.run("name", "--delete", "app")
    store.fail("show", "app", status=3)
    assert row_of(store, key)["names"] == ["release-1.0"]
    assert f"release-1.0  {key[:12]}\n" in store.run("name").stdout
    store.run("name", "-d", "release-1.0")
    assert store.run("name").stdout == ""


def test_an_ambiguous_short_key_is_refused(store):
    store.run("ls")
    numbers = {}
    for number in range(2000):
        other = numbers.setdefault(fake_key(number)[:4], number)
        if other != number:
            break
    for each in (number, other):
        make_template(store.path, each, name=f"name-{each}")
    store.run("ls")
    short = fake_key(number)[:4]
    for command in ("show", "evict", "pin"):
        message = store.fail(command, short, status=2)
        assert "give more digits: " in message
        assert all(f"{fake_key(each)[:12]} name-{each}" in message for each in (number, other)), message
    assert read(store, "show", "show", fake_key(number)[:12])["key"] == fake_key(number)


# ---- settings ----


def settings(store, **kwargs) -> dict:
    return {row["name"]: row for row in read(store, "config", "config", **kwargs)["settings"]}


def test_config_shows_values_and_where_they_are_set(store):
    file = store.home / ".config/mintfs/mintfs.conf"
    assert settings(store)["max-size"]["value"] == "5G"
    assert settings(store)["max-age"]["from"] == "default"
    file.parent.mkdir(parents=True)
    file.write_text("# mine\n\nmax-size = 20G\nkeep=2\nidle = 1h\n")
    rows = settings(store, env={"MINTFS_KEEP": "7", "MINTFS_IDLE": ""})
    assert (rows["max-size"]["value"], rows["max-size"]["where"]) == ("20G", f"{file}:3")
    assert (rows["keep"]["value"], rows["keep"]["where"]) == ("7", "MINTFS_KEEP")
    for name, row in rows.items():
        assert store.run("config", name, env={"MINTFS_KEEP": "7"}).stdout == f"{row['value']}\n"
    assert (rows["idle"]["value"], rows["idle"]["from"]) == ("1h", "file")
    assert (rows["store"]["value"], rows["store"]["where"]) == (str(store.path), "MINTFS_STORE")
    assert str(file) in store.run("config").stdout
    elsewhere = store.home / "xdg"
    (elsewhere / "mintfs").mkdir(parents=True)
    (elsewhere / "mintfs/mintfs.conf").write_text(f"store = {store.home}/other\n")
    env = {"XDG_CONFIG_HOME": str(elsewhere), "MINTFS_STORE": ""}
    assert settings(store, env=env)["store"]["value"] == f"{store.home}/other"
    store.build("sh", "-c", "echo x > $0", "{out}")
    assert f"no store at {store.home}/other yet" in store.run("ls", env=env).stderr


def test_gc_follows_the_file_and_a_flag_overrides_it(store):
    aged(store)
    file = store.home / ".config/mintfs/mintfs.conf"
    file.parent.mkdir(parents=True)
    file.write_text("max-size = 4000\nmax-age = none\n")
    assert "evicted 2 templates" in store.run("gc", "--max-age", "none").stderr
    store.run("gc", "--max-size", "3000", env={"MINTFS_MAX_SIZE": "100"})
    assert len(keys_of(store)) == 3
    store.run("gc", env={"MINTFS_MAX_SIZE": "1000"})
    assert len(keys_of(store)) == 1


@pytest.mark.parametrize(
    "text, expected",
    [
        ("max-size = big\n", 'mintfs.conf:1: max-size is "big", not a size such as 500M or 2G'),
        ("\nmaxsize = 1\n", 'mintfs.conf:2: no setting "maxsize"; mintfs config lists them'),
        ("[app]\n", "mintfs.conf:1: not NAME = VALUE: [app]"),
        ("backend = nfs\n", "one of auto, fuse, copy"),
        ("keep = \n", "not a number"),
        ("keep = 1\0\n", "not a text file"),
    ],
)
def test_a_bad_file_is_reported_with_its_line(store, text, expected):
    file = store.home / ".config/mintfs/mintfs.conf"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    for command in ("gc", "ls"):
        assert expected in store.fail(command, status=2)
    shown = store.run("config", status=1)
    assert expected in shown.stderr and f"store     {store.path}" in shown.stdout


def test_config_shows_valid_settings_and_reports_invalid_ones(store):
    file = store.home / ".config/mintfs/mintfs.conf"
    file.parent.mkdir(parents=True)
    file.write_text("max-size = 7G\nmax-age = never\nkep = 3\nidle = 1h\n")
    env = {"MINTFS_KEEP": "all"}
    rows = settings(store, env=env, status=1)
    assert (rows["max-size"]["value"], rows["max-size"]["where"]) == ("7G", f"{file}:1")
    assert (rows["max-age"]["value"], rows["max-age"]["from"]) == ("30d", "default")
    assert (rows["keep"]["value"], rows["keep"]["where"]) == (None, "MINTFS_KEEP")
    assert (rows["idle"]["value"], rows["idle"]["where"]) == ("1h", f"{file}:4")
    message = store.run("config", env=env, status=1).stderr
    for part in (f'{file}:2: max-age is "never"', f'{file}:3: no setting "kep"', 'MINTFS_KEEP is "all"'):
        assert message.count(part) == 1, message


def test_a_tilde_in_the_file_means_home(store):
    file = store.home / ".config/mintfs/mintfs.conf"
    file.parent.mkdir(parents=True)
    file.write_text("store = ~/a store\nmount = ~\n")
    env = {"MINTFS_STORE": ""}
    rows = settings(store, env=env)
    assert rows["store"]["value"] == f"{store.home}/a store"
    assert rows["mount"]["value"] == str(store.home)
    store.run("build", "--", "sh", "-c", "echo x > $0", "{out}", env=env, cwd=store.home)
    assert (store.home / "a store/v1/templates").is_dir() and not (store.home / "~").exists()
    file.write_text("store = ~somebody/x\n")
    assert f"{file}:1: store is \"~somebody/x\"" in store.fail("ls", status=2, env=env)


def test_a_flag_overrides_an_invalid_variable(store):
    """A variable that is not needed is not read; else the message names it and the way out."""
    store.build_app()
    env = {"MINTFS_MAX_SIZE": "big", "MINTFS_MAX_AGE": "old", "MINTFS_KEEP": "all"}
    store.run("gc", "--max-size", "1G", "--max-age", "1d", "--keep", "1", env=env)
    message = store.fail("gc", "--max-size", "1G", "--keep", "1", env=env, status=2)
    assert 'MINTFS_MAX_AGE is "old", not a time' in message and "unset the variable" in message
    store.run("verify", "--repair", env=env)
    key = store.run("build", "--", "sh", "-c", "echo x > $0", "{out}", env=env).stdout.strip()
    assert store.run("evict", key, env=env).stdout == f"{key}\n"


def test_sizes_may_have_decimals(store):
    aged(store)
    for size, left in (("4.9K", 5), ("2.5KiB", 2), ("0.98K", 1)):
        assert read(store, "gc", "gc", "--max-size", size, "--max-age", "none")["left"] == left
    for size in ("1.5", "1.5B", ".5K", "1.K", "1.5.5K"):
        assert "not a size such as" in store.fail("gc", "--max-size", size, status=2)
