"""The rebuild rule: the written layers, put through the task's equation, give the plate back.

At every pixel and channel the result lies within 2 half-float spacings of the plate's value, rounded to half where
the layers are half. Pixels that are holes in the plate (NaN or infinite) count as 0, as the plate is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vdp_engine.equations import RGB, Channels, half_ulps, recompose
from vdp_engine.plate import to_half

TOLERANCE = 2.0
BitDepth = Literal["half", "float"]


@dataclass(frozen=True)
class Rebuild:
    """How well one frame was rebuilt.

    Attributes:
        worst: the largest error in half ulps; infinite where the layers hold NaN.
        x, y: the pixel it is at, in the plate's coordinates (y down), and
        channel: its channel.
        broken: how many pixels lie outside the tolerance.
    """

    worst: float = 0.0
    x: int = 0
    y: int = 0
    channel: str = ""
    broken: int = 0

    def joined(self, other: Rebuild) -> Rebuild:
        """Both together, for two parts of a frame."""
        worse = other if other.worst > self.worst or not self.channel else self
        return Rebuild(worse.worst, worse.x, worse.y, worse.channel, self.broken + other.broken)


def expected(pixels: np.ndarray, bit_depth: BitDepth) -> tuple[np.ndarray, int]:
    """What layers of this bit depth have to give back, and how many values of the plate they cannot hold.

    ``pixels`` are the plate's, float32 (…, 3); half layers give back their nearest half, within ±65504.
    """
    if bit_depth == "float":
        return pixels, 0
    rounded, clamped = to_half(pixels)
    return rounded.astype(np.float32), clamped


def measure_rebuild(
    task: str, channels: Channels, truth: np.ndarray, *, left: int = 0, top: int = 0, **controls: Any
) -> Rebuild:
    """Compare the recomposition of ``channels`` (H, W each) with ``truth`` (H, W, 3).

    ``left`` and ``top`` are the plate coordinates of the first pixel, ``controls`` those of ``equations.recompose``
    that the file was written with.

    Raises:
        KeyError: a channel that the task's equation needs is not there.
    """
    ulps = half_ulps(recompose(task, channels, **controls), truth)
    np.nan_to_num(ulps, copy=False, nan=np.inf, posinf=np.inf)
    row, column, channel = np.unravel_index(int(np.argmax(ulps)), ulps.shape)
    worst = float(ulps[row, column, channel])
    broken = int(np.count_nonzero((ulps > TOLERANCE).any(-1))) if worst > TOLERANCE else 0
    return Rebuild(worst, left + int(column), top + int(row), RGB[int(channel)], broken)
