"""What each task writes, and the equation that gives the plate back: one place for the engine and every host.

Arrays only, no nets and no files: whoever holds the channels of an EXR can recompose its plate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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


def recompose_layers(
    channels: Channels, *, straight: bool = False, gains: Mapping[str, Sequence[float]] | None = None
) -> np.ndarray:
    """X = Σ gain_i ⊙ α_i ⊙ L_i + residual, summed from back to front.

    Args:
        channels: float arrays (H, W) by channel name (``bg.R`` …, ``residual.R`` …), scene-linear.
        straight: whether the colours are L_i, to be multiplied by ``.A``, or α_i ⊙ L_i already.
        gains: three factors by layer, the artist's; a layer without an entry keeps its light.

    Returns:
        float32 (H, W, 3), scene-linear.
    """
    total: np.ndarray | None = None
    for layer in layers_in(channels):
        part = colour(channels, layer)
        if straight:
            part *= np.asarray(channels[f"{layer}.A"], np.float32)[..., None]
        if gains and layer in gains:
            part *= np.asarray(gains[layer], np.float32)
        total = part if total is None else total + part
    assert total is not None
    return total + colour(channels, "residual")


def recompose_dehaze(
    channels: Channels, *, haze_amount: float = 1.0, airlight_gain: Sequence[float] = (1.0, 1.0, 1.0)
) -> np.ndarray:
    """X = T' ⊙ J + (1 − T') ⊙ airlight_gain ⊙ A + residual with T' = T^haze_amount.

    Light is lost along the depth d as T = exp(−β d), so the power scales β: 0 takes all haze away, 1 is the plate's,
    2 is air twice as thick.

    Args:
        channels: float arrays (H, W): J as ``clear.R`` …, A as ``airlight.R`` …, T (0 to 1) as ``transmission.R`` …
            where it differs by colour, else as ``transmission.A``, ``residual.R`` …, scene-linear.
        haze_amount: at least 0.
        airlight_gain: factors of the airlight's red, green and blue.

    Returns:
        float32 (H, W, 3), scene-linear.
    """
    by_colour = "transmission.R" in channels
    through = colour(channels, "transmission") if by_colour else np.asarray(channels["transmission.A"])[..., None]
    through = np.asarray(through, np.float32) ** np.float32(haze_amount)
    haze = (1 - through) * colour(channels, "airlight") * np.asarray(airlight_gain, np.float32)
    return through * colour(channels, "clear") + haze + colour(channels, "residual")


def recompose_relight(channels: Channels, *, gamma: float, exposure_mix: float = 0.0) -> np.ndarray:
    """X = (1 − mix) ⊙ (sign(R) ⊙ (|R| / A)^(1/γ) + noise + residual) + mix ⊙ R, from R = A ⊙ sign(X) ⊙ |X|^γ.

    Args:
        channels: float arrays (H, W): R as ``relit.R`` …, A > 0 as ``gain.R`` …, the plate's noise as ``noise.R`` …
            (older files have none), ``residual.R`` …, scene-linear.
        gamma: γ > 1, the attribute ``vdp/gamma`` of the file.
        exposure_mix: 0 is the plate's light, 1 the relit one.

    Returns:
        float32 (H, W, 3), scene-linear.
    """
    relit, mix = colour(channels, "relit"), np.float32(exposure_mix)
    plate = np.sign(relit) * (np.abs(relit) / colour(channels, "gain")) ** np.float32(1 / gamma)
    if "noise.R" in channels:
        plate += colour(channels, "noise")
    return (1 - mix) * (plate + colour(channels, "residual")) + mix * relit


EQUATIONS = {
    "layers": "X = sum_i alpha_i * L_i + residual",
    "dehaze": "X = T * clear + (1 - T) * airlight + residual",
    "relight": "X = sign(relit) * (|relit| / gain)^(1 / gamma) + noise + residual",
}
"""Each task's equation in words, as the files carry it."""

_RECOMPOSE: dict[str, Callable[..., np.ndarray]] = {
    "layers": recompose_layers,
    "dehaze": recompose_dehaze,
    "relight": recompose_relight,
}


def recompose(task: str, channels: Channels, **controls: Any) -> np.ndarray:
    """The task's equation on written channels plus ``residual``: the plate, float32 (H, W, 3), scene-linear.

    ``controls`` are those of the task's own function above: ``straight`` for layers, ``gamma`` for relight, and what
    an artist may change.
    """
    return _RECOMPOSE[task](channels, **controls)


def half_ulps(value: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance |value − truth| in units of the half-float spacing at ``truth`` (float32 arrays, any shape).

    The spacing of subnormals, 2**-24, is the smallest unit. Returns float32.
    """
    truth = np.asarray(truth, np.float32)
    # The exponent bits alone are the power of two at or below |truth|; half spaces 1024 values up to the next one.
    power = np.maximum(truth.view(np.uint32) & np.uint32(0x7F800000), np.uint32((127 - 14) << 23)).view(np.float32)
    return np.abs(np.asarray(value, np.float32) - truth) / power * np.float32(1024)
