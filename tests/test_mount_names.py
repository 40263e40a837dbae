"""The paths on a mount: what they show, what may be changed, and what appears by itself."""

import json
import os
import stat

import pytest

from support.basics import eventually, fails, sha256
from support.processes import Child

pytestmark = pytest.mark.on_each_mount


# ---- listings ----


def test_the_root_lists_three_directories(mount):
    assert sorted(os.listdir(mount.point)) == [".mintfs", "sessions", "templates"]
    assert os.listdir(mount.point / ".mintfs") == ["status.json"]
    for name in ("templates", "sessions", ".mintfs"):
        status = (mount.point / name).stat()
        assert stat.S_IMODE(status.st_mode) == 0o555
        assert status.st_uid == os.geteuid()


def test_an_empty_store_has_empty_listings(mount):
    assert os.listdir(mount.templates) == os.listdir(mount.sessions) == []
    for folder in (mount.templates, mount.sessions):
        with fails("ENOENT"):
            os.stat(folder / "app")
        with fails("ENOENT"):
            os.stat(folder / ("0" * 64))


def test_templates_and_names_are_listed(mount, key):
    assert sorted(os.listdir(mount.templates)) == sorted([key, "app"])
    assert sorted(os.listdir(mount.sessions)) == sorted([key, "app"])
    assert os.listdir(mount.sessions / key) == []
    assert os.readlink(mount.templates / "app") == key
    assert os.readlink(mount.sessions / "app") == key
    assert os.listdir(mount.templates / "app") == ["app.db"]
    types = {entry.name: entry.is_symlink() for entry in os.scandir(mount.templates)}
    assert types == {key: False, "app": True}


def test_a_template_shows_the_builders_bytes(mount, key):
    shown = mount.templates / "app/app.db"
    assert sha256(shown) == sha256(mount.store.template(key))
    status = shown.stat()
    assert stat.S_IMODE(status.st_mode) == 0o444
    assert status.st_size == mount.store.template(key).stat().st_size


def test_a_template_may_be_a_tree(mount):
    key = mount.store.build_tree(
        """
        mkdir -p a/b empty; echo deep >a/b/file; echo top >file; ln -s a/b/file link
        printf '#!/bin/sh\necho ran\n' >run; chmod 755 run; chmod 600 file; : >none
        """
    )
    for root in (mount.templates / key, mount.new(key, "one")):
        assert sorted(os.listdir(root)) == ["a", "empty", "file", "link", "none", "run"]
        assert os.listdir(root / "empty") == []
        assert (root / "link").read_text() == (root / "a/b/file").read_text() == "deep\n"
        assert (root / "none").read_bytes() == b""
        assert os.popen(f"'{root}/run'").read() == "ran\n"
    assert stat.S_IMODE((mount.templates / key / "run").stat().st_mode) == 0o555
    assert stat.S_IMODE((mount.sessions / key / "one/run").stat().st_mode) == 0o755
    assert stat.S_IMODE((mount.sessions / key / "one/file").stat().st_mode) == 0o600


# ---- templates are read-only ----


