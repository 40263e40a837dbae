"""Actions, workflows and the GitLab include: runners can read them, and their scripts work.

The distribution has no package of a workflow linter, so the checks of one are here: keys are known,
each step has one kind, references and inputs exist, and no script contains an expression. GitLab's
jobs are run line by line.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from support.basics import MINTFS

ROOT = Path(__file__).resolve().parent.parent
CI = ROOT / "tools/action/ci.sh"


class Loader(yaml.SafeLoader):
    """Knows GitLab's !reference. "on" is a string and not a boolean, as for the runners."""


Loader.add_constructor("!reference", lambda loader, node: tuple(loader.construct_sequence(node)))
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

ACTIONS = ["tools/action/action.yml", "tools/action/save/action.yml"]
WORKFLOW_KEYS = {"name", "on", "jobs", "env", "permissions", "concurrency", "defaults"}
JOB_KEYS = {"runs-on", "container", "env", "steps", "needs", "outputs", "strategy", "if"}
STEP_KEYS = {"name", "id", "if", "run", "uses", "with", "env", "shell", "continue-on-error"}
USES = re.compile(r"\./\S+|[\w.-]+/[\w.-]+(/[\w.-]+)*@[\w.-]+")
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
CONTEXTS = {"github", "env", "vars", "runner", "steps", "inputs", "needs", "matrix", "always",
            "hashFiles", "failure", "success", "secrets", "true", "false"}  # fmt: skip


def load(text: str):
    return yaml.load(text, Loader)


def check_expressions(text: str):
    assert text.count("${{") == len(EXPRESSION.findall(text)), text
    for expression in EXPRESSION.findall(text):
        words = re.sub(r"'[^']*'", "", expression)
        for word in re.findall(r"(?<![\w.-])[A-Za-z][\w-]*", words):
            assert word in CONTEXTS, expression


def check_steps(steps: list, composite: bool, inputs: set = frozenset()):
    ids = [step["id"] for step in steps if "id" in step]
    assert len(set(ids)) == len(ids)
    seen = set()
    for step in steps:
        assert set(step) <= STEP_KEYS, step
        assert ("run" in step) != ("uses" in step), step
        assert "uses" not in step or USES.fullmatch(step["uses"]), step
        assert "with" not in step or "uses" in step, step
        if composite and "run" in step:
            assert step["shell"] == "sh", step
        # With an expression in a script, a stranger's text may be run; a matrix is our own text.
        for expression in EXPRESSION.findall(step.get("run", "")):
            assert not composite and expression.strip().startswith("matrix."), step
        text = yaml.dump(step)
        check_expressions(text)
        assert set(re.findall(r"steps\.([\w-]+)\.", text)) <= seen, "a step that comes later"
        assert set(re.findall(r"inputs\.([\w-]+)", text)) <= inputs
        seen |= {step["id"]} if "id" in step else set()


def check_workflow(workflow: dict):
    assert set(workflow) <= WORKFLOW_KEYS and workflow["jobs"], workflow
    jobs = workflow["jobs"]
    for job in jobs.values():
        assert set(job) <= JOB_KEYS and job["runs-on"] and job["steps"], job
        needs = job.get("needs", [])
        needs = {needs} if isinstance(needs, str) else set(needs)
        assert needs <= set(jobs), needs
        assert set(re.findall(r"needs\.([\w-]+)\.", yaml.dump(job))) <= needs
        for name, other in re.findall(r"needs\.([\w-]+)\.outputs\.([\w-]+)", yaml.dump(job)):
            assert other in jobs[name]["outputs"]
        check_steps(job["steps"], composite=False)
        check_uses_of_ours(job["steps"])


def check_uses_of_ours(steps: list):
    """The inputs exist, and a job with our action also has the one that cleans up, always."""
    kinds = [re.search(r"/tools/(action(?:/save)?)@", step.get("uses", "")) for step in steps]
    for kind, step in zip(kinds, steps):
        if kind:
            action = load((ROOT / f"tools/{kind[1]}/action.yml").read_text())
            assert set(step.get("with", {})) <= set(action.get("inputs", {})), step
        if kind and kind[1] == "action/save":
            assert step["if"] == "always()", step
    names = [kind[1] for kind in kinds if kind]
    assert names in ([], ["action", "action/save"]), names


