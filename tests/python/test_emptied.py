"""Tests that delete their database's directory and make it again: the same on every backend."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

import mintfs

from .test_database import order, rows


def renew(directory):
    shutil.rmtree(directory)
    assert not directory.exists()
    os.makedirs(directory)


def test_a_directory_that_is_made_again_is_empty(here):
    with mintfs.database() as db:
        for _ in range(3):
            renew(db.directory)
            assert os.listdir(db.directory) == []
            (db.directory / "deep").mkdir()
            (db.directory / "deep/file").write_text("mine")
            assert [path.name for path in db.directory.rglob("*")] == ["deep", "file"]
        db.reset()
        assert os.listdir(db.directory) == ["app.db"] and rows(db.path()) == 0
        renew(db.directory)
        assert os.listdir(db.directory) == []
    assert not db.directory.exists()


def test_an_application_can_create_its_database_there(here):
    with mintfs.database() as db:
        path = db.path()
        renew(db.directory)
        shutil.copyfile(mintfs.sealed().path(), path)
        path.chmod(0o600)
        order(path)
        assert rows(db.path()) == 1
        with mintfs.database() as other:
            assert rows(other.path()) == 0
    assert not db.directory.exists()


def test_commands_that_sweep_leave_it_alone(here, project):
    """They remove only sessions that have lost their owner or their directory."""
    with mintfs.database() as db:
        shutil.rmtree(db.directory)
        here.script("import mintfs; mintfs.database().close()", cwd=project.path)
        os.makedirs(db.directory)
        here.script("import mintfs; mintfs.database().close()", cwd=project.path)
        assert os.listdir(db.directory) == []
    assert not db.directory.exists()


def test_a_removed_directory_cannot_be_reset_but_closed(here):
    db = mintfs.database()
    shutil.rmtree(db.directory)
    with pytest.raises(mintfs.Error):
        db.reset()
    db.close()
    with mintfs.database() as other:
        assert os.listdir(other.directory) == ["app.db"]


@pytest.mark.on_ways("copy", "none")
def test_a_file_or_link_in_its_place_is_removed(here, project):
    """The target of a link is not removed."""
    precious = project.path / "precious"
    precious.mkdir()
    for take in (Path.touch, lambda path: path.symlink_to(precious)):
        with mintfs.database() as db:
            shutil.rmtree(db.directory)
            take(db.directory)
        assert not os.path.lexists(db.directory)
        assert precious.is_dir()


def test_a_template_with_directories_is_empty_too(here):
    script = 'cd "$0" && mkdir -p a/b/c d && echo 1 >a/b/c/1 && echo 2 >d/2 && ln -s d e'
    key = mintfs.template(builder=["sh", "-c", script, "{dir}"])
    with mintfs.database(key) as db:
        assert len(list(db.directory.rglob("*"))) >= 7
        renew(db.directory)
        assert os.listdir(db.directory) == []
        db.reset()
        assert (db.directory / "e/2").read_text() == "2\n"


def test_it_is_removed_with_its_owner(way, project):
    """Although it was not closed, and its directory is a new one."""
    way.script(
        """
import os, shutil, mintfs
db = mintfs.database()
shutil.rmtree(db.directory); os.makedirs(db.directory)
""",
        cwd=project.path,
    )
    assert way.sessions() == []


@pytest.mark.on_ways("mount")
def test_without_the_sticky_bit_it_has_the_templates_files(here):
    """A session that is made by plain mkdir has them each time."""
    key = mintfs.template()
    with mintfs.database(key) as db:
        sessions = db.directory.parent
        assert db.directory.stat().st_mode & stat.S_ISVTX
        db.directory.chmod(0o750)
        db.reset()
        assert stat.S_IMODE(db.directory.stat().st_mode) == 0o1750
    for mode, found in (("700", ["app.db"]), ("1700", [])):
        subprocess.run(["mkdir", "-m", mode, sessions / "mine"], check=True)
        assert os.listdir(sessions / "mine") == ["app.db"]
        renew(sessions / "mine")
        assert os.listdir(sessions / "mine") == found
        # A session with files is discarded as usual, and not remembered.
        (sessions / "mine/file").touch()
        os.rmdir(sessions / "mine")
        os.mkdir(sessions / "mine")
        assert os.listdir(sessions / "mine") == ["app.db"]
        os.rmdir(sessions / "mine")


@pytest.mark.on_ways("mount")
def test_a_limited_number_is_remembered(here):
    with mintfs.database() as db:
        sessions = db.directory.parent
    names = [f"s{n}" for n in range(100)]
    for name in names:
        (sessions / name).mkdir(0o1700)
        shutil.rmtree(sessions / name)
    for name in names:
        (sessions / name).mkdir()
    found = [os.listdir(sessions / name) for name in names]
    assert found == [["app.db"]] * 36 + [[]] * 64
    for name in names:
        (sessions / name).rmdir()


@pytest.mark.on_ways("mount")
def test_the_mode_does_not_depend_on_the_umask(here):
    old = os.umask(0o777)
    try:
        for _ in range(2):  # the first is made by the command, the second by mkdir
            with mintfs.database() as db:
                assert stat.S_IMODE(db.directory.stat().st_mode) == 0o1700
                db.reset()
                assert stat.S_IMODE(db.directory.stat().st_mode) == 0o1700
    finally:
        os.umask(old)
