"""The plate split into layers that add up to it exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def explain(plate: Array, mattes: Array, colours: Array) -> Array:
    """The layer colours nearest to ``colours`` that explain the plate: least squares under Σ α_i L_i = X.

    What the colours fail to explain goes to the layers in proportion to their opacity:
    ΔL_i = α_i (X − Σ α_j L_j) / Σ α_j².

    Args:
        plate: (P, 3), scene-linear.
        mattes: (L, P), sum to 1 over L.
        colours: (L, P, 3), straight, scene-linear.

    Returns:
        (L, P, 3), straight.
    """
    error = plate - np.einsum("lp,lpc->pc", mattes, colours)
    share = mattes / np.square(mattes).sum(0)
    return colours + share[..., None] * error


def balance(plate: Array, mattes: Array, parts: Array) -> Array:
    """Premultiplied parts changed so that they sum to the plate and share its sign, nothing made up and nothing lost.

    Where the parts overshoot (a dark pixel between two bright layers), all are scaled down; where they fall short or
    have the other sign, the difference is shared by opacity. Without this the residual could be far larger than the
    plate's own value, too coarse in half float to rebuild it.

    Args:
        plate: (P, 3), scene-linear.
        mattes: (L, P), sum to 1 over L.
        parts: (L, P, 3), α_i L_i.

    Returns:
        (L, P, 3), sum to the plate up to rounding, each with the plate's sign or 0.
    """
    sign = np.where(plate < 0, np.float32(-1), np.float32(1))
    parts = np.maximum(parts * sign, 0)
    total = parts.sum(0)
    wanted = np.abs(plate)
    over = total > wanted
    scaled = parts * np.where(over, wanted / np.where(over, total, 1), 1)
    missing = np.where(over, 0, wanted - total)
    return (scaled + mattes[..., None] * missing) * sign


def residual(plate: Array, parts: Sequence[Array]) -> Array:
    """Plate minus the sum of what is written of the layers, exact enough to rebuild it; float32, any shape."""
    total = np.zeros_like(plate)
    for part in parts:
        total += part
    return plate - total
