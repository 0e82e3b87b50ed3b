"""The airlight of a shot: the colour that a pixel far enough away takes on, whatever stands there.

Haze mixes a scene J with the airlight A by the transmission T, X = T J + (1 - T) A. Nearly every small place of a
scene has something dark in it, and where J is dark X is (1 - T) A: it has the hue of A, and is the brighter the more
haze lies before it. So the places whose *darkest* pixels are brightest tell A, while the brightest pixels of a picture
may well be a white wall or a lamp. This is the dark channel (He, Sun and Tang, CVPR 2009), but of all three channels
together: an airlight may have next to no red, under water say. What each rule is worth: tests/bench/airlight.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_Floats = NDArray[np.float64]

_BLOCKS = 320  # places a picture is cut into
_DARK = 0.1  # of a place's pixels are its darkest
_HAZY, _HAZIEST = 0.2, 0.04  # of all places
_AGREES, _AGREES_ANYWAY = 2.0, 0.02  # how far off a place's hue may be: medians of all, and radians
_WHITE = 0.95  # quantile over the haziest places' pixels
_HUE_SPREAD = 0.03  # radians between the haziest places that halve the confidence
_CONTRAST = 0.15  # spread within the haziest places, in terms of A, that halves the confidence
_DEPTH = 0.05  # share of A by which the darkest place must lie below it to halve the confidence

_STEADY = 24.0  # frames over which the light of a shot may change
_ROUNDS = 10
_OUTLIER = 0.05  # log units from the shot's course at which an estimate counts half
_FLOOR = 1e-6
_FAINT = 0.05  # of the strongest channel


@dataclass(frozen=True)
class Airlight:
    """The airlight seen in one picture.

    Attributes:
        colour: float32 (3,), scene-linear, in the picture's own primaries.
        confidence: 0 to 1; 0 where the picture says nothing.
    """

    colour: Array
    confidence: float


_NOTHING = Airlight(np.zeros(3, np.float32), 0.0)


def estimate_airlight(light: Array) -> Airlight:
    """The airlight of one picture.

    1. Cut the picture into places, and take the mean of the darkest pixels of each: its dark colour.
    2. Of the fifth whose dark colour is brightest, keep those near their median hue: an object of another hue, however
       bright, drops out unless it has half of these places.
    3. The hue of A is that of the brightest dark colours kept, and its strength how bright the pixels get there: where
       no place is all haze, what is white there still is as bright as the airlight.

    Args:
        light: scene-linear (h, w, 3) of some 100,000 pixels or fewer, highlights above 1 included. Negative values
            count as 0, and places with a value that is not finite are left out.

    Returns:
        A colour that scales with the picture. It is sure where the haziest places agree, are smooth, and lie before
        something darker. Of an empty or black picture it is black, with confidence 0.
    """
    places = _places(light)
    if not len(places) or places.max() <= 0:
        return _NOTHING
    darkest = _darkest(places)
    order = np.argsort(darkest.sum(-1), kind="stable")
    hazy = _last(order, _HAZY, len(order))
    off = _angles(darkest[hazy], _hue(darkest[hazy]))
    spread = float(np.median(off))
    haziest = _last(hazy[off <= max(_AGREES * spread, _AGREES_ANYWAY)], _HAZIEST, len(order))
    hue = _hue(darkest[haziest])
    if not hue.any():
        return _NOTHING
    along = places[haziest] @ hue
    strength = float(np.quantile(along, _WHITE))
    contrast = float(np.median(along.std(1))) / strength
    depth = max(1 - float((darkest @ hue).min()) / strength, 0)
    sure = depth / (depth + _DEPTH) / (1 + (spread / _HUE_SPREAD) ** 2 + (contrast / _CONTRAST) ** 2)
    return Airlight((strength * hue).astype(np.float32), sure)


def shot_airlight(estimates: Sequence[Airlight], positions: Sequence[int], count: int) -> Array:
    """The airlight of every frame, float32 (count, 3), smooth in time, from estimates at some of them.

    A robust mean in log light, over the frames within about a second: an estimate counts by its confidence, and less
    the farther it lies from what the others around it say. Far from any estimate the nearest ones hold.

    Args:
        estimates: at least one; those of confidence 0 are only asked where there are no others.
        positions: of the estimates' frames, 0 to count - 1.
    """
    values = np.log(np.maximum(np.stack([one.colour for one in estimates]).astype(np.float64), _FLOOR))
    trust = np.array([one.confidence for one in estimates])
    trust = trust if trust.any() else np.ones(len(estimates))
    at = np.asarray(positions, np.float64)
    weights = trust
    course = np.broadcast_to(np.median(values[trust > 0], 0), values.shape)
    for _ in range(_ROUNDS):
        off = np.abs(_visible(values) - _visible(course)).max(1)
        weights = trust / (1 + (off / _OUTLIER) ** 2)
        course = steady_mean(at, at, values, weights)
    return np.exp(steady_mean(np.arange(count, dtype=np.float64), at, values, weights)).astype(np.float32)


def _visible(logs: _Floats) -> _Floats:
    """Log colours (N, 3) without the noise of a channel that adds next to nothing, red under water say."""
    return np.maximum(logs, logs.max(1, keepdims=True) + np.log(_FAINT))


def steady_mean(when: _Floats, at: _Floats, values: _Floats, weights: _Floats) -> _Floats:
    """Means (len(when), K) of the values (N, K) at frames ``at``, those within about a second counting most."""
    away = np.square((when[:, None] - at) / _STEADY) / 2
    # Relative to the nearest one that counts: so far from all of them no weight vanishes.
    away -= np.where(weights > 0, away, np.inf).min(1, keepdims=True)
    near = np.exp(-np.maximum(away, 0)) * weights
    return np.asarray(near @ values / near.sum(1, keepdims=True))


def _places(light: Array) -> _Floats:
    """The picture cut into squares, (N, pixels, 3); negative values count as 0."""
    return np.maximum(squares(light)[0], 0)


def squares(picture: Array) -> tuple[_Floats, _Floats]:
    """A picture (h, w, 3) cut into about ``_BLOCKS`` squares, without those that hold a hole.

    Returns:
        Their pixels (N, pixels, 3), and where their middles are, (N, 2), x and y from -0.5 to 0.5.
    """
    height, width = picture.shape[:2]
    side = max(1, round((height * width / _BLOCKS) ** 0.5))
    rows, columns = height // side, width // side
    cut = picture[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    cut = cut.reshape(rows * columns, side * side, 3).astype(np.float64)
    row, column = np.divmod(np.arange(rows * columns), max(columns, 1))
    at = np.stack([(column + 0.5) * side / width, (row + 0.5) * side / height], -1) - 0.5
    whole = np.isfinite(cut).all((1, 2))
    return np.asarray(cut[whole]), np.asarray(at[whole])


def _darkest(places: _Floats) -> _Floats:
    """Mean of the darkest pixels of each place, (N, 3)."""
    order = np.argsort(places.sum(-1), axis=1, kind="stable")[:, : max(1, round(places.shape[1] * _DARK))]
    return np.asarray(np.take_along_axis(places, order[..., None], 1).mean(1))


def _hue(colours: _Floats) -> _Floats:
    """The unit vector in the middle of these colours (N, 3); 0 where all are black."""
    return np.asarray(_unit(np.median(_unit(colours), 0)))


def _angles(colours: _Floats, hue: _Floats) -> _Floats:
    """Radians (N,) between colours (N, 3) and a unit vector."""
    return np.asarray(np.arccos(np.clip(_unit(colours) @ hue, -1, 1)))


def _unit(vectors: _Floats) -> _Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-30))


def _last(order: NDArray[np.intp], share: float, count: int) -> NDArray[np.intp]:
    """The last of ``order``, as many as are this share of ``count``, but three at least where there are."""
    return order[-max(3, round(count * share)) :]
