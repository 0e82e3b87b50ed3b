"""The frames before and after the one that is rendered, carried to it along the flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.motion import MotionFrame
from vdp_engine.plate import Frame, Window
from vdp_engine.render.denoise import REACH, NoiseLevel, denoise
from vdp_engine.render.resize import enlarged

Array = NDArray[np.float32]

_GAPS = (1, -1)


@dataclass(frozen=True)
class Nearby:
    """A frame near by.

    Attributes:
        light: (H, W, 3), scene-linear.
        flow: (h, w, 2), the way to it in pixels of (h, w).
    """

    light: Array
    flow: Array

    def carried(self, band: slice) -> Array:
        """What it shows where the flow of the rows ``band`` leads, (rows, W, 3)."""
        height, width = self.light.shape[:2]
        scale = np.array([width / self.flow.shape[1], height / self.flow.shape[0]], np.float32)
        way = enlarged(self.flow, (height, width), (band, slice(0, width))) * scale
        way[..., 0] += np.arange(width, dtype=np.float32)
        way[..., 1] += np.arange(band.start, band.stop, dtype=np.float32)[:, None]
        top = int(np.clip(np.floor(way[..., 1].min()), 0, height - 1))
        bottom = int(np.clip(np.ceil(way[..., 1].max()) + 2, top + 1, height))
        way[..., 1] -= top
        x, y = cv2.split(way)
        found = cv2.remap(self.light[top:bottom], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, np.float32)


def frames_nearby(
    position: int, motion: MotionFrame | None, read: Callable[[int], Frame], canvas: Window
) -> list[Nearby]:
    """The frames before and after a position of the shot, as far as there are any; none without motion."""
    found: list[Nearby] = []
    if motion is None:
        return found
    for gap in _GAPS:
        index = motion.gaps.index(gap)
        if bool(motion.present[index]):
            flow = np.ascontiguousarray(motion.flow[index].numpy().transpose(1, 2, 0))
            found.append(Nearby(read(position + gap).on(canvas), flow))
    return found


def clean_rows(plate: Array, nearby: list[Nearby], noise: NoiseLevel, band: slice) -> Array:
    """Rows of the plate (H, W, 3) without its noise, (rows, W, 3): the same however the plate is cut into bands."""
    wide = slice(max(0, band.start - REACH), min(plate.shape[0], band.stop + REACH))
    clean = denoise(plate[wide], [other.carried(wide) for other in nearby], noise)
    return clean[band.start - wide.start : band.stop - wide.start]
