"""A short run of the drill of scripts/containers, in namespaces without container software."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.basics import needs_root


@needs_root
@pytest.mark.parametrize("backend", ["copy", "fuse"])
def test_two_containers_share_a_store(fuse, backend):
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-m", "containers", "namespaces", backend, "6"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
