"""The task ``layers`` as the stage ``check`` sees it: its signs of trouble, its part of report and contact sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vdp_engine.check.layers_file import LayerFile
from vdp_engine.check.numbers import FrameNumbers, is_foreground
from vdp_engine.check.signs import (
    SIGNS_OF_FILES,
    Sign,
    Signs,
    flicker,
    given,
    unreliable_motion,
)
from vdp_engine.check.task import CheckTask, Show, grey, light, over_checker
from vdp_engine.equations import Channels, layers_in
from vdp_engine.settings import Settings

# Above or below these the sign is given. Chosen on ten handheld clips with hand-drawn mattes at default settings, whose
# values are what was "seen": what stands out there lies beyond them, and they are not proven on others.
THRESHOLDS: Mapping[str, float] = {
    # Median of strength: below 1 the strongest own motion is within the noise of the camera's. Seen: 3.5 to 37.
    "motion.too_little": 1.0,
    # Softness of the foreground: 0.5 is an even half grey; hair, blur and defocus of small objects stay under 0.3.
    # Seen: 0.04 to 0.12.
    "layers.grey": 0.35,
    # Mean agreement of mattes and evidence: below it the mattes show something other than what moves. Seen: 0.27 on
    # libby, whose dog runs behind poles, else 0.72 up.
    "layers.disagree": 0.6,
    # Share of the foreground's outline on the picture's border. Seen: 0.17 on blackswan, where water ripples, else up
    # to 0.04.
    "layers.border": 0.1,
    # Change of the mattes along the motion from frame to frame, for their area. Seen: 0.09 on libby, whose
    # dog is lost in some frames, else up to 0.06.
    "layers.unsteady": 0.08,
    # Largest coverage of a layer in any frame: less than this (a 26 × 26 patch of HD) is an empty layer.
    "layers.too_many": 0.0003,
    # What moves by itself away from all mattes, for their area. Seen: 3.8 on libby, else up to 0.30.
    "layers.too_few": 0.45,
}


def find_signs(frames: Sequence[FrameNumbers], hinted: bool) -> list[Sign]:
    """Every sign that the numbers of a shot show, the gravest first.

    Args:
        frames: all of the shot.
        hinted: whether the artist said what the layers are. What moves or where it lies no longer speaks against them
            then, and the signs that doubt the choice are not given.
    """
    return given(_SIGNS if hinted else _SIGNS + _SIGNS_OF_CHOICE, frames)


def border(frames: Sequence[FrameNumbers]) -> float:
    """Mean share of the foreground's outline on the picture's border, over the frames with any; 0 without."""
    shares = [one.layers.border for one in frames if one.layers.border is not None]
    return float(np.mean(shares)) if shares else 0.0


def unsteadiness(frames: Sequence[FrameNumbers]) -> float:
    """``flicker`` for the area of the foreground: 0.1 where a tenth of it comes or goes in every frame."""
    # Flicker is a mean over mattes, and what one matte loses another gains.
    changed = flicker(frames) * len(frames[0].layers.coverage) / 2
    return changed / _foreground_area(frames)


def left_over(frames: Sequence[FrameNumbers]) -> float:
    """What moves by itself away from all foreground mattes, for the area of these."""
    return float(np.mean([one.motion.uncovered for one in frames])) / _foreground_area(frames)


def _too_little_motion(frames: Sequence[FrameNumbers]) -> Sign | None:
    strength = float(np.median([one.motion.strength for one in frames]))
    if strength >= THRESHOLDS["motion.too_little"]:
        return None
    return Sign(
        "motion.too_little",
        f"hardly anything moves against the camera ({strength:.2f} of what can be told from noise): "
        "layers cannot be told apart by motion; use a longer range, every second frame (--frames x2), or --hint",
        min(frames, key=lambda one: one.motion.strength).frame,
    )


def _grey(frames: Sequence[FrameNumbers]) -> Sign | None:
    softness = float(np.mean([_foreground_mean(one.layers.softness) for one in frames]))
    if softness <= THRESHOLDS["layers.grey"]:
        return None
    return Sign(
        "layers.not_separating",
        f"the mattes are grey ({softness:.2f} on a scale where 0.5 is an even half grey): the layers are not apart; "
        "try --quality final, --flow raft or vectors, or give a --hint",
        max(frames, key=lambda one: _foreground_mean(one.layers.softness)).frame,
    )


def _disagree(frames: Sequence[FrameNumbers]) -> Sign | None:
    agreement = float(np.mean([one.motion.agreement for one in frames]))
    if agreement >= THRESHOLDS["layers.disagree"] or not any(one.motion.moving for one in frames):
        return None
    return Sign(
        "layers.disagree",
        f"the mattes and what moves by itself overlap by {100 * agreement:.0f}% only: parts of the object may be "
        "missing, or something else be taken for it; look at the mattes, then give a --hint, or --flow vectors",
        min(frames, key=lambda one: one.motion.agreement).frame,
    )


def _on_border(frames: Sequence[FrameNumbers]) -> Sign | None:
    share = border(frames)
    if share <= THRESHOLDS["layers.border"]:
        return None
    return Sign(
        "layers.border",
        f"{100 * share:.0f}% of the matte's outline is the picture's border: it may have taken water, shadows or "
        "something near that the camera passes for the object; look at the matte, and if so give a --hint",
        max(frames, key=lambda one: one.layers.border or 0.0).frame,
    )


def _unsteady(frames: Sequence[FrameNumbers]) -> Sign | None:
    changed = unsteadiness(frames)
    if changed <= THRESHOLDS["layers.unsteady"]:
        return None
    return Sign(
        "layers.unsteady",
        f"{100 * changed:.0f}% of the matte comes or goes in every frame beyond its motion: it boils, or parts of the "
        "object are lost; look at the frames around this one, then give a --hint there, or --flow vectors",
        max(frames, key=lambda one: one.motion.flicker or 0.0).frame,
    )


def _too_many_layers(frames: Sequence[FrameNumbers]) -> Sign | None:
    names = [name for name in frames[0].layers.coverage if is_foreground(name)]
    largest = {name: max(one.layers.coverage.get(name, 0.0) for one in frames) for name in names}
    empty = [name.removesuffix(".A") for name, most in largest.items() if most < THRESHOLDS["layers.too_many"]]
    if not empty:
        return None
    return Sign(
        "layers.too_many", f"nothing is in {', '.join(empty)} in any frame: use fewer --layers, or give a --hint"
    )


def _too_few_layers(frames: Sequence[FrameNumbers]) -> Sign | None:
    uncovered = left_over(frames)
    if uncovered <= THRESHOLDS["layers.too_few"]:
        return None
    return Sign(
        "layers.too_few",
        f"what moves by itself away from all mattes is {100 * uncovered:.0f}% of their size: something that moves has "
        "no layer; try --layers auto, or more of them, or give a --hint of what is wanted",
        max(frames, key=lambda one: one.motion.uncovered).frame,
    )


def _foreground_mean(values: Mapping[str, float]) -> float:
    chosen = [value for name, value in values.items() if is_foreground(name)]
    return float(np.mean(chosen)) if chosen else 0.0


def _foreground_area(frames: Sequence[FrameNumbers]) -> float:
    """Mean coverage of all foreground mattes together, at least that of the smallest layer that is not empty."""
    covered = [sum(v for name, v in one.layers.coverage.items() if is_foreground(name)) for one in frames]
    return max(float(np.mean(covered)), THRESHOLDS["layers.too_many"])


_SIGNS: Signs = (
    *SIGNS_OF_FILES, _too_little_motion, unreliable_motion, _grey, _unsteady, _too_many_layers,
)  # fmt: skip
_SIGNS_OF_CHOICE: Signs = (_disagree, _on_border, _too_few_layers)


def is_matte(name: str) -> bool:
    """Whether a channel is the opacity of one layer (``A`` itself repeats one, ``confidence.A`` is none)."""
    return name.endswith(".A") and name != "confidence.A"


def _controls(file: LayerFile, settings: Settings) -> dict[str, Any]:
    return {"straight": settings.alpha == "straight"}


def _pictures(names: Sequence[str], settings: Settings) -> dict[str, Show]:
    layers = layers_in(dict.fromkeys(names, np.empty(0)))
    straight = settings.alpha == "straight"
    shown = {"plate": light("")} | {layer: over_checker(layer, straight=straight) for layer in layers}
    if "clean.R" in names:
        shown["clean"] = light("clean")
    return shown | {name: grey(name) for name in (*(f"{layer}.A" for layer in layers[1:]), "confidence.A")}


def _numbers(channels: Channels) -> dict[str, float]:
    return {}


def _summary(frames: Sequence[FrameNumbers]) -> dict[str, Any]:
    return {"left_over": left_over(frames), "unsteadiness": unsteadiness(frames), "border": border(frames)}


def _lines(report: Mapping[str, Any]) -> list[str]:
    covers = [
        f"{'matte ' + name:<11} covers {100 * span['mean']:.1f}% of the picture "
        f"({100 * span['min']:.1f} to {100 * span['max']:.1f})"
        for name, span in report["coverage"].items()
    ]
    stability = f"stability   mattes change by {report['stability']['flicker']:.4f} a frame along the motion"
    return [*covers, _overlap(report), stability]


def _overlap(report: Mapping[str, Any]) -> str:
    frames = report["per_frame"]
    worst, best = (choose(frames, key=lambda one: one["confidence"]) for choose in (min, max))
    empty = sum(one["confidence"] == 0 for one in frames)
    told = (
        f"overlap     {report['confidence']:.2f} of foreground and truth is to be expected, by the confidence "
        f"({worst['confidence']:.2f} in frame {worst['frame']} to {best['confidence']:.2f} in {best['frame']})"
    )
    return f"{told}; {empty} frames without foreground count 0" if empty else told


TASK = CheckTask(
    has_foreground=True,
    followed=is_matte,
    controls=_controls,
    numbers=_numbers,
    signs=lambda frames, settings: find_signs(frames, bool(settings.hints)),
    summary=_summary,
    lines=_lines,
    pictures=_pictures,
)
