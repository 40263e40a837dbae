"""tests/projects/notes: a global engine on a fixed path, reset for each pytest and behave test."""

import re
import shutil

import pytest
from support.shops import MADE, PROJECTS

FOLDERS = ["notes", "zwei Wörter #1 100%25 & 数据", "what?"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_both_suites_use_one_template(way, place, folder):
    checkout = place / folder
    shutil.copytree(PROJECTS / "notes", checkout, ignore=shutil.ignore_patterns(*MADE))
    way.temporary = way.store.home / f"tmp {folder}"  # copies are here, so it is part of their URLs
    way.temporary.mkdir()
    way.env["TMPDIR"] = str(way.temporary)
    done = way.run("-m", "nox", cwd=checkout)
    output = done.stdout + done.stderr
    assert re.search(r"^7 passed", output, re.MULTILINE), output
    assert "4 scenarios passed, 0 failed" in output and output.count("created\n") == 1, output
    assert re.search(r"mintfs: 0 hits, 1 built, \d databases? ", output), output
