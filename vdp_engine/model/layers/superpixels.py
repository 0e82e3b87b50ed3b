"""A shot as superpixels: small patches that follow the picture's edges, and what each of them looks like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from vdp_engine.motion.sizes import Size

Array = NDArray[np.float32]

_STEP = 8  # pixels from one superpixel to the next
_COMPACTNESS = 0.12  # difference in colour that weighs as much as the distance of one step
_ROUNDS = 5
_SURROUNDINGS = (2.0, 6.0, 14.0)  # pixels: how far a patch's surroundings are seen, each as a blur
_TEXTURE = 3.0
_ORIENTATIONS = 4

# How much each kind of likeness counts, in units of its own spread over the shot.
_COLOUR_WEIGHT, _SURROUNDINGS_WEIGHT, _TEXTURE_WEIGHT, _VARIETY_WEIGHT, _PLACE_WEIGHT = 1.0, 0.8, 0.7, 0.5, 0.7
_PLACE_SPREAD = 0.3  # of the picture's height


@dataclass(frozen=True)
class Superpixels:
    """N superpixels a frame over T frames.

    Attributes:
        labels: int16 (T, H, W), which superpixel of its frame a pixel belongs to.
        looks: float32 (T, N, D), scaled so that Euclidean distance is unlikeness: colour, surroundings, texture, place.
    """

    labels: NDArray[np.int16]
    looks: Array

    @classmethod
    def of(cls, pictures: Iterable[Array]) -> Superpixels:
        """Cut up pictures (H, W, 3) in Lab as ``lab_picture`` gives it, all of one size."""
        labels, looks = [], []
        for picture in pictures:
            cut, count = _slic(picture)
            labels.append(cut.astype(np.int16))
            looks.append(_describe(picture, cut, count))
        return cls(np.stack(labels), _scaled(np.stack(looks)))

    @property
    def count(self) -> int:
        """Superpixels a frame."""
        return self.looks.shape[1]

    def frame(self, position: int) -> Superpixels:
        """Those of one frame alone."""
        return Superpixels(self.labels[position : position + 1], self.looks[position : position + 1])

    def means(self, maps: NDArray[np.floating]) -> Array:
        """Mean of maps (T, h, w) of any size over each superpixel, (T, N)."""
        large = _resized(maps, (self.labels.shape[1], self.labels.shape[2]), "bilinear")
        return np.stack(
            [_means(one[..., None], cut, self.count)[:, 0] for one, cut in zip(large, self.labels, strict=True)]
        )

    def paint(self, values: Array, size: Size) -> Array:
        """Maps (T, *size) that hold each superpixel's value of ``values`` (T, N)."""
        painted = np.stack([one[cut] for one, cut in zip(values, self.labels, strict=True)])
        return _resized(painted, size, "area")


def lab_picture(picture: Array, low: float, high: float) -> Array:
    """CIE Lab (H, W, 3), L 0 to 1 and a, b about -1 to 1, of a log-encoded picture whose range is ``low`` to ``high``.

    The log encoding stands for a display encoding, stretched once for the shot so that a dark one shows as much.
    """
    stretched = np.clip((picture - low) / max(high - low, 1e-6), 0.0, 1.0).astype(np.float32)
    lab = cv2.cvtColor(stretched, cv2.COLOR_RGB2LAB)
    return np.asarray(lab / np.array([100, 128, 128]), np.float32)


def _slic(picture: Array) -> tuple[NDArray[np.int64], int]:
    """Simple linear iterative clustering (Achanta et al., PAMI 34(11), 2012) on a grid of cells."""
    height, width = picture.shape[:2]
    rows, columns = max(1, round(height / _STEP)), max(1, round(width / _STEP))
    y = (np.arange(height, dtype=np.float32) + 0.5) * (rows / height)
    x = (np.arange(width, dtype=np.float32) + 0.5) * (columns / width)
    row, column = np.minimum(y.astype(np.int64), rows - 1), np.minimum(x.astype(np.int64), columns - 1)
    points = np.dstack([picture / _COMPACTNESS, *np.broadcast_arrays(y[:, None], x[None])]).astype(np.float32)
    count = rows * columns
    labels = row[:, None] * columns + column[None]
    for _ in range(_ROUNDS):
        centres = _means(points, labels, count)
        nearest = np.full((height, width), np.inf, np.float32)
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                cell = np.clip(row + down, 0, rows - 1)[:, None] * columns + np.clip(column + across, 0, columns - 1)
                distance = np.square(points - centres[cell]).sum(-1)
                closer = distance < nearest
                nearest[closer] = distance[closer]
                labels = np.where(closer, cell, labels)
    return labels, count


def _describe(picture: Array, labels: NDArray[np.int64], count: int) -> Array:
    """(N, 21): Lab, Lab of three surroundings, four orientations of texture, spread of Lab, place."""
    height, width = labels.shape
    across, down = (cv2.Sobel(picture[..., 0], cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    strength = np.hypot(across, down)
    angle = (np.arctan2(down, across) % np.pi) / np.pi * _ORIENTATIONS
    away = [np.abs(angle - k) for k in range(_ORIENTATIONS)]
    texture = [np.maximum(0, 1 - np.minimum(one, _ORIENTATIONS - one)) * strength for one in away]
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    seen = np.dstack(
        [
            picture,
            *(cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in _SURROUNDINGS),
            cv2.GaussianBlur(np.dstack(texture), (0, 0), _TEXTURE),
            np.square(picture),
            y,
            x,
        ]
    )
    means = _means(seen, labels, count)
    means[:, 16:19] = np.sqrt(np.maximum(means[:, 16:19] - np.square(means[:, :3]), 0))
    return means


def _scaled(looks: Array) -> Array:
    flat = looks.reshape(-1, looks.shape[-1])
    scale = np.empty(flat.shape[1], np.float32)
    colour = 1 / (float(flat[:, :3].std(0).mean()) + 1e-3)
    scale[:3], scale[3:12] = _COLOUR_WEIGHT * colour, _SURROUNDINGS_WEIGHT * colour
    scale[12:16] = _TEXTURE_WEIGHT / (float(flat[:, 12:16].std()) + 1e-4)
    scale[16:19] = _VARIETY_WEIGHT / (float(flat[:, 16:19].std()) + 1e-3)
    scale[19:] = _PLACE_WEIGHT / _PLACE_SPREAD
    return np.asarray(looks * scale, np.float32)


def _means(values: Array, labels: NDArray[np.integer], count: int) -> Array:
    """Mean of values (H, W, C) over each label, (count, C); 0 where a label has no pixel."""
    flat = labels.ravel()
    sizes = np.maximum(np.bincount(flat, minlength=count), 1)
    sums = [np.bincount(flat, values[..., c].ravel(), count) for c in range(values.shape[-1])]
    return np.asarray(np.stack(sums, 1) / sizes[:, None], np.float32)


def _resized(maps: NDArray[np.floating], size: Size, mode: str) -> Array:
    return interpolate(torch.from_numpy(np.asarray(maps, np.float32))[:, None], size=size, mode=mode)[:, 0].numpy()
