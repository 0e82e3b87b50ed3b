"""The clean plate: the background as if the foreground were not there.

What a frame hides is fetched from the frames of the shot that show it. The way there is the background's own motion:
the camera's, chained from frame to frame, corrected by optical flow measured on the background around the hole. Only
what no frame shows is invented, by the background's RGB-Net.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from vdp_engine.model.appearance import fill
from vdp_engine.motion import follow_camera
from vdp_engine.motion.sizes import Size

Array = NDArray[np.float32]

_OFFSETS = (1, 2, 3, 4, 6, 8, 11, 16, 22, 32, 45, 64, 90, 128)
_SOURCES = 4
_WORTH = 0.02  # share of the hole that a further source must show
_PREFER_NEAR = 0.003  # of the hole a frame: what is near in time has the same light and the surest way
_MARGIN = 2  # pixels at net size around a foreground that no source is trusted with
_GRID = 24  # points across the picture on which camera motion is chained; it is a quadratic, no more is needed


@dataclass(frozen=True)
class Source:
    """A frame that shows what another hides.

    Attributes:
        position: of the frame in the shot.
        points: (24, 24, 2), where a grid spread over the hidden frame lies in the source, in pixels of the fitted size.
        shows: (h, w) at net size, 0 to 1: how far the source shows the background there.
    """

    position: int
    points: Array
    shows: Array


class Background:
    """Where the background of each frame is seen in others.

    Args:
        theta: (T, 2, 6, 2), camera motion to the next and to the previous frame, in pixels of ``fitted``.
        fitted: size at which it was fitted.
        foreground: uint8 (T, h, w), 255 where a foreground layer is, at net size.
    """

    def __init__(self, theta: torch.Tensor, fitted: Size, foreground: NDArray[np.uint8]) -> None:
        self._theta, self._fitted = theta, fitted
        self.size: Size = (foreground.shape[1], foreground.shape[2])
        kernel = np.ones((2 * _MARGIN + 1, 2 * _MARGIN + 1), np.uint8)
        self._foreground = np.stack([cv2.dilate(frame, kernel) for frame in foreground])

    def sources(self, position: int, hole: Array) -> list[Source]:
        """The most useful frames to fetch the ``hole`` of a frame from, nearest first; (h, w) at net size, 0 to 1.

        Depends on the model alone, so every worker chooses the same.
        """
        size: Size = (hole.shape[0], hole.shape[1])
        candidates = []
        for step in (1, -1):
            for offset, points in self._ways(position, step):
                candidates.append(self._source(position + offset, points, size))
        left = hole.copy()
        area = max(float(hole.sum()), 1e-6)
        chosen: list[Source] = []
        while candidates and len(chosen) < _SOURCES:
            gains = [
                float((left * source.shows).sum()) / area - _PREFER_NEAR * abs(source.position - position)
                for source in candidates
            ]
            best = int(np.argmax(gains))
            if float((left * candidates[best].shows).sum()) / area < _WORTH:
                break
            chosen.append(candidates.pop(best))
            left = left * (1 - chosen[-1].shows)
        return sorted(chosen, key=lambda source: abs(source.position - position))

    def _ways(self, position: int, step: int) -> list[tuple[int, torch.Tensor]]:
        """Offsets in the direction of ``step`` and where the camera's motion takes a grid of points there."""
        height, width = self._fitted
        y, x = torch.meshgrid(torch.linspace(0, height - 1, _GRID), torch.linspace(0, width - 1, _GRID), indexing="ij")
        points = torch.stack([x, y], -1)
        ways = []
        for distance in range(1, _OFFSETS[-1] + 1):
            at = position + step * (distance - 1)
            if not 0 <= at + step < len(self._theta):
                break
            points = follow_camera(points, self._theta[at, 0 if step > 0 else 1], self._fitted)
            if distance in _OFFSETS:
                ways.append((step * distance, points))
        return ways

    def _source(self, position: int, points: torch.Tensor, size: Size) -> Source:
        way = at_size(points.numpy(), self._fitted, size)
        # 255 outside: a source shows nothing where its picture ends.
        hidden = resample(self._foreground[position].astype(np.float32), way, outside=255)
        return Source(position, points.numpy(), np.clip(1 - hidden / 128, 0, 1))

    def way(self, source: Source, size: Size) -> Array:
        """The way to a source for every pixel of a picture of ``size``, (h, w, 2) in its pixels."""
        return at_size(source.points, self._fitted, size)


