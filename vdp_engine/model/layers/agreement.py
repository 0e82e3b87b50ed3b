"""What the frames of a shot agree on: each of a few plays the artist, and those that agree are believed.

In most frames what moves is the object; in some it is a pole that the camera passes, or half of the object. So what
moves in one frame is carried over the shot as if an artist had hinted it (see steering), for a few frames well spread.
Each gives an answer for the whole shot. Answers count by how much they overlap with the others and by how clearly what
they call the object moves more than its surroundings: a frame that was wrong is outvoted.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vdp_engine.model.frames import NetFrames
from vdp_engine.model.layers.steering import Rough, steer_each
from vdp_engine.model.layers.superpixels import Superpixels

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SEEDS = 7
_PART = 0.2  # of the largest thing in a frame: smaller ones are taken for noise
_POWER = 4  # how much more an answer counts that is better
_SHARE = 0.5  # of the answers in the result; the rest is the evidence that they came from
_GAP, _RING = 3, 9  # pixels at net size: beside a thing is what the larger square reaches from it and the smaller not
_LEAST = 1e-3


def agreed(frames: NetFrames, cut: Superpixels, moving: Array, evidence: Array) -> Array:
    """Signed evidence (T, h, w) that a pixel belongs to the foreground, as the frames of the shot agree on it.

    Args:
        cut: the superpixels of the shot.
        moving: (T, h, w), the signed evidence to start from; returned as it is where nothing moves anywhere.
        evidence: (T, h, w), motion evidence that nothing but motion plays a part in, 0 to 1.
    """
    hints = seeds(moving)
    if not hints:
        return moving
    answers = [np.clip(answer, -1, 1) for answer in steer_each(frames, cut, moving, hints)]
    votes = np.zeros_like(moving)
    for weight, answer in zip(weights(answers, evidence), answers, strict=True):
        votes += weight * answer
    return np.asarray((1 - _SHARE) * moving + _SHARE * votes, np.float32)


def seeds(moving: Array) -> list[Rough]:
    """What moves in each of a few frames spread evenly over ``moving`` (T, h, w), each as a hint of its own.

    A frame in which nothing moves gives none.
    """
    count = len(moving)
    hints: list[Rough] = []
    for position in sorted({int((number + 0.5) * count / _SEEDS) for number in range(_SEEDS)}):
        inside = _without_specks(moving[position] > 0)
        if inside.any():
            large = inside.repeat(2, 0).repeat(2, 1).astype(np.float32)
            hints.append({position: np.stack([large, 1 - large])})
    return hints


def _without_specks(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask, np.ones((3, 3), bool))
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    return np.asarray((areas >= _PART * areas.max())[labels] & mask)


def weights(answers: list[Array], evidence: Array) -> NDArray[np.float64]:
    """How much each answer (T, h, w), positive inside, counts, (N,), sums to 1."""
    inside = [answer > 0 for answer in answers]
    likeness = np.array([[_overlap(one, other) for other in inside] for one in inside])
    np.fill_diagonal(likeness, 1.0 if len(inside) == 1 else 0.0)
    worth = likeness.sum(1) * np.array([max(separation(one, evidence), _LEAST) for one in inside])
    powered = np.maximum(worth / max(float(worth.max()), 1e-9), _LEAST) ** _POWER
    return np.asarray(powered / powered.sum())


def _overlap(one: Mask, other: Mask) -> float:
    return int(np.count_nonzero(one & other)) / max(int(np.count_nonzero(one | other)), 1)


def separation(inside: Mask, evidence: Array) -> float:
    """How much more ``evidence`` (T, h, w) there is inside, (T, h, w), than beside it; 0 where either is empty."""
    masks = inside.astype(np.uint8)
    wide, near = (
        np.stack([cv2.dilate(mask, np.ones((width, width), np.uint8)) for mask in masks]) for width in (_RING, _GAP)
    )
    beside = (wide > 0) & (near == 0)
    if not inside.any() or not beside.any():
        return 0.0
    return float(evidence[inside].mean() - evidence[beside].mean())
