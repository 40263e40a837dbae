"""Small file systems, and ways to fill them."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.basics import IS_ROOT, fails


# Containers often have no loop devices; tests that need one do not exist there.
HAS_EXT4 = os.access("/dev/loop-control", os.W_OK) and shutil.which("mkfs.ext4") is not None


@contextlib.contextmanager
def mounted_disk(disk: Path, kind="tmpfs", size="3m", inodes=None):
    """A new file system, mounted at the new directory `disk`, with `inodes` inodes if given."""
    if not IS_ROOT:
        pytest.skip("only root can mount a small disk")
    disk.mkdir()
    if kind == "tmpfs":
        options = [f"size={size}", "mode=700", *([f"nr_inodes={inodes}"] if inodes else [])]
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "mintfs-test", disk], check=True
        )
    else:
        image = disk.with_name(f"{disk.name}.image")
        subprocess.run(["truncate", "-s", size, image], check=True)
        # mkfs would choose smaller blocks than disks of an ordinary size have.
        few = ["-N", str(inodes)] if inodes else []
        subprocess.run([f"mkfs.{kind}", "-q", "-b", "4096", *few, image], check=True)
        subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def fill_to_the_last_byte(disk: Path):
    with open(disk / "filler", "ab", buffering=0) as file, fails("ENOSPC"):
        while True:
            for size in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    file.write(bytes(size))
                    break
            else:
                file.write(b"x")


def use_up_inodes(disk: Path):
    """Creates files until no inode is free; there is still space for data."""
    fillers = disk / "fillers"
    fillers.mkdir(exist_ok=True)
    with fails("ENOSPC"):
        for i in range(len(list(fillers.iterdir())), 1 << 20):
            (fillers / str(i)).touch(exist_ok=False)
