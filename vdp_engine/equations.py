"""What each task writes, and the equation that gives the plate back: one place for the engine and every host.

Arrays only, no nets and no files: whoever holds the channels of an EXR can recompose its plate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

RGB = ("R", "G", "B")
BACKGROUND = "bg"

SETTINGS_ATTRIBUTE = "vdp/settings"
"""Header attribute with the digest of the settings that a layer file was rendered with."""

MODEL_ATTRIBUTE = "vdp/model"
"""Header attribute with the digest of the model that a layer file was rendered from."""

Channels = Mapping[str, np.ndarray]


def layer_names(count: int) -> tuple[str, ...]:
    """Names of the layers from back to front: ``bg``, ``fg1``, … (``count`` in all, background included)."""
    return (BACKGROUND, *(f"fg{index}" for index in range(1, count)))


def layers_in(channels: Channels) -> tuple[str, ...]:
    """The layers that an EXR of the task ``layers`` holds, from back to front."""
    foregrounds = {name.split(".")[0] for name in channels if name.startswith("fg")}
    return layer_names(1 + len(foregrounds))


def colour(channels: Channels, layer: str = "") -> np.ndarray:
    """The three colour channels of a layer (``""``: the plate's) as float32 (H, W, 3)."""
    prefix = f"{layer}." if layer else ""
    return np.stack([np.asarray(channels[prefix + name], np.float32) for name in RGB], axis=-1)


def recompose_layers(channels: Channels, *, straight: bool) -> np.ndarray:
    """X = Σ α_i ⊙ L_i over the written layers, without the residual.

    Args:
        channels: float arrays (H, W) by channel name (``bg.R`` …), scene-linear.
        straight: whether the colours are L_i, to be multiplied by ``.A``, or α_i ⊙ L_i already.

    Returns:
        float32 (H, W, 3), scene-linear.
    """
    total: np.ndarray | None = None
    for layer in layers_in(channels):
        part = colour(channels, layer)
        if straight:
            part *= np.asarray(channels[f"{layer}.A"], np.float32)[..., None]
        total = part if total is None else total + part
    assert total is not None
    return total


EQUATIONS = {"layers": "X = sum_i alpha_i * L_i + residual"}
"""Each task's equation in words, as the files carry it."""

_RECOMPOSE: dict[str, Callable[..., np.ndarray]] = {"layers": recompose_layers}


def recompose(task: str, channels: Channels, *, straight: bool = False) -> np.ndarray:
    """The task's equation on written channels plus ``residual``: the plate, float32 (H, W, 3), scene-linear."""
    return _RECOMPOSE[task](channels, straight=straight) + colour(channels, "residual")


def half_ulps(value: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance |value − truth| in units of the half-float spacing at ``truth`` (float32 arrays, any shape).

    The spacing of subnormals, 2**-24, is the smallest unit. Returns float32.
    """
    truth = np.asarray(truth, np.float32)
    # The exponent bits alone are the power of two at or below |truth|; half spaces 1024 values up to the next one.
    power = np.maximum(truth.view(np.uint32) & np.uint32(0x7F800000), np.uint32((127 - 14) << 23)).view(np.float32)
    return np.abs(np.asarray(value, np.float32) - truth) / power * np.float32(1024)
