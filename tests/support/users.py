"""Running as another user, in a private mount namespace.

Where only root may open /dev/fuse (mode 0600), a node that everybody may open is mounted over it in
the namespace. A process keeps the namespace alive. Commands enter it with nsenter(1) and
setpriv(1), Python functions in a fork.
"""

import ctypes
import os
import subprocess
from pathlib import Path

from support.basics import IS_ROOT
from support.processes import call_in_fork, die_with_parent

NOBODY = 65534  # fusermount3 needs a user with a name; this one exists on every machine
SOMEBODY = 54321  # another user, without a name
CLONE_NEWNS = 0x00020000

FUSE_FOR_ALL = (
    'test -e "$HOME/fuse" || mknod -m 666 "$HOME/fuse" c 10 229 && mount --bind "$HOME/fuse" /dev/fuse'
)

# The (namespace, user) of this process, if it is a fork inside a namespace.
_inside = None


# A new namespace has copies of all mounts, which would keep other tests' daemons alive.
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
        line = self.holder.stdout.readline()
        if line != "ready\n":
            self.close()
            raise AssertionError(f"no private mount namespace: {setup}")

    def close(self):
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait()

    def prefix(self, uid=None) -> list:
        """The words before a command that make it run inside; none if this process is inside."""
        uid = self.uid if uid is None else uid
        if _inside == (self, uid):
            return []
        enter = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", "--wd=/"]
        return enter + as_user(uid)

    def mountinfo(self) -> str:
        pid = "self" if _inside else self.holder.pid
        return Path(f"/proc/{pid}/mountinfo").read_text()

    def call(self, function, uid=None):
        """Calls function() inside, in a fork; returns its value, or raises its error."""
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
    """Calls function() as another user, in a fork, in the current namespace."""
    assert IS_ROOT or uid == os.geteuid()
    return call_in_fork(lambda: (become(uid), function())[1])
