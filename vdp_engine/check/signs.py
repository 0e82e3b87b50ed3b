"""Signs of a decomposition gone wrong: what each looks like in numbers, and what to tell the artist.

Those that any task may show; the task's own are in its file beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vdp_engine.check.numbers import FrameNumbers


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


Signs = tuple[Callable[[Sequence[FrameNumbers]], Sign | None], ...]

# Mean flow confidence: below it, flow fails its forward-backward check over half the picture. Seen on ten handheld
# clips at default settings: 0.83 to 0.98.
UNRELIABLE = 0.5


def given(signs: Signs, frames: Sequence[FrameNumbers]) -> list[Sign]:
    """Those of ``signs`` that the numbers of a shot (all of its frames) show, in their order."""
    found = (sign(frames) for sign in signs)
    return [one for one in found if one is not None]


def flicker(frames: Sequence[FrameNumbers]) -> float:
    """Mean change of the mattes along the motion, over the frames that have one before them; 0 for a single frame."""
    known = [one.motion.flicker for one in frames if one.motion.flicker is not None]
    return float(np.mean(known)) if known else 0.0


def mean_of(frames: Sequence[FrameNumbers], name: str) -> float:
    """Mean over a shot of one of its task's own numbers."""
    return float(np.mean([one.layers.numbers[name] for one in frames]))


def worst_by(frames: Sequence[FrameNumbers], name: str) -> int:
    """The frame in which one of its task's own numbers is largest."""
    return max(frames, key=lambda one: one.layers.numbers[name]).frame


def unreliable_motion(frames: Sequence[FrameNumbers]) -> Sign | None:
    """Flow that does not agree with itself."""
    confidence = float(np.mean([one.motion.confidence for one in frames]))
    if confidence >= UNRELIABLE:
        return None
    return Sign(
        "motion.unreliable",
        f"the optical flow agrees with itself over {100 * confidence:.0f}% of the picture only "
        "(cuts, strobing, heavy blur or grain?): try --flow raft or vectors, or a range without the cut",
        min(frames, key=lambda one: one.motion.confidence).frame,
    )


def holes(frames: Sequence[FrameNumbers]) -> Sign | None:
    """NaN or infinite pixels in the plate."""
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


def clamped(frames: Sequence[FrameNumbers]) -> Sign | None:
    """Values of the plate beyond half."""
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


def lossy(frames: Sequence[FrameNumbers]) -> Sign | None:
    """A compression that changes values."""
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


SIGNS_OF_FILES: Signs = (lossy, holes, clamped)
"""Those that any task may show."""
