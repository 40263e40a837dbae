"""Removing directories with files that the system refuses to remove at first."""

import errno
import os

import pytest
from mintfs import _remove_tree


@pytest.fixture
def tree(place):
    root = place / "tree"
    (root / "deep/er").mkdir(parents=True)
    (root / "deep/er/file").write_text("x")
    (root / "deep/link").symlink_to(place / "elsewhere")
    (place / "elsewhere").mkdir()
    (place / "elsewhere/kept").write_text("x")
    return root


def refuse_once(monkeypatch, name, number):
    """Makes the first call of this function fail, as on a read-only file or directory."""
    real, refused = getattr(_remove_tree.os, name), []

    def call(path, *args, **options):
        if not refused:
            refused.append(path)
            raise OSError(number, "refused", path)
        return real(path, *args, **options)

    monkeypatch.setattr(_remove_tree.os, name, call)
    return refused


@pytest.mark.parametrize("name", ["unlink", "rmdir", "open", "scandir"])
def test_read_only_files_and_directories_are_removed(tree, monkeypatch, name):
    refused = refuse_once(monkeypatch, name, errno.EACCES)
    _remove_tree.remove_tree(tree)
    assert refused and not tree.exists()
    assert (tree.parent / "elsewhere/kept").exists()


@pytest.mark.parametrize("name", ["unlink", "rmdir"])
def test_any_other_error_is_raised(tree, monkeypatch, name):
    refuse_once(monkeypatch, name, errno.EIO)
    with pytest.raises(OSError, match="refused"):
        _remove_tree.remove_tree(tree)


def test_a_vanished_file_is_not_an_error(tree, monkeypatch):
    real = _remove_tree.os.unlink

    def call(path, *args, **options):
        real(path, *args, **options)
        raise FileNotFoundError(errno.ENOENT, "gone", path)

    monkeypatch.setattr(_remove_tree.os, "unlink", call)
    _remove_tree.remove_tree(tree)
    assert not tree.exists()
    _remove_tree.remove_tree(tree)


@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_a_file_or_link_itself_is_removed(place, make):
    target = place / "target"
    target.write_text("x")
    make(target, place / "tree")
    _remove_tree.remove_tree(place / "tree")
    assert not (place / "tree").exists() and target.read_text() == "x"
