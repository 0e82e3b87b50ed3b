"""The quality report: ``NAME.report.json``.

Its keys, all numbers in the units of ``measure.Layers`` and ``measure.Motion``:

    shot          name, plate, frames, task
    stamp         digest of what was checked: settings, model, and the layer files as they were
    versions      vdp, python, torch
    settings      every setting, and digests: of what each stage depends on
    passed        whether the rebuild rule holds on every frame it can hold on
    rebuild       tolerance, worst (half ulps), frame, channel, x, y of the worst, broken_frames
    coverage      per matte (dehaze: transmission): mean, min, max over frames of its mean
    motion        moving, strength (median), flow_confidence (mean), agreement (mean)
    stability     flicker: mean change along the motion of the mattes (dehaze: transmission; relight: gain)
    layers        left_over: what moves away from all mattes, for their area; unsteadiness: flicker for their area;
                  border: share of the foreground's outline on the picture's border
    dehaze, relight  in place of it: the task's own numbers, see its file
    residual      mean over frames: what the layers miss before the residual is added
    confidence    layers: mean over frames of the expected overlap (J) of the foreground with the truth, where one
                  without any foreground counts 0; other tasks: mean of the channel
    holes         pixels of the plate that are NaN or infinite, over all frames
    clamped       values of the plate beyond what half can hold, over all frames
    warnings      [{code, message, frame?}]
    per_frame     one object a frame with the same numbers
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from vdp_engine import __version__
from vdp_engine.check.numbers import FrameNumbers
from vdp_engine.check.rebuild import TOLERANCE
from vdp_engine.check.signs import Sign, flicker
from vdp_engine.check.tasks import CHECK_TASKS
from vdp_engine.settings import STAGES
from vdp_engine.shot import Shot


@dataclass(frozen=True)
class Report:
    """What was found out about a shot's layers; frames in ascending order.

    Attributes:
        shot: the shot.
        stamp: of what was checked.
        frames: the numbers of every frame.
        warnings: the signs of trouble in them.
    """

    shot: Shot
    stamp: str
    frames: tuple[FrameNumbers, ...]
    warnings: tuple[Sign, ...]

    @classmethod
    def of(cls, shot: Shot, stamp: str, frames: tuple[FrameNumbers, ...]) -> Report:
        """The report on the numbers of every frame of ``shot``."""
        return cls(shot, stamp, frames, tuple(CHECK_TASKS[shot.settings.task].signs(frames, shot.settings)))

    @property
    def passed(self) -> bool:
        """Whether the rebuild rule holds on every frame; lossy frames, where it cannot, do not count."""
        return not self.broken

    @property
    def broken(self) -> tuple[FrameNumbers, ...]:
        """The frames that break the rebuild rule."""
        return tuple(one for one in self.frames if one.layers.rebuild.broken and not one.layers.lossy)

    @property
    def worst(self) -> FrameNumbers:
        """The frame with the largest rebuild error, of those that the rule holds for if there are any."""
        exact = [one for one in self.frames if not one.layers.lossy]
        return max(exact or self.frames, key=lambda one: one.layers.rebuild.worst)

    def as_dict(self) -> dict[str, Any]:
        """What the file holds; see the head of this module."""
        shot, worst = self.shot, self.worst
        stored = shot.as_dict()
        return {
            "shot": {"name": shot.name, "plate": shot.pattern, "frames": stored["frames"], "task": shot.settings.task},
            "stamp": self.stamp,
            "versions": {
                "vdp": __version__, "python": platform.python_version(), "torch": metadata.version("torch"),
            },
            "settings": {
                **stored["settings"], "digests": {stage: shot.settings.digest(stage) for stage in STAGES},
            },
            "passed": self.passed,
            "rebuild": {
                "tolerance": TOLERANCE, "frame": worst.frame, **_rebuild(worst),
                "broken_frames": [one.frame for one in self.broken],
            },
            "coverage": self._coverage(),
            "motion": {
                "moving": self._mean(lambda one: one.motion.moving),
                "strength": float(np.median([one.motion.strength for one in self.frames])),
                "flow_confidence": self._mean(lambda one: one.motion.confidence),
                "agreement": self._mean(lambda one: one.motion.agreement),
            },
            "stability": {"flicker": flicker(self.frames)},
            shot.settings.task: CHECK_TASKS[shot.settings.task].summary(self.frames),
            "residual": self._mean(lambda one: one.layers.residual),
            "confidence": self._mean(lambda one: one.layers.overlap),
            "holes": sum(one.layers.holes for one in self.frames),
            "clamped": sum(one.layers.clamped for one in self.frames),
            "warnings": [_warning(one) for one in self.warnings],
            "per_frame": [_frame(one) for one in self.frames],
        }  # fmt: skip

    def _mean(self, number: Callable[[FrameNumbers], float]) -> float:
        return float(np.mean([number(one) for one in self.frames]))

    def _coverage(self) -> dict[str, dict[str, float]]:
        names = dict.fromkeys(name for one in self.frames for name in one.layers.coverage)
        spans = {}
        for name in names:
            values = [one.layers.coverage[name] for one in self.frames if name in one.layers.coverage]
            spans[name] = {"mean": float(np.mean(values)), "min": min(values), "max": max(values)}
        return spans


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """A report, as its file holds it, for a person: a few lines of plain text."""
    rebuild, motion = report["rebuild"], report["motion"]
    broken, count = len(rebuild["broken_frames"]), len(report["per_frame"])
    verdict = "passed" if report["passed"] else f"FAILED on {broken} of {count} frames"
    worst = "an error without measure" if rebuild["worst"] is None else f"{rebuild['worst']:.2f} half ulps"
    return [
        f"rebuild     {verdict}: worst {worst} (frame {rebuild['frame']})",
        *CHECK_TASKS[report["shot"]["task"]].lines(report),
        f"motion      {100 * motion['moving']:.1f}% moves by itself, flow confidence {motion['flow_confidence']:.2f}",
        f"residual    {100 * report['residual']:.2f}% of the plate's light",
        *(f"warning     {_where(one)}{one['message']} [{one['code']}]" for one in report["warnings"]),
    ]


def _frame(one: FrameNumbers) -> dict[str, Any]:
    return {
        "frame": one.frame,
        "rebuild": _rebuild(one),
        "lossy": one.layers.lossy,
        "coverage": dict(one.layers.coverage),
        "softness": dict(one.layers.softness),
        "residual": one.layers.residual,
        "confidence": one.layers.overlap,
        "border": one.layers.border,
        "holes": one.layers.holes,
        "clamped": one.layers.clamped,
        "moving": one.motion.moving,
        "strength": one.motion.strength,
        "flow_confidence": one.motion.confidence,
        "agreement": one.motion.agreement,
        "uncovered": one.motion.uncovered,
        "flicker": one.motion.flicker,
        **one.layers.numbers,
    }


def _rebuild(one: FrameNumbers) -> dict[str, Any]:
    found = one.layers.rebuild
    # JSON has no infinity; null stands for an error without measure (NaN in the layers).
    worst = found.worst if np.isfinite(found.worst) else None
    return {"worst": worst, "channel": found.channel, "x": found.x, "y": found.y, "broken_pixels": found.broken}


def _warning(one: Sign) -> dict[str, Any]:
    told: dict[str, Any] = {"code": one.code, "message": one.message}
    return told if one.frame is None else {**told, "frame": one.frame}


def _where(warning: Mapping[str, Any]) -> str:
    return f"frame {warning['frame']}: " if "frame" in warning else ""
