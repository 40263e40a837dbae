"""Finding and running the mintfs command."""

import _thread
import io
import os
import signal
import threading
import time

import mintfs
import pytest
from mintfs import _command, _settings
from support.basics import eventually, is_alive

from .ways import Way


@pytest.fixture
def program(place):
    """Writes a program named mintfs; returns its directory."""

    def write(text: str):
        path = place / "bin/mintfs"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def fresh(monkeypatch):
    """Forgets what is known about the command, before and after the test."""
    monkeypatch.setattr(_command, "_known", {})
    monkeypatch.setattr(_settings, "_fixed", None)
    monkeypatch.setattr(_settings, "fixed", _settings.known)
    monkeypatch.delenv("MINTFS_BINARY", raising=False)


def test_the_command_is_named_or_on_path(fresh, monkeypatch, store):
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(store.binary.parent))
        assert _command.find() == (str(store.binary), "")
        patch.setenv("PATH", "/nonexistent")
        assert _command.find() == (None, "there is no mintfs on PATH")
        patch.setenv("MINTFS_BINARY", str(store.binary))
        assert _command.find() == (str(store.binary), "")
    monkeypatch.setenv("MINTFS_BINARY", "")
    assert _command.find() == (None, "MINTFS_BINARY is empty")


@pytest.mark.parametrize(
    "text, reason",
    [
        ("#!/lib/ld-musl-of-another-machine\n", "No such file or directory"),
        ("\x7fELF, not", "Exec format error"),
        ("#!/bin/sh\necho libfoo.so: not found >&2; exit 127\n", "libfoo.so: not found"),
        ("#!/bin/sh\nexit 9\n", "status 9"),
        ("#!/bin/sh\necho another tool\n", "it is not mintfs"),
    ],
)
def test_a_command_that_cannot_run_is_missing_or_an_error(fresh, monkeypatch, program, text, reason):
    """On PATH it is treated as missing; if it is named, it is an error."""
    path = program(text)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    assert _command.find() == (None, f"{path}: {reason}")
    with pytest.raises(mintfs.Error, match=f"no mintfs command: .*{reason}"):
        _command.run(["ls"])
    monkeypatch.setenv("MINTFS_BINARY", str(path))
    with pytest.raises(mintfs.Error, match=f"MINTFS_BINARY is .*: {reason}"):
        mintfs.template()


def test_a_named_command_that_does_not_exist_is_an_error(fresh, monkeypatch):
    monkeypatch.setenv("MINTFS_BINARY", "/nonexistent/mintfs")
    with pytest.raises(mintfs.Error, match="MINTFS_BINARY is /nonexistent/mintfs: no such program"):
        mintfs.database("x")


def test_each_status_raises_its_error(fresh, monkeypatch, program):
    path = program(
        '#!/bin/sh\n[ "$1" != --version ] || exec echo mintfs 1\n'
        'echo "noise" >&2; echo "mintfs: it is $1" >&2; exit "$1"\n'
    )
    monkeypatch.setenv("MINTFS_BINARY", str(path))
    for status, kind in {
        1: mintfs.Error,
        2: mintfs.UsageError,
        3: mintfs.NotFound,
        4: mintfs.Busy,
        5: mintfs.Corrupt,
        125: mintfs.Error,
    }.items():
        with pytest.raises(mintfs.Error) as caught:
            _command.run([str(status)])
        assert type(caught.value) is kind
        assert str(caught.value) == f"it is {status}"
        assert (caught.value.status, caught.value.output) == (
            status,
            f"noise\nmintfs: it is {status}\n",
        )


def test_a_killed_command_is_not_a_failed_builder(fresh, monkeypatch, program):
    """The error is an Error, not BuilderFailed."""
    path = program(
        '#!/bin/sh\n[ "$1" != --version ] || exec echo mintfs 1\necho "mintfs: a hint" >&2; kill -9 $$\n'
    )
    monkeypatch.setenv("MINTFS_BINARY", str(path))
    for call in (lambda: _command.run(["ls"]), lambda: _command.build([], "/", {})):
        with pytest.raises(mintfs.Error, match="^the mintfs command was ended by signal 9$") as caught:
            call()
        assert type(caught.value) is mintfs.Error and caught.value.status == -9


def test_the_error_is_the_commands_last_message():
    assert _command.message_of("a\nmintfs: one\nb\nmintfs: two\n") == "two"
    assert _command.message_of("a\nb\n\n") == "b"
    assert _command.message_of("") == "the command failed without a message"


def test_without_standard_error_messages_are_dropped(monkeypatch, capfd):
    monkeypatch.setattr("sys.stderr", None)
    _command.pass_on("dropped")
    assert capfd.readouterr() == ("", "")


def test_standard_error_is_passed_on_line_by_line(capsys):
    output, done = [], _thread.allocate_lock()
    done.acquire()
    _command._tee(io.BytesIO(b"one\nno \xff text\n"), output, done)
    assert output == ["one\n", "no \\xff text\n"] and not done.locked()
    assert capsys.readouterr().err == "".join(output)


def test_an_interrupt_waits_for_the_end_of_the_block():
    reached = False
    with pytest.raises(KeyboardInterrupt):
        with _command._interrupts_held():
            signal.raise_signal(signal.SIGINT)
            reached = True
    assert reached and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupts_are_left_alone_in_other_threads():
    reached = []

    def run():
        with _command._interrupts_held():
            reached.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert reached == [signal.getsignal(signal.SIGINT)]


@pytest.mark.on_ways("mount", "copy")
def test_a_failure_of_mintfs_is_not_one_of_the_builder(here):
    with pytest.raises(mintfs.Error, match=r"input nothing/\* matches no file in") as caught:
        mintfs.template(inputs="nothing/*", builder="true")
    assert not isinstance(caught.value, mintfs.BuilderFailed) and caught.value.status == 125


def test_processes_that_a_builder_leaves_are_not_waited_for(here, place):
    """Even if they keep standard error open."""
    script = 'sleep 600 & echo $! >"$1"; : >"$0"'
    pid = place / "pid"
    before = time.monotonic()
    mintfs.template(builder=["sh", "-c", script, "{out}", pid])
    assert time.monotonic() - before < 60
    try:
        os.kill(int(pid.read_text()), 9)
    except ProcessLookupError:
        pass


def test_an_interrupt_ends_the_builder(way, place):
    """Sent to this process alone; a terminal would send it to all processes."""
    builder = [
        "sh",
        "-c",
        'echo $$ >"$0.new"; mv "$0.new" "$0"; exec sleep 600',
        str(place / "pid"),
    ]
    process = way.start("-c", f"import mintfs; mintfs.template(builder={builder!r})", cwd=place)
    pid = int(eventually(lambda: (place / "pid").exists() and (place / "pid").read_text()))
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate()[1]
    eventually(lambda: not is_alive(pid))


def test_without_the_command_a_required_mount_is_an_error(place, store):
    way = Way("none", store, place / "tmp")
    done = way.run(
        "-c",
        "import mintfs; mintfs.template(builder='true')",
        status=1,
        env={"MINTFS_BACKEND": "fuse"},
    )
    assert "Error: no mintfs command, and MINTFS_BACKEND asks for a mount" in done.stderr
    assert way.sessions() == []
