"""What a name means to database() and its like: settled once in a process.

Where the mintfs.conf in force has a section of that name, it means what the section builds now; the
inputs are checked the first time. Elsewhere it is the template that this process has built under
it, else the last that anybody has, which the command says.
"""

import re
from typing import Dict, Optional, Tuple

from . import _conf_in_force, _database, _project_conf
from ._errors import Error
from ._stdlib import Path
from ._template import given_key, template

KEY = re.compile("[0-9a-f]{64}")

_meanings: Dict[Tuple[str, Optional[str]], str] = {}


def key_of(text: Optional[str]) -> str:
    """Of a key, a name, or, without either, the template of mintfs.conf."""
    if text is None and given_key():
        return given_key()
    if text is not None and KEY.fullmatch(text):
        return text
    place = _conf_in_force.start()
    where = (str(place), text)
    if where not in _meanings:
        _meanings[where] = _settle(text, place)
    return _meanings[where]


def _settle(text: Optional[str], place: Path) -> str:
    if text is None:
        return template(root=place)
    found = _conf_in_force.find(place)
    if found and _has_section(found, text):
        return template(text, root=found)
    return _database.labels.get(text) or _database.source().template(text, place).key


def _has_section(directory: Path, name: str) -> bool:
    """One that cannot be read may have it: who builds it says what is wrong."""
    try:
        return name in _project_conf.sections(directory)
    except Error:
        return True


def forget() -> None:
    _meanings.clear()
