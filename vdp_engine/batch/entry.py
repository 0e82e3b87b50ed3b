"""One shot of a manifest: from what is written to what is to be done, or to what is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vdp_engine.batch.written import Entry, Mistake
from vdp_engine.errors import EXIT_TRY_AGAIN, VdpError
from vdp_engine.plate import Sequence, format_frames
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot, default_name

KEYS = ("plate", "name", "out", "frames", *Settings.model_fields)
_PATHS = ("hints", "flow_weights")
_PLACEHOLDER = re.compile(r"\{\{|\{(\w*)\}")
# The key to look at for what opening a shot complains of; what is not here is about its plate.
_KEY_OF = {
    "usage.frames": "frames", "usage.name": "name", "usage.out": "out", "usage.other_shot": "out",
    "usage.hint": "hints", "plate.colorspace": "colorspace", "plate.no_layer": "layer",
    "plate.missing_frame": "frames", "plate.no_frames": "frames", "plate.growing": "frames",
}  # fmt: skip


@dataclass(frozen=True)
class ShotSpec:
    """One shot of a manifest, checked.

    Attributes:
        name: stem of its results; no other shot of the manifest has it.
        plate: pattern of its plate, absolute.
        out: folder of its results, absolute; no other shot of the manifest has it.
        frames: its frames, as a range.
        count: how many they are.
        settings: what was asked for.
        line: where it begins in the manifest; 0 in a folder of shots.
    """

    name: str
    plate: str
    out: Path
    frames: str
    count: int
    settings: Settings
    line: int

    @classmethod
    def of(cls, shot: Shot, line: int) -> ShotSpec:
        """What ``create`` makes the same shot from."""
        frames = format_frames(shot.frames)
        return cls(shot.name, shot.pattern, shot.out, frames, len(shot.frames), shot.settings, line)

    def create(self) -> Shot:
        """The shot, its plate opened anew; raises what ``Shot.create`` does."""
        return Shot.create(self.plate, self.out, frames=self.frames, name=self.name, settings=self.settings)


def read_entry(
    entry: Entry, defaults: Entry, base: Path, *, out: Path | None, fresh: bool
) -> tuple[ShotSpec | None, list[Mistake]]:
    """Judge one shot, ``None`` where it cannot be worked on; all mistakes that can be told from each other.

    Args:
        base: folder that relative paths begin in.
        out: folder for the output folder where ``out`` is not given.
    """
    reader = _Reader(entry, defaults, base)
    return reader.shot(out, fresh), reader.mistakes


class _Reader:
    def __init__(self, entry: Entry, defaults: Entry, base: Path) -> None:
        self.mistakes: list[Mistake] = []
        self._line = entry.line
        self._base = base
        for where, known in ((defaults, KEYS[1:]), (entry, KEYS)):
            for name, cell in where.cells.items():
                if name not in known:
                    self._wrong(cell.line, _unknown(name, known))
        self._cells = {name: cell for name, cell in {**defaults.cells, **entry.cells}.items() if name in KEYS}

    def shot(self, out: Path | None, fresh: bool) -> ShotSpec | None:
        plate = self._text("plate")
        if plate is None:
            if "plate" not in self._cells:
                self._wrong(self._line, "`plate` is missing: a shot is nothing without it")
            self._settings({})
            return None
        pattern = self._pattern(plate)
        if pattern is None:
            self._settings({})
            return None
        named = {"name": default_name(pattern), "folder": Path(pattern).parent.name}
        named["name"] = self._filled("name", named) or named["name"]
        folder = self._filled("out", named)
        if folder is None and out is None and "out" not in self._cells:
            self._wrong(self._line, "`out` is missing: say here, in the defaults or with --out where the layers go")
        frames = self._filled("frames", named)
        settings = self._settings(named)
        if self.mistakes and settings is None:
            return None
        place = self._path(folder) if folder is not None else str((out or self._base) / named["name"])
        return self._opened(self._path(plate), Path(place), named["name"], frames, settings or Settings(), fresh)

    def _opened(
        self, plate: str, out: Path, name: str, frames: str | None, settings: Settings, fresh: bool
    ) -> ShotSpec | None:
        try:
            shot = Shot.create(plate, out, frames=frames, name=name, settings=settings)
            if not fresh:
                shot.refuse_other()
        except (VdpError, OSError) as error:
            self._opening_failed(error)
            return None
        return ShotSpec.of(shot, self._line)

    def _pattern(self, plate: str) -> str | None:
        try:
            return Sequence.find(self._path(plate))[0].pattern
        except (VdpError, OSError) as error:
            self._opening_failed(error)
            return None

    def _opening_failed(self, error: VdpError | OSError) -> None:
        code = error.code if isinstance(error, VdpError) else ""
        key = "hints" if code.startswith("plate.hint") else _KEY_OF.get(code, "plate")
        cell = self._cells.get(key) or self._cells["plate"]
        told = error.message if isinstance(error, VdpError) else f"{error.filename}: {error.strerror}"
        passing = isinstance(error, VdpError) and error.exit_code == EXIT_TRY_AGAIN
        self.mistakes.append(Mistake(cell.line, told, passing))

    def _settings(self, named: Mapping[str, str]) -> Settings | None:
        """The settings, ``None`` where one is wrong.

        Args:
            named: values of the placeholders; empty where they are not known, and not looked at.
        """
        values = dict(self._values(named))
        try:
            return Settings(**values)
        except ValidationError as error:
            for item in error.errors():
                self._refused(item)
        return None

    def _refused(self, item: Any) -> None:
        name = str(item["loc"][0]) if item["loc"] else ""
        reason = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if name:
            self._wrong(self._cells[name].line, f"{name} {reason}, not {item['input']!r}")
        else:  # about several of them together
            self._wrong(self._line, reason)

    def _values(self, named: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
        for name in Settings.model_fields:
            if name not in self._cells:
                continue
            if name == "hints":
                texts = self._cells[name].texts
                yield name, tuple(self._path(self._fill(name, text, named)) for text in texts)
                continue
            text = self._text(name)
            if text is not None:
                # The one setting that is a number or a word.
                number = name == "layers" and text.isdecimal()
                yield name, int(text) if number else self._path(text) if name in _PATHS else text

    def _text(self, name: str) -> str | None:
        """The one text of a key; ``None`` where it is not given, or, which is a mistake, a list."""
        cell = self._cells.get(name)
        if cell is None:
            return None
        if cell.is_list:
            self._wrong(cell.line, f"{name} is to be one value, not a list")
            return None
        return cell.texts[0]

    def _filled(self, name: str, named: Mapping[str, str]) -> str | None:
        text = self._text(name)
        return None if text is None else self._fill(name, text, named)

    def _fill(self, name: str, text: str, named: Mapping[str, str]) -> str:
        def value(match: re.Match[str]) -> str:
            if match[0] == "{{":
                return "{"
            if match[1] not in named and named:
                wrong = f"{name}: {match[0]} stands for nothing: use {{name}} or {{folder}}"
                self._wrong(self._cells[name].line, wrong)
            return named.get(match[1], match[0])

        return _PLACEHOLDER.sub(value, text)

    def _path(self, text: str) -> str:
        return os.path.abspath(self._base / os.path.expanduser(text))

    def _wrong(self, line: int, message: str) -> None:
        self.mistakes.append(Mistake(line, message))


def _unknown(name: str, known: tuple[str, ...]) -> str:
    if name == "plate":
        return "the defaults cannot have a `plate`: every shot has its own"
    close = get_close_matches(name.strip().lower().replace("-", "_"), known, 1, 0.6)
    return f"unknown key {name!r}" + (f": did you mean {close[0]!r}?" if close else f": known are {', '.join(known)}")
