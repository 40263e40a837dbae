"""A session whose template or log is unreadable is not lost: it is back when they are readable."""

import json
import os
import resource
import shutil

import pytest

from support.basics import IS_ROOT
from support.mounts import Daemon

# Root can read files of any mode, unless it lacks the capabilities for that.
WITHOUT = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search",
           "--inh-caps", "-dac_override,-dac_read_search"]


@pytest.fixture
def session(fuse, store, key):
    """A session that contains a file, of a store that is not mounted now."""
    if IS_ROOT:
        if not shutil.which("setpriv"):
            pytest.skip("no setpriv")
        command = store.command
        store.command = lambda *words: [*WITHOUT, *command(*words)]
    daemon = Daemon(store, store.home / "mnt")
    path = store.home / "mnt/sessions" / key / "one"
    path.mkdir()
    (path / "file").write_text("kept")
    daemon.stop()
    return path


def deny(path):
    mode = path.stat().st_mode
    path.chmod(0)
    return lambda: path.chmod(mode)


def remove_manifest(template):
    mode = template.stat().st_mode
    template.chmod(0o700)
    (template / "manifest.json").rename(template.parent.parent / "manifest.json")

    def restore():
        (template.parent.parent / "manifest.json").rename(template / "manifest.json")
        template.chmod(mode)

    return restore


def replace_by_file(template):
    aside = template.parent.parent / "aside"
    os.rename(template, aside)
    template.touch()

    def restore():
        template.unlink()
        os.rename(aside, template)

    return restore


HARMS = {
    "template-denied": deny,
    "database-denied": lambda template: deny(template / "files/app.db"),
    "manifest-denied": lambda template: deny(template / "manifest.json"),
    "files-denied": lambda template: deny(template / "files"),
    "no-manifest": remove_manifest,
    "a-file": replace_by_file,
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_session_survives_an_unreadable_template(store, key, session, harm):
    restore = HARMS[harm](store.path / "v1/templates" / key)
    try:
        daemon = Daemon(store, store.home / "mnt")
        assert "is kept, but not shown: its template cannot be read" in daemon.output.stderr
        assert "discarded" not in daemon.output.stderr
        daemon.stop()
    finally:
        restore()
    daemon = Daemon(store, store.home / "mnt")
    assert (session / "file").read_text() == "kept"
    daemon.stop()


def test_a_session_survives_an_unreadable_log(store, session):
    (log,) = (store.path / "v1/sessions/logs").iterdir()
    restore = deny(log)
    message = store.fail("mount", store.home / "mnt", status=1)
    assert f"chmod 600 '{log}'" in message
    restore()
    daemon = Daemon(store, store.home / "mnt")
    assert (session / "file").read_text() == "kept"
    daemon.stop()


@pytest.mark.parametrize("count", [12, 16, 20, 24, 40])
def test_a_mount_that_runs_out_of_descriptors_loses_no_session(store, session, count):
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

    done = store.start("mount", store.home / "mnt", preexec_fn=lower)
    _, message = done.communicate(timeout=600)
    if done.returncode == 0:  # the limit could be raised
        store.run("umount", store.home / "mnt")
    else:
        assert done.returncode == 1 and "ulimit -n" in message
    daemon = Daemon(store, store.home / "mnt")
    assert (session / "file").read_text() == "kept"
    assert json.loads((store.home / "mnt/.mintfs/status.json").read_text())["sessions"]
    daemon.stop()
