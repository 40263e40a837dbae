"""The key covers everything that the template is built from, here and in the CI workflow."""
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.databases import KEY, ROOT


@pytest.fixture
def job():
    workflow = (ROOT / ".forgejo/workflows/ci.yml").read_text(encoding="utf-8")
    return yaml.safe_load(workflow)["jobs"]["test"]


def test_the_workflow_asks_for_the_key_that_nox_builds(job, tmp_path):
    (command,) = [step["run"] for step in job["steps"] if "mintfs key" in step.get("run", "")]
    output = tmp_path / "output"
    env = {**os.environ, "TEMPLATE": job["env"]["TEMPLATE"], "GITHUB_OUTPUT": str(output)}
    subprocess.run(["sh", "-e", "-c", command], cwd=ROOT, env=env, check=True)
    assert output.read_text().strip() == "key=" + KEY.read_text().strip()


def test_whatever_the_builder_imports_is_an_input(job, tmp_path):
    words = shlex.split(job["env"]["TEMPLATE"])
    inputs = [ROOT / path for flag, path in zip(words, words[1:]) if flag == "-i"]
    program = f"""
import sys, template_db
template_db.create({str(tmp_path / "new.db")!r})
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    imported = {Path(line) for line in done.stdout.splitlines()}
    ours = {path for path in imported if ROOT in path.parents and ROOT / ".nox" not in path.parents}
    assert ROOT / "shop/db/seed.py" in ours
    assert {path for path in ours if not {path, *path.parents} & set(inputs)} == set()
