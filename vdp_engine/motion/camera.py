"""The camera's share of the motion: a quadratic flow field fitted to the optical flow, robust to what moves by itself.

A plane seen by a moving camera gives, to second order, a flow with 12 parameters: per axis
``a + b x + c y + d x² + e xy + f y²``, in x from -1 to 1 across the picture and y in the same unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vdp_engine.motion.sizes import Size
from vdp_engine.motion.warp import length

_AFFINE_ITERATIONS = 5
_ITERATIONS = 15
_WIDE_ITERATIONS = 7  # with twice the residual scale, so that a poor start does not lock in
_STEP = 4  # every 4th pixel each way: 12 numbers need no more
_RIDGE = 1e-4
_SMALLEST_SIGMA = 0.05  # pixels; flow is no finer


@dataclass(frozen=True)
class Camera:
    """Camera motion of N flow fields.

    Attributes:
        theta: (N, 6, 2), coefficients of ``_basis`` for x and y, in pixels of the size that was fitted.
        sigma: (N,), 1.48 × the median residual over the frame, in the same pixels.
    """

    theta: Tensor
    sigma: Tensor


def border_prior(size: Size) -> Tensor:
    """(h, w), 0.15 in the middle to 1 at the border: objects of interest seldom lie along the whole edge."""
    x = torch.linspace(-1, 1, size[1]).abs() if size[1] > 1 else torch.zeros(1)
    y = torch.linspace(-1, 1, size[0]).abs() if size[0] > 1 else torch.zeros(1)
    return 0.15 + 0.85 * ((torch.maximum(y[:, None], x) - 0.4) / 0.6).clamp(0, 1)


def fit_camera(flow: Tensor, prior: Tensor) -> Camera:
    """Fit the camera motion by iteratively reweighted least squares (Geman-McClure).

    Args:
        flow: (N, 2, h, w) in pixels.
        prior: (N, h, w), how much each pixel may count before its residual is known: ``border_prior`` times
            coverage. Pixels with 0 play no part, not in sigma either; with nothing but such pixels theta is 0.
    """
    size = (flow.shape[2], flow.shape[3])
    step = min(_STEP, max(1, min(size) // 8))
    samples = flow[:, :, ::step, ::step].flatten(2).transpose(1, 2)  # (N, P, 2)
    chance = prior[:, ::step, ::step].flatten(1)  # (N, P)
    quadratic = _basis(size, size, flow)[::step, ::step].flatten(0, 1)  # (P, 6)
    unseen = chance <= 0

    weight = chance
    sigma = flow.new_full((len(flow),), _SMALLEST_SIGMA)
    for iteration in range(_ITERATIONS):
        basis = quadratic[:, :3] if iteration < _AFFINE_ITERATIONS else quadratic
        residual = length((samples - basis @ _solve(samples, weight, basis)).transpose(1, 2))
        median = residual.masked_fill(unseen, float("nan")).nanmedian(dim=1).values
        sigma = (1.48 * median).nan_to_num(0.0).clamp_min(_SMALLEST_SIGMA)
        scale = (sigma * (2.0 if iteration < _WIDE_ITERATIONS else 1.0))[:, None] ** 2
        weight = chance * (scale / (scale + residual**2)) ** 2
    return Camera(_solve(samples, weight, quadratic), sigma)


def camera_flow(theta: Tensor, fitted: Size, size: Size) -> Tensor:
    """The camera motion as flow, (N, 2, *size) in pixels of ``size``, from ``theta`` fitted at the size ``fitted``."""
    flow = (_basis(fitted, size, theta).flatten(0, 1) @ theta).transpose(1, 2).reshape(len(theta), 2, *size)
    if size == fitted:
        return flow
    return flow * theta.new_tensor([size[1] / fitted[1], size[0] / fitted[0]])[:, None, None]


def follow_camera(points: Tensor, theta: Tensor, fitted: Size) -> Tensor:
    """Where the camera motion takes ``points`` (..., 2), x and y in pixels of ``fitted``, centres at whole numbers.

    Args:
        theta: (6, 2), of one pair of frames.
    """
    half = max(fitted[1] - 1, 1) / 2
    x = (points[..., 0] + 0.5 - fitted[1] / 2) / half
    y = (points[..., 1] + 0.5 - fitted[0] / 2) / half
    return points + torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y], -1) @ theta


def _basis(fitted: Size, size: Size, like: Tensor) -> Tensor:
    """(*size, 6): 1, x, y, x², xy, y² at the pixel centres of a picture of ``size``, measured as in ``fitted``."""
    half = max(fitted[1] - 1, 1) / 2

    def coordinates(side: int) -> Tensor:
        centres = torch.arange(size[side], dtype=like.dtype, device=like.device) + 0.5
        return (centres * (fitted[side] / size[side]) - fitted[side] / 2) / half

    y, x = torch.meshgrid(coordinates(0), coordinates(1), indexing="ij")
    return torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y], -1)


def _solve(samples: Tensor, weight: Tensor, basis: Tensor) -> Tensor:
    """Weighted least squares with a small ridge: samples (N, P, 2), weight (N, P), basis (P, K) -> theta (N, K, 2)."""
    weighted = basis.T * (weight / weight.sum(1, keepdim=True).clamp_min(1e-6))[:, None]
    ridge = _RIDGE * torch.eye(basis.shape[1], dtype=basis.dtype, device=basis.device)
    return torch.linalg.solve(weighted @ basis + ridge, weighted @ samples)
