"""The terms of the objective as pure functions on tensors.

Source: Shrivastava et al., "Video Decomposition Prior" (ICLR 2024), section 3 and equations of L_rec, L_warp, L_sim,
L_layer and L_mask; the evidence and smoothness terms are this project's own curriculum. Images are log-encoded
(N, 3, h, w), mattes (N, L, h, w) in 0 to 1 and sum to 1 over L with the background first, flow in pixels. Every term is
a mean, so that its weight means the same at every resolution and batch size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as functional
from torch import Tensor

Features = Callable[[Tensor], list[Tensor]]


def reconstruction(recomposed: Tensor, plate: Tensor, features: Features) -> Tensor:
    """L_rec: L1 between plate and recomposition, plus L1 between their perceptual features."""
    loss = (recomposed - plate).abs().mean()
    for ours, theirs in zip(features(recomposed), features(plate), strict=True):
        loss = loss + (ours - theirs).abs().mean()
    return loss


def warp(layer: Tensor, carried: Tensor, trust: Tensor) -> Tensor:
    """L_warp: L1 between a layer and its neighbour in time carried along the flow.

    Args:
        layer: (N, C, h, w) at t.
        carried: (N, C, h, w), the layer of the other frame, warped to t.
        trust: (N, 1, h, w) weight 0 to 1: inside the frame, and forward and backward flow agree.
    """
    return (trust * (layer - carried).abs()).mean()


def similarity(flow_features: Tensor, matte: Tensor) -> Tensor:
    """L_sim: cosine similarity of the flow-RGB's features inside a layer and outside it, averaged over the batch.

    Args:
        flow_features: (N, C, h, w) features of the flow-RGB.
        matte: (N, 1, h, w).
    """
    inside = (flow_features * matte).mean((2, 3))
    outside = (flow_features * (1 - matte)).mean((2, 3))
    return functional.cosine_similarity(inside, outside, dim=1, eps=1e-6).mean()


def layer(layer_colour: Tensor, plate: Tensor, matte: Tensor) -> Tensor:
    """L_layer: L1 between a layer and the plate where the layer's matte (N, 1, h, w) is on."""
    return (matte * (layer_colour - plate).abs()).mean()


def mask(mattes: Tensor) -> Tensor:
    """L_mask = 1 / mean|α − 0.5|, which drives mattes to 0 or 1.

    The paper writes a sum; summed over a batch its gradient vanishes (about 1e-5 at 480p), so it is the mean here, of
    which the smallest value is 2.
    """
    return 1.0 / (mattes - 0.5).abs().mean().clamp_min(1e-3)


def evidence(logits: Tensor, target: Tensor, balance: float = 0.5) -> Tensor:
    """Cross-entropy of the mattes against the motion evidence, rare layers weighing more.

    Args:
        logits: (N, L, h, w), softmax over L gives the mattes.
        target: (N, L, h, w), sums to 1 over L.
        balance: 0 leaves every pixel equal, 1 gives every layer the same total weight.
    """
    area = target.sum((0, 2, 3))
    rarity = (area[0] / (area + 1.0)).clamp(1.0, 50.0) ** balance
    rarity = torch.cat([torch.ones_like(rarity[:1]), rarity[1:]])
    weight = (target * rarity[None, :, None, None]).sum(1)
    cross = -(target * functional.log_softmax(logits, 1)).sum(1)
    return (cross * weight).sum() / weight.sum()


def edge_weights(image: Tensor) -> tuple[Tensor, Tensor]:
    """exp(−β|∇I|²) across and down, β = 1 / (2 mean|∇I|²): near 0 at the plate's edges. Image (N, 3, h, w)."""
    across = (image[..., 1:] - image[..., :-1]).square().sum(1)
    down = (image[:, :, 1:] - image[:, :, :-1]).square().sum(1)
    beta = 1.0 / (2.0 * torch.cat([across.flatten(), down.flatten()]).mean().clamp_min(1e-8))
    return torch.exp(-beta * across), torch.exp(-beta * down)


def smoothness(mattes: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Total variation of mattes (N, L, h, w), free of charge at the plate's edges (weights of ``edge_weights``)."""
    horizontal = across[:, None] * (mattes[..., 1:] - mattes[..., :-1]).abs()
    vertical = down[:, None] * (mattes[:, :, 1:] - mattes[:, :, :-1]).abs()
    return horizontal.mean() + vertical.mean()
