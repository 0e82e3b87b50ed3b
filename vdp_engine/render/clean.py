"""The clean plate: the background as if the foreground were not there.

What a frame hides is fetched from the frames of the shot that show it, along the background's own motion: the camera's,
chained from frame to frame. Optical flow measured around the hole was tried as a correction of that way: it gained
nothing on any clip, and lost much where it caught on what stands in front. Light that changed between the frames is
made up for around the hole. Only what no frame shows is invented, as a smooth continuation of what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from vdp_engine.model.layers.appearance import fill
from vdp_engine.motion import follow_camera
from vdp_engine.motion.sizes import Size
from vdp_engine.render.resize import shrunk

Array = NDArray[np.float32]
Fetched = tuple[Callable[[], Array], Array, float]
"""What a source shows: a function giving its pixels (H, W, 3), how far it shows the background (H, W), its weight."""

_NEAR, _FAR = 8, 128  # frames: to the nearest, every 2nd is looked at; up to the farthest, every 8th
_STEPS = (2, 8)
_SOURCES = 6
_WORTH = 0.02  # share of the hole that a further source must show
_AGAIN = 0.5  # what a source shows a second time counts so much: the mean of several is steadier than one
_PREFER_NEAR = 0.001  # of the hole a frame: what is near in time has the same light and the surest way
_VISIBLE = (0.5, 0.35)  # from the first to the second likelihood of foreground, a source is trusted
_MARGIN = 1  # pixels at net size around a foreground that no source is trusted with
_GRID = 24  # points across the picture on which camera motion is chained; it is a quadratic, no more is needed
_ASTRAY = 3  # pictures away; quadratics chained over many frames can run off to infinity
_TONE_STEP = 8  # working pixels: light changes smoothly
_TONE_MOST = 0.06  # log-encoded, about a stop; more is not light but another thing


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
        self._visible = np.stack([cv2.erode(_visible(frame), kernel) for frame in foreground])

    def sources(self, position: int, hole: Array) -> list[Source]:
        """The most useful frames to fetch the ``hole`` of a frame from, nearest first; (h, w) at net size, 0 to 1.

        Depends on the model alone, so every worker chooses the same.
        """
        size: Size = (hole.shape[0], hole.shape[1])
        candidates = [self._source(at, points, size) for step in (1, -1) for at, points in self._ways(position, step)]
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
            left = left * (1 - (1 - _AGAIN) * chosen[-1].shows)
        return sorted(chosen, key=lambda source: abs(source.position - position))

    def _ways(self, position: int, step: int) -> Iterator[tuple[int, Array]]:
        """Frames in the direction of ``step`` and where the camera's motion takes a grid of points there."""
        height, width = self._fitted
        y, x = torch.meshgrid(torch.linspace(0, height - 1, _GRID), torch.linspace(0, width - 1, _GRID), indexing="ij")
        points = torch.stack([x, y], -1)
        for distance in range(1, _FAR + 1):
            at = position + step * distance
            if not 0 <= at < len(self._theta):
                return
            points = follow_camera(points, self._theta[at - step, 0 if step > 0 else 1], self._fitted)
            if not float(points.abs().max()) < _ASTRAY * max(self._fitted):
                return
            # Counted in the shot, not from this frame: neighbours fetch from the same frames, and do not flicker.
            if at % _STEPS[distance > _NEAR] == 0:
                yield at, points.numpy()

    def _source(self, position: int, points: Array, size: Size) -> Source:
        way = at_size(points, self._fitted, size)
        # 0 outside: a source shows nothing where its picture ends.
        visible = resample(self._visible[position].astype(np.float32), way, outside=0)
        return Source(position, points, visible / np.float32(255))

    def way(self, source: Source, size: Size) -> Array:
        """The way to a source for every pixel of a picture of ``size``, (h, w, 2) in its pixels."""
        return at_size(source.points, self._fitted, size)


def _visible(foreground: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """255 where the background is trusted to show, of how likely the foreground is, 0 to 255; (h, w)."""
    none, full = (255 * likelihood for likelihood in _VISIBLE)
    share = (none - foreground.astype(np.float32)) / (none - full)
    return np.asarray(255 * np.clip(share, 0, 1), np.uint8)


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


def within(way: Array, size: Size) -> NDArray[np.bool_]:
    """Where ``way`` (..., 2) points into a picture of ``size``."""
    return np.asarray(((way >= 0) & (way <= (size[1] - 1, size[0] - 1))).all(-1))


def tone(here: Array, carried: Array, known: Array) -> Array:
    """How much brighter the frame is than a source, carried smoothly from around the hole into it.

    Args:
        here, carried: (h, w, 3), log-encoded frame, and source as seen from it.
        known: (h, w), 0 to 1, where both show the background.

    Returns:
        (h / 8, w / 8, 3), log-encoded difference.
    """
    size = (max(1, here.shape[0] // _TONE_STEP), max(1, here.shape[1] // _TONE_STEP))
    difference = np.clip(here - carried, -_TONE_MOST, _TONE_MOST) * known[..., None]
    smooth = cv2.GaussianBlur(shrunk(np.dstack([difference, known]), size), (0, 0), 1.0)
    return continued(smooth[..., :3] / (smooth[..., 3:] + 1e-3), np.minimum(2 * smooth[..., 3], 1))


def continued(picture: Array, known: Array) -> Array:
    """``picture`` (h, w, C) where it is ``known`` (h, w), smoothly continued where it is not."""
    planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
    filled = fill(planes[None], torch.from_numpy(known)[None, None])[0]
    return np.asarray(filled.numpy().transpose(1, 2, 0), np.float32)


def assemble(hole: Array, fetched: Sequence[Fetched]) -> tuple[Array, Array]:
    """The background in the hole: the mean of what the sources show.

    Args:
        hole: (H, W), 0 to 1, what is to be replaced.
        fetched: what each source shows; pixels that are not needed are not asked for.

    Returns:
        The background (H, W, 3), 0 where no source shows it, and how far one does (H, W).
    """
    total: Array = np.zeros((*hole.shape, 3), np.float32)
    weights: Array = np.zeros(hole.shape, np.float32)
    shown: Array = np.zeros(hole.shape, np.float32)
    for pixels, shows, weight in fetched:
        if float((shows * hole).max(initial=0)) < 1e-3:
            continue
        weights += weight * shows
        total += (weight * shows)[..., None] * pixels()
        shown = np.maximum(shown, shows)
    return np.asarray(total / np.maximum(weights, 1e-6)[..., None], np.float32), shown
