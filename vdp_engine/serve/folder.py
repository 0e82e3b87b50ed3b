"""A shot's folder as a host sees it: which frames have layers, what they hold, and whether they are still good."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from bisect import bisect
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vdp_engine.errors import ServeError, ShotError
from vdp_engine.plate import format_frames
from vdp_engine.serve.layer_file import FileKey, Header, read_header
from vdp_engine.settings import short_digest
from vdp_engine.shot import Shot, frame_text

_LOOK_SECONDS = 0.25
_LOOK_SHARE = 10  # where a look takes long, as on a far file server, this many times as long passes between two
_MOST_HEADERS = 4096
NOT_FOUND = "shot.not_found"


class Look(NamedTuple):
    """What lay in the folder at a moment.

    Attributes:
        files: layer files by frame, ascending.
        revision: a text that changes whenever they do.
        plates, hints: what a host rendered for this shot, by frame; none where its plate lies elsewhere.
    """

    files: dict[int, FileKey]
    revision: str
    plates: dict[int, FileKey]
    hints: dict[int, FileKey]


class Folder:
    """One shot's folder. Every method sees what is on disk now, or was a moment ago."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shot: tuple[FileKey, Shot] | None = None
        self._look: Look | None = None
        self._look_again = 0.0
        self._headers: dict[FileKey, Header] = {}
        self._warnings: tuple[FileKey, list[str]] | None = None
        self._lock = threading.RLock()
        self._looks = threading.Lock()  # apart: a look at a far file server must not hold up pictures

    def shot(self) -> Shot:
        """The shot; ShotError as ``Shot.load``."""
        with self._lock:
            key = FileKey.of(self.path / ".vdp" / "shot.json")
            if key is None or self._shot is None or self._shot[0] != key:
                shot = Shot.load(self.path)
                if key is None:  # it has come between the two
                    return shot
                self._shot = key, shot
            return self._shot[1]

    def look(self) -> Look:
        """The layer files there are; none where there is no shot."""
        with self._looks:
            look = self._look
            if look is None or time.monotonic() >= self._look_again:
                began = time.monotonic()
                look = self._look = self._looked()
                ended = time.monotonic()
                self._look_again = ended + max(_LOOK_SECONDS, _LOOK_SHARE * (ended - began))
            return look

    def forget(self) -> None:
        """Look anew at the next question."""
        self._look = None
        with self._lock:
            self._headers.clear()

    def header(self, frame: int) -> Header | None:
        """The header of a frame's layer file; ``None`` where it has none. ServeError ``damaged``."""
        try:
            key = FileKey.of(self.shot().layer_file(frame))
        except ShotError as error:
            if error.code != NOT_FOUND:
                raise
            return None
        return None if key is None else self._header(key, frame)

    def nearest(self, frame: int) -> Header | None:
        """The header of the nearest earlier frame that has layers, else of the first; ``None`` where none has."""
        files = self.look().files
        frames = list(files)
        if not frames:
            return None
        neighbour = frames[max(bisect(frames, frame) - 1, 0)]
        return self._header(files[neighbour], neighbour)

    def missing_error(self, frame: int) -> ServeError:
        """The error for a frame that has no layers."""
        files = self.look().files
        if not files:
            return ServeError(
                "there are no layers here", code="none", path=self.path,
                remedy="press Analyse, or choose the folder of a shot that was analysed",
            )  # fmt: skip
        return ServeError(
            f"frame {frame} has no layers", code="missing", path=self.path, expected=f"one of {format_frames(files)}",
            remedy="analyse it too, or set Missing frames to hold or black",
        )  # fmt: skip

    def frame_of(self, header: Header) -> int:
        """The frame that a header is of."""
        return int(Path(header.key.path).name.split(".")[-2])

    def stale_reason(self) -> str:
        """Why the layers should be made anew; "" where they should not, or nobody can tell."""
        shot, look = self.shot(), self.look()
        files = look.files
        first = next(iter(files), None)
        if first is not None:
            made_with = self._header(files[first], first).settings
            if made_with and made_with != shot.settings.digest("render"):
                return "the settings have changed since"
        newer = [frame for frame, key in files.items() if _changed_after(look.plates.get(frame), key.modified_ns)]
        if newer:
            return f"the plate has changed since, at frame {newer[0]}"
        oldest = min((key.modified_ns for key in files.values()), default=0)
        changed = [frame for frame, key in look.hints.items() if _changed_after(key, oldest)]
        return f"the hint has changed since, at frame {changed[0]}" if changed else ""

    def warnings(self) -> list[str]:
        """What the report of the last run warns of."""
        path = self.shot().report_file
        key = FileKey.of(path)
        if key is None:
            return []
        with self._lock:
            if self._warnings is None or self._warnings[0] != key:
                try:
                    told = [str(one["message"]) for one in json.loads(path.read_text(encoding="utf-8"))["warnings"]]
                except (OSError, ValueError, KeyError, TypeError):
                    told = []
                self._warnings = key, told
            return self._warnings[1]

    def _header(self, key: FileKey, frame: int) -> Header:
        with self._lock:
            known = self._headers.get(key)
        if known is None:
            known = read_header(key, frame)
            with self._lock:
                if len(self._headers) >= _MOST_HEADERS:
                    self._headers.clear()
                self._headers[key] = known
        return known

    def _looked(self) -> Look:
        try:
            shot = self.shot()
        except ShotError as error:
            return Look({}, error.code, {}, {})
        files = _numbered(self.path, re.escape(shot.name))
        revision = short_digest([str(self._shot and self._shot[0]), *files.values()])
        place = plate_file(self.path, "plate", 0).parent
        if Path(shot.pattern).parent != place:
            return Look(files, revision, {}, {})
        hints = _numbered(place, "ofx_hint") if shot.settings.hints else {}
        return Look(files, revision, _numbered(place, "ofx_plate"), hints)


def _numbered(folder: Path, stem: str) -> dict[int, FileKey]:
    """The EXRs of a folder whose stem before the frame number matches, by frame, ascending."""
    ours = re.compile(rf"{stem}\.(-?\d+)\.exr")
    found = {}
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            match = ours.fullmatch(entry.name)
            key = FileKey.of(Path(entry.path)) if match is not None else None
            if match is not None and key is not None:
                found[int(match[1])] = key
    return dict(sorted(found.items()))


def _changed_after(key: FileKey | None, moment_ns: int) -> bool:
    return key is not None and key.modified_ns > moment_ns


def plate_file(folder: Path, kind: str, frame: int) -> Path:
    """Where the plate or the hint of a frame lies that a host rendered; ``kind`` is ``plate`` or ``hint``."""
    return folder / "plates" / f"ofx_{kind}.{frame_text(frame)}.exr"


def as_ranges(frames: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending frames as first and last of each run without a gap.

    >>> as_ranges([1, 2, 3, 7])
    [(1, 3), (7, 7)]
    """
    ranges: list[tuple[int, int]] = []
    for frame in frames:
        if ranges and frame == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], frame)
        else:
            ranges.append((frame, frame))
    return ranges
