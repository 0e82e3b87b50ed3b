"""The task ``dehaze`` as the stage ``check`` sees it: its signs of trouble, its part of report and contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vdp_engine.check.layers_file import LayerFile
from vdp_engine.check.numbers import FrameNumbers
from vdp_engine.check.signs import SIGNS_OF_FILES, Sign, Signs, flicker, given, mean_of, unreliable_motion, worst_by
from vdp_engine.check.task import CheckTask, Show, grey, light
from vdp_engine.equations import Channels, colour
from vdp_engine.settings import Settings

_FEW_TIMES = 0.02  # in terms of the airlight: J is black below it
_THROUGH = "transmission.A"

# Above or below these the sign is given.
THRESHOLDS: Mapping[str, float] = {
    # Mean transmission: so clear a picture has no haze to speak of, or the answer is the trivial one, T = 1.
    "dehaze.no_haze": 0.95,
    # Share of the picture that is brighter than the airlight: more than lamps and reflections, so A is too dark.
    "dehaze.airlight": 0.25,
    # Share of the plate's picture in which the clear one is black.
    "dehaze.too_dark": 0.2,
    # Share of the picture whose haze was left in part, because noise would have been blown up.
    "dehaze.too_thick": 0.3,
    # Change of the transmission along the motion from frame to frame.
    "dehaze.unsteady": 0.02,
}


def find_signs(frames: Sequence[FrameNumbers], settings: Settings) -> list[Sign]:
    """Every sign that the numbers of a shot show, the gravest first."""
    # What is done in part looks as if there were little haze.
    by_amount = (_no_haze,) if settings.strength == 1 else ()
    by_airlight = () if settings.airlight is not None else (_airlight,)
    signs: Signs = (*SIGNS_OF_FILES, _unreliable_motion, *by_amount, *by_airlight, _too_dark, _too_thick, _unsteady)
    return given(signs, frames)


def _unreliable_motion(frames: Sequence[FrameNumbers]) -> Sign | None:
    # A single frame is as good as any: it has no motion.
    return unreliable_motion(frames) if len(frames) > 1 else None


def _no_haze(frames: Sequence[FrameNumbers]) -> Sign | None:
    through = float(np.mean([one.layers.coverage[_THROUGH] for one in frames]))
    if through <= THRESHOLDS["dehaze.no_haze"]:
        return None
    return Sign(
        "dehaze.no_haze",
        f"{100 * through:.0f}% of the light comes through: there is hardly any haze in this shot, or the decomposition "
        "is the trivial one (clear picture = plate); with haze to be seen, give --airlight, and not --objective paper",
        max(frames, key=lambda one: one.layers.coverage[_THROUGH]).frame,
    )


def _airlight(frames: Sequence[FrameNumbers]) -> Sign | None:
    share = mean_of(frames, "brighter")
    if share <= THRESHOLDS["dehaze.airlight"]:
        return None
    return Sign(
        "dehaze.airlight",
        f"{100 * share:.0f}% of the picture is brighter than the airlight that was found, which haze never is: pick "
        "the colour of the thickest haze in the plate and give it as --airlight R,G,B",
        worst_by(frames, "brighter"),
    )


def _too_dark(frames: Sequence[FrameNumbers]) -> Sign | None:
    share = mean_of(frames, "black")
    if share <= THRESHOLDS["dehaze.too_dark"]:
        return None
    return Sign(
        "dehaze.too_dark",
        f"{100 * share:.0f}% of the clear picture is black: more haze was taken off than there was; use a lower "
        "--strength, an --airlight that is less bright, or a --hint of what is near",
        worst_by(frames, "black"),
    )


def _too_thick(frames: Sequence[FrameNumbers]) -> Sign | None:
    share = mean_of(frames, "doubtful")
    if share <= THRESHOLDS["dehaze.too_thick"]:
        return None
    return Sign(
        "dehaze.too_thick",
        f"over {100 * share:.0f}% of the picture the haze is too thick, or the picture too flat, to take all of it off "
        "without blowing up noise and errors: some is left there (confidence is low); a --hint or --airlight may help",
        worst_by(frames, "doubtful"),
    )


def _unsteady(frames: Sequence[FrameNumbers]) -> Sign | None:
    changed = flicker(frames)
    if changed <= THRESHOLDS["dehaze.unsteady"]:
        return None
    return Sign(
        "dehaze.unsteady",
        f"the transmission changes by {changed:.3f} from frame to frame beyond the motion: smoke that drifts does so; "
        "else try --flow raft or vectors, and --airlight if the light of the shot is even",
        max(frames, key=lambda one: one.motion.flicker or 0.0).frame,
    )


def _numbers(channels: Channels) -> dict[str, float]:
    plate, airlight, clear = colour(channels), colour(channels, "airlight"), colour(channels, "clear")
    # Noise around the airlight is no brighter than it.
    brighter = (plate > 1.1 * airlight).all(-1)
    black = (clear < _FEW_TIMES**2 * airlight).all(-1) & (plate > _FEW_TIMES * airlight).any(-1)
    doubtful = np.asarray(channels["confidence.A"]) < 0.5
    return {"brighter": brighter.mean(), "black": black.mean(), "doubtful": doubtful.mean()} | {
        f"airlight.{c}": float(airlight[..., i].mean()) for i, c in enumerate("RGB")
    }


def _summary(frames: Sequence[FrameNumbers]) -> dict[str, Any]:
    return {
        "airlight": [mean_of(frames, f"airlight.{c}") for c in "RGB"],
        "unsteadiness": flicker(frames),
        **{name: mean_of(frames, name) for name in ("brighter", "black", "doubtful")},
    }


def _lines(report: Mapping[str, Any]) -> list[str]:
    span = report["coverage"][_THROUGH]
    airlight = ", ".join(f"{value:.3f}" for value in report["dehaze"]["airlight"])
    return [
        f"haze        {100 * span['mean']:.0f}% of the light comes through ({100 * span['min']:.0f} to "
        f"{100 * span['max']:.0f}), airlight {airlight}",
        f"doubt       in {100 * report['dehaze']['doubtful']:.0f}% of the picture, "
        f"{100 * report['dehaze']['black']:.1f}% of it turned black",
        f"stability   the transmission changes by {report['stability']['flicker']:.4f} a frame along the motion",
    ]


def _controls(file: LayerFile, settings: Settings) -> dict[str, Any]:
    return {}


def _pictures(names: Sequence[str], settings: Settings) -> dict[str, Show]:
    shown = {"plate": light(""), "clear": light("clear"), "airlight": light("airlight")}
    return shown | {name: grey(name) for name in (_THROUGH, "confidence.A")}


TASK = CheckTask(
    has_foreground=False,
    followed=lambda name: name == _THROUGH,
    controls=_controls,
    numbers=_numbers,
    signs=find_signs,
    summary=_summary,
    lines=_lines,
    pictures=_pictures,
)
