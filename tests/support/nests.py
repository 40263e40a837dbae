"""A PID namespace of its own, as a container has: processes there have other numbers than here."""

import shlex
import subprocess


class Nest:
    """A shell in one, that runs what it is told. It ends with all that it started."""

    def __init__(self, mount_proc=True, rootless=False, environment=None):
        """rootless: as an ordinary user can, in a user namespace in which it is root."""
        words = ["--mount-proc"] if mount_proc else []
        words += ["--user", "--map-root-user"] if rootless else []
        self.shell = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", *words, "sh"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *words) -> str:
        """Runs a command, or one line of shell; what it prints, in one line."""
        line = shlex.join(map(str, words)) if len(words) > 1 else words[0]
        self.shell.stdin.write(f"{line}; echo\n")
        self.shell.stdin.flush()
        said = self.shell.stdout.readline().rstrip("\n")
        if said:
            assert self.shell.stdout.readline() == "\n"
        return said

    def sleeper(self) -> int:
        """A process there, by its number there."""
        return int(self.ask("sleep 1000 >/dev/null & echo $!"))

    def close(self):
        self.shell.kill()
        self.shell.communicate()
