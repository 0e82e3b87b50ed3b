"""How close a matte comes to the truth, and how steady it is. Arrays only.

J, J recall and F are those of the DAVIS benchmark (Perazzi et al., "A Benchmark Dataset and Evaluation Methodology
for Video Object Segmentation", CVPR 2016), whose convention leaves the first and the last frame out.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

_BOUNDARY_TOLERANCE = 0.008  # of the picture's diagonal


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """J of one frame: area of the intersection over the union of two bool masks (H, W); 1 where both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def boundary_f(mask: np.ndarray, truth: np.ndarray) -> float:
    """F of one frame: harmonic mean of how much of each boundary lies near the other's, for bool masks (H, W)."""
    tolerance = int(np.ceil(_BOUNDARY_TOLERANCE * np.hypot(*mask.shape)))
    ours, theirs = boundary(mask), boundary(truth)
    if not ours.any() and not theirs.any():
        return 1.0
    if not ours.any() or not theirs.any():
        return 0.0
    precision = float(_within(theirs, tolerance)[ours].mean())
    recall = float(_within(ours, tolerance)[theirs].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels of a bool mask (H, W) that differ from their right, lower or lower right neighbour, as DAVIS has it."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def _within(edge: np.ndarray, tolerance: int) -> np.ndarray:
    # Dilation by a disk is the same as asking for the distance, and does not slow down with its radius.
    distance = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance <= tolerance + 1e-3


def instability(mattes: Sequence[np.ndarray], flows: Sequence[np.ndarray]) -> float:
    """Mean |M_t − M_{t+1} carried back along the flow| over pixels that stay in the picture, in matte units.

    Args:
        mattes: n float32 arrays (H, W), 0 to 1.
        flows: n − 1 float32 arrays (H, W, 2) from t to t+1 in pixels, x to the right and y down.
    """
    changes = [warp_error(now, then, flow) for now, then, flow in zip(mattes, mattes[1:], flows, strict=False)]
    return float(np.mean(changes)) if changes else 0.0


def warp_error(now: np.ndarray, then: np.ndarray, flow: np.ndarray) -> float:
    """``instability`` of one pair of frames."""
    height, width = now.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = x + flow[..., 0], y + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    carried = cv2.remap(np.asarray(then, np.float32), x, y, cv2.INTER_LINEAR)
    return float(np.abs(now - carried)[inside].mean()) if inside.any() else 0.0


def scored(values: Sequence[float]) -> Sequence[float]:
    """The frames that DAVIS counts: all but the first and the last, where there are enough."""
    return values[1:-1] if len(values) > 2 else values


def recall(values: Sequence[float]) -> float:
    """Share of frames above 0.5."""
    return float(np.mean([value > 0.5 for value in values]))
