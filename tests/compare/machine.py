"""A fresh machine of a CI runner: a home, a checkout, and nothing else; its steps are timed.

Steps that all contenders have in common are not counted: starting the machine, the checkout, and
the distribution's packages. A cache is a directory of archives beside the machines, so restoring
and saving include the packing, but no network.
"""

import json
import os
import resource
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from support.shops import assemble

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "tools/action/ci.sh"
SUITES = ("unit_tests", "integration_tests", "slow_integration_tests", "e2e_tests")


class Failed(Exception):
    """A step failed; the text is its output."""


class Machine:
    def __init__(self, place: Path, project: str, env: dict):
        self.home = place
        (place / "temp").mkdir(parents=True)
        self.checkout = assemble(project, place / "work")
        self.output, self.path = place / "output", place / "path"
        self.variables = place / "variables"
        self.steps = {}  # [seconds, seconds of CPU] by step
        self.daemon_cpu = 0.0
        self.env = {
            "HOME": str(place),
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "RUNNER_TEMP": str(place / "temp"),
            "MINTFS_MOUNT": str(place / "mnt"),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_PATH": str(self.path),
            "GITHUB_ENV": str(self.variables),
            "GITHUB_STEP_SUMMARY": str(place / "summary"),
            **env,
        }

    @contextmanager
    def timed(self, step: str):
        started, used = time.monotonic(), self._cpu_seconds()
        yield
        took = self.steps.setdefault(step, [0.0, 0.0])
        took[0] += time.monotonic() - started
        took[1] += self._cpu_seconds() - used

    def _cpu_seconds(self) -> float:
        """Of all commands so far, and of the daemon, which is not our child."""
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            status = json.loads((self.home / "mnt/.mintfs/status.json").read_text())
            stat = Path(f"/proc/{status['pid']}/stat").read_text().rpartition(")")[2].split()
            self.daemon_cpu = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            pass  # no daemon runs
        return usage.ru_utime + usage.ru_stime + self.daemon_cpu

    def run(self, step: str, *words) -> None:
        """Runs a command. The variables and paths that it sets apply to the steps after it."""
        for file in (self.output, self.path, self.variables):
            file.write_text("")
        with self.timed(step):
            done = subprocess.run(
                [str(word) for word in words],
                cwd=self.checkout,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        if done.returncode != 0:
            raise Failed(f"{step}: status {done.returncode}\n{done.stdout[-8000:]}")
        for directory in self.path.read_text().split():
            self.env["PATH"] = f"{directory}:{self.env['PATH']}"
        self.env.update(line.split("=", 1) for line in self.variables.read_text().splitlines())

    def ci(self, step: str) -> dict:
        """Runs a step of tools/action, and returns its outputs."""
        self.run(step, "sh", CI, step)
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())

    def nox(self, step: str = "nox") -> None:
        self.run(step, "/usr/bin/python3", "-m", "nox", "-s", *SUITES)

    def restore(self, archive: Path) -> bool:
        if not archive.exists():
            return False
        self.run("restore", "tar", "-xzf", archive, "-C", self.home)
        return True

    def save(self, archive: Path, paths: list) -> None:
        inside = [os.path.relpath(path, self.home) for path in paths]
        self.run("save", "tar", "-czf", archive, "-C", self.home, *inside)

    def remove(self) -> None:
        """Also unmounts, if the job did not reach its end."""
        if os.path.ismount(self.home / "mnt"):
            self.run("finish", "mintfs", "umount")
        subprocess.run(["chmod", "-R", "u+w", self.home], check=True)
        shutil.rmtree(self.home)