def test_nothing_can_be_changed_in_a_template(mount):
    key = mount.store.build_tree("mkdir folder; echo text >file; ln -s file link; echo x >folder/x")
    root = mount.templates / key
    file, folder = root / "file", root / "folder"
    before = sha256(file)
    for flags in (
        os.O_WRONLY,
        os.O_RDWR,
        os.O_RDONLY | os.O_TRUNC,
        os.O_WRONLY | os.O_APPEND,
        os.O_WRONLY | os.O_TRUNC | os.O_CREAT,
    ):
        with fails("EROFS"):
            os.open(file, flags)
    for change in (
        lambda: os.open(root / "new", os.O_WRONLY | os.O_CREAT | os.O_EXCL),
        lambda: os.open(folder / "new", os.O_RDWR | os.O_CREAT),
        lambda: os.unlink(file),
        lambda: os.unlink(root / "link"),
        lambda: os.unlink(folder / "x"),
        lambda: os.rename(file, root / "other"),
        lambda: os.rename(file, folder / "x"),
        lambda: os.rename(folder, root / "other"),
        lambda: os.mkdir(root / "new"),
        lambda: os.rmdir(folder),
        lambda: os.symlink("file", root / "new"),
        lambda: os.link(file, root / "new"),
        lambda: os.mkfifo(root / "new"),
        lambda: os.chmod(file, 0o644),
        lambda: os.chmod(folder, 0o755),
        lambda: os.chown(file, os.geteuid(), os.getegid()),
        lambda: os.truncate(file, 0),
        lambda: os.truncate(file, 100),
        lambda: os.utime(file),
        lambda: os.utime(file, (1, 1)),
        lambda: os.mkdir(mount.templates / "new"),
        lambda: os.mkdir(mount.templates / ("0" * 64)),
        lambda: os.rmdir(root),
        lambda: os.rename(root, mount.templates / ("0" * 64)),
        lambda: os.symlink(key, mount.templates / "new"),
        lambda: os.unlink(mount.templates / "tree"),
    ):
        with fails("EROFS"):
            change()
    assert sha256(file) == before == sha256(mount.store.template(key, "file"))
    assert sorted(os.listdir(root)) == ["file", "folder", "link"]


def test_an_open_template_cannot_be_written(mount, key):
    with open(mount.templates / key / "app.db", "rb") as file:
        for change in (
            lambda: os.write(file.fileno(), b"x"),
            lambda: os.ftruncate(file.fileno(), 0),
            lambda: os.posix_fallocate(file.fileno(), 0, 1 << 20),
        ):
            with fails("EBADF", "EINVAL"):
                change()
        with fails("EROFS"):
            os.fchmod(file.fileno(), 0o600)
        # An open file can be opened again through /proc.
        with fails("EROFS"):
            os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDWR)


def test_nothing_can_be_changed_above_sessions(mount, key):
    for change in (
        lambda: os.mkdir(mount.point / "new"),
        lambda: os.open(mount.point / "new", os.O_WRONLY | os.O_CREAT),
        lambda: os.open(mount.sessions / "new", os.O_WRONLY | os.O_CREAT),
        lambda: os.open(mount.sessions / key / "new", os.O_WRONLY | os.O_CREAT),
        lambda: os.symlink("x", mount.sessions / key / "new"),
        lambda: os.symlink(key, mount.sessions / "new"),
        lambda: os.unlink(mount.sessions / "app"),
        lambda: os.rmdir(mount.sessions / key),
        lambda: os.rmdir(mount.sessions),
        lambda: os.mkdir(mount.point / ".mintfs/new"),
        lambda: os.chmod(mount.sessions / key, 0o777),
        lambda: os.unlink(mount.point / ".mintfs/status.json"),
        lambda: os.rename(mount.templates, mount.point / "other"),
    ):
        with fails("EPERM", "EROFS", "EACCES"):
            change()
    with fails("EROFS", "EACCES"):
        os.open(mount.point / ".mintfs/status.json", os.O_RDWR)
    assert sorted(os.listdir(mount.point)) == [".mintfs", "sessions", "templates"]
    assert os.listdir(mount.sessions / key) == []


# ---- new templates and names appear by themselves ----


def test_a_new_template_appears_without_a_remount(mount, key):
    for folder in (mount.templates, mount.sessions):
        assert sorted(os.listdir(folder)) == sorted([key, "app"])
        with fails("ENOENT"):
            os.stat(folder / "later")
    later = mount.store.build_app(name="later", salt="another")
    for folder in (mount.templates, mount.sessions):
        assert (folder / later).is_dir()
        assert os.readlink(folder / "later") == later
        assert sorted(os.listdir(folder)) == sorted([key, "app", later, "later"])
    assert mount.new("later", "one").joinpath("app.db").exists()


