"""The key covers everything that the template is built from."""
import configparser
import subprocess
import sys
from pathlib import Path

from tests.databases import ROOT


def test_whatever_the_builder_imports_is_an_input(tmp_path):
    conf = configparser.ConfigParser()
    conf.read(ROOT / "mintfs.conf", encoding="utf-8")
    inputs = {ROOT / path for path in conf["shop"]["input"].split()}
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
    assert {path for path in ours if not {path, *path.parents} & inputs} == set()
