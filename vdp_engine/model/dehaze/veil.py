"""How the airlight of dense haze changes over the picture: brighter by a window, dimmer where the light falls off.

Haze far away is lit by one sky. A room full of smoke, a stage, deep water are not, and where so little comes through
that the scene hardly shows, the light on the haze is most of what is seen: one airlight for the whole picture would
take it for the scene, and blow it up. So there, and only there, the airlight becomes a smooth surface: the upper
envelope of the picture, since what is darker than the airlight may be a scene behind it, and what is brighter not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdp_engine.model.dehaze.airlight import squares, steady_mean
from vdp_engine.model.dehaze.haze import DISPLAY, brightness, relative

Array = NDArray[np.float32]

TERMS = 6
"""Of the surface: 1, x, y, x², xy, y², in log light."""

_BRIGHT = 0.9  # quantile of a place's pixels that stands for it
_DARKEST = 0.02  # in terms of the airlight, in display light
_NEAR = 0.15  # log units from the surface at which a place counts half
_BELOW = 0.01  # how much less places below the surface count
_ROUNDS = 15
_DENSE, _THIN = 0.010, 0.025  # contrast within places, in terms of the airlight: nothing but haze, and a scene
_LIMITS = (1 / 16, 2.0)  # of the surface, in terms of the airlight


@dataclass(frozen=True)
class Veil:
    """The light on the haze of one picture.

    Attributes:
        surface: float32 (TERMS, 3), see ``unevenness``.
        dense: 0 to 1: how far the haze hides the scene, so that the surface is believed.
    """

    surface: Array
    dense: float


def estimate_veil(light: Array, airlight: Array) -> Veil:
    """The veil of one picture.

    Haze dims the contrast of what is behind it by its transmission. Contrast within small places tells how dense it is,
    as the unevenness of its light does not reach into them. Robust least squares over the places, those below the
    surface counting less.

    Args:
        light: scene-linear (h, w, 3), some 100,000 pixels or fewer.
        airlight: (3,), above 0.
    """
    cut, at = squares(relative(light, airlight, DISPLAY))
    if len(cut) < 2 * TERMS:
        return Veil(np.zeros((TERMS, 3), np.float32), 0.0)
    contrast = float(brightness(np.asarray(cut, np.float32)).std(1).mean())
    values = np.log(np.maximum(np.quantile(cut, _BRIGHT, axis=1), _DARKEST))
    terms, weights = _terms(*at.T), np.ones(len(at))
    surface = np.zeros((TERMS, 3))
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)[:, None]
        surface = np.linalg.lstsq(terms * root, values * root, rcond=None)[0]
        off = values - terms @ surface
        weights = np.where(off.mean(1) < 0, _BELOW, 1.0) / (1 + np.square(np.abs(off).max(1) / _NEAR))
    dense = float(np.clip((_THIN - contrast) / (_THIN - _DENSE), 0, 1))
    return Veil(np.asarray(DISPLAY * surface, np.float32), dense)


def shot_veil(
    veils: Sequence[Veil], trust: Sequence[float], positions: Sequence[int], count: int
) -> tuple[Array, float]:
    """The surface of every frame, float32 (count, TERMS, 3), smooth in time, and how dense the haze of the shot is.

    Args:
        veils: of some frames, at least one.
        trust: how sure the airlight of each of them is; those of 0 do not count where there are others.
        positions: of their frames.
    """
    known = np.asarray(trust, np.float64)
    known = known if known.any() else np.ones(len(veils))
    dense = float(np.median([veil.dense for veil, sure in zip(veils, known, strict=True) if sure > 0]))
    values = np.stack([veil.surface.ravel() for veil in veils]).astype(np.float64)
    when = np.arange(count, dtype=np.float64)
    course = steady_mean(when, np.asarray(positions, np.float64), values, known).reshape(count, TERMS, 3)
    return np.asarray(dense * course, np.float32), dense


def airlight_over(airlight: Array, surface: Array, size: tuple[int, int], rows: slice | None = None) -> Array:
    """The airlight (3,) all over a picture, float32 (rows, w, 3); see ``unevenness``."""
    return np.asarray(airlight * unevenness(surface, size, rows), np.float32)


def unevenness(surface: Array, size: tuple[int, int], rows: slice | None = None) -> Array:
    """By what the airlight is to be multiplied, float32 (rows, w, 3), in a picture of ``size`` (h, w).

    Args:
        surface: (TERMS, 3): the natural logarithm of it, a polynomial in x and y from -0.5 to 0.5.
        rows: some rows of the picture; all by default.
    """
    height, width = size
    y = (np.arange(height)[rows or slice(None)] + 0.5) / height - 0.5
    if not np.any(surface):
        return np.ones((len(y), width, 3), np.float32)
    x = (np.arange(width) + 0.5) / width - 0.5
    logs = _terms(x[None], y[:, None]) @ np.asarray(surface, np.float64)
    return np.asarray(np.clip(np.exp(logs), *_LIMITS), np.float32)


def _terms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The terms of the surface at places x, y of shapes that broadcast to (…,): (…, TERMS)."""
    return np.stack(np.broadcast_arrays(np.ones(1), x, y, x * x, x * y, y * y), -1)
