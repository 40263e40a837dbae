"""How the modules of the package depend on one another."""

import ast
import graphlib

import pytest

from .ways import PACKAGE

MODULES = {path.stem: path for path in (PACKAGE / "mintfs").glob("*.py")}


def imported_by(text: str) -> set:
    """The modules of the package that this text imports; __init__ is the package itself."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {"__init__" for name in node.names if name.name == "mintfs"}
        elif isinstance(node, ast.ImportFrom) and node.level == 1:
            found |= {node.module} if node.module else {name.name for name in node.names}
    return found


def order(texts: dict) -> list:
    return [
        *graphlib.TopologicalSorter(
            {name: imported_by(text) for name, text in texts.items()}
        ).static_order()
    ]


def test_imports_form_no_cycle():
    texts = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items()}
    assert sorted(order(texts)) == sorted(MODULES)
    texts["_locks"] += "\nfrom . import _settings\n"
    with pytest.raises(graphlib.CycleError):
        order(texts)
