"""mintfs.template(): builds a template, or finds the one in the store."""

import sys
from typing import Dict, List, Mapping, Optional, Sequence, Union

from . import _command, _conf_in_force, _fallback, _project_conf, _settings, _sources
from ._errors import UsageError
from ._stdlib import Path, os, shutil, time

StrPath = Union[str, "os.PathLike[str]"]
OneOrMore = Union[StrPath, Sequence[StrPath]]

#: The key of the template that the tests of a nox session use; see mintfs.nox.
VARIABLE = "MINTFS_TEMPLATE"
#: When the test run began, in nanoseconds since the epoch.
STARTED_VARIABLE = "MINTFS_STARTED"


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
    """Returns the key of a template. The builder runs only if the template is not in the store.

    Without a builder, mintfs.conf describes the template, in its section `name` or its only one.
    The file is searched for in `root`, by default the current directory, and upwards.

    With a builder, `name` is a label. The builder is a command, as a list of words or as one line,
    in which {out} is the file to create. It runs in `root` (by default the current directory), to
    which all paths are relative, and finds this interpreter as "python3" or "python". The other
    arguments are those of `mintfs build`: `env` names variables that the key depends on, `as_`
    replaces the builder's words in the key, `to` places the database as an ordinary file.
    `environ` is the builder's environment. The store is this process's, unless `environ` names one.

    Without any argument, the result is $MINTFS_TEMPLATE, if that is set.
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
            spec.single[option] = value
    if builder is None:
        place = _directory_of_conf(root)
    else:
        place = Path(_settings.current_directory(), root or "").resolve()
    variables = environment(sys.executable) if environ is None else environ
    if _command.find().path is not None:
        arguments = _arguments(spec, to)
        settings = _settings.fixed()
        store = {n: v for n, v in settings.environ.items() if n in _settings.STORE_VARIABLES}
        variables = _settings.absolute({**store, **variables}, settings.directory)
        key = _command.build(arguments, str(place), variables)
        _sources.note_built(key, variables)
    else:
        key = _without_command(spec, place, to, variables)
    if name and builder is not None:
        _sources.labels[name] = key
    return key


def given_key() -> str:
    """The key in $MINTFS_TEMPLATE, or an empty text."""
    return _settings.variable(VARIABLE)


def _directory_of_conf(root: Optional[StrPath]) -> Path:
    """Where the mintfs.conf in force is; if there is none, where the search began."""
    if root is None:
        place = _conf_in_force.start()
    else:
        place = Path(_settings.current_directory(), root).resolve()
    return _conf_in_force.find(place) or place


def environment(interpreter: str) -> Dict[str, str]:
    """This process's environment, with the interpreter's directory first on PATH, and the
    interpreter known to the builder as `python` and `python3`."""
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
    """Whether the name means this interpreter in its directory. Debian has no `python`, and
    python3.13 may be in the same directory as an earlier python3."""
    found = shutil.which(name, path=os.path.dirname(interpreter))
    try:
        return found is not None and os.path.samefile(found, interpreter)
    except OSError:
        return False


def _texts(values: OneOrMore) -> List[str]:
    """The values as text; a single value becomes a list of one."""
    if isinstance(values, (str, os.PathLike)):
        values = (values,)
    return [os.fspath(value) for value in values]


def _arguments(spec: _project_conf.Spec, to: Optional[StrPath]) -> List[str]:
    options = [f"--{name}={value}" for name, values in spec.lists.items() for value in values]
    options += [f"--{name}={value}" for name, value in spec.single.items()]
    options += [f"--to={os.fspath(to)}"] if to is not None else []
    if not spec.builder:
        return [*options, spec.name] if spec.name else options
    options += [f"--name={spec.name}"] if spec.name else []
    return [*options, "--", *spec.builder]


def _without_command(
    spec: _project_conf.Spec,
    root: Path,
    to: Optional[StrPath],
    environ: Mapping[str, str],
) -> str:
    _fallback.warn_once(_command.find().why_not)
    if not spec.builder:
        if _conf_in_force.find(root):
            _conf_in_force.check_owner(root)
        asked, spec = spec, _project_conf.read(root, spec.name)
        for name, values in asked.lists.items():
            spec.lists[name] += values
        spec.single.update(asked.single)
    key = _fallback.build(spec, root, environ)
    if to is not None:
        _fallback.place(key, root / to)
    return key


def started_ns() -> int:
    """When the test run began: templates created earlier were hits."""
    return int(_settings.variable(STARTED_VARIABLE) or time.time_ns())
