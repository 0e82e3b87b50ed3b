"""Mattes from net size to the plate's own pixels, along the plate's edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.render.resize import enlarged

Array = NDArray[np.float32]

# Coarse finds the edge that the net meant, fine puts α on it. Radii are shares of the picture's height, ε the variance
# of the log-encoded plate below which it counts as flat.
_COARSE = (0.05, 5e-5)
_FINE = (0.02, 1e-5)
_SHARPEN_NET = 3.0
_SHARPEN_COARSE = 2.0
_BAND = (2.5, 5.0)  # pixels of the net from its edge: up to the first the plate decides, from the second on the net
_FLOOR, _CEILING = 0.03, 0.97
_ROWS = 256


def refine(mattes: Array, guide: Array, plate: Array) -> Array:
    """Guided filter (He, Sun and Tang, 2010) with a colour guide, its coefficients worked out small and used large.

    Twice, from coarse to fine, and only near the edges of the net's matte.

    Args:
        mattes: (F, h, w), the foreground layers' mattes at net size.
        guide: (gh, gw, 3), the log-encoded plate at the size to work out coefficients.
        plate: (H, W, 3), the log-encoded plate.

    Returns:
        (F, H, W): α of each foreground layer, 0 to 1, their sum at most 1. Exactly 0 and 1 away from edges: what is
        nearly solid is made solid, so that the compositor finds no veil over the background and no holes in the layer.
    """
    coarse, fine = _Guide(guide, *_COARSE), _Guide(guide, *_FINE)
    height, width = plate.shape[:2]
    refined = np.empty((len(mattes), height, width), np.float32)
    for index, matte in enumerate(mattes):
        planes = _coefficients(matte, coarse, fine)
        for top in range(0, height, _ROWS):
            rows = slice(top, min(top + _ROWS, height))
            local = enlarged(planes, (height, width), (rows, slice(0, width)))
            alpha = _applied(local, plate[rows])
            refined[index, rows] = np.clip((alpha - _FLOOR) / (_CEILING - _FLOOR), 0.0, 1.0)
    if len(refined) > 1:
        refined /= np.maximum(refined.sum(0), 1.0)
    return refined


def _coefficients(matte: Array, guide: _Guide, fine: _Guide) -> Array:
    """Slopes and offset (gh, gw, 4) of α = slopes · plate + offset around each pixel.

    Away from the edge slopes are 0 and the offset is the net's answer, 0 or 1: a filter alone lets the texture of a
    layer and its surroundings into the matte.
    """
    height, width = guide.image.shape[:2]
    large = np.asarray(cv2.resize(matte, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    coarse = guide.fit(_sharpened(large, _SHARPEN_NET))
    alpha = np.clip(_applied(coarse, guide.image), 0.0, 1.0)
    planes = fine.fit(_sharpened(alpha, _SHARPEN_COARSE))

    inside = (large > 0.5).astype(np.uint8)
    distance = np.maximum(
        cv2.distanceTransform(inside, cv2.DIST_L2, 5), cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    )
    net_pixel = height / matte.shape[0]
    certain = np.clip((distance / net_pixel - _BAND[0]) / (_BAND[1] - _BAND[0]), 0.0, 1.0).astype(np.float32)
    planes *= (1 - certain)[..., None]
    planes[..., 3] += certain * inside
    return planes


class _Guide:
    """The guided filter's statistics of one picture (gh, gw, 3), shared by all mattes."""

    def __init__(self, image: Array, radius: float, epsilon: float) -> None:
        self.image = image
        pixels = max(1, round(radius * image.shape[0]))
        self._window = (2 * pixels + 1, 2 * pixels + 1)
        self._mean = self._box(image)
        covariance = np.empty((*image.shape[:2], 3, 3), np.float32)
        for a in range(3):
            for b in range(a, 3):
                together = self._box(image[..., a] * image[..., b]) - self._mean[..., a] * self._mean[..., b]
                covariance[..., a, b] = covariance[..., b, a] = together
        self._inverse = np.linalg.inv(covariance + epsilon * np.eye(3, dtype=np.float32))

    def fit(self, target: Array) -> Array:
        """Slopes and offset (gh, gw, 4) of the local linear model that gives ``target`` (gh, gw) from the picture."""
        mean = self._box(target)
        cross = np.dstack([self._box(self.image[..., k] * target) - self._mean[..., k] * mean for k in range(3)])
        slope = np.einsum("hwab,hwb->hwa", self._inverse, cross)
        offset = mean - np.einsum("hwc,hwc->hw", slope, self._mean)
        return self._box(np.dstack([slope, offset]))

    def _box(self, x: Array) -> Array:
        return np.asarray(cv2.blur(x, self._window, borderType=cv2.BORDER_REFLECT), np.float32)


def _applied(planes: Array, image: Array) -> Array:
    return planes[..., 3] + np.einsum("hwc,hwc->hw", planes[..., :3], image)


def _sharpened(matte: Array, gain: float) -> Array:
    return np.clip((matte - 0.5) * gain + 0.5, 0.0, 1.0)
