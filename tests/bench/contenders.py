"""The contenders: what each needs before it can create databases, and how its driver is started."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from places import (DRIVER, CannotRun, Mount, Places, await_that, build_template,
                    need_programs, need_root, run)

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for support/
from support.shops import PROJECTS

SHOP = PROJECTS / "shop-usual"


class Template:
    """A database of one size in one journal mode, and the stores that have it."""

    def __init__(self, places: Places, size_mb: float, journal: str):
        self.places, self.size_mb, self.journal = places, size_mb, journal
        self.name = f"{size_mb:g}-{journal}"
        self.path = places.make(places.disk, f"template-{self.name}") / "app.db"
        run(DRIVER, "template", self.path, round(size_mb * 1e6), journal.split("-")[0])
        self._stores = {}

    def store(self, user: bool, name: str) -> tuple:
        """Returns a store for one daemon, of hard links to the first one's files, and the key."""
        if user not in self._stores:
            first = self.places.make(self.places.disk, f"store-{self.name}-{user:d}", user) / "s"
            self._stores[user] = first, build_template(first, self.path, user)
        first, key = self._stores[user]
        path = self.places.disk / f"store-{self.name}-{name}"
        run("cp", "-al", first, path)
        return path, key

    def drop(self):
        """Frees the disk space before the next, larger template."""
        for store, _ in self._stores.values():
            with contextlib.suppress(OSError):
                run("chmod", "-R", "u+w", store)
                shutil.rmtree(store)
        self.path.unlink()


class Contender:
    """`way` is one of ways.c. `slow`: gets few samples. `sized`: depends on the template."""

    slow = False
    sized = True
    programs = {}  # the programs that it needs: {program: its package}

    def __init__(self, name: str, title: str, way: str):
        self.name, self.title, self.way = name, title, way

    def set_up(self, template: Template, stack, workers: int) -> list:
        """A driver for each worker, or CannotRun."""
        raise NotImplementedError

    def drivers(self, template, stack, workers, directory, extra=(), user=False, source=None):
        words = [DRIVER, "run", self.way, source or template.path, directory, *extra]
        return [template.places.start(*words, user=user, stack=stack, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE)
                for _ in range(workers)]

    def fresh(self, template: Template, parent: Path, stack, user=False) -> Path:
        path = template.places.make(parent, f"{self.name}-{template.name}", user)
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        return path


class Mintfs(Contender):
    def __init__(self, root=False, uring=True, strict=False, disk=False):
        flags = [word for word, on in (("root", root), ("devfuse", not uring),
                                       ("strict", strict), ("disk", disk)) if on]
        super().__init__("-".join(["mintfs", *flags]),
                         f"mintfs{': ' if flags else ''}{', '.join(flags)}", "mintfs")
        self.root, self.uring, self.strict, self.disk = root, uring, strict, disk

    def set_up(self, template, stack, workers):
        if self.root:
            need_root()
        places = template.places
        own = f"{self.name}-{workers}"  # each scene has its own daemon, and each daemon its own store
        name = f"{template.name}-{own}"
        store, key = template.store(not self.root, own)
        options = [word for word, on in (("no_io_uring", not self.uring), ("strict", self.strict))
                   if on]
        mount = Mount(places, name, store=store, user=not self.root, options=options, stack=stack,
                      uring=self.uring, scratch=places.disk if self.disk else places.tmpfs)
        return self.drivers(template, stack, workers, mount.sessions(key), user=not self.root)


class Copy(Contender):
    def __init__(self, name, title, tmpfs: bool, way="copy"):
        super().__init__(name, title, way)
        self.tmpfs = tmpfs

    def set_up(self, template, stack, workers):
        places = template.places
        where = self.fresh(template, places.tmpfs if self.tmpfs else places.disk, stack)
        return self.drivers(template, stack, workers, where)


class Reflink(Contender):
    """On a file system of that kind in a loop file."""

    def __init__(self, kind: str, package: str):
        super().__init__(f"reflink-{kind}", f"reflink copy on {kind}", "reflink")
        self.kind, self.programs = kind, {f"mkfs.{kind}": package}

    def set_up(self, template, stack, workers):
        need_root()
        need_programs(self.programs)
        where = self.fresh(template, template.places.disk, stack)
        image = where / "image"
        with open(image, "wb") as file:
            file.truncate(round(template.size_mb * 2e6) + (1 << 30))
        point = template.places.make(where, "mnt")
        try:
            run(f"mkfs.{self.kind}", "-q", image)
            run("mount", "-o", "loop", image, point)
        except subprocess.CalledProcessError as error:
            raise CannotRun(f"no {self.kind} in a loop file: {error.stderr}") from error
        stack.callback(run, "umount", point)
        run("cp", template.path, point / "app.db")
        return self.drivers(template, stack, workers, point, source=point / "app.db")


