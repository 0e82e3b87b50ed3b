"""The plate at working size: what flow estimators and the motion cache see of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.motion.sizes import Size, WorkingSizes
from vdp_engine.plate import Frame, Plate, Window, log_encode, place

Array = NDArray[np.float32]

DARKEST = -0.02
"""Scene-linear: what is looked at is not darker. Noise around black goes no deeper; below it the encoding is a steep
line, on which a stray pixel of -7000 would leave the range of half floats and put off every mean around it."""


@dataclass(frozen=True)
class Proxy:
    """One plate frame at one working size.

    Attributes:
        frame: the frame number.
        image: float32 (h, w, 3), log-encoded; 0-light (encoded) where nothing of the plate lies.
        coverage: float32 (h, w), the share 0..1 of each pixel that lies inside the data window and is no hole.
    """

    frame: int
    image: Array
    coverage: Array


def read_proxies(plate: Plate, frame: int, sizes: WorkingSizes) -> tuple[Proxy, Proxy]:
    """Read a frame of the plate once and give it at flow size and at motion size.

    Raises:
        PlateError: the frame cannot be read.
    """
    read = plate.read(frame)
    light, coverage = read.on(plate.canvas), full_coverage(read, plate.canvas)
    flow_light, flow_coverage = shrink(light, coverage, sizes.flow)
    # From flow size, not from the plate: a mean of means, and far cheaper at 4K.
    motion_light, motion_coverage = shrink(flow_light, flow_coverage, sizes.motion)
    return (
        Proxy(frame, encoded(flow_light), flow_coverage),
        Proxy(frame, encoded(motion_light), motion_coverage),
    )


def encoded(light: Array) -> Array:
    """Scene-linear light (...) as it is looked at: log-encoded, no darker than ``DARKEST``."""
    return np.asarray(log_encode(np.maximum(light, np.float32(DARKEST))), np.float32)


def full_coverage(frame: Frame, canvas: Window) -> Array:
    """float32 (H, W): 1 where the frame has a pixel on the canvas, 0 outside its data window and in holes."""
    window = frame.header.data_window
    own = np.ones(window.shape, np.float32)
    if frame.holes is not None:
        own[frame.holes] = 0.0
    return place(own, window, canvas)


def shrink(light: Array, coverage: Array, size: Size) -> tuple[Array, Array]:
    """Area means of scene-linear ``light`` (H, W, C) over what is covered, and of ``coverage`` (H, W).

    In linear light, as a smaller sensor would have seen it, with what is not covered left out of the mean rather than
    darkening it.
    """
    smaller = _area(coverage, size)
    if float(coverage.min()) == 1.0:
        return _area(light, size), smaller
    weighted = _area(light * coverage[..., None], size)
    weighted /= np.maximum(smaller, 1e-6)[..., None]
    return weighted, smaller


def _area(pixels: Array, size: Size) -> Array:
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA), np.float32)


def shrink_flow(flow: Array, size: Size) -> Array:
    """``flow`` (2, h, w) at another size (2, *size): area means, lengths rescaled to pixels of that size."""
    height, width = flow.shape[1:]
    smaller = _area(np.ascontiguousarray(flow.transpose(1, 2, 0)), size)
    return np.ascontiguousarray(smaller.transpose(2, 0, 1)) * _ratio((height, width), size)


def _ratio(old: Size, new: Size) -> Array:
    return np.array([new[1] / old[1], new[0] / old[0]], np.float32)[:, None, None]


def joint_stretch(source: Proxy, target: Proxy) -> tuple[float, float]:
    """The range (low, high) of log-encoded values that a pair of frames uses together: its 0.5 and 99.5 percentiles.

    Flow estimators want the contrast of a display image, of which a log-encoded plate uses only a part. One range for
    both frames keeps their brightness comparable; taken from the pair alone and the same in both directions, it makes
    a flow independent of which other frames are at hand. A range below ``0.02`` (a third of a stop) is noise or a flat
    frame and is not stretched further.
    """
    step = max(1, min(source.coverage.shape) // 120)  # enough to know percentiles by
    seen = [proxy.image[::step, ::step][proxy.coverage[::step, ::step] > 0.5] for proxy in (source, target)]
    values = np.concatenate(seen).ravel()
    if values.size == 0:
        return 0.0, 1.0
    ranks = [round(share * (values.size - 1)) for share in (0.005, 0.995)]
    low, high = (float(value) for value in np.partition(values, ranks)[ranks])
    middle, half = (low + high) / 2, max((high - low) / 2, 0.01)
    return middle - half, middle + half
