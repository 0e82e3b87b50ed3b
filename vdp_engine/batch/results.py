"""How the shots of a batch went: ``batch.report.json``, and the table at the end.

The file, rewritten whenever a shot ends:

    format, vdp, manifest
    state         running, done, failed (some shots did) or stopped
    seconds       since this call began
    shots         in the order of the manifest:
        name, line, plate, frames, out, state
        seconds   that this call worked on it
        tries     how often it was started
        expected_overlap, warnings, report, sheet    of a shot that is done: see its own report
        error     {code, message, frame?, path?} of one that failed, in the engine's words
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vdp_engine import __version__, files
from vdp_engine.batch.entry import ShotSpec
from vdp_engine.batch.page import write_page
from vdp_engine.errors import VdpError

State = Literal["waiting", "running", "done", "there already", "failed", "stopped"]
BatchState = Literal["running", "done", "failed", "stopped"]
GOOD: tuple[State, ...] = ("done", "there already")

_FORMAT = 1


@dataclass
class Result:
    """How one shot went.

    Attributes:
        state: ``there already`` where nothing was left to do for it.
        report: what its own report says; only of a good one.
        error: what ended it; only of a failed one.
    """

    spec: ShotSpec
    state: State = "waiting"
    seconds: float = 0.0
    tries: int = 0
    report: Mapping[str, Any] = field(default_factory=dict)
    error: VdpError | None = None

    @property
    def report_file(self) -> Path:
        """The shot's own report."""
        return self.spec.out / f"{self.spec.name}.report.json"

    @property
    def sheet_file(self) -> Path:
        """Its contact sheet."""
        return self.spec.out / f"{self.spec.name}.sheet.png"

    def as_dict(self) -> dict[str, Any]:
        """What ``batch.report.json`` holds of it."""
        spec = self.spec
        told: dict[str, Any] = {
            "name": spec.name, "line": spec.line, "plate": spec.plate, "frames": spec.frames, "out": str(spec.out),
            "state": self.state, "seconds": round(self.seconds, 1), "tries": self.tries,
        }  # fmt: skip
        if self.state in GOOD:
            told["expected_overlap"] = self.report.get("confidence")
            told["warnings"] = self.report.get("warnings", [])
            told |= {"report": str(self.report_file), "sheet": str(self.sheet_file)}
        if self.error is not None:
            error = self.error
            told["error"] = {"code": error.code, "message": error.message}
            if error.frame is not None:
                told["error"]["frame"] = error.frame
            if error.path is not None:
                told["error"]["path"] = str(error.path)
        return told


def own_report(result: Result) -> Mapping[str, Any]:
    """The report that the shot's check wrote; empty where there is none that can be read."""
    try:
        report = json.loads(result.report_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def write_results(
    path: Path, manifest: Path, results: Sequence[Result], state: BatchState, seconds: float
) -> None:  # fmt: skip
    """Write ``path`` and the HTML page beside it, each whole or not at all.

    Raises:
        TryAgainError: they cannot be written.
    """
    told = {
        "format": _FORMAT, "vdp": __version__, "manifest": str(manifest.absolute()), "state": state,
        "seconds": round(seconds, 1), "shots": [result.as_dict() for result in results],
    }  # fmt: skip
    # A file name that is not UTF-8 comes out as JSON's own escape for such a character.
    files.write_bytes(path, json.dumps(told, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    write_page(page_file(path), told)


def page_file(path: Path) -> Path:
    """The HTML page of a report file."""
    return path.with_suffix(".html")


def table(results: Sequence[Result]) -> list[str]:
    """The results for a person, a line a shot, then a line for each failed one with what ended it."""
    rows = [("shot", "state", "frames", "time", "overlap", "warnings", "where")]
    for result in results:
        overlap, warnings = result.report.get("confidence"), result.report.get("warnings", [])
        rows.append((
            result.spec.name, result.state, str(result.spec.count), readable_seconds(result.seconds),
            "-" if overlap is None else f"{overlap:.2f}", str(len(warnings)) if result.report else "-",
            str(result.spec.out),
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{one.spec.name}: {one.error.message} [{one.error.code}]" for one in results if one.error is not None]
    return lines


def readable_seconds(seconds: float) -> str:
    """``31 s``, ``12 min``, ``2 h 05 min``; ``-`` for nothing."""
    if not seconds:
        return "-"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