@pytest.mark.parametrize("path", ACTIONS)
def test_actions_are_valid(path):
    text = (ROOT / path).read_text()
    action = load(text)
    assert set(action) <= {"name", "description", "inputs", "outputs", "runs"}
    assert action["name"] and action["description"] and action["runs"]["using"] == "composite"
    inputs = action.get("inputs", {})
    assert all(one["description"] and "default" in one for one in inputs.values())
    steps = action["runs"]["steps"]
    check_steps(steps, composite=True, inputs=set(inputs))
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(inputs), "an input is not used"
    ids = {step["id"] for step in steps if "id" in step}
    for output in action.get("outputs", {}).values():
        (step, name), = re.findall(r"steps\.([a-z-]+)\.outputs\.([a-z-]+)", output["value"])
        assert step in ids and f"set_output {name} " in CI.read_text(), output
    for step in re.findall(r'ci\.sh" ([a-z]+)', text):
        assert f"\n{step}) {step}_step" in CI.read_text()


def test_the_action_has_the_documented_inputs_and_outputs():
    action = load((ROOT / ACTIONS[0]).read_text())
    assert {"key", "restore", "save", "max-size", "name"} <= set(action["inputs"])
    assert {"cache-hit", "key", "seconds-saved"} <= set(action["outputs"])


WORKFLOWS = sorted(
    [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("tests/projects/*/.*/workflows/*.yml")]
)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.relative_to(ROOT)))
def test_workflows_are_valid(path):
    check_workflow(load(path.read_text()))


def test_workflows_in_the_documentation_are_valid():
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/ci.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    for block in map(load, blocks):
        if "jobs" in block:
            check_workflow(block)
        else:
            check_steps(block["steps"], composite=False)
            check_uses_of_ours(block["steps"])


def test_the_checks_can_fail():
    step = {"uses": "a/mintfs/tools/action@v1"}
    save = {"uses": "a/mintfs/tools/action/save@v1", "if": "always()"}
    good = {"on": "push", "jobs": {"a": {"runs-on": "x", "steps": [step, save]}}}
    check_workflow(good)
    for steps in (
        [step],
        [step, {**save, "if": "success()"}],
        [{**step, "with": {"no-such-input": "x"}}, save],
        [{**step, "run": "x"}, save],
        [{**step, "unless": "x"}, save],
        [{"run": "echo ${{ github.actor }}"}],
        [{"uses": "no-version/of-it"}],
        [{"uses": "a/b@v1", "with": {"key": "${{ steps.later.outputs.key }}"}}],
        [{"uses": "a/b@v1", "with": {"key": "${{ nonsense }}"}}],
    ):
        with pytest.raises(AssertionError):
            check_workflow({"on": "push", "jobs": {"a": {"runs-on": "x", "steps": steps}}})


# ---- GitLab


INCLUDE = load((ROOT / "tools/gitlab/mintfs.yml").read_text())
GITLAB_KEYS = {"extends", "stage", "variables", "before_script", "script", "after_script", "cache",
               "artifacts", "needs"}  # fmt: skip


def lines_of(job: str, part: str) -> list:
    """The lines of a part of a job, after resolving `extends` and !reference."""
    while part not in INCLUDE[job]:
        if "extends" not in INCLUDE[job]:
            return []
        job = INCLUDE[job]["extends"]
    lines = []
    for line in INCLUDE[job][part]:
        lines += lines_of(*line) if isinstance(line, tuple) else [line]
    return lines


def test_the_gitlab_include_is_valid():
    assert set(INCLUDE) == {".mintfs-base", "mintfs-template", ".mintfs"}
    for job in INCLUDE.values():
        assert set(job) <= GITLAB_KEYS, job
        assert job.get("extends", ".mintfs-base") in INCLUDE
        assert set(job.get("needs", [])) <= set(INCLUDE)
    text = (ROOT / "tools/gitlab/mintfs.yml").read_text()
    steps = re.findall(r'"\$MINTFS_CI_SCRIPT" ([a-z]+)', text)
    assert set(steps) == {"install", "key", "build", "mount", "finish"}


