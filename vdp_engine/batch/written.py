"""What a manifest says, as it is written: texts by key, each with its line. Nothing is judged but the form.

YAML guesses what a bare word is (``frames: 1:30`` a number, ``layer: no`` a truth value, ``name: 010`` eight). Here
every value stays the text it was typed as, and CSV gives the same; what it means is the business of ``entry``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml

_NULL = "tag:yaml.org,2002:null"
_SEPARATORS = ",;\t"
_LIST_SEPARATOR = "|"


class Mistake(NamedTuple):
    """What is wrong, in which line (0: in none of them), and whether it may be right later as it stands."""

    line: int
    message: str
    passing: bool = False


class Cell(NamedTuple):
    """A value, one text or several, and the line of its key."""

    texts: tuple[str, ...]
    line: int
    is_list: bool = False


@dataclass(frozen=True)
class Entry:
    """One shot, or the defaults: its first line, and its values by key."""

    line: int
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """A manifest before anything in it is judged."""

    defaults: Entry
    shots: tuple[Entry, ...]
    mistakes: tuple[Mistake, ...]


def read_csv(text: str) -> Written:
    """A table with a header row: one shot a row, empty cells are not given, ``|`` separates the parts of a list.

    Columns are separated by commas, semicolons or tabs, whichever the header row has most of.
    """
    header_row = next(iter(text.splitlines()), "")
    separator = max(_SEPARATORS, key=header_row.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    shots: list[Entry] = []
    mistakes: list[Mistake] = []
    header: list[str] = []
    begins = 1
    try:
        for row in rows:
            values = [value.strip() for value in row]
            if not header:
                header = values
                mistakes += [Mistake(1, f"the column {name!r} is there twice") for name in _twice(header) if name]
            elif any(values):
                if any(values[len(header) :]):
                    mistakes.append(Mistake(begins, f"{len(values)} values, but the header has {len(header)} columns"))
                shots.append(Entry(begins, dict(_row_cells(header, values, begins))))
            begins = rows.line_num + 1
    except csv.Error as error:
        mistakes.append(Mistake(begins, f"this row cannot be read: {error}"))
    return Written(Entry(1), tuple(shots), tuple(mistakes))


def _row_cells(header: list[str], values: list[str], line: int) -> Iterator[tuple[str, Cell]]:
    for name, value in zip(header, values, strict=False):
        if name and value:
            parts = tuple(part.strip() for part in value.split(_LIST_SEPARATOR))
            yield name, Cell(parts, line, len(parts) > 1)


def _twice(names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def read_yaml(text: str) -> Written:
    """A mapping of ``defaults`` (a mapping) and ``shots`` (a list of mappings)."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = ", ".join(part for part in (error.context, error.problem) if part)
        return _only(Mistake(mark.line + 1 if mark else 0, f"this is no YAML: {told}"))
    except (yaml.YAMLError, RecursionError) as error:
        return _only(Mistake(0, f"this is no YAML: {' '.join(str(error).split())}"))
    if not isinstance(root, yaml.MappingNode):
        return _only(Mistake(1, "the manifest is to have `shots:`, a list with a `plate:` in each"))
    return _Yaml().read(root)


def _only(mistake: Mistake) -> Written:
    return Written(Entry(1), (), (mistake,))


class _Yaml:
    """Walks the nodes of a manifest and collects what is wrong with their form."""

    def __init__(self) -> None:
        self._mistakes: list[Mistake] = []

    def read(self, root: yaml.MappingNode) -> Written:
        defaults = Entry(1)
        shots: tuple[Entry, ...] = ()
        for name, line, value in self._pairs(root):
            if name == "defaults":
                defaults = self._entry(value, "the defaults are to be a mapping of settings")
            elif name == "shots":
                shots = self._shots(value, line)
            else:
                self._wrong(line, f"unknown key {name!r}: here stand only `defaults` and `shots`")
        return Written(defaults, shots, tuple(self._mistakes))

    def _shots(self, node: yaml.Node, line: int) -> tuple[Entry, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(line, "the shots are to be a list, each beginning with `- `")
            return ()
        return tuple(self._entry(shot, "a shot is to be a mapping, with a `plate:`") for shot in node.value)

    def _entry(self, node: yaml.Node, otherwise: str) -> Entry:
        line = node.start_mark.line + 1
        if node.tag == _NULL:
            return Entry(line)
        if not isinstance(node, yaml.MappingNode):
            self._wrong(line, otherwise)
            return Entry(line)
        cells = {}
        for name, key_line, value in self._pairs(node):
            cell = self._cell(name, key_line, value)
            if cell is not None:
                cells[name] = cell
        return Entry(line, cells)

    def _cell(self, name: str, line: int, node: yaml.Node) -> Cell | None:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(part, yaml.ScalarNode) for part in parts):
            self._wrong(line, f"{name} is to be one value, or a list of them")
            return None
        texts = tuple(part.value for part in parts if part.tag != _NULL and part.value != "")
        return Cell(texts, line, parts is node.value) if texts else None

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[str, int, yaml.Node]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(line, "a key is to be one word")
            elif key.value in seen:
                self._wrong(line, f"{key.value!r} is there already, in line {seen[key.value]}")
            else:
                seen[key.value] = line
                yield key.value, line, value

    def _wrong(self, line: int, message: str) -> None:
        self._mistakes.append(Mistake(line, message))
