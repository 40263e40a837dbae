"""PID namespaces, as containers have: processes inside have other PIDs than outside."""

import shlex
import subprocess


class Nest:
    """A shell in its own PID namespace. All processes that it started end with it."""

    def __init__(self, mount_proc=True, rootless=False, environment=None):
        """rootless: in a user namespace in which it is root, as an ordinary user can."""
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
        """Runs a command, or one line of shell; returns the one line that it prints."""
        line = shlex.join(map(str, words)) if len(words) > 1 else words[0]
        self.shell.stdin.write(f"{line}; echo\n")
        self.shell.stdin.flush()
        answer = self.shell.stdout.readline().rstrip("\n")
        if answer:
            assert self.shell.stdout.readline() == "\n"
        return answer

    def sleeper(self) -> int:
        """Starts a process inside; returns its PID as seen inside."""
        return int(self.ask("sleep 1000 >/dev/null & echo $!"))

    def close(self):
        self.shell.kill()
        self.shell.communicate()
