"""Where this process gets its sessions from: the mintfs command, or the fallback without it."""

from typing import Dict, Mapping, Optional, Tuple

from . import _command, _fallback, _settings, _test_run
from ._sessions import CommandSource, Source
from ._settings import BACKEND_VARIABLE, STORE_VARIABLES

Place = Tuple[Optional[str], ...]

_sources: Dict[Place, Source] = {}
_built: Dict[Place, Source] = {}
#: The keys that this process has built under a name, with a builder of its own.
labels: Dict[str, str] = {}


def default() -> Source:
    environ = _settings.fixed().environ
    found = _command.find()
    if found.path is None:
        _fallback.warn_once(found.why_not)
        run: Place = (None, _test_run.current().token)
        return _sources.setdefault(run, _fallback.FallbackSource(found.why_not))
    return _of_command(environ)


def _of_command(environ: Mapping[str, str]) -> Source:
    store = {name: environ.get(name) for name in STORE_VARIABLES}
    place = (_command.find().path, _backend(), *store.values())
    return _sources.setdefault(place, CommandSource(store))


def of(template: str) -> Source:
    """The source that has a template, by key or name."""
    return _built.get(_place_of(template)) or default()


def note_built(key: str, environ: Mapping[str, str]) -> None:
    """From now on this template is looked for in the store that this environment names, where it
    was built, even if a test changes HOME."""
    _built[_place_of(key)] = _of_command(environ)


def _place_of(template: str) -> Place:
    return (template, _command.find().path, _backend())


def _backend() -> Optional[str]:
    return _settings.fixed().environ.get(BACKEND_VARIABLE)


def forget() -> None:
    """Forgets labels and where templates were built."""
    labels.clear()
    _built.clear()
