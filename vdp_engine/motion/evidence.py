"""Motion evidence: how surely a pixel moves by itself and not with the camera, 0 to 1, for one frame.

Per distance a in frames (gap), from the residual r = |flow - camera flow| towards t+a and t-a:

1. r_a = min(r_+a, r_-a) where both are valid, else the valid one. What is occluded in one direction is seen in the
   other, so the minimum leaves no halo around objects.
2. kappa_a = max(3 max(sigma, 0.1 a), 0.35 q98(r_a)): the noise of the fit, or a share of the frame's own strongest
   residual, whichever is larger.
3. e = sum_a w_a (1 - exp(-(r_a / kappa_a)²)) / sum_a w_a, with w_a = (mean confidence)² + 0.001, of the direction
   in which forward and backward flow agree better.

Constants as measured on twenty clips; the minimum and the relative scale matter most.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SIGMAS = 3.0
_SMALLEST_SIGMA = 0.1  # pixels per frame of gap
_RELATIVE = 0.35
QUANTILE = 0.98
_CONNECT_CELL = 4  # connectedness is worked out on cells of 4×4 pixels


def strength(residual: Tensor, counted: Tensor) -> Tensor:
    """The 98 % quantile of ``residual`` (h, w) over the pixels ``counted`` (h, w) bool; 0 where there are none."""
    values = residual[counted][::7]  # a seventh tells as much
    return torch.quantile(values, QUANTILE) if len(values) else residual.new_zeros(())


def motion_evidence(
    gaps: Sequence[int], residual: Tensor, valid: Tensor, sigma: Tensor, confidence: Tensor, coverage: Tensor
) -> Tensor:
    """The evidence of one frame, (h, w), 0 to 1; 0 where nothing is known.

    Args:
        gaps: signed gap of each of the G entries below; only neighbours that exist.
        residual: (G, h, w), |flow - camera flow| in pixels.
        valid: (G, h, w) bool, where the camera motion leads to a pixel that the neighbour has.
        sigma: (G,), of the camera fit.
        confidence: (G,), mean forward-backward consistency.
        coverage: (h, w), 0 to 1.
    """
    covered = coverage > 0.5
    total = torch.zeros_like(coverage)
    weights = torch.zeros_like(coverage)
    for gap in sorted({abs(gap) for gap in gaps}):
        entries = [index for index, signed in enumerate(gaps) if abs(signed) == gap]
        known = valid[entries].any(0) & covered
        least = residual[entries].masked_fill(~valid[entries], float("inf")).amin(0).masked_fill(~known, 0.0)
        kappa = torch.maximum(
            _SIGMAS * sigma[entries].amax().clamp_min(_SMALLEST_SIGMA * gap), _RELATIVE * strength(least, covered)
        )
        weight = (confidence[entries].amax() ** 2 + 1e-3) * known
        total += weight * (1 - torch.exp(-((least / kappa) ** 2)))
        weights += weight
    return total / weights.clamp_min(1e-6)


def border_connected(evidence: Tensor, coverage: Tensor) -> Tensor:
    """The level at which each pixel of ``evidence`` (h, w) hangs together with the border of the covered area.

    Grey-scale reconstruction (Vincent, IEEE Transactions on Image Processing 2(2), 1993) of the evidence from its
    border: the largest v for which a path with evidence of at least v leads to the border. What moves against
    the camera but reaches in from outside is more often parallax than an object.
    """
    height, width = evidence.shape
    levels = _cells(evidence.numpy())
    covered = _cells(coverage.numpy()) > 0.5
    if not covered.any():
        return torch.zeros_like(evidence)
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    marker = levels.copy()
    marker[rows[0] + 1 : rows[-1], columns[0] + 1 : columns[-1]] = 0.0

    around = np.ones((3, 3), np.uint8)
    while True:
        grown = np.minimum(cv2.dilate(marker, around), levels)
        if np.array_equal(grown, marker):
            break
        marker = grown
    connected = marker.repeat(_CONNECT_CELL, 0).repeat(_CONNECT_CELL, 1)[:height, :width]
    return torch.minimum(torch.from_numpy(connected), evidence)


def _cells(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The maximum over each cell of 4×4 pixels."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % _CONNECT_CELL), (0, -width % _CONNECT_CELL)))
    rows, columns = padded.shape[0] // _CONNECT_CELL, padded.shape[1] // _CONNECT_CELL
    return padded.reshape(rows, _CONNECT_CELL, columns, _CONNECT_CELL).max((1, 3))
