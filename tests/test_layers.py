"""The layers of the source: who may include what, that each header stands alone, and how long
files are. No mount and no build is needed, only a compiler."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["fs/base", "fs/store", "fs/overlay", "fs/mount", "fs/client", "tools"]
LINES_MAX = 600
GENERATED = {"tools/help_text.h"}

# Whose headers may be included where, beside the C library's and the kernel's.
FOREIGN = {
    "sqlite3.h": "fs/store",
    "fuse.h": "fs/mount",
    "fuse_lowlevel.h": "fs/mount",
    "fuse_opt.h": "fs/mount",
    "openssl/": "fs/base",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


def sources(*patterns):
    return sorted(path for layer in LAYERS for pattern in patterns
                  for path in (ROOT / layer).glob(pattern))


def layer_of(path):
    return str((path.relative_to(ROOT) if path.is_absolute() else path).parent)


def includes(path):
    return INCLUDE.findall(path.read_text())


def test_there_are_sources():
    for layer in LAYERS:
        assert list((ROOT / layer).glob("*.c")), layer


def test_includes_run_downwards():
    wrong = []
    for path in sources("*.c", "*.h"):
        own = LAYERS.index(layer_of(path))
        for quote, name in includes(path):
            if quote == "<" or name in GENERATED:
                continue
            layer = layer_of(Path(name))
            if layer not in LAYERS or LAYERS.index(layer) > own or not (ROOT / name).is_file():
                wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert not wrong


def test_libraries_stay_in_their_layers():
    wrong = []
    for path in sources("*.c", "*.h"):
        for _, name in includes(path):
            for header, layer in FOREIGN.items():
                if name.startswith(header) and layer_of(path) != layer:
                    wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert not wrong


def fuse_flags():
    own = ROOT / ".deps/fuse3/include/fuse3"
    if own.is_dir():
        return ["-isystem", str(own)]
    asked = subprocess.run(["pkg-config", "--cflags", "fuse3"], capture_output=True, text=True,
                           check=False)
    return shlex.split(asked.stdout)


def compiles(header):
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or "clang"
    return subprocess.run(
        [*shlex.split(compiler), "-std=gnu17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-Wall",
         "-Wextra", "-Werror", "-Wno-unused", "-I", str(ROOT), *fuse_flags(), "-fsyntax-only",
         "-x", "c", "-"],
        input=f'#include "{header}"\n#include "{header}"\n', capture_output=True, text=True,
        check=False)


@pytest.mark.parametrize("header", [str(path.relative_to(ROOT)) for path in sources("*.h")])
def test_each_header_compiles_alone(header):
    compiled = compiles(header)
    assert compiled.returncode == 0, compiled.stderr


def test_no_file_is_two():
    longer = {str(path.relative_to(ROOT)): lines for path in sources("*.c", "*.h")
              if (lines := path.read_text().count("\n")) > LINES_MAX}
    assert not longer, f"over {LINES_MAX} lines"


def test_meson_knows_each_source():
    unknown = [str(path.relative_to(ROOT)) for path in sources("*.c")
               if f"'{path.name}'" not in (path.parent / "meson.build").read_text()]
    assert not unknown


def test_meson_knows_each_unit_test():
    listed = (ROOT / "tests/unit/meson.build").read_text()
    unknown = [path.name for path in sorted((ROOT / "tests/unit").glob("test_*.c"))
               if f"'{path.stem.removeprefix('test_').replace('_', '-')}'" not in listed]
    assert not unknown
