"""The steps that the CI workflow must have, and their order."""
import re
from pathlib import Path

import yaml
from behave import given, then, when

ROOT = Path(__file__).resolve().parent.parent.parent


def find(steps, pattern, key="run"):
    """The position of the first step whose `run` or `uses` has the pattern, or None."""
    for position, step in enumerate(steps):
        if re.search(pattern, step.get(key, ""), re.MULTILINE):
            return position
    return None


def problems(steps):
    """What is wrong with the steps, as a list of sentences."""
    found = []

    def require(position, missing, late):
        if position is None:
            found.append(missing)
        elif tests is not None and position > tests:
            found.append(late)

    tests = find(steps, r"^nox\b")
    require(tests, "no step runs nox", "")
    require(
        find(steps, r"^actions/checkout@", "uses"),
        "no step checks the project out",
        "the project is checked out after nox runs",
    )
    require(
        find(steps, r"apt-get install[^|;&]*\bnox\b"),
        "no step installs nox",
        "nox is installed after it runs",
    )
    require(
        find(steps, r"/tools/action@", "uses"),
        "no step restores the template",
        "the template is restored after nox runs",
    )
    save = find(steps, r"/tools/action/save@", "uses")
    if save is None or steps[save].get("if") != "always()":
        found.append("no step saves the template, always")
    return found


@given("the workflow in {path}")
def load_workflow(context, path):
    workflow = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    context.steps = workflow["jobs"]["test"]["steps"]


def take_out(steps, name):
    (step,) = [step for step in steps if step["name"] == name]
    steps.remove(step)
    return step


@when('the step "{name}" is taken out')
def step_taken_out(context, name):
    take_out(context.steps, name)


@when('the step "{name}" is moved to the end')
def step_moved(context, name):
    context.steps.append(take_out(context.steps, name))


@then("nothing is wrong with the workflow")
def nothing_wrong(context):
    assert problems(context.steps) == [], problems(context.steps)


@then('the workflow is refused: "{reason}"')
def workflow_refused(context, reason):
    assert reason in problems(context.steps), problems(context.steps)
