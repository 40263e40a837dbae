"""Every flag of the commands that look after the cache, with good and with bad arguments."""

import re
from pathlib import Path

import pytest

BAD = [
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
    (["gc", "--max-size"], 2, "--max-size wants a value"),
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
    (["verify", "--all", "app"], 2, "--all leaves nothing to name: app"),
    (["verify", "--rebuild"], 2, "--rebuild wants the KEY or NAME"),
    (["verify", "--rebuild", "nothing"], 3, 'no template "nothing"'),
    (["verify", "--rebuild", "app", "--all"], 2, "--rebuild goes alone"),
    (["verify", "--fix"], 2, "unknown option --fix"),
    (["explain"], 3, "mintfs.conf"),
    (["explain", "-i"], 2, "a value is missing behind -i"),
    (["explain", "-i", "missing", "--", "true"], 3, "missing"),
    (["explain", "--"], 2, "no builder behind --"),
    (["config", "x"], 2, "takes no operand: x"),
    (["config", "--set"], 2, "unknown option --set"),
    (["clean", "x"], 2, "takes no operand: x"),
    (["clean", "--all"], 2, "unknown option --all"),
]


@pytest.mark.parametrize("args, status, said", BAD, ids=lambda value: str(value)[:40])
def test_bad_arguments_are_named(store, args, status, said):
    store.build("sh", "-c", "echo x > $0", "{out}")
    message = store.fail(*args, status=status)
    assert said in message, message


@pytest.mark.parametrize(
    "command",
    "ls show stats gc evict pin unpin name verify explain config clean".split(),
)
def test_help_names_every_flag_and_each_is_tested(store, command):
    text = store.run("help", command).stdout
    assert store.run(command, "--help").stdout == text == store.run(command, "-h").stdout
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))
    tests = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_care*.py"))
    for flag in flags:
        assert f'"{flag}"' in tests, f"{command} {flag} is run by no test"
