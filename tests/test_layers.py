"""The structure of the source: layers, no cycles within one, headers that compile alone, and the
sizes of files and lines. No mount and no build is needed, only a compiler."""

import os
import re
import shlex
import shutil
import subprocess
from itertools import pairwise
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

# A function that other files can call, as clang-format sets it: at the margin, its brace below.
DEFINITION = re.compile(r"^(?!static\b)[a-z][\w \t\n*]*?\b(\w+)\([^;{}]*\)\n\{", re.MULTILINE)
DECLARATION = re.compile(r"^(?!static\b|typedef\b)[A-Za-z][\w \t\n*]*?\b([a-z]\w+)\([^;{}]*\)[\w\s(),]*;",
                         re.MULTILINE)
PARAMETERS = re.compile(r"\b[a-z]\w+\(((?:[^;{}()]|\([^;{}()]*\))*)\)[\w\s(),]*[;{]")
BOOL_PARAMETER = re.compile(r"(^|,)\s*(const\s+)?(bool|_Bool)\b(?!\s*\*)")
WORD = re.compile(r"\b[a-z]\w+\b")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


def sources(*patterns, root=ROOT):
    return sorted(path for layer in LAYERS for pattern in patterns
                  for path in (root / layer).glob(pattern))


def layer_of(path, root=ROOT):
    return str((path.relative_to(root) if path.is_absolute() else path).parent)


def includes(path):
    return INCLUDE.findall(path.read_text())


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def upward_includes(root=ROOT):
    wrong = []
    for path in sources("*.c", "*.h", root=root):
        own = LAYERS.index(layer_of(path, root))
        for quote, name in includes(path):
            if quote == "<" or name in GENERATED:
                continue
            layer = layer_of(Path(name))
            if layer not in LAYERS or LAYERS.index(layer) > own or not (root / name).is_file():
                wrong.append(f"{path.relative_to(root)} includes {name}")
    return wrong


def uses_between_modules(layer, root=ROOT):
    """Module -> module -> the names by which the first uses the second.

    A module is a .c file with the header of its name. One uses another if it includes its header or
    calls a function that the other one's .c file defines, so that a shared header hides nothing.
    """
    texts = {}
    for path in sorted((root / layer).glob("*.[ch]")):
        texts[path.stem] = texts.get(path.stem, "") + without_comments(path.read_text())
    owners = {name: module for module, text in texts.items() for name in DEFINITION.findall(text)}
    uses = {module: {} for module in texts}
    for module, text in texts.items():
        for _, header in INCLUDE.findall(text):
            if layer_of(Path(header)) == layer and Path(header).stem != module:
                uses[module].setdefault(Path(header).stem, set()).add(Path(header).name)
        for name in set(WORD.findall(DECLARATION.sub("", INCLUDE.sub("", text)))) & set(owners):
            if owners[name] != module:
                uses[module].setdefault(owners[name], set()).add(name)
    return uses


def find_cycle(uses):
    """The modules of one cycle in order, or []."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return [*path[path.index(module):], module]
        if module in done:
            return []
        path.append(module)
        for used in sorted(uses.get(module, ())):
            cycle = visit(used)
            if cycle:
                return cycle
        done.add(path.pop())
        return []

    return next((cycle for module in sorted(uses) if (cycle := visit(module))), [])


def test_there_are_sources():
    for layer in LAYERS:
        assert list((ROOT / layer).glob("*.c")), layer


def test_includes_run_downwards():
    assert not upward_includes()


@pytest.mark.parametrize("layer", LAYERS)
def test_modules_within_a_layer_form_no_cycle(layer):
    uses = uses_between_modules(layer)
    cycle = find_cycle(uses)
    assert not cycle, "\n".join(f"{a} uses {b}: {', '.join(sorted(uses[a][b]))}"
                                for a, b in pairwise(cycle))


@pytest.fixture(name="copy")
def copy_of_the_sources(tmp_path):
    for layer in LAYERS:
        (tmp_path / layer).mkdir(parents=True)
        for path in sources("*.c", "*.h"):
            if layer_of(path) == layer:
                shutil.copy(path, tmp_path / layer)
    return tmp_path


def append(path, text):
    path.write_text(path.read_text() + text)


def test_an_include_of_a_higher_layer_is_found(copy):
    assert not upward_includes(copy)
    append(copy / "fs/base/io.c", '#include "fs/store/key.h"\n')
    assert upward_includes(copy) == ["fs/base/io.c includes fs/store/key.h"]


@pytest.mark.parametrize("added", [
    '#include "fs/store/build.h"\n',
    "int key_builds(void);\n\nint key_builds(void)\n{\n    return build_template();\n}\n",
], ids=["include", "call"])
def test_a_cycle_within_a_layer_is_found(copy, added):
    assert not find_cycle(uses_between_modules("fs/store", copy))
    append(copy / "fs/store/key.c", added)
    cycle = find_cycle(uses_between_modules("fs/store", copy))
    assert {"key", "build"} <= set(cycle)


def test_each_function_in_a_header_is_seen_to_be_defined():
    """Else uses_between_modules() would miss what uses it."""
    missed = []
    for layer in LAYERS:
        text = "".join(without_comments(path.read_text()) for path in (ROOT / layer).glob("*.c"))
        defined = set(DEFINITION.findall(text))
        for path in (ROOT / layer).glob("*.h"):
            header = without_comments(path.read_text())
            header = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", "", header, flags=re.MULTILINE)
            declared = set(DECLARATION.findall(header))
            missed += [f"{path.name}: {name}" for name in sorted(declared - defined)]
    assert not missed


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


def bool_parameters(header):
    """The parameter lists with a bool by value; those of callbacks do not count."""
    return [parameters for parameters in PARAMETERS.findall(without_comments(header))
            if BOOL_PARAMETER.search(re.sub(r"\([^()]*\)", "", parameters))]


def test_public_functions_take_no_bool():
    """A caller's `true` does not tell what is true: an enum or two functions do."""
    wrong = [f"{path.relative_to(ROOT)}: ({parameters})" for path in sources("*.h")
             for parameters in bool_parameters(path.read_text())]
    assert not wrong


@pytest.mark.parametrize("declared, count", [
    ("void f1(int a, bool b);", 1),
    ("void f1(int a,\n        const bool b) MUST_CHECK;", 1),
    ("void f1(bool);", 1),
    ("void f1(_Bool b);", 1),
    ("void f1(void (*call)(int), bool b);", 1),
    ("static inline void f1(bool b)\n{\n}", 1),
    ("bool f1(int a, bool *ret_b, void (*call)(bool));", 0),
])
def test_a_bool_parameter_is_found(declared, count):
    assert len(bool_parameters(declared)) == count


def test_lines_fit_in_100_columns():
    longer = [f"{path.relative_to(ROOT)}:{number}" for path in sources("*.c", "*.h")
              for number, line in enumerate(path.read_text().splitlines(), 1) if len(line) > 100]
    assert not longer


def test_meson_knows_each_source():
    unknown = [str(path.relative_to(ROOT)) for path in sources("*.c")
               if f"'{path.name}'" not in (path.parent / "meson.build").read_text()]
    assert not unknown


def test_meson_knows_each_unit_test():
    listed = (ROOT / "tests/unit/meson.build").read_text()
    unknown = [path.name for path in sorted((ROOT / "tests/unit").glob("test_*.c"))
               if f"'{path.stem.removeprefix('test_').replace('_', '-')}'" not in listed]
    assert not unknown