class Pipeline:
    """Jobs in fresh checkouts. Between jobs, a runner keeps only the cache and the artifacts."""

    def __init__(self, place: Path):
        self.place, self.runs, self.jobs = place, place / "runs", 0
        self.cache, self.artifacts = place / "cache", place / "artifacts"
        self.tools = place / "bin"
        self.tools.mkdir()
        (self.tools / "mintfs").symlink_to(MINTFS)

    def job(self, name: str, given: Path = None, script: list = (), **variables) -> Path:
        self.jobs += 1
        project = self.place / "builds/project"
        if project.exists():
            subprocess.run(["chmod", "-R", "u+w", project], check=True)
            shutil.rmtree(project)
        (project / "migrations").mkdir(parents=True)
        (project / "migrations/1.sql").write_text("create table a(b);")
        (project / "mintfs.conf").write_text(
            "[app]\ninput = migrations\nbuilder = sh -c "
            f"'echo run >>\"{self.runs}\"; cat migrations/*.sql | sqlite3 \"$0\"' {{out}}\n"
        )
        if given and given.exists():
            shutil.copytree(given, project / ".mintfs/v1/templates")
        env = {
            "HOME": str(self.place / f"home{self.jobs}"),
            "PATH": f"{self.tools}:/usr/bin:/bin",
            "CI_PROJECT_DIR": str(project),
            "MINTFS_STORE": str(project / ".mintfs"),
            "MINTFS_MOUNT": str(self.place / "mnt"),
            "MINTFS_CI_SCRIPT": str(CI),
            **variables,
        }
        Path(env["HOME"]).mkdir()
        main = [*lines_of(name, "before_script"), *lines_of(name, "script"), *script]
        for lines in (main, lines_of(name, "after_script")):
            done = subprocess.run(
                ["sh", "-ec", "\n".join(lines)], cwd=project, env=env,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, timeout=1500,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout
        return project

    def template_job(self) -> dict:
        """Runs the job, keeps its cache and artifacts, and returns its dotenv report."""
        project = self.job("mintfs-template", given=self.cache)
        for kept in (self.cache, self.artifacts):
            if kept.exists():
                subprocess.run(["chmod", "-R", "u+w", kept], check=True)
                shutil.rmtree(kept)
            shutil.copytree(project / ".mintfs/v1/templates", kept)
        text = (project / "mintfs.env").read_text()
        return dict(line.split("=", 1) for line in text.splitlines())


USE = [
    'session=$(mintfs session new "$MINTFS_CI_KEY")',
    'sqlite3 "$session/app.db" "insert into a values(1); select count(*) from a"',
    'mintfs session rm "$session"',
]


def test_of_two_gitlab_pipelines_only_the_first_builds(place):
    """It builds in the template job, and not in the job that extends .mintfs."""
    pipeline = Pipeline(place)
    cold = pipeline.template_job()
    assert re.fullmatch("[0-9a-f]{64}", cold["MINTFS_CI_KEY"]) and cold["MINTFS_CI_HIT"] == "false"
    pipeline.job(".mintfs", given=pipeline.artifacts, script=USE, **cold)
    (pipeline.cache / ("0" * 64)).mkdir()  # of another pipeline
    warm = pipeline.template_job()
    assert warm["MINTFS_CI_KEY"] == cold["MINTFS_CI_KEY"] and warm["MINTFS_CI_HIT"] == "true"
    assert float(warm["MINTFS_CI_SECONDS"]) >= 0
    assert [path.name for path in pipeline.artifacts.iterdir()] == [warm["MINTFS_CI_KEY"]]
    pipeline.job(".mintfs", given=pipeline.artifacts, script=USE, **warm)
    assert pipeline.runs.read_text() == "run\n"
