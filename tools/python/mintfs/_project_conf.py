"""Reads mintfs.conf and a builder's command line, on machines without the mintfs command.

The rules are those of the command (fs/store/project_conf.h); tests/python compares the two.
"""

import re
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional

from ._errors import Error
from ._stdlib import Path

FILE = "mintfs.conf"
DEFAULT_DATABASE = "app.db"
LISTS = ("input", "exclude", "env")
SINGLE = ("salt", "file", "as", "root")
# {{out}} is a literal {out}; a variable of the builder's own language is left alone.
PLACEHOLDER = re.compile(
    r"\{(\{(?:out|dir)\})\}|(?<![$#])(?!(?<=[ \t\n\v\f\r])\{\w+\}=)\{(out|dir)\}"
)


@dataclass
class Spec:
    """What a template is built from."""

    name: Optional[str] = None
    builder: List[str] = field(default_factory=list)
    lists: Dict[str, List[str]] = field(default_factory=lambda: {name: [] for name in LISTS})
    single: Dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        return self.single.get("file", DEFAULT_DATABASE)


def split_words(line: str) -> List[str]:
    """Splits a line into words as a shell does, without expansion. Raises ValueError if a quote is
    not closed."""
    words: List[str] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at == len(line):
            return words
        word, quote = "", ""
        while at < len(line) and (quote or not line[at].isspace()):
            char = line[at]
            following = line[at + 1 : at + 2]
            if quote and char == quote:
                quote = ""
            elif not quote and char in "'\"":
                quote = char
            elif char == "\\" and (not quote or (quote == '"' and following in ("\\", '"'))):
                at += 1
                if not following:
                    raise ValueError("a backslash at the end")
                word += following
            else:
                word += char
            at += 1
        if quote:
            raise ValueError("a quote is not closed")
        words.append(word)


def fill(word: str, places: Mapping[str, str]) -> str:
    """Replaces {out} and {dir} in a word of the builder."""
    return PLACEHOLDER.sub(lambda found: found[1] or places[found[2]], word)


def has_out(word: str) -> bool:
    return any(found[2] == "out" for found in PLACEHOLDER.finditer(word))


def read(root: Path, name: Optional[str]) -> Spec:
    """The section of that name, by default the only one, of the mintfs.conf in a directory."""
    return _choose(sections(root), name)


def sections(root: Path) -> Dict[str, Spec]:
    """All sections by name."""
    try:
        text = (root / FILE).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Error(f"no {FILE} in {root} that could describe the template") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Error(f"{root / FILE}: {error}") from None
    found: Dict[str, Spec] = {}
    whole = Spec()  # the lines before the first section
    key = ""
    section = whole
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if line[0].isspace() and key:
            _add(section, key, stripped, number)
        elif stripped[0] == "[":
            section, key = _begin(found, stripped, number), ""
        else:
            left, equals, value = stripped.partition("=")
            key = left.strip()
            if section is whole and (not equals or key != "root"):
                raise _fault(number, f"before the first [NAME]: {stripped}")
            if not equals:
                raise _fault(number, f"neither [NAME] nor KEY = VALUE: {stripped}")
            _add(section, key, value.strip(), number)
    return found


def _fault(number: int, text: str) -> Error:
    return Error(f"{FILE}:{number}: {text}")


def _begin(sections: Dict[str, Spec], text: str, number: int) -> Spec:
    name = text[1:-1].strip()
    if not text.endswith("]") or not name or "]" in name:
        raise _fault(number, "a section is [NAME] and nothing else")
    if name in sections:
        raise _fault(number, f"there are two sections [{name}]")
    sections[name] = Spec(name)
    return sections[name]


def _add(spec: Spec, key: str, value: str, number: int) -> None:
    if key in SINGLE:
        if key in spec.single:
            raise _fault(number, f'"{key}" has one value')
        if value or key == "salt":
            spec.single[key] = value
    elif key in LISTS:
        spec.lists[key] += [value] if value else []
    elif key == "builder":
        try:
            spec.builder += split_words(value)
        except ValueError as error:
            raise _fault(number, f"{error}: {value}") from None
    else:
        known = ", ".join((*LISTS, *SINGLE, "builder"))
        raise _fault(number, f'unknown key "{key}": known are {known}')


def _choose(found: Dict[str, Spec], name: Optional[str]) -> Spec:
    listed = ", ".join(found)
    if not found:
        raise Error(f"{FILE}: no [NAME] section in it")
    if name is None and len(found) > 1:
        raise Error(f"{FILE} has several templates; name one: {listed}")
    spec = found.get(name) if name is not None else next(iter(found.values()))
    if spec is None:
        raise Error(f"{FILE} has no [{name}]; there is: {listed}")
    if not spec.builder:
        raise Error(f"{FILE}: [{spec.name}] names no builder")
    return spec
