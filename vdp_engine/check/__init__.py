"""Proof and judgement of what was written: the rebuild rule, the quality report, the contact sheet."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from vdp_engine import __version__, files
from vdp_engine.check.layers_file import LayerFile
from vdp_engine.check.measure import measure_layers, measure_motion
from vdp_engine.check.numbers import FrameNumbers
from vdp_engine.check.rebuild import TOLERANCE
from vdp_engine.check.report import Report, report_lines
from vdp_engine.check.sheet import write_sheet
from vdp_engine.errors import CheckError
from vdp_engine.model.fit import fit_digest
from vdp_engine.motion import MotionFrame
from vdp_engine.progress import Reporter
from vdp_engine.settings import Machine, short_digest
from vdp_engine.shot import Shot

__all__ = ["Report", "check", "current_report", "report_lines"]


def check(shot: Shot, machine: Machine, reporter: Reporter) -> Report:
    """Read every written layer of the shot back, prove the rebuild rule, write the report and the contact sheet.

    One frame at a time: memory does not grow with the shot.

    Raises:
        CheckError: a frame's layers are missing, damaged, out of date, or do not rebuild the plate. In the last case
            report and sheet are written first.
        ShotError: the motion of a frame is missing.
        PlateError: the plate cannot be read.
    """
    _require_current(shot)
    stamp = _stamp(shot)
    frames: list[FrameNumbers] = []
    before: dict[str, np.ndarray] = {}
    for done, frame in enumerate(shot.frames):
        reporter.progress("check", 0.95 * done / len(shot.frames), f"frame {frame}")
        numbers, before = _check_frame(shot, frame, before)
        frames.append(numbers)
    report = Report.of(shot, stamp, tuple(frames))

    reporter.progress("check", 0.95, "contact sheet")
    write_sheet(shot)
    files.write_json(shot.report_file, report.as_dict())
    for sign in report.warnings:
        reporter.warning(sign.code, sign.message, sign.frame)
    reporter.progress("check", 1.0, "report and contact sheet written")
    if not report.passed:
        raise _not_rebuilt(report)
    return report


def current_report(shot: Shot) -> dict[str, Any] | None:
    """The report as it lies on disk, if it says that these very layers passed and its contact sheet is there.

    Raises:
        ShotError: the motion of a frame is missing.
    """
    try:
        report: dict[str, Any] = json.loads(shot.report_file.read_text(encoding="utf-8"))
        current = report["passed"] and report["stamp"] == _stamp(shot) and shot.sheet_file.exists()
    except (OSError, ValueError, KeyError, TypeError):  # no report or layers, or not a report of this version
        return None
    return report if current else None


def _stamp(shot: Shot) -> str:
    layers = [(stat.st_size, stat.st_mtime_ns) for stat in (shot.layer_file(frame).stat() for frame in shot.frames)]
    return short_digest([__version__, shot.settings.digest("render"), fit_digest(shot), shot.frames, layers])


def _require_current(shot: Shot) -> None:
    """Say what is missing before the first pixel is read."""
    settings, model = shot.settings.digest("render"), fit_digest(shot)
    for frame in shot.frames:
        with LayerFile(shot.layer_file(frame), frame) as file:
            if file.settings != settings:
                raise file.stale("they were rendered with other settings")
            if file.model != model:
                raise file.stale("they were rendered from another model")


def _check_frame(
    shot: Shot, frame: int, before: dict[str, np.ndarray]
) -> tuple[FrameNumbers, dict[str, np.ndarray]]:
    """The numbers of one frame, and its mattes for the next one."""
    motion = MotionFrame.load(shot.motion_file(frame), frame)
    with LayerFile(shot.layer_file(frame), frame) as file:
        layers, mattes = measure_layers(file, shot.plate.read(frame), shot.plate.canvas, shot.settings, motion.size)
    return FrameNumbers(frame, layers, measure_motion(motion, mattes, before)), mattes


def _not_rebuilt(report: Report) -> CheckError:
    worst, count = report.worst, len(report.broken)
    found = worst.layers.rebuild
    return CheckError(
        f"the layers do not rebuild the plate: channel {found.channel} at x {found.x}, y {found.y} is "
        f"{found.worst:.1f} half ulps off ({found.broken} pixels here, {count} frames in all)",
        code="rebuild", frame=worst.frame, path=report.shot.layer_file(worst.frame),
        expected=f"at most {TOLERANCE:.0f} half ulps", remedy="delete the file and run `vdp render` again",
    )  # fmt: skip