def test_a_name_follows_the_last_build(mount, key):
    assert os.readlink(mount.templates / "app") == key
    assert os.readlink(mount.sessions / "app") == key
    moved = mount.store.build_app(name="app", salt="another", tables=1)
    assert moved != key
    for folder in (mount.templates, mount.sessions):
        assert os.readlink(folder / "app") == moved
        assert sorted(os.listdir(folder)) == sorted([key, moved, "app"])
    assert sha256(mount.templates / "app/app.db") == sha256(mount.store.template(moved))
    # And back, by a build that finds the template in the store.
    assert mount.store.build_app(name="app") == key
    assert os.readlink(mount.templates / "app") == key
    assert sha256(mount.templates / "app/app.db") == sha256(mount.store.template(key))


def test_listings_follow_many_builds(mount):
    known = set()
    for i in range(5):
        known |= {mount.store.build("sh", "-c", f'echo {i} >"$0"', "{out}", name=f"n{i}"), f"n{i}"}
        # Twice: the second answer may come from the kernel's cache, and must not be older.
        for _ in range(2):
            assert set(os.listdir(mount.templates)) == known
            assert set(os.listdir(mount.sessions)) == known


def test_an_open_directory_can_be_read_again(mount, key):
    fd = os.open(mount.templates, os.O_RDONLY | os.O_DIRECTORY)
    assert len(os.listdir(fd)) == 2
    mount.store.build_app(name="later", salt="another")
    assert len(os.listdir(fd)) == 4
    os.close(fd)


# ---- sessions ----


def test_mkdir_makes_a_session(mount, key):
    one = mount.sessions / key / "one"
    with fails("ENOENT"):
        os.stat(one)
    os.mkdir(one, 0o700)
    assert os.listdir(one) == ["app.db"]
    assert sha256(one / "app.db") == sha256(mount.store.template(key))
    assert os.listdir(mount.sessions / key) == ["one"]
    with fails("EEXIST"):
        os.mkdir(one)
    # It is the same through the link of a name.
    assert os.path.samefile(mount.sessions / "app/one", one)
    os.mkdir(mount.sessions / "app/two")
    assert sorted(os.listdir(mount.sessions / key)) == ["one", "two"]


@pytest.mark.parametrize("name", ["a", "-", "_x", "a.b", "x" * 128, "0-._A9"])
def test_valid_ids_are_accepted(mount, key, name):
    assert mount.new(key, name).joinpath("app.db").exists()
    assert os.listdir(mount.sessions / key) == [name]


def test_invalid_ids_are_refused(mount, key):
    of_key = os.fsencode(mount.sessions / key)
    for name in (b".hidden", b"a b", b"x" * 129, b"x" * 255, b"a:b", "ü".encode(), b"a\nb", b"..."):
        with fails("EINVAL"):
            os.mkdir(of_key + b"/" + name)
        with fails("ENOENT"):
            os.stat(of_key + b"/" + name)
    for name in (b"x" * 256, b"x" * 300):
        for call in (os.mkdir, os.stat, os.rmdir):
            with fails("ENAMETOOLONG"):
                call(of_key + b"/" + name)
    for name in (b".", b".."):
        with fails("EEXIST"):
            os.mkdir(of_key + b"/" + name)
        with fails("EINVAL", "ENOTEMPTY", "EBUSY"):
            os.rmdir(of_key + b"/" + name)
    assert os.listdir(mount.sessions / key) == []


def test_long_names_are_refused_everywhere(mount, session):
    for folder in (mount.point, mount.templates, mount.sessions, session, mount.templates / "app"):
        with fails("ENAMETOOLONG"):
            os.stat(folder / ("x" * 256))
        with fails("ENAMETOOLONG"):
            os.open(folder / ("x" * 256), os.O_WRONLY | os.O_CREAT)


def test_dot_dot_is_the_parent(mount, session, key):
    assert os.path.samefile(session / "..", mount.sessions / key)
    assert os.path.samefile(session / "../../..", mount.point)
    assert os.path.samefile(session / "../../../..", mount.point.parent)
    for path in (session / "../../../../no", mount.templates / "../no"):
        with fails("ENOENT"):
            os.stat(path)


