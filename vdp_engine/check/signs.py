"""The known signs of a decomposition gone wrong: what each looks like in numbers, and what to tell the artist."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vdp_engine.check.measure import Layers, Motion, is_foreground


@dataclass(frozen=True)
class FrameNumbers:
    """What was measured of one frame."""

    frame: int
    layers: Layers
    motion: Motion


@dataclass(frozen=True)
class Sign:
    """Something the user should look at.

    Attributes:
        code: stable name of the case.
        message: what it is and what to do.
        frame: the frame it shows best, where there is one.
    """

    code: str
    message: str
    frame: int | None = None


# Above or below these the sign is given. "Seen" are the values of five handheld clips with hand-drawn mattes.
THRESHOLDS: Mapping[str, float] = {
    # Median of strength: below 1 the strongest own motion is within the noise of the camera's. Seen: 2.3 to 22.
    "motion.too_little": 1.0,
    # Mean flow confidence: below it, flow fails its forward-backward check over half the picture. Seen: 0.90 to 0.99.
    "motion.unreliable": 0.5,
    # Softness of the foreground: 0.5 is an even half grey; hair, blur and defocus of small objects stay under 0.3.
    "layers.grey": 0.35,
    # Mean agreement of mattes and evidence: below it the mattes show something other than what moves. Seen: 0.38 up.
    "layers.disagree": 0.15,
    # Largest coverage of a layer in any frame: less than this (a 26 × 26 patch of HD) is an empty layer.
    "layers.too_many": 0.0003,
    # Mean share of the frame that moves by itself outside all mattes: an object of this size has no layer. Seen: up
    # to 0.03, and 0.14 where water ripples around the object.
    "layers.too_few": 0.05,
}


def find_signs(frames: Sequence[FrameNumbers]) -> list[Sign]:
    """Every sign that the numbers of a shot show, the gravest first."""
    found = (sign(frames) for sign in _SIGNS)
    return [one for one in found if one is not None]


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


def _unreliable_motion(frames: Sequence[FrameNumbers]) -> Sign | None:
    confidence = float(np.mean([one.motion.confidence for one in frames]))
    if confidence >= THRESHOLDS["motion.unreliable"]:
        return None
    return Sign(
        "motion.unreliable",
        f"the optical flow agrees with itself over {100 * confidence:.0f}% of the picture only "
        "(cuts, strobing, heavy blur or grain?): try --flow raft or vectors, or a range without the cut",
        min(frames, key=lambda one: one.motion.confidence).frame,
    )


def _not_separating(frames: Sequence[FrameNumbers]) -> Sign | None:
    softness = float(np.mean([_foreground_mean(one.layers.softness) for one in frames]))
    agreement = float(np.mean([one.motion.agreement for one in frames]))
    if softness > THRESHOLDS["layers.grey"]:
        why = f"the mattes are grey ({softness:.2f} on a scale where 0.5 is an even half grey)"
    elif agreement < THRESHOLDS["layers.disagree"] and any(one.motion.moving for one in frames):
        why = f"the mattes and the motion overlap by {100 * agreement:.0f}% only"
    else:
        return None
    worst = min(frames, key=lambda one: one.motion.agreement).frame
    return Sign(
        "layers.not_separating", f"{why}: the layers are not apart; try --quality final, --flow raft, or --hint", worst
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
    uncovered = float(np.mean([one.motion.uncovered for one in frames]))
    if uncovered <= THRESHOLDS["layers.too_few"]:
        return None
    return Sign(
        "layers.too_few",
        f"{100 * uncovered:.0f}% of the picture moves by itself and is in no foreground layer: try more --layers",
        max(frames, key=lambda one: one.motion.uncovered).frame,
    )


def _holes(frames: Sequence[FrameNumbers]) -> Sign | None:
    holed = [one for one in frames if one.layers.holes]
    if not holed:
        return None
    worst = max(holed, key=lambda one: one.layers.holes)
    return Sign(
        "plate.holes",
        f"{len(holed)} frames of the plate hold NaN or infinite pixels ({worst.layers.holes} in the worst): "
        "they are 0 in all layers",
        worst.frame,
    )


def _clamped(frames: Sequence[FrameNumbers]) -> Sign | None:
    clamped = [one for one in frames if one.layers.clamped]
    if not clamped:
        return None
    worst = max(clamped, key=lambda one: one.layers.clamped)
    return Sign(
        "plate.clamped",
        f"{len(clamped)} frames of the plate hold values beyond what half can hold ({worst.layers.clamped} in the "
        "worst): they are clamped to ±65504; --bit-depth float keeps them",
        worst.frame,
    )


def _lossy(frames: Sequence[FrameNumbers]) -> Sign | None:
    lossy = [one for one in frames if one.layers.lossy]
    if not lossy:
        return None
    worst = max(lossy, key=lambda one: one.layers.rebuild.worst)
    return Sign(
        "check.lossy",
        f"{len(lossy)} frames are stored with a lossy compression, so that they rebuild the plate only nearly "
        f"(up to {worst.layers.rebuild.worst:.0f} half ulps away): use --compression zips for exact layers",
        worst.frame,
    )


def _foreground_mean(values: Mapping[str, float]) -> float:
    chosen = [value for name, value in values.items() if is_foreground(name)]
    return float(np.mean(chosen)) if chosen else 0.0


_SIGNS: tuple[Callable[[Sequence[FrameNumbers]], Sign | None], ...] = (
    _lossy, _holes, _clamped, _too_little_motion, _unreliable_motion, _not_separating,
    _too_many_layers, _too_few_layers,
)  # fmt: skip
