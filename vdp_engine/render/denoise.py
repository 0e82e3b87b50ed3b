"""Noise told apart from picture, at the plate's own size: non-local means where noise is the same everywhere.

Light is looked at through its square root, where photon noise does not depend on brightness, and divided by the noise
that is left at each brightness, measured in the frame itself. There every patch is averaged with those like it, near by
and where the flow leads in the frames before and after (Buades, Coll and Morel, CVPR 2005; Buades et al., IPOL 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

REACH = 3
"""Pixels around a pixel that its result depends on."""

_SEARCH = 2
_PATCH = 3  # side
_LIKE = 1.2  # how unlike patches of the same noise may be, in units of it
_MOST = 4.0  # what stands out by more times the noise than this is detail and stays
_BLOCK = 8
_BINS = 8
_FLATTEST = 0.2  # share of the blocks of a brightness that show its noise and no texture
_LEAST_NOISE = 1e-5
# Second differences across and down, of unit gain for white noise (Immerkær, 1996).
_CURVATURE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
_MEAN_TO_SIGMA = float(np.sqrt(np.pi / 2))


@dataclass(frozen=True)
class NoiseLevel:
    """Standard deviation of the noise of √light by √light, linear between the points and constant beyond them.

    Attributes:
        at: (K,) rising, √light.
        sigma: (K,), above 0.
    """

    at: Array
    sigma: Array

    def of(self, root: Array) -> Array:
        """σ of √light, any shape."""
        return np.interp(root, self.at, self.sigma).astype(np.float32)


def rooted(light: Array) -> Array:
    """Scene-linear light as its square root with its sign, any shape."""
    return np.asarray(np.copysign(np.sqrt(np.abs(light)), light), np.float32)


def measure_noise(light: Array) -> NoiseLevel:
    """The noise of a frame (H, W, 3), scene-linear: that of the flattest blocks of each brightness.

    A frame of flat colour, or too small to have blocks, has none.
    """
    root = rooted(light)
    grey = np.ascontiguousarray(root.mean(-1))
    # The noise of a mean over three channels, taken as independent, is √3 smaller than each one's.
    rough = np.abs(cv2.filter2D(grey, -1, _CURVATURE, borderType=cv2.BORDER_REFLECT)) * np.float32(3**0.5)
    means, levels = _blocks(rough) * np.float32(_MEAN_TO_SIGMA), _blocks(grey)
    if means.size < _BINS:
        return NoiseLevel(np.zeros(1, np.float32), np.full(1, _LEAST_NOISE, np.float32))
    order = np.argsort(levels, kind="stable")
    at, sigma = [], []
    for part in np.array_split(order, _BINS):
        at.append(levels[part].mean())
        sigma.append(max(float(np.quantile(means[part], _FLATTEST)), _LEAST_NOISE))
    # Texture everywhere at one brightness must not pass for noise: noise of √light never grows with light.
    falling = np.minimum.accumulate(np.asarray(sigma, np.float32))
    rising = np.maximum.accumulate(np.asarray(at, np.float32) + np.arange(_BINS, dtype=np.float32) * 1e-9)
    return NoiseLevel(rising, falling)


def _blocks(x: Array) -> Array:
    """Means over whole blocks of (H, W), in a row."""
    rows, columns = x.shape[0] // _BLOCK, x.shape[1] // _BLOCK
    cut = x[: rows * _BLOCK, : columns * _BLOCK]
    return np.asarray(cut.reshape(rows, _BLOCK, columns, _BLOCK).mean((1, 3)).ravel(), np.float32)


def denoise(light: Array, others: Sequence[Array], noise: NoiseLevel) -> Array:
    """``light`` (H, W, 3) without its noise, scene-linear.

    A pixel of the result depends on nothing farther than ``REACH``, so a picture may be cleaned in overlapping parts.

    Args:
        others: frames before and after, (H, W, 3) each, carried to this one along the flow: where they show something
            else, they do not count.
    """
    root = rooted(light)
    sigma = noise.of(root.mean(-1))
    here = _planes(root, sigma)
    total, weights = here.copy(), np.ones(sigma.shape, np.float32)
    for other in others:
        there = _planes(rooted(other), sigma)
        weight = _likeness(here, there)
        total += weight * there
        weights += weight
    height, width = light.shape[:2]
    # Each pair of patches is compared once and used both ways.
    for down in range(min(_SEARCH, height - 1) + 1):
        for across in range(-min(_SEARCH, width - 1), min(_SEARCH, width - 1) + 1):
            if down == 0 and across <= 0:
                continue
            a = (slice(0, height - down), slice(max(0, -across), width - max(0, across)))
            b = (slice(down, height), slice(max(0, across), width + min(0, across)))
            ours, theirs = here[:, a[0], a[1]], here[:, b[0], b[1]]
            weight = _likeness(ours, theirs)
            total[:, a[0], a[1]] += weight * theirs
            total[:, b[0], b[1]] += weight * ours
            weights[a] += weight
            weights[b] += weight
    clean = np.clip(total / weights, here - np.float32(_MOST), here + np.float32(_MOST)) * sigma
    return np.ascontiguousarray(np.copysign(np.square(clean), clean).transpose(1, 2, 0))


def _planes(root: Array, sigma: Array) -> Array:
    """(H, W, 3) as (3, H, W) in units of its noise."""
    return np.ascontiguousarray(root.transpose(2, 0, 1)) / sigma


def _likeness(a: Array, b: Array) -> Array:
    """Weights 0 to 1 (h, w): how far the patches of two pictures (3, h, w), in units of noise, are the same."""
    difference = a[0] - b[0]
    difference *= difference
    for ours, theirs in zip(a[1:], b[1:], strict=True):
        one = ours - theirs
        one *= one
        difference += one
    distance = cv2.blur(difference, (_PATCH, _PATCH), borderType=cv2.BORDER_REFLECT_101)
    # Two patches of the same picture differ by twice its noise.
    distance *= np.float32(-1 / (3 * _LIKE**2))
    distance += np.float32(2 / _LIKE**2)
    return np.asarray(np.exp(np.minimum(distance, 0, out=distance), out=distance), np.float32)