def test_mkdir_p_of_an_unknown_key_is_refused(mount, key):
    for unknown in ("0" * 64, "unknown", key[:63]):
        with fails("EPERM"):
            os.makedirs(mount.sessions / unknown / "one")
    assert sorted(os.listdir(mount.sessions)) == sorted([key, "app"])


def test_rmdir_discards_a_full_session(mount, session, key):
    (session / "app.db-wal").write_bytes(b"x" * 10000)
    (session / "folder").mkdir()
    (session / "folder/file").write_text("text")
    os.rmdir(session)
    with fails("ENOENT"):
        os.stat(session)
    with fails("ENOENT"):
        os.stat(session / "app.db")
    assert os.listdir(mount.sessions / key) == []
    with fails("ENOENT"):
        os.rmdir(session)


def test_an_id_can_be_used_again_for_a_new_session(mount, session, key):
    for _ in range(3):
        (session / "app.db").write_bytes(b"changed")
        (session / "extra").write_text("extra")
        os.rmdir(session)
        os.mkdir(session)
        assert os.listdir(session) == ["app.db"]
        assert sha256(session / "app.db") == sha256(mount.store.template(key))


def test_many_sessions_are_listed_once_each(mount, key):
    names = {f"s{i:04}" for i in range(700)}
    for name in names:
        mount.new(key, name)
    listed = os.listdir(mount.sessions / key)
    assert len(listed) == len(set(listed)) and set(listed) == names
    gone = {name for name in names if name.endswith(("1", "4"))}
    for name in gone:
        os.rmdir(mount.sessions / key / name)
    assert sorted(os.listdir(mount.sessions / key)) == sorted(names - gone)


def test_one_of_many_simultaneous_mkdirs_succeeds(mount, key):
    def make():
        made = 0
        for i in range(30):
            try:
                os.mkdir(mount.sessions / key / f"s{i}")
                made += 1
            except FileExistsError:
                pass
        return made

    children = [Child(lambda talk: make()) for _ in range(5)]
    assert sum(child.end() for child in children) == 30
    assert mount.status()["counters"]["sessions_made"] == 30


