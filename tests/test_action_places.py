"""Whole jobs of tools/action on unusual machines: each step in order, cold and then warm."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field

import pytest

from support.basics import IS_ROOT
from support.stores import binary_for_all
from support.users import NOBODY, as_user
from test_action import CI, Machine, pack, unpack

JOB = """\
umask %(umask)s
cd "$CHECKOUT"
for step in install key; do sh "$CI" $step; done
for step in build mount; do sh "$CI" $step; done
mintfs session new --json "$(mintfs key %(arguments)s)" | sed -n 's/^ *"\\(path\\|backend\\)": "\\(.*\\)",\\{0,1\\}$/\\1=\\2/p'
mintfs session ls --json | sed -n 's/^ *"path": "\\(.*\\)",\\{0,1\\}$/\\1/p' | while read -r path; do
    mintfs session rm "$path"
done
sh "$CI" finish
"""
DEVICE = 'mknod -m 666 "$PLACE/fuse" c 10 229; mount --bind "$PLACE/fuse" /dev/fuse'


@dataclass
class Surroundings:
    setup: str = ""  # commands run as root, in a mount namespace for the job
    prefix: tuple = ()
    folder: str = "machines"
    umask: str = "022"
    env: dict = field(default_factory=dict)
    backend: str = ""  # the backend that sessions must have

    def needs_root(self) -> bool:
        return bool(self.setup or self.prefix)


IN_THE_STORE = {"MINTFS_STORE": "$PLACE/store"}
SURROUNDINGS = {
    "odd path": Surroundings(folder="zwei wörter & 数据 #1"),
    "umask 077": Surroundings(umask="077"),
    "no home": Surroundings(env={"HOME": None, **IN_THE_STORE}),
    "another's home": Surroundings(setup=f'chown {NOBODY} "$PLACE"', env=IN_THE_STORE),
    "read-only checkout": Surroundings(
        setup='mount --bind "$CHECKOUT" "$CHECKOUT"; mount -o remount,ro,bind "$CHECKOUT"'
    ),
    "no /dev/fuse": Surroundings(setup="mount --bind /dev/null /dev/fuse", backend="copy"),
    "a user": Surroundings(prefix=tuple(as_user(NOBODY))),
    "a user namespace": Surroundings(
        setup=DEVICE,
        prefix=(*as_user(NOBODY), "unshare", "-Urm"),
        env={"MINTFS_BACKEND": "fuse"},
        backend="fuse",
    ),
}


def whole_job(machine: Machine, around: Surroundings) -> dict:
    """Runs a whole job; returns the outputs of its steps, and the backend of a session."""
    env = {**machine.env, "CHECKOUT": str(machine.checkout), "PLACE": str(machine.home)}
    env["CI"] = shutil.copy(CI, machine.home / "ci.sh")
    for name, value in around.env.items():
        env.pop(name, None)
        if value is not None:
            env[name] = value.replace("$PLACE", str(machine.home))
    if around.prefix:
        for path in (machine.home, *machine.home.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    arguments = f"-i migrations -i create.py -- python3 create.py {{out}} '{machine.log}'"
    env["MINTFS_CI_ARGUMENTS"] = arguments
    script = JOB % {"umask": around.umask, "arguments": arguments}
    command = [*around.prefix, "sh", "-euc", script]
    if around.setup:
        command = ["unshare", "-m", "sh", "-ec", f'{around.setup}\nexec "$@"', "-", *command]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_a_cold_job_builds_and_a_warm_one_restores(place, request, name):
    around = SURROUNDINGS[name]
    if around.needs_root() and not IS_ROOT:
        pytest.skip("only root can make such a machine")
    if around.backend == "fuse":
        request.getfixturevalue("fuse")
    log = place / "runs"
    log.touch()
    log.chmod(0o666)
    machines = []
    for kind in ("cold", "warm"):
        (place / kind).mkdir()
        machine = Machine(place / kind, around.folder, log)
        tool = machine.home / "bin/mintfs"
        tool.unlink()
        tool.symlink_to(binary_for_all(place))
        machines.append(machine)
    cold, warm = machines
    first = whole_job(cold, around)
    assert first["cache-hit"] == "false" and log.read_text() == "run\n"
    template = template_of(cold, first["key"])
    pack(str(template), place / "cache.tar.gz")
    restored = str(template).replace(str(cold.home), str(warm.home))
    unpack(place / "cache.tar.gz", str(template), restored)
    second = whole_job(warm, around)
    assert (second["cache-hit"], second["key"]) == ("true", first["key"])
    assert log.read_text() == "run\n", "no migration ran on the second machine"
    if around.backend:
        assert {first["backend"], second["backend"]} == {around.backend}


def template_of(machine: Machine, key: str):
    (found,) = [path for path in machine.home.rglob(key) if path.parent.name == "templates"]
    return found
