"""How much light a single picture says comes through the haze: the dark channel as soft evidence, and its limits.

Haze mixes a scene J with the airlight A, X = T J + (1 - T) A. Somewhere in most small places J has a colour in which it
is dark, and there X / A is 1 - T (the dark channel: He, Sun and Tang, "Single Image Haze Removal Using Dark Channel
Prior", CVPR 2009). White walls break that rule, always to the same side: they look like haze. What is done about it
here: places are large, what looks far is not believed to be much farther than the shot on the whole, and a picture of
hardly any contrast, in which every error of A is blown up, is changed less.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.model.dehaze.airlight import Airlight

Array = NDArray[np.float32]

LINEAR, DISPLAY = 1.0, 2.2
"""Exponents of the light in which the equation is taken to hold, see ``picture_exponent``."""

LEAST = 0.15
"""The least transmission: noise is amplified by 1 / LEAST at most."""

_PLACE = 0.06  # of the picture's height: half the side of a place
_SMOOTH = 0.15  # of the height, half the side of the windows in which transmission is linear in brightness
_EDGE = 1e-3  # variance of brightness, for that of the airlight as 1, above which an edge is an edge
_SHARE = 0.98  # of the dark channel that is taken for haze
_FARTHEST = 0.8  # of the shot's mean transmission (geometric), in display light: less is not believed
_OFF, _SCENE = 0.025, 0.25  # in terms of A, in display light: the error of A, the spread of a scene's brightness

_BRIGHTEST = 0.999  # quantile of a picture's brightest channel
_MOST_BRIGHTER = 2.0

_FAINT = 0.02  # of the airlight's strongest colour
NONE = 2.0**-20
"""The airlight of a colour that haze has none of, scene-linear: what it adds is lost in the rounding of half."""

_CODES = 255
_ON_CODES = 0.97  # of the values, to be an 8-bit picture
_SEEN = 20_000  # values that are looked at


def picture_exponent(light: Array) -> float:
    """The exponent of the light in which the haze of this plate is to be undone: ``DISPLAY`` or ``LINEAR``.

    A plate whose values are all 8-bit sRGB codes in disguise is a finished picture. A camera's tone curve has been laid
    over its haze, or the haze was put over finished pictures, as most test pictures are made: either way the equation
    fits its code values better than the light they are shown with. In all else light adds up.

    Args:
        light: scene-linear (H, W, 3), at the plate's own size.
    """
    values = light[np.isfinite(light)]
    values = values[:: max(1, len(values) // _SEEN)]
    values = values[(values > 0.005) & (values < 0.999)]  # near 0 codes lie too close to tell
    if not len(values) or light.max() > 1.001:
        return LINEAR
    codes = _CODES * np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
    # Half floats are 0.05 % apart, which is up to 0.06 of a code.
    return DISPLAY if np.mean(np.abs(codes - np.round(codes)) < 0.08) > _ON_CODES else LINEAR


def tempered(airlight: Airlight, light: Array) -> Airlight:
    """An estimate of the airlight, the less sure it is the closer to grey and to the brightest of the picture.

    Haze is grey more often than not, and of two errors of its brightness the lower one does the greater harm: what is
    brighter than the airlight counts as nothing but haze.

    Args:
        light: scene-linear (h, w, 3), the picture it was estimated from.
    """
    strongest = float(airlight.colour.max())
    if strongest <= 0:
        return airlight
    hue = (airlight.colour / strongest) ** np.float32(airlight.confidence**2)
    brightest = float(np.nanquantile(light.max(-1), _BRIGHTEST)) / strongest
    brighter = float(np.clip(brightest, 1, _MOST_BRIGHTER)) ** (1 - airlight.confidence)
    return Airlight(np.asarray(strongest * brighter * hue, np.float32), airlight.confidence)


def relative(light: Array, airlight: Array, exponent: float) -> Array:
    """Light in terms of the airlight, in the encoding in which haze adds up: 1 is as bright as the airlight.

    Args:
        light: (..., 3), scene-linear; negative values keep their sign.
        airlight: (3,), scene-linear.
    """
    ratio = light / np.asarray(airlight, np.float32)
    if exponent == LINEAR:
        return np.asarray(ratio, np.float32)
    return np.asarray(np.sign(ratio) * np.abs(ratio) ** np.float32(1 / exponent), np.float32)


def without_faint(airlight: Array) -> Array:
    """An airlight (..., 3) with ``NONE`` of the colours that it has next to none of: red, under water."""
    faint = airlight < _FAINT * airlight.max(-1, keepdims=True)
    return np.asarray(np.where(faint, np.float32(NONE), airlight), np.float32)


def told_by(airlight: Array) -> NDArray[np.bool_]:
    """Which colours of an airlight (..., 3) tell of haze. One it has none of is only dimmed by it."""
    return np.asarray(airlight > 4 * NONE)


def brightness(relative_light: Array) -> Array:
    """What edges of the transmission follow, (h, w): highlights count as no brighter than twice the airlight."""
    return np.asarray(np.clip(relative_light, 0, 2).mean(-1), np.float32)


def dark_channel_transmission(relative_light: Array) -> Array:
    """Transmission as the dark channel tells it, (h, w), 1 - _SHARE to 1, its edges those of the picture.

    Args:
        relative_light: (h, w, C) of ``relative``, those colours that are to tell it.
    """
    side = 2 * max(1, round(_PLACE * relative_light.shape[0])) + 1
    darkest = np.clip(relative_light.min(-1), 0, 1)
    eroded = cv2.erode(darkest, np.ones((side, side), np.uint8), borderType=cv2.BORDER_REFLECT)
    haze = guided(brightness(relative_light), np.asarray(eroded, np.float32))
    return np.asarray(1 - _SHARE * np.clip(haze, 0, 1), np.float32)


def guided(guide: Array, x: Array) -> Array:
    """``x`` (h, w) smoothed along the edges of ``guide``: linear in it in every window."""
    slope, offset = guided_model(guide, x)
    return slope * guide + offset


def guided_model(guide: Array, x: Array) -> tuple[Array, Array]:
    """Slope and offset (h, w) of x = slope · guide + offset (He, Sun and Tang, "Guided Image Filtering", ECCV 2010)."""
    side = 2 * max(1, round(_SMOOTH * guide.shape[0])) + 1

    def mean(values: Array) -> Array:
        return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)

    of_guide, of_x = mean(guide), mean(x)
    slope = (mean(guide * x) - of_guide * of_x) / (mean(guide * guide) - of_guide**2 + np.float32(_EDGE))
    return mean(slope), mean(of_x - slope * of_guide)


def believed(transmission: Array, level: float, doubt: float, exponent: float) -> Array:
    """The transmission that is acted on, ``LEAST`` to 1.

    Args:
        transmission: any shape, above 0, from ``dark_channel_transmission``.
        level: geometric mean of it over the shot. What lies much below it is more often white than far.
        doubt: c of ``doubt``.
        exponent: of the light that all this is in. Code values lie closer together than the light they stand for.
    """
    wanted = np.maximum(transmission, _FARTHEST ** (DISPLAY / exponent) * level)
    return np.asarray(np.clip(wanted + np.float32(doubt) * (1 - wanted) ** 2 / wanted, LEAST, 1), np.float32)


def doubt(dense: float, missed: float) -> float:
    """c of T + c (1 - T)² / T, the transmission that is best acted on where A may be wrong (Wiener's filter).

    An error e of A becomes e (1 - T) / T' of J, and T' ≠ T scales the scene's contrast s by T / T'. Both together are
    least at T' = T + (1 - T)² e² / (s² T).

    Args:
        dense: how far the haze hides the scene, see ``veil``: what shows in all else tells A well.
        missed: standard deviation of the unevenness of the airlight that is not followed, in display light.
    """
    return dense * (_OFF**2 + missed**2) / _SCENE**2
