"""How much of the package these tests reach: they run again, under coverage."""

import os
import re
import subprocess
import sys
from pathlib import Path

from .ways import PACKAGE

HERE = Path(__file__).parent
LEAST_PERCENT = 97
# These add no coverage: many tests, unusual directories, and this test itself.
LEFT_OUT = ["test_coverage", "test_packaging", "test_urls", "test_surroundings"]
TOO_MANY = "not five_hundred"

SETTINGS = f"""\
[run]
branch = True
parallel = True
source = {PACKAGE}/mintfs
data_file = {{data}}/coverage

[report]
exclude_lines =
    pragma: no cover
    raise NotImplementedError
    if TYPE_CHECKING:
    @abstractmethod
show_missing = True
skip_covered = True
fail_under = {LEAST_PERCENT}
"""


def test_coverage(fuse, place):
    """Includes all processes: each starts coverage when it finds this sitecustomize.py."""
    settings, early = place / "settings", place / "early"
    early.mkdir()
    (early / "sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
    settings.write_text(SETTINGS.format(data=place))
    env = {
        **os.environ,
        "COVERAGE_PROCESS_START": str(settings),
        "PYTHONPATH": f"{early}:{os.environ.get('PYTHONPATH', '')}",
        "MINTFS_COVERAGE": "1",
    }
    modules = sorted(path for path in HERE.glob("test_*.py") if path.stem not in LEFT_OUT)
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", TOO_MANY, *modules]
    if not os.environ.get("PYTEST_XDIST_WORKER"):
        words += ["-n", "2"]
    env = {name: value for name, value in env.items() if not name.startswith("PYTEST_XDIST")}
    tests = subprocess.run(
        [sys.executable, *words], cwd=HERE.parent, env=env, capture_output=True, text=True
    )
    assert tests.returncode == 0, tests.stdout[-20000:]
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run(
        [*coverage, "combine", "-q", f"--rcfile={settings}", place], cwd=place, check=True
    )
    report = subprocess.run(
        [*coverage, "report", f"--rcfile={settings}"], cwd=place, capture_output=True, text=True
    )
    print(report.stdout)
    assert report.returncode == 0, report.stdout + report.stderr
    assert int(re.findall(r"^TOTAL .*?(\d+)%$", report.stdout, re.MULTILINE)[0]) >= LEAST_PERCENT
