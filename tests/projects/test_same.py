"""The variants of the shop differ only in how they get a database."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.shops import MADE, OVERLAYS, PROJECTS, assemble, contents, differences
from support.wheels import PACKAGE

HERE = Path(__file__).resolve().parent

# The files of the usual project that each variant changes, and how many lines it may add at most.
CHANGED = {
    "shop": {
        "noxfile.py": 10,
        "tests/databases.py": 10,
        ".forgejo/workflows/ci.yml": 35,
        "features/ci_workflow_validation.feature": 20,
        "features/steps/ci_workflow.py": 30,
    },
    "shop-python": {
        "noxfile.py": 3,
        "tests/conftest.py": 2,
        "tests/databases.py": 5,
        "features/environment.py": 6,
        ".forgejo/workflows/ci.yml": 12,
        "features/ci_workflow_validation.feature": 8,
        "features/steps/ci_workflow.py": 10,
    },
    "shop-cached": {"noxfile.py": 20, ".forgejo/workflows/ci.yml": 10},
}
ADDED = {
    "shop": {"tests/e2e/test_template_key.py"},
    "shop-python": {"tests/e2e/test_template_key.py", "mintfs.conf"},
    "shop-cached": set(),
}


@pytest.mark.parametrize("project", CHANGED)
def test_a_variant_changes_only_how_it_gets_a_database(project):
    usual, other = contents("shop-usual"), contents(project)
    assert len(usual) > 100
    assert set(other) - set(usual) == ADDED[project]
    assert set(usual) - set(other) == set()
    changed = {name: added for name, (added, _) in differences(project).items() if name in usual}
    assert set(changed) == set(CHANGED[project])
    for name, most in CHANGED[project].items():
        assert changed[name] <= most, name


@pytest.mark.parametrize("project", OVERLAYS)
def test_an_overlay_has_only_files_that_differ(project):
    held = {
        path.relative_to(PROJECTS / project).as_posix()
        for path in (PROJECTS / project).rglob("*")
        if path.is_file() and not set(path.parts) & set(MADE)
    }
    assert held == set(differences(project, OVERLAYS[project]))


def test_no_file_is_a_link():
    """Each project can be copied elsewhere as it is."""
    for project in ("shop-usual", *CHANGED):
        for folder, folders, names in os.walk(HERE / project):
            folders[:] = [name for name in folders if name not in MADE]
            assert not [name for name in names + folders if Path(folder, name).is_symlink()]


def validate_workflow(project: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "behave", "-f", "plain", "features/ci_workflow_validation.feature"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
    )


STEPS = {
    "shop": {
        "Cache the template": "no step caches the template under its key",
        "Compute the template's key": "no step caches the template under its key",
    },
    "shop-python": {
        "Restore or build the template": "no step restores the template",
        "Save the template": "no step saves the template, always",
    },
}


@pytest.mark.parametrize("project", STEPS)
def test_a_workflow_without_its_cache_step_is_refused(tmp_path, project):
    checkout = assemble(project, tmp_path / "shop")
    done = validate_workflow(checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    workflow = checkout / ".forgejo/workflows/ci.yml"
    whole = workflow.read_text()
    for step, refusal in STEPS[project].items():
        before, name, after = whole.partition(f"      - name: {step}\n")
        assert name
        workflow.write_text(before + after.partition("\n\n")[2])
        done = validate_workflow(checkout)
        assert done.returncode != 0 and refusal in done.stdout, done.stdout + done.stderr
