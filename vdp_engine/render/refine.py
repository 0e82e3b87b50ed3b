"""Mattes from net size to the plate's own pixels, along the plate's edges."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_RADIUS = 8 / 160  # of the picture's height
_EPSILON = 5e-5  # variance of the log-encoded plate below which it counts as flat
_SHARPEN = 3.0
_FLOOR, _CEILING = 0.03, 0.97
_ROWS = 256


def refine(mattes: Array, guide: Array, plate: Array) -> Array:
    """Guided filter (He, Sun and Tang, 2010) with a colour guide, its coefficients worked out small and used large.

    Args:
        mattes: (F, h, w), the foreground layers' mattes at net size.
        guide: (gh, gw, 3), the log-encoded plate at the size to work out coefficients.
        plate: (H, W, 3), the log-encoded plate.

    Returns:
        (F, H, W): α of each foreground layer, 0 to 1, their sum at most 1. Exactly 0 and 1 away from edges: what is
        nearly solid is made solid, so that the compositor finds no veil over the background and no holes in the layer.
    """
    slopes, offset = _coefficients(mattes, guide)
    height, width = plate.shape[:2]
    refined = np.empty((len(mattes), height, width), np.float32)
    for index in range(len(mattes)):
        planes = np.dstack([slopes[index], offset[index]])
        for top in range(0, height, _ROWS):
            rows = slice(top, min(top + _ROWS, height))
            local = _rows_of_resized(planes, (height, width), rows)
            alpha = local[..., 3] + np.einsum("hwc,hwc->hw", local[..., :3], plate[rows])
            refined[index, rows] = np.clip((alpha - _FLOOR) / (_CEILING - _FLOOR), 0.0, 1.0)
    if len(refined) > 1:
        refined /= np.maximum(refined.sum(0), 1.0)
    return refined


def _coefficients(mattes: Array, guide: Array) -> tuple[Array, Array]:
    """Slopes (F, gh, gw, 3) and offset (F, gh, gw) of matte = slopes · guide + offset around each pixel."""
    height, width = guide.shape[:2]
    radius = max(1, round(_RADIUS * height))

    def box(x: Array) -> Array:
        return np.asarray(cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT), np.float32)

    mean = box(guide)
    covariance = np.empty((height, width, 3, 3), np.float32)
    for a in range(3):
        for b in range(a, 3):
            covariance[..., a, b] = box(guide[..., a] * guide[..., b]) - mean[..., a] * mean[..., b]
            covariance[..., b, a] = covariance[..., a, b]
    inverse = np.linalg.inv(covariance + _EPSILON * np.eye(3, dtype=np.float32))

    slopes, offsets = [], []
    for matte in mattes:
        large = np.asarray(cv2.resize(matte, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        target = np.clip((large - 0.5) * _SHARPEN + 0.5, 0.0, 1.0)
        target_mean = box(target)
        cross = np.dstack([box(guide[..., k] * target) - mean[..., k] * target_mean for k in range(3)])
        slope = np.einsum("hwab,hwb->hwa", inverse, cross)
        offset = target_mean - np.einsum("hwc,hwc->hw", slope, mean)
        slopes.append(box(slope))
        offsets.append(box(offset))
    return np.stack(slopes), np.stack(offsets)


def _rows_of_resized(planes: Array, size: Sequence[int], rows: slice) -> Array:
    """The given rows of ``planes`` (h, w, C) resized bilinearly to ``size``, without making the rest."""
    height, width = size
    scale = planes.shape[0] / height
    # Bilinear resizing is exact on a band that has one more small row on each side.
    first = max(0, int(np.floor((rows.start + 0.5) * scale - 0.5)))
    last = min(planes.shape[0], int(np.ceil((rows.stop - 0.5) * scale - 0.5)) + 1)
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * scale - 0.5 - first
    x = (np.arange(width, dtype=np.float32) + 0.5) * (planes.shape[1] / width) - 0.5
    map_x, map_y = np.meshgrid(x, y.clip(0, last - 1 - first))
    return np.asarray(cv2.remap(planes[first:last], map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