class Overlay(Contender):
    def __init__(self, name, title, way, tmpfs: bool):
        super().__init__(name, title, way)
        self.tmpfs = tmpfs
        if way == "fuse-overlayfs":
            self.programs = {way: way}

    def set_up(self, template, stack, workers):
        need_root()
        need_programs(self.programs)
        places = template.places
        where = self.fresh(template, places.tmpfs if self.tmpfs else places.disk, stack)
        return self.drivers(template, stack, workers, where)


class Qcow2(Contender):
    """One qemu-storage-daemon per worker; the driver adds each image by QMP."""

    programs = {"qemu-storage-daemon": "qemu-system-common", "qemu-img": "qemu-utils"}

    def __init__(self, name, title, tmpfs: bool):
        super().__init__(name, title, "qcow2")
        self.tmpfs = tmpfs

    def set_up(self, template, stack, workers):
        need_programs(self.programs)
        if "type=]fuse" not in run("qemu-storage-daemon", "--help"):
            raise CannotRun("this qemu-storage-daemon exports nothing over FUSE")
        places = template.places
        where = self.fresh(template, places.tmpfs if self.tmpfs else places.disk, stack)
        empty = where / "empty"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", template.path, empty)
        drivers = []
        for worker in range(workers):
            socket = where / f"qmp{worker}"
            daemon = template.places.start(
                "qemu-storage-daemon", "--chardev",
                f"socket,id=qmp,path={socket},server=on,wait=off", "--monitor", "chardev=qmp",
                stack=stack, stdout=subprocess.DEVNULL)
            await_that(lambda: socket.exists() or daemon.poll() is not None, "qemu-storage-daemon")
            drivers += self.drivers(template, stack, 1, where, [socket, empty])
        return drivers


class Memory(Contender):
    def __init__(self):
        super().__init__("memory", "SQLite backup into :memory: (no file)", "memory")

    def set_up(self, template, stack, workers):
        return self.drivers(template, stack, workers, template.places.tmpfs)


class Migrations(Contender):
    """The shop's builder, whose database does not have the template's size."""

    slow = True
    sized = False

    def __init__(self):
        super().__init__("migrations", "running the migrations (the shop's, on tmpfs)",
                         "migrations")

    def set_up(self, template, stack, workers):
        where = self.fresh(template, template.places.tmpfs, stack)
        program = ("import sys; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True;"
                   "import template_db; template_db.create(sys.argv[2])")
        try:
            run(sys.executable, "-c", program, SHOP, where / "once.db", stdin=subprocess.DEVNULL)
        except subprocess.CalledProcessError as error:
            raise CannotRun(error.stderr.splitlines()[-1]) from error
        os.unlink(where / "once.db")
        return self.drivers(template, stack, workers, where,
                            [sys.executable, "-c", program, SHOP])


REFERENCE = Mintfs()
MINTFS_ALL = [Mintfs(*flags) for flags in itertools.product(
    (False, True), (True, False), (False, True), (False, True))]
OTHERS = [
    Copy("copy-disk", "copy on the store's disk", False),
    Copy("copy-tmpfs", "copy on tmpfs", True),
    Reflink("xfs", "xfsprogs"),
    Reflink("btrfs", "btrfs-progs"),
    Overlay("overlayfs-disk", "kernel overlayfs, volatile, on disk", "overlayfs", False),
    Overlay("overlayfs-tmpfs", "kernel overlayfs, volatile, on tmpfs", "overlayfs", True),
    Overlay("fuse-overlayfs-disk", "fuse-overlayfs, on disk", "fuse-overlayfs", False),
    Overlay("fuse-overlayfs-tmpfs", "fuse-overlayfs, on tmpfs", "fuse-overlayfs", True),
    Qcow2("qcow2-disk", "qcow2 over FUSE (qemu-storage-daemon), on disk", False),
    Qcow2("qcow2-tmpfs", "qcow2 over FUSE (qemu-storage-daemon), on tmpfs", True),
    Memory(),
    Copy("backup-disk", "SQLite backup into a file on disk", False, "backup"),
    Copy("backup-tmpfs", "SQLite backup into a file on tmpfs", True, "backup"),
    Migrations(),
]
ALL = {contender.name: contender for contender in MINTFS_ALL + OTHERS}
QUICK = ["mintfs", "mintfs-devfuse", "mintfs-root", "mintfs-strict", "mintfs-disk"] + [
    contender.name for contender in OTHERS]