def at_size(points: Array, fitted: Size, size: Size) -> Array:
    """A grid of positions spread over a picture of ``fitted``, as a dense map (h, w, 2) of one of ``size``."""
    height, width = size
    # Splines give a quadratic back exactly. OpenCV's cubic interpolation does not: on a grid so coarse it is off by
    # pixels at 4K.
    down = _spline(points.shape[0], fitted[0], height)
    across = _spline(points.shape[1], fitted[1], width)
    local = np.dstack([down @ points[..., axis] @ across.T for axis in (0, 1)])
    scale = np.array([fitted[1] / width, fitted[0] / height])
    return np.asarray((local + 0.5) / scale - 0.5, np.float32)


@lru_cache(maxsize=16)  # a shot asks for the same few, many times a frame
def _spline(count: int, fitted: int, length: int) -> NDArray[np.float64]:
    """(length, count): weights of ``count`` values in their cubic spline at ``length`` pixels.

    The values are spread from the first to the last of the ``fitted`` pixels that the same side has there.
    """
    at = ((np.arange(length) + 0.5) * (fitted / length) - 0.5) * ((count - 1) / (fitted - 1))
    return np.asarray(make_interp_spline(np.arange(count), np.eye(count))(at))


def resample(x: Array, way: Array, *, cubic: bool = False, outside: float | None = None) -> Array:
    """``x`` (H, W[, C]) fetched from where ``way`` (h, w, 2) points; the nearest edge, or ``outside``, beyond it."""
    found = cv2.remap(
        x,
        way[..., 0],
        way[..., 1],
        cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT,
        borderValue=outside or 0,
    )
    return np.asarray(found, np.float32)


def correct(way: Array, here: Array, there: Array, background: Array) -> Array:
    """``way`` corrected by what optical flow says of the background around the hole; all at one working size.

    Args:
        way: (h, w, 2), where each pixel lies in the source.
        here, there: (h, w, 3) log-encoded frame and source.
        background: (h, w), 1 where the frame shows its background.
    """
    carried = resample(there, way)
    low, high = np.quantile(here[::4, ::4], (0.005, 0.995))
    greys = [
        np.clip((image.mean(2) - low) * (255 / max(high - low, 0.02)), 0, 255).astype(np.uint8)
        for image in (here, carried)
    ]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = background.shape
    if min(height, width) < 32:
        return way  # too small for the estimator's patches
    flow = np.asarray(estimator.calc(greys[0], greys[1], np.zeros((height, width, 2), np.float32)))
    known = background * ((way >= 0) & (way <= (width - 1, height - 1))).all(-1)
    smooth = cv2.blur(np.dstack([flow * known[..., None], known]), (9, 9))
    mean = smooth[..., :2] / np.maximum(smooth[..., 2:], 1e-3)
    filled = fill(
        torch.from_numpy(np.ascontiguousarray(mean.transpose(2, 0, 1)))[None],
        torch.from_numpy((smooth[..., 2] > 0.5).astype(np.float32))[None, None],
    )[0]
    return np.asarray(way + filled.numpy().transpose(1, 2, 0), np.float32)


def assemble(
    invented: Array, hole: Array, fetched: Sequence[tuple[Callable[[], Array], Array]]
) -> tuple[Array, Array]:
    """The background in the hole: from the sources in turn, from ``invented`` where none shows it.

    Args:
        invented: (H, W, 3), scene-linear.
        hole: (H, W), 0 to 1, what is to be replaced.
        fetched: per source a function that gives its pixels (H, W, 3), and how far it shows the background (H, W).

    Returns:
        The background (H, W, 3), and how far it was invented (H, W).
    """
    left = np.ones(hole.shape, np.float32)
    total = np.zeros_like(invented)
    for pixels, shows in fetched:
        taken = left * shows
        if float((taken * hole).max(initial=0)) < 1e-3:
            continue
        total += taken[..., None] * pixels()
        left -= taken
    return total + left[..., None] * invented, left
