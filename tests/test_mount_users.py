"""What users of one machine may do on a mount, with and without allow_other."""

import os
import stat
import subprocess

import pytest

from support import users
from support.basics import IS_ROOT, MINTFS, fails, sha256
from support.databases import connected, value
from support.mounts import Mount, mount_lines
from support.stores import Store, make_home
from support.users import NOBODY, SOMEBODY, call_as

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root can be several users")

shared_mount = pytest.mark.on_mounts("shared")


@pytest.mark.on_mounts("uring", "strict")
def test_other_users_cannot_enter_without_allow_other(mount, key):
    mount.new(key, "one").chmod(0o777)

    def look():
        for path in (mount.point, mount.templates / "app/app.db", mount.sessions / key / "one"):
            with fails("EACCES"):
                os.stat(path)
            with fails("EACCES"):
                os.open(path, os.O_RDONLY)
        with fails("EACCES"):
            os.listdir(mount.point)
        with fails("EACCES"):
            os.mkdir(mount.sessions / key / "two")

    call_as(NOBODY, look)


def test_root_cannot_enter_a_users_mount(fuse, place):
    home = make_home(place, NOBODY)
    namespace = users.Namespace(home)
    try:
        store = Store(home, namespace)
        made = Mount(store, home / "mnt")

        def look():
            with fails("EACCES"):
                os.listdir(home / "mnt")

        namespace.call(look, uid=0)
        namespace.call(look, uid=SOMEBODY)
        made.stop()
    finally:
        namespace.close()


@shared_mount
def test_each_user_can_make_sessions(mount, key):
    of_key = mount.sessions / key
    assert stat.S_IMODE(of_key.stat().st_mode) == 0o1777
    mount.new(key, "roots")

    def work(name):
        mine = of_key / name
        mine.mkdir(mode=0o777)
        for path in (mine, mine / "app.db"):
            assert (path.stat().st_uid, path.stat().st_gid) == (os.geteuid(), os.getegid())
        assert stat.S_IMODE(mine.stat().st_mode) == 0o700
        with connected(mine / "app.db", "journal_mode=WAL") as db:
            db.execute("insert into t0(text) values(?)", (name,))
            assert value(db, "select count(*) from t0 where text = ?", name) == 1
        (mine / "more").write_text(name)
        return sha256(mount.templates / "app/app.db")

    for uid, name in ((NOBODY, "nobodys"), (SOMEBODY, "somebodys")):
        assert call_as(uid, lambda: work(name)) == sha256(mount.store.template(key))
    assert sorted(os.listdir(of_key)) == ["nobodys", "roots", "somebodys"]


@shared_mount
def test_users_cannot_enter_sessions_of_others(mount, key):
    of_key = mount.sessions / key
    call_as(NOBODY, lambda: (of_key / "nobodys").mkdir())
    mount.new(key, "roots")

    def try_to_enter():
        for name in ("roots", "nobodys"):
            session = of_key / name
            assert session.stat().st_uid in (0, NOBODY)
            for call in (
                lambda: os.listdir(session),
                lambda: os.chdir(session),
                lambda: os.stat(session / "app.db"),
                lambda: os.open(session / "app.db", os.O_RDONLY),
                lambda: os.open(session / "new", os.O_WRONLY | os.O_CREAT),
                lambda: os.unlink(session / "app.db"),
            ):
                with fails("EACCES"):
                    call()
            with fails("EPERM", "EACCES"):
                session.chmod(0o777)
            with fails("EPERM", "EACCES"):
                os.chown(session, SOMEBODY, SOMEBODY)
            with fails("EPERM", "EACCES"):
                os.rmdir(session)
            with fails("EPERM", "EACCES"):
                os.rename(session, of_key / "stolen")

    call_as(SOMEBODY, try_to_enter)
    assert sorted(os.listdir(of_key)) == ["nobodys", "roots"]
    call_as(NOBODY, lambda: os.rmdir(of_key / "nobodys"))
    assert os.listdir(of_key) == ["roots"]


