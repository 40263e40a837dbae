"""The Python package as pip installs it, with the entry point through which pytest finds it."""

import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "tools/python"
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


def install(place: Path) -> Path:
    """Builds the wheel and unpacks it at `place`, for PYTHONPATH; pure Python needs no more."""
    source = place.with_name(f"{place.name}.source")
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-c", BUILD, source / "dist"],
        cwd=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    (wheel,) = (source / "dist").glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, place], check=True)
    shutil.rmtree(source)
    return place
