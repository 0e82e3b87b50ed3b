"""Stages that do next to nothing, for tests of the commands that call them; also a ``vdp`` made of them.

As a script: the first argument says what a stage does, ``STAGE:DEED`` or nothing, the rest is the command line.
"""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio

import vdp_engine
from vdp_engine.progress import SilentReporter


class Recorder(SilentReporter):
    """Remembers which stages reported, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: list[str] = []

    def progress(self, stage: str, fraction: float, message: str) -> None:
        if stage not in self.stages:
            self.stages.append(stage)


class Report:
    """What a check finds."""

    def as_dict(self) -> dict[str, Any]:
        return {"warnings": []}


def write_plate(folder: Path, name: str = "shot", frames: range = range(1001, 1004)) -> str:
    """A few frames of four by three pixels; returns their pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        image = oiio.ImageBuf(oiio.ImageSpec(4, 3, 3, "half"))
        image.set_pixels(oiio.ROI(), np.full((3, 4, 3), 0.18, np.float32))
        assert image.write(str(folder / f"{name}.{frame:04d}.exr"))
    return str(folder / f"{name}.####.exr")


def install(
    set_attribute: Callable[..., Any], set_item: Callable[..., Any], deeds: dict[str, Callable[[], None]] | None = None
) -> None:
    """Put the fakes where the engine looks for the rooms.

    Args:
        set_attribute, set_item: ``setattr`` and ``dict.__setitem__``, or pytest's that put things back.
        deeds: what a stage does on top, by its name.
    """
    do: dict[str, Callable[[], None]] = deeds or {}

    def frames_of(place: str, stage: str) -> Callable[..., None]:
        def work(shot: Any, machine: Any, reporter: Any, frames: Any = None) -> None:
            reporter.progress(stage, 0.0, "begins")
            do.get(stage, lambda: None)()
            for frame in shot.frames if frames is None else frames:
                path = getattr(shot, place)(frame)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{stage} {frame} seed {shot.settings.seed}")
                reporter.frame(frame, path)
            reporter.progress(stage, 1.0, "done")

        return work

    def pending_of(place: str) -> Callable[..., tuple[int, ...]]:
        return lambda shot, frames: tuple(frame for frame in frames if not getattr(shot, place)(frame).exists())

    def fit(shot: Any, machine: Any, reporter: Any) -> None:
        reporter.progress("fit", 0.5, "step 1 of 2")
        do.get("fit", lambda: None)()
        shot.model_file.write_text("model")

    def check(shot: Any, machine: Any, reporter: Any) -> Report:
        reporter.progress("check", 0.5, "frame 1002")
        do.get("check", lambda: None)()
        shot.report_file.write_text("{}")
        shot.sheet_file.write_text("")
        return Report()

    def current_report(shot: Any) -> dict[str, Any] | None:
        return Report().as_dict() if shot.report_file.exists() and shot.sheet_file.exists() else None

    def report_lines(report: dict[str, Any]) -> list[str]:
        return ["rebuild     passed"]

    rooms = {
        "motion": {"prep": frames_of("motion_file", "prep"), "pending": pending_of("motion_file")},
        "model": {"fit": fit, "pending": lambda shot: not shot.model_file.exists()},
        "render": {
            "render": frames_of("layer_file", "render"), "pending": pending_of("layer_file"),
            "require_memory": lambda shot, machine, model=None: 0,
        },
        "check": {"check": check, "current_report": current_report, "report_lines": report_lines},
    }
    for name, members in rooms.items():
        module = types.ModuleType(f"vdp_engine.{name}")
        vars(module).update(members)
        set_item(sys.modules, module.__name__, module)
        set_attribute(vdp_engine, name, module, *(() if set_attribute is setattr else (False,)))


def _bug() -> None:
    raise AssertionError("nobody thought of this")


def _sleep() -> None:
    print("sleeping", file=sys.stderr, flush=True)
    time.sleep(60)


def _chatter() -> None:
    for _ in range(100_000):
        print("Progress: 1%", flush=True)


DEEDS = {"sleep": _sleep, "bug": _bug, "chatter": _chatter}

if __name__ == "__main__":
    stage, _, deed = sys.argv.pop(1).partition(":")
    install(setattr, dict.__setitem__, {stage: DEEDS[deed]} if deed else None)
    from vdp_engine.cli.main import main

    main()