@shared_mount
def test_a_session_can_be_opened_to_others_by_chmod(mount, key):
    session = mount.new(key, "one")
    session.chmod(0o777)
    (session / "app.db").chmod(0o666)

    def write():
        with connected(session / "app.db") as db:
            db.execute("insert into t0(text) values('theirs')")
        (session / "theirs").write_text("x")
        with fails("EPERM"):
            session.chmod(0o700)
        with fails("EPERM", "EACCES"):
            os.rmdir(session)

    call_as(NOBODY, write)
    with connected(session / "app.db") as db:
        assert value(db, "select count(*) from t0 where text = 'theirs'") == 1
    assert (session / "theirs").stat().st_uid == NOBODY
    session.chmod(0o1777)
    (session / "roots").touch()
    with pytest.raises(PermissionError):
        call_as(SOMEBODY, lambda: (session / "theirs").unlink())
    call_as(NOBODY, lambda: (session / "theirs").unlink())


@shared_mount
def test_all_users_can_read_templates_and_none_can_write(mount, key):
    def look():
        template = mount.templates / "app/app.db"
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
            with fails("EROFS", "EACCES"):
                os.open(template, flags)
        for call in (
            lambda: template.unlink(),
            lambda: template.chmod(0o777),
            lambda: os.mkdir(mount.templates / "new"),
            lambda: os.mkdir(mount.sessions / "new"),
            lambda: os.mkdir(mount.point / "new"),
        ):
            with fails("EROFS", "EACCES", "EPERM"):
                call()
        return sha256(template)

    assert call_as(NOBODY, look) == sha256(mount.store.template(key))
    assert call_as(NOBODY, mount.status)["options"]["allow_other"] is True


@shared_mount
def test_new_files_get_the_group_as_on_ext4(mount, key):
    session = mount.new(key, "one")
    os.chown(session, 0, SOMEBODY)
    session.chmod(0o2775)

    def work():
        (session / "file").touch()
        (session / "folder").mkdir()
        assert (session / "file").stat().st_gid == SOMEBODY
        assert (session / "folder").stat().st_gid == SOMEBODY
        assert (session / "folder").stat().st_mode & stat.S_ISGID

    call_as(SOMEBODY, work)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_user_can_share_a_mount_if_fuse_conf_allows_it(fuse, place, allowed):
    home = make_home(place, NOBODY)
    (place / "fuse.conf").write_text("user_allow_other\n" if allowed else "")
    setup = f"{users.FUSE_FOR_ALL} && mount --bind {place}/fuse.conf /etc/fuse.conf"
    namespace = users.Namespace(home, setup)
    try:
        store = Store(home, namespace)
        if allowed:
            key = store.build_app()
            made = Mount(store, home / "mnt", "allow_other")
            path = home / "mnt/sessions" / key / "theirs"
            namespace.call(path.mkdir, uid=SOMEBODY)
            assert namespace.call(path.stat, uid=0).st_uid == SOMEBODY
            made.stop()
        else:
            message = store.run("mount", "-o", "allow_other", home / "mnt", status=1).stderr
            assert "allow_other" in message
            assert store.leftovers() == []
    finally:
        namespace.close()


def test_a_mount_works_in_a_user_namespace(fuse, place):
    """As in a rootless container: unshare -Urm, and everybody may open /dev/fuse."""
    home = make_home(place, NOBODY)
    namespace = users.Namespace(home)
    script = """
        set -e
        mkdir -p mnt
        "$0" build -n app -- sh -c 'echo text >"$0"' '{out}' >/dev/null
        "$0" mount mnt >/dev/null
        mkdir mnt/sessions/app/one
        echo more >>mnt/sessions/app/one/app.db
        cat mnt/sessions/app/one/app.db mnt/templates/app/app.db
        "$0" umount mnt
    """
    try:
        store = Store(home, namespace)
        done = subprocess.run(
            [*namespace.prefix(), "unshare", "-Urm", "--wd", home, "sh", "-c", script, MINTFS],
            env=store.env, capture_output=True, text=True, timeout=1500,
        )
        if "unshare" in done.stderr:
            pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
        assert (done.returncode, done.stdout) == (0, "text\nmore\ntext\n")
        assert done.stderr == "mintfs: app: not cached; there is no template of that name yet\n"
        assert store.leftovers() == []
    finally:
        namespace.close()
    assert not mount_lines(home / "mnt")
