"""What a name means to database(), sealed() and memory(): decided once in a process.

If the mintfs.conf in force has a section of that name, the name means what the section builds now;
the inputs are checked the first time. Otherwise it means the template that this process has built
under it, else the last one built by anybody, and the command prints a message.
"""

import re
from typing import Dict, Optional, Tuple

from . import _conf_in_force, _project_conf, _sources
from ._errors import Error
from ._stdlib import Path
from ._template import given_key, template

KEY = re.compile("[0-9a-f]{64}")

_meanings: Dict[Tuple[str, Optional[str]], str] = {}


def key_of(text: Optional[str]) -> str:
    """The key of a key or a name; for None, that of the template of mintfs.conf."""
    if text is None and given_key():
        return given_key()
    if text is not None and KEY.fullmatch(text):
        return text
    place = _conf_in_force.start()
    where = (str(place), text)
    if where not in _meanings:
        _meanings[where] = _resolve(text, place)
    return _meanings[where]


def _resolve(text: Optional[str], place: Path) -> str:
    if text is None:
        return template(root=place)
    found = _conf_in_force.find(place)
    if found and _has_section(found, text):
        return template(text, root=found)
    return _sources.labels.get(text) or _sources.default().template(text, place).key


def _has_section(directory: Path, name: str) -> bool:
    """True also if the file cannot be read: then the build reports what is wrong with it."""
    try:
        return name in _project_conf.sections(directory)
    except Error:
        return True


def forget() -> None:
    _meanings.clear()
