"""Being somebody else: a private mount namespace, and an ordinary user in it.

/dev/fuse may be root's alone (mode 0600): in the namespace a node that all may open lies over it.
A namespace is a process that holds it; a command gets in through nsenter(1) and setpriv(1), a
Python function through a fork.
"""

import ctypes
import os
import subprocess
from pathlib import Path

from support.basics import IS_ROOT
from support.processes import call_in_fork, die_with_parent

NOBODY = 65534  # fusermount3 asks for a name: one that each machine has
SOMEBODY = 54321  # another user, of no name
CLONE_NEWNS = 0x00020000

FUSE_FOR_ALL = (
    'test -e "$HOME/fuse" || mknod -m 666 "$HOME/fuse" c 10 229 && mount --bind "$HOME/fuse" /dev/fuse'
)

# The namespace and user that this process took on in a fork.
_inside = None


# A namespace begins with a copy of each mount there is, which would outlive the unmounting of it.
NO_COPIES = """
grep -- ' - fuse.mintfs ' /proc/self/mountinfo | while read -r _ _ _ _ point _; do
    umount -l "$(printf %b "$point")"
done
"""


class Namespace:
    """A private mount namespace, set up by shell commands; $HOME is a scratch directory."""

    def __init__(
        self, home: Path, setup: str = FUSE_FOR_ALL, uid: int = NOBODY, with_copies: bool = False
    ):
        self.uid = uid
        script = f"{setup} && echo ready && exec cat >/dev/null"
        self.holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script if with_copies else NO_COPIES + script],
            env={**os.environ, "HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said = self.holder.stdout.readline()
        if said != "ready\n":
            self.close()
            raise AssertionError(f"no private mount namespace: {setup}")

    def close(self):
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait()

    def prefix(self, uid=None) -> list:
        """What to put before a command so that it runs inside; nothing where we are inside."""
        uid = self.uid if uid is None else uid
        if _inside == (self, uid):
            return []
        enter = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--wd=/"]
        return enter + as_user(uid)

    def mountinfo(self) -> str:
        pid = "self" if _inside else self.holder.pid
        return Path(f"/proc/{pid}/mountinfo").read_text()

    def call(self, function, uid=None):
        """Runs a function inside, in a fork; returns its answer, or raises as it did."""
        uid = self.uid if uid is None else uid
        return call_in_fork(lambda: (self._enter(uid), function())[1])

    def _enter(self, uid):
        global _inside
        libc = ctypes.CDLL(None, use_errno=True)
        fd = os.open(f"/proc/{self.holder.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        if libc.setns(fd, CLONE_NEWNS) < 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)
        become(uid)
        _inside = (self, uid)


def as_user(uid: int) -> list:
    if uid == os.geteuid():
        return []
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def become(uid: int):
    if uid != os.geteuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        die_with_parent()


def call_as(uid: int, function):
    """As another user, in our own namespace."""
    assert IS_ROOT or uid == os.geteuid()
    return call_in_fork(lambda: (become(uid), function())[1])
