"""The lighting of a plate from net size to its own pixels, and the gain that follows from it and the artist's controls.

In stops (log₂ of scene-linear light), bands of rows at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vdp_engine.model.relight.model import NetRelight
from vdp_engine.model.relight.objective import DARKEST, FILL, LUMINANCE, shoulder
from vdp_engine.motion.sizes import Size
from vdp_engine.plate.writer import HALF_MAX
from vdp_engine.render.resize import Box, enlarged, shrunk

Array = NDArray[np.float32]

_RADIUS = 1.5  # pixels of the net around which the lighting goes with the plate
_EPSILON = 0.05  # stops²: fainter steps of the plate are no edges of the lighting
_MOST_DETAIL = 3.0  # stops above or below its lighting, beyond which contrast is no longer raised
_FILL_AT_ONE = 0.5
_LEAST = 2.0**-16
_GAINS = (2.0**-14, 2.0**15)  # half holds them in full


@dataclass(frozen=True)
class Controls:
    """What an artist may change after the fit, see ``Settings``."""

    strength: float
    exposure: float
    key_fill: float
    protect: float

    @property
    def fill(self) -> float:
        """φ: the share of differences in lighting, in stops, that is taken away."""
        return _FILL_AT_ONE * self.key_fill


@dataclass(frozen=True)
class Lighting:
    """The lighting b of a frame as it goes with the plate's own brightness: b = slope · log Y + offset.

    Attributes:
        model: (h, w, 2), slope and offset at working size.
        net: what the nets say.
    """

    model: Array
    net: NetRelight

    @classmethod
    def of(cls, net: NetRelight, plate: Array, working: Size) -> Lighting:
        """Follow the edges of ``plate`` (H, W, 3), worked out at ``working`` size.

        Carried to full size is not the lighting but how it depends on brightness, as guided filters have it (He, Sun
        and Tang, "Guided Image Filtering", 2010).
        """
        guide: Array = stops(shrunk(plate, working))
        whole = (slice(0, working[0]), slice(0, working[1]))
        drawn: Array = enlarged(np.asarray(net.lighting.numpy(), np.float32), working, whole)
        radius = max(1, round(_RADIUS * working[0] / net.lighting.shape[0]))
        side = (2 * radius + 1, 2 * radius + 1)

        def mean(x: Array) -> Array:
            return np.asarray(cv2.blur(x, side, borderType=cv2.BORDER_REFLECT), np.float32)

        middle, level = mean(guide), mean(drawn)
        spread = mean(np.square(guide)) - middle * middle + np.float32(_EPSILON)
        slope = (mean(guide * drawn) - middle * level) / spread
        # Between 0 and 1, detail keeps its sign: lighting never turns against the picture, nor swings more than it.
        held: Array = np.asarray(np.clip(slope, 0, 1), np.float32)
        offset: Array = np.asarray(level - held * middle, np.float32)
        return cls(np.dstack([mean(held), mean(offset)]), net)

    def at(self, bright: Array, size: Size, box: Box) -> Array:
        """b (h, w) of the part ``box`` of a picture of ``size`` whose brightness there is ``bright``, in stops."""
        local = enlarged(self.model, size, box)
        return np.asarray(local[..., 0] * bright + local[..., 1], np.float32)


def stops(light: Array) -> Array:
    """Stops of the luminance (H, W) of (H, W, 3), scene-linear; nothing is darker than ``DARKEST``."""
    return np.asarray(np.log2(np.maximum(light @ np.asarray(LUMINANCE, np.float32), DARKEST)), np.float32)


def relight(light: Array, lighting: Array, net: NetRelight, controls: Controls) -> tuple[Array, Array, float]:
    """R and A of clean light X: R = A ⊙ sign(X) ⊙ |X|^γ, to rounding and up to what half can hold.

    One factor for all three colours takes X to R, so that hues stay, and grey stays grey; A has three, because X^γ
    alone would raise the differences between colours as it does those of light.

    Args:
        light: X, (H, W, 3), scene-linear.
        lighting: b, (H, W), in stops.

    Returns:
        R and A > 0, (H, W, 3) each, scene-linear, and the γ they belong to: with less than full strength s,
        log R_s = (1 − s) log X + s log R, that is γ_s = 1 + s (γ − 1).
    """
    s = controls.strength
    gamma = 1 + s * (net.gamma - 1)
    bright = stops(light)
    detail = np.clip(bright - lighting, -_MOST_DETAIL, _MOST_DETAIL)
    lift = net.offset + (net.slope + net.gamma - 1) * lighting + (net.gamma - 1) * detail
    lift += controls.exposure + (controls.fill - FILL) * (net.pivot - lighting)
    factor = _protected(np.exp2(lift), np.abs(light).max(-1), controls) ** np.float32(s)
    magnitude = np.maximum(np.abs(light), np.float32(_LEAST))
    gain = np.clip(factor[..., None] * magnitude ** np.float32(1 - gamma), *_GAINS)
    relit = gain * np.copysign(np.abs(light) ** np.float32(gamma), light)
    return np.asarray(np.clip(relit, -HALF_MAX, HALF_MAX), np.float32), np.asarray(gain, np.float32), gamma


def _protected(factor: Array, brightest: Array, controls: Controls) -> Array:
    """The factor that lifts light, held back where the brightest colour would pass the shoulder of the tone curve.

    What the plate itself has above that keeps its light: highlights are never lifted out of a picture nor clipped.
    """
    shown = np.maximum(brightest, np.float32(_LEAST))
    lifted = factor * shown
    held = shoulder(torch.from_numpy(np.ascontiguousarray(lifted))).numpy()
    own = shown * np.float32(min(2.0**controls.exposure, 1.0))
    held = np.maximum(held, np.minimum(own, lifted))
    factor = factor * (held / lifted) ** np.float32(controls.protect)
    return np.asarray(np.minimum(factor, HALF_MAX / 2 / shown), np.float32)
