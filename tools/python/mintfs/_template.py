"""Building a template, or finding the one that is there."""

import sys
from typing import Dict, List, Mapping, Optional, Sequence, Union

from . import _command, _conf_in_force, _database, _fallback, _project_conf, _settings
from ._errors import UsageError
from ._stdlib import Path, os, shutil, time

StrPath = Union[str, "os.PathLike[str]"]
OneOrMore = Union[StrPath, Sequence[StrPath]]

#: The key that the tests of a nox session are to use; see mintfs.nox.
VARIABLE = "MINTFS_TEMPLATE"


def template(
    name: Optional[str] = None,
    *,
    builder: Union[str, Sequence[StrPath], None] = None,
    inputs: OneOrMore = (),
    exclude: OneOrMore = (),
    env: OneOrMore = (),
    salt: Optional[str] = None,
    file: Optional[str] = None,
    as_: Optional[str] = None,
    root: Optional[StrPath] = None,
    to: Optional[StrPath] = None,
    environ: Optional[Mapping[str, str]] = None,
) -> str:
    """The key of a template, which is in the store then: the builder runs only if it was not.

    Without a builder, mintfs.conf says what the template is: its section `name`, or the only one.
    It is looked for in `root`, by default the current directory, and upwards.
    With one, `name` is a label. The builder is a command, a list of words or one line, in which
    {out} is the file to make; it runs in `root`, which all paths are relative to (by default the
    current directory), and finds this interpreter as "python3" or "python". The other words are
    those of `mintfs build`: `env` names variables that count, `as_` stands for the builder's words,
    `to` places the database as an ordinary file. `environ` is the builder's environment; the store
    is this process's, unless `environ` names one.

    Without any argument, $MINTFS_TEMPLATE is the answer, if it is set.
    """
    asked = (name, builder, inputs, exclude, env, salt, file, as_, to)
    if given_key() and all(word in (None, ()) for word in asked):
        return given_key()
    words = (
        _project_conf.split_words(builder) if isinstance(builder, str) else _texts(builder or ())
    )
    if builder is not None and not words:
        raise UsageError("the builder has no words")
    spec = _project_conf.Spec(name, words)
    for option, values in (("input", inputs), ("exclude", exclude), ("env", env)):
        spec.lists[option] = _texts(values)
    for option, value in (("salt", salt), ("file", file), ("as", as_)):
        if value is not None:
            spec.once[option] = value
    place = _place(root, builder is None)
    variables = environment(sys.executable) if environ is None else environ
    if _command.find().path is not None:
        arguments = _arguments(spec, builder is not None, to)
        settings = _settings.fixed()
        store = {n: v for n, v in settings.environ.items() if n in _settings.STORE_VARIABLES}
        variables = _settings.absolute({**store, **variables}, settings.directory)
        key = _command.build(arguments, str(place), variables)
        _database.note_built(key, variables)
    else:
        key = _without_command(spec, builder is not None, place, to, variables)
    if name and builder is not None:
        _database.labels[name] = key
    return key


def given_key() -> str:
    """The key that $MINTFS_TEMPLATE says, or nothing."""
    return _settings.variable(VARIABLE)


def _place(root: Optional[StrPath], by_conf: bool) -> Path:
    """The directory that paths are relative to."""
    if root is None and by_conf:
        place = _conf_in_force.start()
    else:
        place = Path(_settings.current_directory(), root or "").resolve()
    return by_conf and _conf_in_force.find(place) or place


def environment(interpreter: str) -> Dict[str, str]:
    """This process's, in which that interpreter is `python`, and what lies beside it is found."""
    environ = _settings.for_builder()
    paths = (environ.get("PATH") or os.defpath).split(os.pathsep)
    beside = os.path.dirname(interpreter or "")
    if beside and paths[0] != beside:
        paths.insert(0, beside)
    made = {**environ, "PATH": os.pathsep.join(paths)}
    if beside and not all(_is_beside(interpreter, name) for name in _fallback.PYTHONS):
        made[_fallback.PYTHON_VARIABLE] = interpreter
    return made


def _is_beside(interpreter: str, name: str) -> bool:
    """Whether that name means this interpreter in its directory. Debian has no python, and a
    python3.13 may be beside a python3 that is an earlier one."""
    found = shutil.which(name, path=os.path.dirname(interpreter))
    try:
        return found is not None and os.path.samefile(found, interpreter)
    except OSError:
        return False


def _texts(values: OneOrMore) -> List[str]:
    """Text for each; a single one is a list of one."""
    if isinstance(values, (str, os.PathLike)):
        values = (values,)
    return [os.fspath(value) for value in values]


def _arguments(spec: _project_conf.Spec, has_builder: bool, to: Optional[StrPath]) -> List[str]:
    options = [f"--{name}={value}" for name, values in spec.lists.items() for value in values]
    options += [f"--{name}={value}" for name, value in spec.once.items()]
    options += [f"--to={os.fspath(to)}"] if to is not None else []
    if not has_builder:
        return [*options, spec.name] if spec.name else options
    options += [f"--name={spec.name}"] if spec.name else []
    return [*options, "--", *spec.builder]


def _without_command(
    spec: _project_conf.Spec,
    has_builder: bool,
    root: Path,
    to: Optional[StrPath],
    environ: Mapping[str, str],
) -> str:
    _fallback.tell(_command.find().why_not)
    if not has_builder:
        if _conf_in_force.find(root):
            _conf_in_force.check_owner(root)
        asked, spec = spec, _project_conf.read(root, spec.name)
        for name, values in asked.lists.items():
            spec.lists[name] += values
        spec.once.update(asked.once)
    key = _fallback.build(spec, root, environ)
    if to is not None:
        _fallback.place(key, root / to)
    return key


def started_ns() -> int:
    """When the test run began, for telling what it found from what it built."""
    return int(_settings.variable(STARTED_VARIABLE) or time.time_ns())


STARTED_VARIABLE = "MINTFS_STARTED"
