"""Carrying pictures along flow, and how far forward and backward flow agree.

Flow is float32 (N, 2, h, w) in pixels, x to the right and y down: ``flow(p)`` leads from pixel p of one frame to
``p + flow(p)`` of the other.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from vdp_engine.motion.sizes import Size


def warp(x: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Fetch ``x`` (N, C, h, w) from where ``flow`` (N, 2, h, w) points: bilinear, ``x(p + flow(p))``.

    Written out instead of ``grid_sample``, whose rounding of normalised coordinates makes zero flow not quite the
    identity. Beyond the edge the nearest pixel is repeated. Differentiable in both arguments.

    Returns:
        The warped x, and ``inside`` (N, h, w) bool: the place fetched from lies within the picture.
    """
    count, channels, height, width = x.shape
    rows, columns = _pixels((height, width), flow)
    across, down = (columns + flow[:, 0]).clamp(0, width - 1), (rows + flow[:, 1]).clamp(0, height - 1)
    left, top = across.detach().floor(), down.detach().floor()
    to_right, to_bottom = (across - left)[:, None], (down - top)[:, None]
    left_index, top_index = left.long(), top.long()
    right_index, bottom_index = (left_index + 1).clamp(max=width - 1), (top_index + 1).clamp(max=height - 1)

    flat = x.reshape(count, channels, height * width)

    def at(row: Tensor, column: Tensor) -> Tensor:
        index = (row * width + column).reshape(count, 1, -1).expand(-1, channels, -1)
        return flat.gather(2, index).view_as(x)

    above = torch.lerp(at(top_index, left_index), at(top_index, right_index), to_right)
    below = torch.lerp(at(bottom_index, left_index), at(bottom_index, right_index), to_right)
    return torch.lerp(above, below, to_bottom), leads_inside(flow)


def fetched(x: Tensor, flow: Tensor, *, beyond: Literal["zeros", "border"], every: int = 1) -> Tensor:
    """What ``warp`` fetches, at every so many pixels each way, several times faster and right to rounding.

    Args:
        beyond: what lies outside of ``x``: nothing, or the nearest pixel.
    """
    height, width = x.shape[-2:]
    columns = torch.arange(0, width, every, dtype=flow.dtype, device=flow.device)
    rows = torch.arange(0, height, every, dtype=flow.dtype, device=flow.device)[:, None]
    across = (flow[:, 0, ::every, ::every] + columns) * (2 / max(width - 1, 1)) - 1
    down = (flow[:, 1, ::every, ::every] + rows) * (2 / max(height - 1, 1)) - 1
    return grid_sample(x, torch.stack([across, down], -1), padding_mode=beyond, align_corners=True)


def leads_inside(flow: Tensor) -> Tensor:
    """(N, h, w) bool: ``flow`` (N, 2, h, w) leads to a place within the picture."""
    height, width = flow.shape[-2:]
    rows, columns = _pixels((height, width), flow)
    across, down = columns + flow[:, 0], rows + flow[:, 1]
    return (across >= -0.5) & (across <= width - 0.5) & (down >= -0.5) & (down <= height - 0.5)


def consistency(forward: Tensor, backward: Tensor) -> Tensor:
    """How far ``backward`` undoes ``forward``: 1 where it leads back to the same pixel, falling to 0; (N, h, w).

    ``exp(-(|F + B(p + F)| / (0.5 + 0.1 |F|))^2)``, and 0 where F leaves the picture.
    """
    returned, inside = warp(backward, forward)
    error = length(forward + returned)
    return torch.exp(-((error / (0.5 + 0.1 * length(forward))) ** 2)) * inside


def chain(first: Tensor, second: Tensor) -> Tensor:
    """The flow that follows ``first`` (frame a to b) and then ``second`` (b to c): a to c, (N, 2, h, w)."""
    return first + warp(second, first)[0]


def length(flow: Tensor) -> Tensor:
    """|flow| of (N, 2, h, w) as (N, h, w). Many times faster than ``torch.norm`` over a strided dimension."""
    return torch.sqrt(flow[:, 0] ** 2 + flow[:, 1] ** 2)


def _pixels(size: Size, like: Tensor) -> tuple[Tensor, Tensor]:
    """Row (h, 1) and column (w) numbers."""
    rows = torch.arange(size[0], dtype=like.dtype, device=like.device)[:, None]
    return rows, torch.arange(size[1], dtype=like.dtype, device=like.device)
