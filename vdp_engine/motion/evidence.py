"""Motion evidence: how surely a pixel moves by itself and not with the camera, 0 to 1, for one frame.

Per distance a in frames (gap), from the residual r = |flow - camera flow| towards t+a and t-a:

1. r_a = min(r_+a, r_-a) where both are valid. What is occluded in one direction is seen in the other, so the minimum
   leaves no halo around objects. Where only one is valid (the first and last frames, the border a camera comes from)
   r_a is that one times its confidence, which is low where it is occluded.
2. kappa_a = max(3 max(sigma, 0.1 a), 0.35 q98(r_a)): the noise of the fit, or a share of the frame's own strongest
   residual, whichever is larger.
3. e = sum_a w_a (1 - exp(-(r_a / kappa_a)²)) / sum_a w_a, with w_a = (mean confidence)² + 0.001, of the direction
   in which forward and backward flow agree better.

Constants as measured on twenty clips; the minimum and the relative scale matter most.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_SIGMAS = 3.0
_SMALLEST_SIGMA = 0.1  # pixels per frame of gap
_RELATIVE = 0.35
QUANTILE = 0.98


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
        confidence: (G, h, w), forward-backward consistency.
        coverage: (h, w), 0 to 1.
    """
    covered = coverage > 0.5
    mean_confidence = (confidence * coverage).flatten(1).sum(1) / coverage.sum().clamp_min(1e-6)
    total = torch.zeros_like(coverage)
    weights = torch.zeros_like(coverage)
    for gap in sorted({abs(gap) for gap in gaps}):
        entries = [index for index, signed in enumerate(gaps) if abs(signed) == gap]
        known = valid[entries].any(0) & covered
        alone = valid[entries].sum(0) == 1
        sure = torch.where(alone, residual[entries] * confidence[entries], residual[entries])
        least = sure.masked_fill(~valid[entries], float("inf")).amin(0).masked_fill(~known, 0.0)
        kappa = torch.maximum(
            _SIGMAS * sigma[entries].amax().clamp_min(_SMALLEST_SIGMA * gap), _RELATIVE * strength(least, covered)
        )
        weight = (mean_confidence[entries].amax() ** 2 + 1e-3) * known
        total += weight * (1 - torch.exp(-((least / kappa) ** 2)))
        weights += weight
    return total / weights.clamp_min(1e-6)
