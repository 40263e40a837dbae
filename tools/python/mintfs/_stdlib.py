"""Private copies of the parts of the standard library that this package uses.

Tests patch os, subprocess, time or open(); pyfakefs and freezegun replace them in every loaded
module. Before, during and after such a test mintfs must still work on the real machine. So its
modules import os, shutil, subprocess, Path and so on from here: copies made when mintfs is
imported, which are not in sys.modules and share no globals with the modules that tests patch. Only
os.environ, sys.stderr and sys.executable are taken from the real modules.
"""

import builtins
import importlib
import importlib.util
import sys
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence

if TYPE_CHECKING:
    import _thread as _thread
    import fcntl as fcntl
    import hashlib as hashlib
    import io as io
    import json as json
    import msvcrt as msvcrt
    import os as os
    import shutil as shutil
    import signal as signal
    import sqlite3 as sqlite3
    import subprocess as subprocess
    import time as time
    from pathlib import Path as Path
    from pathlib import PurePath as PurePath

#: These are executed again, since their Python functions call one another through their globals.
EXECUTED = ("os", "posixpath", "ntpath", "genericpath", "shutil", "subprocess", "pathlib")
#: Of these only the names are copied: their functions are C, or use nothing that tests patch.
COPIED = (
    "_thread",
    "fcntl",
    "hashlib",
    "io",
    "json",
    "msvcrt",
    "select",
    "selectors",
    "signal",
    "sqlite3",
    "sys",
    "threading",
    "time",
)
PREFIX = __name__ + "."  # of the copies' names, by which pyfakefs recognizes modules

_import_real = builtins.__import__
_modules: Dict[str, ModuleType] = {}


def _module(name: str) -> ModuleType:
    """The copy of a module. If its code is not available, only its names are copied."""
    if name == "os.path":
        found: ModuleType = _module("os").path
        return found
    if name not in _modules:
        code = _code_of(name) if name.partition(".")[0] in EXECUTED else None
        if code is not None:
            _modules[name] = _execute(name, code)
        else:
            _modules[name] = _copy(importlib.import_module(name))
    return _modules[name]


def _code_of(name: str) -> Optional[CodeType]:
    spec = importlib.util.find_spec(name)
    get_code = getattr(spec.loader, "get_code", None) if spec else None
    code: Optional[CodeType] = get_code(name) if get_code else None
    return code


def _copy(module: ModuleType) -> ModuleType:
    copy = ModuleType(PREFIX + module.__name__)
    names = {k: v for k, v in vars(module).items() if not k.startswith("__")}
    if module is sys:
        names["modules"] = dict(sys.modules)  # os adds os.path to it
    copy.__dict__.update(names)
    return copy


def _execute(name: str, code: CodeType) -> ModuleType:
    real = importlib.import_module(name)
    module = ModuleType(PREFIX + name)
    module.__dict__.update(
        __builtins__=_builtins,
        __file__=getattr(real, "__file__", None),
        __package__=real.__package__,
    )
    _modules[name] = module
    exec(code, module.__dict__)
    package, _, last = name.rpartition(".")
    if package:
        setattr(_module(package), last, module)
    return module


def _import(
    name: str,
    globals: Optional[Mapping[str, Any]] = None,
    locals: Optional[Mapping[str, Any]] = None,
    fromlist: Optional[Sequence[str]] = (),
    level: int = 0,
) -> ModuleType:
    """What an import statement in a copy gets: a copy, if there is one."""
    full = name
    if level and globals:
        full = importlib.util.resolve_name("." * level + name, globals["__package__"])
    top = full.partition(".")[0]
    if top not in EXECUTED and full not in COPIED:
        return _import_real(name, globals, locals, fromlist or (), level)
    module = _module(full)
    for part in fromlist or ():
        if part != "*" and not hasattr(module, part):
            setattr(module, part, _module(f"{full}.{part}"))
    return module if fromlist else _module(top)


_builtins = {**vars(builtins), "__import__": _import}


def _load() -> Dict[str, Any]:
    locks = "msvcrt" if sys.platform == "win32" else "fcntl"
    wanted = "_thread hashlib io json os shutil signal sqlite3 subprocess time"
    paths = _module("pathlib")
    names = {name: _module(name) for name in (*wanted.split(), locks)}
    return {**names, "Path": paths.Path, "PurePath": paths.PurePath}


if not TYPE_CHECKING:
    globals().update(_load())

#: The class of pathlib.Path() on this system; in a tuple, because pyfakefs does not look there.
_PATHS = (type(importlib.import_module("pathlib").Path()),)


def public_path(path: "Path") -> "Path":
    """A pathlib.Path of the real module, for tests to use."""
    made: Path = _PATHS[0](str(path))
    return made
