"""One reporter, several dialects: how a stage tells the outside how far it is.

Stages call the five methods of ``Reporter`` and know nothing of who listens. Every dialect prints at least one
line a minute while it is open, so that a farm does not take a long step for a dead process.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from vdp_engine import stopping
from vdp_engine.errors import VdpError

Dialect = Literal["auto", "terminal", "json", "plain", "openjd"]

# Share of a whole run that each stage takes, measured on 480p clips; only progress displays depend on it.
_SPANS = {"prep": (0.0, 0.35), "fit": (0.35, 0.6), "render": (0.6, 0.97), "check": (0.97, 1.0)}
_BEAT_SECONDS = 1.0
_QUIET_SECONDS = 25.0  # twice this, the worst case of the plain dialect, is still under a minute


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(text: str) -> str:
    """Text that a log can show: what moves a cursor or begins a new line, as a plate's name may, becomes a space."""
    return _CONTROL.sub(" ", text)


class Reporter:
    """Base of the dialects: keeps the log file, estimates the time left, and breaks long silences.

    Args:
        log: file that every message is appended to, with the time; ``None`` for none.
        whole_run: whether the stages reported are parts of one run, so that the overall fraction spans them.
    """

    def __init__(self, *, log: Path | None = None, whole_run: bool = False) -> None:
        self._log_path = log
        self._whole_run = whole_run
        self._stage = ""
        self._began = time.monotonic()
        self._first_fraction = 0.0
        self._last_line = time.monotonic()
        self._last: tuple[str, float, str] | None = None
        self._lock = threading.RLock()
        self._closed = threading.Event()

    # What stages call

    def progress(self, stage: str, fraction: float, message: str) -> None:
        """``fraction`` (0 to 1) of ``stage`` is done; ``message`` says what is going on now.

        Raises:
            Stopped: a stop was asked for and got lost in a library.
        """
        stopping.check()
        with self._lock:
            if stage != self._stage:
                self._stage, self._began, self._first_fraction = stage, time.monotonic(), fraction
            self._last = (stage, fraction, message)
            self._show_progress(stage, fraction, message, self._eta(fraction))
            self._last_line = time.monotonic()

    def frame(self, number: int, path: Path) -> None:
        """A frame's file is there."""
        with self._lock:
            self._show_frame(number, path)

    def warning(self, code: str, message: str, frame: int | None = None) -> None:
        """Something the user should know that does not stop the work."""
        with self._lock:
            self._append("warning", f"{code}: {message}", frame)
            self._show_warning(code, message, frame)

    def note(self, message: str) -> None:
        """One line for the log, and for a person who watches."""
        with self._lock:
            self._append("note", message, None)
            self._show_note(message)

    def error(self, error: VdpError) -> None:
        """The command ends with this error."""
        with self._lock:
            self._append("error", f"{error.code}: {error.message}", None)
            self._show_error(error)

    def result(self, **paths: Path | None) -> None:
        """The command is done; where its results lie."""
        with self._lock:
            found = {name: str(path) for name, path in paths.items() if path is not None}
            self._append("result", json.dumps(found, ensure_ascii=False), None)
            self._show_result(found)

    # What a command does with it

    @contextlib.contextmanager
    def open(self) -> Iterator[Reporter]:
        """Keep the silence short while the block runs, and clean up the display after it."""
        beat = threading.Thread(target=self._beat, daemon=True, name="vdp-heartbeat")
        beat.start()
        try:
            yield self
        finally:
            self._closed.set()
            self.close()

    def log_to(self, path: Path) -> None:
        """From now on append to this log file."""
        self._log_path = path

    def overall(self, stage: str, fraction: float) -> float:
        """The fraction of the whole command that is done."""
        if not self._whole_run:
            return fraction
        begin, end = _SPANS.get(stage, (0.0, 1.0))
        return begin + (end - begin) * fraction

    def _eta(self, fraction: float) -> float | None:
        done = fraction - self._first_fraction
        seconds = time.monotonic() - self._began
        if done < 0.02 or seconds < 1.0:
            return None
        return seconds / done * (1.0 - fraction)

    def _beat(self) -> None:
        while not self._closed.wait(_BEAT_SECONDS):
            # Whoever listens may be gone; the main thread finds that out by itself.
            with self._lock, contextlib.suppress(OSError):
                if time.monotonic() - self._last_line > _QUIET_SECONDS:
                    self.progress(*(self._last or ("start", 0.0, "looking at the plate")))

    def _append(self, kind: str, text: str, frame: int | None) -> None:
        if self._log_path is None:
            return
        where = "" if frame is None else f" frame {frame}"
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        # A log that cannot be written must not end the work it tells of.
        with contextlib.suppress(OSError):
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            with self._log_path.open("a", encoding="utf-8") as log:
                log.write(f"{stamp} {kind}{where} {one_line(text)}\n")

    # What a dialect fills in

    def _show_progress(self, stage: str, fraction: float, message: str, eta: float | None) -> None: ...

    def _show_frame(self, number: int, path: Path) -> None: ...

    def _show_warning(self, code: str, message: str, frame: int | None) -> None: ...

    def _show_note(self, message: str) -> None: ...

    def _show_error(self, error: VdpError) -> None: ...

    def _show_result(self, paths: dict[str, str]) -> None: ...

    def close(self) -> None:
        """Give the terminal back."""


