"""From the engine's JSON lines to what an artist wants to know of a run."""

from __future__ import annotations

import json
import os
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOG_LINES = 400
_MOST_WARNINGS = 200
_BLOCK = 1 << 18
_LONGEST_LINE = 1 << 20  # more without a line's end is no event of the engine
_LONGEST_SHOWN = 2000
_KEPT = "finished work is kept"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

ENDED = ("done", "failed", "stopped", "lost")


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment.

    ``fraction`` and ``eta_s`` are of the whole run. ``frames`` are those whose layers were written. ``message`` is for
    the node, ``log`` for the panel, both for people. ``result`` names the files of ``shot``, ``report`` and ``sheet``.
    """

    state: str
    fraction: float = 0.0
    stage: str = ""
    message: str = ""
    eta_s: float | None = None
    frames: tuple[int, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    error: str = ""
    error_code: str = ""
    error_frame: int | None = None
    result: dict[str, str] = field(default_factory=dict)
    log: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED


class Lines:
    """The lines of a file that grows, read as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._inode = 0
        self._rest = b""
        self._skips = False

    def read(self, *, last: bool = False) -> tuple[list[str], bool]:
        """The lines that are new and whole, and whether the file began anew before them.

        Args:
            last: nobody writes any more, so that what stands without a line's end is a line too.
        """
        lines: list[str] = []
        anew = False
        try:
            with self.path.open("rb") as file:
                status = _status(file.fileno())
                if status[1] < self._offset or (self._inode and status[0] != self._inode):
                    self._offset, self._rest, self._skips, anew = 0, b"", False, True
                self._inode = status[0]
                file.seek(self._offset)
                for block in iter(lambda: file.read(_BLOCK), b""):
                    self._offset += len(block)
                    self._cut(block, lines)
        except OSError:
            pass  # not there yet, or the file server is away: there is another time
        if last and self._rest:
            lines.append(_decoded(self._rest))
            self._rest = b""
        return lines, anew

    def _cut(self, block: bytes, lines: list[str]) -> None:
        *whole, self._rest = (self._rest + block).split(b"\n")
        if whole and self._skips:
            whole, self._skips = whole[1:], False
        lines.extend(_decoded(line) for line in whole)
        if len(self._rest) > _LONGEST_LINE:
            if not self._skips:
                lines.append(_decoded(self._rest[:_LONGEST_SHOWN]))
            self._rest, self._skips = b"", True


class Story:
    """What the engine has told so far."""

    def __init__(self) -> None:
        self.fraction = 0.0
        self.stage = ""
        self.message = ""
        self.eta_s: float | None = None
        self.frames: set[int] = set()
        self.warnings: dict[tuple[str, str], None] = {}
        self.error: dict[str, Any] | None = None
        self.result: dict[str, str] | None = None
        self.kept = False  # the engine said that it was stopped, and that its work is kept
        self.heard = False  # an event came: the engine itself is at work, not its set-up
        self.said: deque[str] = deque(maxlen=12)  # last words on stderr
        self._log: deque[tuple[str, str]] = deque(maxlen=LOG_LINES)
        self._stage_began: tuple[float, float] | None = None
        self._pace: float | None = None  # seconds that the whole run would take as the stage at work goes

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines, readable."""
        return tuple(text for _, text in self._log)

    def hear(self, line: str) -> None:
        """A line of the engine's stdout. Whatever is no event is kept in the log."""
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            self._tell("", line)
            return
        self.heard = True
        known = {
            "progress": self._progress, "frame": self._frame, "warning": self._warning, "error": self._error,
            "result": self._result, "note": self._note,
        }.get(event["event"])  # fmt: skip
        if known is not None:
            known(event)

    def hear_aside(self, line: str) -> None:
        """A line of stderr: the set-up of the engine, a library that complains, the words of a crash."""
        text = self._tell("", line)
        if text:
            self.said.append(text)

    def _progress(self, event: dict[str, Any]) -> None:
        stage, message = str(event.get("stage", "")), str(event.get("message", ""))
        part = _share(event.get("fraction"))
        whole = _share(event.get("overall", event.get("fraction")))
        if stage != self.stage or self._stage_began is None:
            self._stage_began = (part, whole)
        self.stage, self.message, self.fraction = stage, message, whole
        self.eta_s = self._time_left(event.get("eta_s"), part, whole)
        if self._log and self._log[-1][0] == f"progress {stage}":
            self._log.pop()  # one line that moves on, so that the log keeps what else was said
        self._tell(f"progress {stage}", f"{stage} {100 * part:.0f}%: {message}")

    def _time_left(self, eta: Any, part: float, whole: float) -> float | None:
        """Seconds to the end of the run: the engine's for the stage, and the stages to come at the same pace."""
        assert self._stage_began is not None
        began_part, began_whole = self._stage_began
        if _is_number(eta) and began_part < part < 1.0 and whole > began_whole:
            of_stage = (whole - began_whole) / (part - began_part) * (1.0 - part)
            self._pace = float(eta) / of_stage
        if self._pace is not None:
            return self._pace * (1.0 - whole)
        return float(eta) if _is_number(eta) and part < 1.0 else None

    def _frame(self, event: dict[str, Any]) -> None:
        number = event.get("frame")
        if isinstance(number, int):
            self.frames.add(number)
            self._tell("", f"frame {number}: {event.get('path', '')}")

    def _warning(self, event: dict[str, Any]) -> None:
        code, message = str(event.get("code", "")), str(event.get("message", ""))
        told = f"frame {event['frame']}: {message}" if isinstance(event.get("frame"), int) else message
        if len(self.warnings) < _MOST_WARNINGS:
            self.warnings[(code, told)] = None
        self._tell("", f"Warning: {told} [{code}]")

    def _error(self, event: dict[str, Any]) -> None:
        self.error = event
        self._tell("", f"Error: {event.get('message', '')} [{event.get('code', '')}]")

    def _result(self, event: dict[str, Any]) -> None:
        self.result = {name: str(value) for name, value in event.items() if name != "event"}
        self._tell("", f"Done: {self.result.get('report', '')}")

    def _note(self, event: dict[str, Any]) -> None:
        message = str(event.get("message", ""))
        self.kept = self.kept or _KEPT in message
        self._tell("", message)

    def _tell(self, kind: str, text: str) -> str:
        # A line that rewrites itself, as pip's bars do, is what it became last.
        shown = _ESCAPES.sub("", text).rstrip().rsplit("\r", 1)[-1][:_LONGEST_SHOWN].rstrip()
        if shown:
            self._log.append((kind, shown))
        return shown


class Reader:
    """Follows the two files that an engine writes.

    Args:
        events: its stdout.
        stderr: its stderr.
    """

    def __init__(self, events: Path, stderr: Path) -> None:
        self._events = Lines(events)
        self._stderr = Lines(stderr)
        self.story = Story()

    def update(self, *, last: bool = False) -> Story:
        """The story with what is new in the files; ``last`` as ``Lines.read``."""
        said, said_anew = self._stderr.read(last=last)
        told, told_anew = self._events.read(last=last)
        if said_anew or told_anew:
            self.story = Story()
        for line in said:
            self.story.hear_aside(line)
        for line in told:
            self.story.hear(line)
        return self.story


def _status(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_ino, status.st_size


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").rstrip("\r")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value and abs(value) < 1e12


def _share(value: Any) -> float:
    return min(1.0, max(0.0, float(value))) if _is_number(value) else 0.0
