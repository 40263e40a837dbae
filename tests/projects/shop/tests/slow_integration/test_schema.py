"""The template, which these tests only read: the models describe it, and nothing in it dangles."""
import re

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import CheckConstraint, create_engine, inspect, text

from shop.db import sqlite_url
from shop.db.models import Base
from tests.databases import ROOT, TEMPLATE


@pytest.fixture
def template():
    engine = create_engine(sqlite_url(TEMPLATE), future=True)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def config():
    config = Config(str(ROOT / "alembic.ini"))
    config.attributes["log"] = False
    return config


def test_the_models_are_what_the_migrations_made(template):
    context = MigrationContext.configure(template, opts={"compare_type": True})
    assert compare_metadata(context, Base.metadata) == []


def test_check_constraints_are_those_of_the_models(template):
    """Alembic does not compare these, and a batch migration may lose one."""
    for table in Base.metadata.sorted_tables:
        declared = {
            constraint.name: str(constraint.sqltext)
            for constraint in table.constraints
            if isinstance(constraint, CheckConstraint)
        }
        found = {
            constraint["name"]: constraint["sqltext"]
            for constraint in inspect(template).get_check_constraints(table.name)
        }
        assert found == declared, table.name


def test_nothing_dangles(template):
    assert template.execute(text("PRAGMA foreign_key_check")).all() == []
    assert template.execute(text("PRAGMA integrity_check")).all() == [("ok",)]


def test_the_history_is_one_line(config):
    scripts = list(ScriptDirectory.from_config(config).walk_revisions())
    assert [script.revision for script in scripts] == [
        f"{number:04d}" for number in range(len(scripts), 0, -1)
    ]
    assert all(re.match(r"[A-Z].*\.$", script.doc) for script in scripts)


def test_the_command_line_finds_the_database_by_its_url(config, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/by-url.db")
    command.upgrade(config, "0001")
    assert (tmp_path / "by-url.db").exists()


def test_what_changes_rows_cannot_be_printed(config):
    with pytest.raises(CommandError, match="--sql cannot write them"):
        command.upgrade(config, "head", sql=True)


def test_logging_is_that_of_alembic_ini(config, tmp_path, capfd):
    config.attributes.update(url=sqlite_url(tmp_path / "logged.db"), log=True)
    command.upgrade(config, "0002")
    assert capfd.readouterr().err.splitlines()[-1].endswith("0001 -> 0002, Addresses of customers.")
