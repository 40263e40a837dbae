"""Databases for behave: for each scenario, and for a feature."""

import pytest

from .test_readme import blocks

FEATURES = {
    "own": """
Feature: Each scenario has its own
  Scenario: First
    Given there are 0 orders
    When one is placed
    Then there are 1 orders

  Scenario: Second
    Given there are 0 orders
    When one is placed
    And all starts anew
    Then there are 0 orders
""",
    "shared": """
@shared_database
Feature: The scenarios share one
  Scenario: First
    When one is placed
    Then there are 1 orders

  Scenario: Second
    Given there are 1 orders
""",
}
STEPS = """
import sqlite3
from contextlib import closing
from behave import given, then, when

@when("one is placed")
def place(context):
    with closing(sqlite3.connect(context.db.path())) as connection, connection:
        connection.execute("INSERT INTO orders(item) VALUES ('mug')")

@when("all starts anew")
def reset(context):
    context.db.reset()

@given("there are {count:d} orders")
@then("there are {count:d} orders")
def count(context, count):
    with closing(sqlite3.connect(context.db.path())) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (count,)
"""


@pytest.fixture
def features(project):
    (project.path / "features/steps").mkdir(parents=True)
    (project.path / "features/steps/orders.py").write_text(STEPS)
    for name, text in FEATURES.items():
        (project.path / f"features/{name}.feature").write_text(text)
    environment = project.path / "features/environment.py"
    environment.write_text(blocks()["features/environment.py"])
    return environment


def test_each_scenario_or_feature_gets_its_own_database(way, project, features):
    """With the environment.py of the documentation."""
    output = way.run("-m", "behave", cwd=project.path).stdout
    assert "4 scenarios passed, 0 failed, 0 skipped" in output
    assert project.runs() == 1


def test_the_fixture_takes_a_template_and_a_name(way, project, features):
    way.script("import mintfs; print(mintfs.template(salt='other'))", cwd=project.path)
    features.write_text(
        """
import mintfs
from behave import use_fixture
from mintfs.behave import database

def before_all(context):
    context.key = mintfs.template(salt="other")

def before_scenario(context, scenario):
    made = use_fixture(database, context, context.key, name="db")
    other = use_fixture(database, context, name="other")
    assert made is context.db and other is context.other
    assert made.key == context.key != other.key
"""
    )
    output = way.run("-m", "behave", "features/own.feature", cwd=project.path).stdout
    assert "2 scenarios passed, 0 failed, 0 skipped" in output
