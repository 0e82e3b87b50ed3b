"""What simple methods make of a hazy or a dark picture. Display-referred RGB in and out, float32 (H, W, 3), 0 to 1.

As in the literature they work on display-referred values. A clip is treated frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from display import to_display, to_linear
from scipy import optimize

_PATCH, _KEPT, _LEAST = 15, 0.95, 0.1  # He et al.: the patch's side, ω and t0
_GUIDED_RADIUS, _GUIDED_EPSILON = 60, 1e-4
_LIGHTING_RADIUS, _LIGHTING_EPSILON, _LIGHTING_POWER = 16, 1e-2, 0.8


def dark_channel_prior(picture: np.ndarray) -> np.ndarray:
    """The picture without haze by the dark channel prior (He, Sun and Tang, 2009/2011) with a guided filter (2010)."""
    airlight = dark_channel_airlight(picture)
    transmission = 1 - _KEPT * _dark_channel(picture / airlight)
    transmission = guided_filter(_gray(picture), transmission, _GUIDED_RADIUS, _GUIDED_EPSILON)
    clear = (picture - airlight) / np.maximum(transmission, _LEAST)[..., None] + airlight
    return np.clip(clear, 0, 1).astype(np.float32)


def dark_channel_airlight(picture: np.ndarray) -> np.ndarray:
    """(3,): the brightest of the 0.1 % of pixels with the brightest dark channel."""
    dark = _dark_channel(picture).ravel()
    count = max(dark.size // 1000, 1)
    hazy = picture.reshape(-1, 3)[np.argsort(dark, kind="stable")[-count:]]
    return np.maximum(hazy[hazy.sum(1).argmax()], 1e-3)


def _dark_channel(picture: np.ndarray) -> np.ndarray:
    return cv2.erode(picture.min(2), np.ones((_PATCH, _PATCH), np.uint8))


def guided_filter(guide: np.ndarray, target: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """``target`` (H, W) with the edges of the grey ``guide`` (H, W)."""

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.blur(np.asarray(image, np.float64), (2 * radius + 1, 2 * radius + 1))

    mean_guide, mean_target = mean(guide), mean(target)
    slope = (mean(guide * target) - mean_guide * mean_target) / (mean(guide * guide) - mean_guide**2 + epsilon)
    return mean(slope) * guide + mean(mean_target - slope * mean_guide)


def gamma(picture: np.ndarray) -> np.ndarray:
    """Codes to the power of 1/2.2."""
    return np.power(np.clip(picture, 0, 1), 1 / 2.2, dtype=np.float32)


def clahe(picture: np.ndarray) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation of L of Lab (limit 2, 8 by 8 tiles)."""
    lab = cv2.cvtColor(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8), cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(2.0, (8, 8)).apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).astype(np.float32) / 255


def retinex(picture: np.ndarray) -> np.ndarray:
    """The picture over its lighting to the power of 0.8, as in LIME (Guo, Li and Ling, 2017).

    The lighting is the brightest channel, smoothed by the guided filter within edges in place of LIME's own solver.
    """
    brightest = picture.max(2)
    lit = guided_filter(brightest, brightest, _LIGHTING_RADIUS, _LIGHTING_EPSILON)
    return np.clip(picture / np.maximum(lit, 1e-2)[..., None] ** _LIGHTING_POWER, 0, 1).astype(np.float32)


def best_gain(picture: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """An oracle: the picture times the one number that brings it closest to the truth, found with the truth."""
    return _closest(lambda gain: np.minimum(picture * gain, 1), truth, stops=6)


def best_exposure(picture: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """An oracle: ``best_gain`` in scene-linear light."""
    light = to_linear(picture)
    return _closest(lambda gain: to_display(light * gain), truth, stops=10)


def _closest(brightened: Callable[[np.float32], np.ndarray], truth: np.ndarray, stops: float) -> np.ndarray:
    """What comes closest to the truth of all that ``brightened`` makes with gains of up to so many stops."""

    def error(stop: float) -> float:
        return float(np.square(brightened(np.float32(2**stop)) - truth).mean())

    found = optimize.minimize_scalar(error, bounds=(0, stops), method="bounded", options={"xatol": 2e-3})
    return brightened(np.float32(2**found.x))


def _gray(picture: np.ndarray) -> np.ndarray:
    return picture @ np.array([0.299, 0.587, 0.114], np.float32)