def test_sessions_have_modes_and_owners(mount, key):
    for mode, umask, expected in (
        (0o700, 0o022, 0o700),
        (0o777, 0o022, 0o700),
        (0o777, 0o077, 0o700),
        (0o755, 0o277, 0o500),
    ):
        path = mount.sessions / key / f"m{mode:o}-{umask:o}"
        before = os.umask(umask)
        try:
            os.mkdir(path, mode)
        finally:
            os.umask(before)
        status = path.stat()
        assert stat.S_IMODE(status.st_mode) == expected
        assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
    path.chmod(0o750)
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    status = (path / "app.db").stat()
    assert status.st_mode & 0o200
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def test_new_files_obey_the_umask(session):
    before = os.umask(0o027)
    try:
        (session / "file").touch()
        (session / "folder").mkdir()
    finally:
        os.umask(before)
    assert stat.S_IMODE((session / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((session / "folder").stat().st_mode) == 0o750


# ---- inode numbers ----


def walk_numbers(root) -> list:
    """The inode numbers of everything except names, which are in templates/ and in sessions/."""
    found = []
    for folder, folders, files in os.walk(root):
        statuses = [os.lstat(os.path.join(folder, name)) for name in folders + files]
        found += [s.st_ino for s in statuses if not (stat.S_ISLNK(s.st_mode) and s.st_nlink == 2)]
    return found


def test_inode_numbers_are_unique_and_stable(mount):
    key = mount.store.build_tree("mkdir a; echo 1 >a/f; echo 2 >f; ln -s f l", name="t1")
    mount.store.build_app(name="t2")
    for name in ("one", "two", "three"):
        mount.new(key, name)
        (mount.sessions / key / name / "made").touch()
    mount.new("t2", "one")
    numbers = walk_numbers(mount.point)
    assert len(numbers) == len(set(numbers)) > 25
    assert numbers == walk_numbers(mount.point)
    for folder, folders, files in os.walk(mount.sessions / key):
        for entry in os.scandir(folder):
            assert entry.inode() == entry.stat(follow_symlinks=False).st_ino, entry.path


def test_an_inode_number_survives_a_dropped_cache(mount, session):
    path = session / "app.db"
    (session / "made").touch()
    numbers = [path.stat().st_ino, (session / "made").stat().st_ino]
    devices = {path.stat().st_dev, (mount.templates / "app/app.db").stat().st_dev}
    assert devices == {os.stat(mount.point).st_dev}
    if os.geteuid() == 0:
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("2")
    assert [path.stat().st_ino, (session / "made").stat().st_ino] == numbers
    renamed = path.rename(session / "renamed.db")
    assert renamed.stat().st_ino == numbers[0]


def test_a_new_file_or_session_gets_a_new_inode_number(mount, session):
    seen = set()
    for _ in range(50):
        (session / "file").touch()
        seen.add((session / "file").stat().st_ino)
        (session / "file").unlink()
    assert len(seen) == 50
    seen = set()
    for _ in range(20):
        seen.add((session / "app.db").stat().st_ino)
        os.rmdir(session)
        os.mkdir(session)
    assert len(seen) == 20


# ---- status and statfs ----


def test_status_json_counts_use(mount, session, variant, key):
    before = mount.status()
    assert before["pid"] == mount.pid
    assert before["mount"] == str(mount.point)
    assert before["scratch"] == str(mount.store.scratch())
    assert before["version"] == mount.store.run("--version").stdout.split()[1]
    assert before["stopping"] is False
    assert before["options"] == {
        "allow_other": "allow_other" in variant.options,
        "strict": "strict" in variant.options,
        "writeback": "strict" not in variant.options,
        "io_uring": before["options"]["io_uring"],
    }
    if variant.uring or "no_io_uring" in variant.options:  # otherwise as on the machine
        assert before["options"]["io_uring"] is variant.uring
    assert before["open_files"] == 0
    assert before["sessions"] == [{"id": "one", "key": key, "bytes": 0, "open_files": 0}]
    with open(session / "app.db", "r+b") as file:
        file.write(b"x" * 8192)
        file.flush()
        os.fsync(file.fileno())
        after = mount.status()
    assert after["open_files"] == 1
    assert after["sessions"] == [{"id": "one", "key": key, "bytes": 8192, "open_files": 1}]
    assert after["counters"]["sessions_made"] == before["counters"]["sessions_made"] == 1
    assert after["counters"]["stored_bytes"] == before["counters"]["stored_bytes"] + 8192
    requests = before["counters"]["requests"]
    for kind in ("LOOKUP", "OPEN", "WRITE", "RELEASE"):
        assert after["counters"]["requests"][kind] >= requests[kind]
    assert after["counters"]["requests"]["WRITE"] > requests["WRITE"]
    os.rmdir(session)
    eventually(lambda: mount.status()["counters"]["stored_bytes"] == 0)
    assert mount.status()["sessions"] == []


def test_status_json_is_complete_at_any_length(mount, key):
    for i in range(200):
        mount.new(key, f"{i:0128}")
    with open(mount.point / ".mintfs/status.json", "rb", buffering=0) as file:
        os.mkdir(mount.sessions / key / "later")  # an open file shows the moment of its open(2)
        parts = []
        while part := file.read(1000):
            parts.append(part)
    assert len(json.loads(b"".join(parts))["sessions"]) == 200
    assert len(mount.status()["sessions"]) == 201


def test_statfs_reports_the_scratch(mount, session):
    for path in (mount.point, session, session / "app.db", mount.templates):
        here, there = os.statvfs(path), os.statvfs(mount.store.scratch())
        assert here.f_namemax == 255
        assert here.f_blocks * here.f_frsize == there.f_blocks * there.f_frsize
        assert 0 < here.f_bavail <= here.f_bfree <= here.f_blocks