class JsonReporter(Reporter):
    """One JSON object a line on stdout, flushed: for the programs that drive the engine."""

    def _emit(self, event: str, **values: Any) -> None:
        known = {name: value for name, value in values.items() if value is not None}
        # ASCII only: no encoding of a pipe, and no odd file name, can break a line.
        _print(json.dumps({"event": event, **known}), sys.stdout)

    def _show_progress(self, stage: str, fraction: float, message: str, eta: float | None) -> None:
        self._emit(
            "progress", stage=stage, fraction=round(fraction, 4), overall=round(self.overall(stage, fraction), 4),
            message=message, eta_s=None if eta is None else round(eta, 1),
        )  # fmt: skip

    def _show_frame(self, number: int, path: Path) -> None:
        self._emit("frame", frame=number, path=str(path))

    def _show_warning(self, code: str, message: str, frame: int | None) -> None:
        self._emit("warning", code=code, message=message, frame=frame)

    def _show_note(self, message: str) -> None:
        self._emit("note", message=message)

    def _show_error(self, error: VdpError) -> None:
        path = None if error.path is None else str(error.path)
        self._emit("error", code=error.code, message=error.message, frame=error.frame, path=path)

    def _show_result(self, paths: dict[str, str]) -> None:
        self._emit("result", **paths)


class LineReporter(Reporter):
    """Plain lines on stdout for logs and farms, warnings and errors on stderr; no control characters."""

    _percent = -1
    _told = 0.0

    def _show_progress(self, stage: str, fraction: float, message: str, eta: float | None) -> None:
        percent = int(100 * self.overall(stage, fraction))
        now = time.monotonic()
        if percent == self._percent and now - self._told < _QUIET_SECONDS:
            return
        self._percent, self._told = percent, now
        self._progress_line(percent, f"{stage}: {message}")

    def _progress_line(self, percent: int, status: str) -> None:
        _print(f"Progress: {percent}%", sys.stdout)

    def _show_warning(self, code: str, message: str, frame: int | None) -> None:
        where = "" if frame is None else f"frame {frame}: "
        _print(f"Warning: {where}{message} [{code}]", sys.stderr)

    def _show_note(self, message: str) -> None:
        _print(message, sys.stderr)

    def _show_error(self, error: VdpError) -> None:
        _print(f"Error: {error.message} [{error.code}]", sys.stderr)

    def _show_result(self, paths: dict[str, str]) -> None:
        for name, path in paths.items():
            _print(f"{name}: {path}", sys.stdout)


class OpenJdReporter(LineReporter):
    """The lines that Open Job Description's sessions parse."""

    def _progress_line(self, percent: int, status: str) -> None:
        _print(f"openjd_progress: {percent}", sys.stdout)
        _print(f"openjd_status: {status}", sys.stdout)

    def _show_error(self, error: VdpError) -> None:
        _print(f"openjd_fail: {error.message} [{error.code}]", sys.stdout)


class TerminalReporter(LineReporter):
    """A progress bar a stage on stderr, for a person at a terminal."""

    def __init__(self, *, log: Path | None = None, whole_run: bool = False) -> None:
        super().__init__(log=log, whole_run=whole_run)
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description:<8}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(), TextColumn("{task.fields[message]}", markup=False), console=self._console,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}

    def _show_progress(self, stage: str, fraction: float, message: str, eta: float | None) -> None:
        if stage not in self._tasks:
            self._bars.start()
            self._tasks[stage] = self._bars.add_task(stage, total=1.0, message=message)
        self._bars.update(self._tasks[stage], completed=fraction, message=message)

    def _show_warning(self, code: str, message: str, frame: int | None) -> None:
        where = "" if frame is None else f"frame {frame}: "
        line = Text.assemble(("Warning:", "yellow"), f" {where}{message} ", (f"({code})", "dim"))
        self._console.print(line, soft_wrap=True)

    def _show_note(self, message: str) -> None:
        self._console.print(message, markup=False, soft_wrap=True)

    def _show_error(self, error: VdpError) -> None:
        self._console.print(f"Error: {error.message} ({error.code})", markup=False, style="red", soft_wrap=True)

    def _show_result(self, paths: dict[str, str]) -> None:
        # While the bars are up, rich sends stdout to their console, which is stderr.
        self._bars.stop()
        super()._show_result(paths)

    def _beat(self) -> None:
        """Nothing: the bars are redrawn by themselves."""

    def close(self) -> None:
        self._bars.stop()


class SilentReporter(Reporter):
    """Says nothing; for callers that only want the files."""


def make_reporter(dialect: Dialect, *, whole_run: bool = False) -> Reporter:
    """The reporter of a dialect; ``auto`` is a progress bar where stderr is a terminal, else plain lines."""
    if dialect == "auto":
        dialect = "terminal" if sys.stderr.isatty() else "plain"
    kinds = {"terminal": TerminalReporter, "json": JsonReporter, "plain": LineReporter, "openjd": OpenJdReporter}
    return kinds[dialect](whole_run=whole_run)


def _print(line: str, stream: IO[str]) -> None:
    # One write a line: two threads (or the heartbeat) must not interleave within it.
    stream.write(one_line(line) + "\n")
    stream.flush()
