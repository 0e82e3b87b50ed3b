"""What a layer looks like: colour histograms of the whole shot, and the filling of what is hidden."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from scipy.ndimage import gaussian_filter
from torch import Tensor

LAB_BINS = (16, 32, 32)
"""Cells of the Lab histogram along L, a and b."""

_SPREAD = 0.8  # bins


def lab_cells(images: Tensor) -> np.ndarray:
    """Index of each pixel's cell in a Lab histogram: int32 (N, h, w) from log-encoded images (N, 3, h, w).

    The log encoding stands for a display encoding; it is stretched once for all images, so that a dark shot uses the
    histogram as well as a bright one.
    """
    values = images.permute(0, 2, 3, 1).numpy()
    low, high = np.quantile(values[:, ::4, ::4], (0.005, 0.995))
    stretched = np.clip((values - low) / max(high - low, 1e-6), 0.0, 1.0)
    pixels = (stretched * 255).astype(np.uint8)
    lab = cv2.cvtColor(pixels.reshape(-1, pixels.shape[2], 3), cv2.COLOR_RGB2LAB).reshape(pixels.shape)
    cell = lab.astype(np.int32) * np.array(LAB_BINS) // 256
    return np.ravel_multi_index(tuple(np.moveaxis(cell, -1, 0)), LAB_BINS).astype(np.int32)


def colour_posterior(cells: np.ndarray, mattes: Tensor) -> Tensor:
    """P(layer | colour) with equal priors, (N, L, h, w), from the histograms of all pixels weighted by the mattes.

    Args:
        cells: from ``lab_cells``, (N, h, w).
        mattes: (N, L, h, w), 0 to 1.
    """
    size = int(np.prod(LAB_BINS))
    weights = mattes.double().numpy()
    likelihoods = []
    for layer in range(mattes.shape[1]):
        counts = np.bincount(cells.ravel(), weights=weights[:, layer].ravel(), minlength=size)
        spread = gaussian_filter(counts.reshape(LAB_BINS), _SPREAD).ravel()
        likelihoods.append(spread / (spread.sum() + 1e-6) + 1e-7)
    stacked = np.stack(likelihoods)
    posterior = (stacked / stacked.sum(0)).astype(np.float32)
    return torch.from_numpy(posterior[:, cells]).transpose(0, 1)


def fill(image: Tensor, known: Tensor) -> Tensor:
    """Colours carried smoothly from where they are known into where they are not (push-pull pyramid).

    Args:
        image: (N, C, h, w).
        known: (N, 1, h, w), 0 to 1.

    Returns:
        (N, C, h, w): the image where known is 1, averages of ever wider surroundings elsewhere.
    """
    height, width = image.shape[-2:]
    if height <= 2 and width <= 2:
        weight = known.mean((2, 3), keepdim=True)
        mean = (image * known).mean((2, 3), keepdim=True) / weight.clamp_min(1e-6)
        return known * image + (1 - known) * mean
    pool = (min(2, height), min(2, width))
    share = functional.avg_pool2d(known, pool, ceil_mode=True)
    coarse = functional.avg_pool2d(image * known, pool, ceil_mode=True) / share.clamp_min(1e-6)
    # Twice the share: half a cell known is enough to speak for it.
    filled = fill(coarse, (2 * share).clamp(max=1.0))
    wide = functional.interpolate(filled, size=(height, width), mode="bilinear", align_corners=False)
    return known * image + (1 - known) * wide
