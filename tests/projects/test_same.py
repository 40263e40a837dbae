"""shop and shop-usual are one project, and mintfs is all that differs."""
import difflib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
MADE = {".nox", "build", "__pycache__", ".pytest_cache", "shop.db"}

# What takes a file of the usual project to its like on mintfs, in lines put in at most.
CODE = {"noxfile.py": 10, "tests/databases.py": 10}
AROUND = {
    ".forgejo/workflows/ci.yml": 35,
    "features/ci_workflow_validation.feature": 20,
    "features/steps/ci_workflow.py": 30,
}
ONLY_ON_MINTFS = {"tests/e2e/test_template_key.py"}


def files(project: str) -> "dict[str, bytes]":
    found = {}
    for folder, folders, names in os.walk(HERE / project):
        folders[:] = [name for name in folders if name not in MADE]
        for name in set(names) - MADE:
            path = Path(folder, name)
            found[path.relative_to(HERE / project).as_posix()] = path.read_bytes()
    return found


def lines_put_in(usual: bytes, on_mintfs: bytes) -> int:
    lines = difflib.ndiff(usual.decode().splitlines(), on_mintfs.decode().splitlines())
    return sum(line.startswith("+ ") for line in lines)


def test_mintfs_is_all_that_differs():
    usual, on_mintfs = files("shop-usual"), files("shop")
    assert len(usual) > 100
    assert set(on_mintfs) - set(usual) == ONLY_ON_MINTFS
    assert set(usual) - set(on_mintfs) == set()
    different = {name for name in usual if usual[name] != on_mintfs[name]}
    assert different == {*CODE, *AROUND}
    for name, most in {**CODE, **AROUND}.items():
        assert lines_put_in(usual[name], on_mintfs[name]) <= most, name


def test_nothing_is_a_link():
    """Either project can be copied away as it is."""
    for project in ("shop", "shop-usual"):
        for folder, folders, names in os.walk(HERE / project):
            folders[:] = [name for name in folders if name not in MADE]
            assert not [name for name in names + folders if Path(folder, name).is_symlink()]


def validate_workflow(project: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "behave", "-f", "plain", "features/ci_workflow_validation.feature"],
        cwd=project,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("step", [None, "Cache the template", "Compute the template's key"])
def test_without_its_cache_step_the_workflow_is_refused(tmp_path, step):
    ignore = shutil.ignore_patterns(*MADE)
    project = Path(shutil.copytree(HERE / "shop", tmp_path / "shop", ignore=ignore))
    if step is not None:
        workflow = project / ".forgejo/workflows/ci.yml"
        before, name, after = workflow.read_text().partition(f"      - name: {step}\n")
        assert name
        rest = after.partition("\n\n")[2]
        workflow.write_text(before + rest)
    done = validate_workflow(project)
    assert (done.returncode == 0) == (step is None), done.stdout + done.stderr
    refusal = "no step caches the template under its key"
    assert step is None or refusal in done.stdout
