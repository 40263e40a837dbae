"""The hint that a lock file is not an input: printed when a builder runs, not on a hit."""

import pytest

HINT = "is not an input"


def hints(done) -> list:
    return [line for line in done.stderr.splitlines() if HINT in line]


def build(project, *options, **kwargs):
    return project.run("build", "-i", "migrations", *options, "--", *project.builder(), **kwargs)


@pytest.mark.parametrize("name", [
    "poetry.lock", "uv.lock", "Pipfile.lock", "pylock.dev.toml", "requirements.txt",
    "requirements-dev.txt", "package-lock.json", "yarn.lock", "pnpm-lock.yaml", "composer.lock",
    "Gemfile.lock", "go.sum", "Cargo.lock",
])
def test_a_lock_file_in_the_root_gives_a_hint(project, name):
    (project.root / name).touch()
    (hint,) = hints(build(project))
    assert hint.startswith(f"mintfs: hint: {name} {HINT}") and f"-x {name}" in hint
    assert hints(build(project)) == [] == hints(project.run("key", "-i", "migrations", "--", "true"))
    assert project.runs() == 1
    # No hint if it is an input or is excluded.
    assert hints(build(project, "-i", name)) == []
    assert hints(build(project, "-x", name, "--salt", "1")) == []
    (project.root / name).unlink()
    assert hints(build(project, "--salt", "2")) == []
    assert project.runs() == 4


def test_lock_files_beside_inputs_and_the_builder_count(project):
    deep = project.root / "a/b"
    (deep / "migrations").mkdir(parents=True)
    (deep / "migrations/1.sql").touch()
    (project.root / "a/poetry.lock").touch()
    (hint,) = hints(build(project, "-i", "a/b/migrations"))
    assert "hint: a/poetry.lock" in hint
    assert hints(build(project, "--salt", "1")) == []
    (project.root / "create.sh").rename(deep / "create.sh")
    words = ["-i", "create.sh", "--", "sh", "-c", "echo >$MINTFS_OUT"]
    (deep / "mintfs.conf").write_text(
        "[app]\nroot = ../..\ninput = create.sh\nbuilder = sh -c 'echo >$MINTFS_OUT'\n"
    )
    (hint,) = hints(project.run("build", cwd=deep))
    assert "hint: a/poetry.lock" in hint
    assert hints(project.run("build", *words, cwd=deep)) == [], "a root below it"


def test_there_is_one_hint_and_none_if_any_lock_file_is_an_input(project):
    for name in ("uv.lock", "package-lock.json", "go.sum"):
        (project.root / name).touch()
    assert len(hints(build(project))) == 1
    assert hints(build(project, "-i", "uv.lock")) == []


def test_other_files_and_builds_without_inputs_give_no_hint(project):
    (project.root / "requirements.md").touch()
    (project.root / "poetry.lock").mkdir()
    assert hints(build(project)) == []
    (project.root / "uv.lock").touch()
    # Without inputs, the salt or --as identifies the template.
    done = project.run("build", "--", "sh", "-c", "echo >$MINTFS_OUT")
    assert hints(done) == []
