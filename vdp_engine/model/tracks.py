"""Which of the moving things are the objects, decided once for the whole shot.

The mattes of all frames form a block of space and time; whatever hangs together in it is one track. Tracks that are
small, or that mostly touch the border, are left to the background; the others become the foreground layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_ON = 0.5
_KEEP = 0.2  # of the largest track's score
_OWN_LAYER = 0.3  # of the largest: smaller tracks share a layer when the number of layers is chosen automatically
_BORDER = 0.5  # a track that touches the border in every frame loses this share of its score
_RIM = 3  # pixels at net size around a track that is left out

MOST_FOREGROUNDS = 3


@dataclass(frozen=True)
class Tracks:
    """Who owns which pixel.

    Attributes:
        owner: uint8 (T, h, w): the foreground layer (1, 2, …) that may claim the pixel, 0 where none may.
        layers: how many foreground layers there are (some may own nothing).
        found: how many separate tracks are worth a layer.
    """

    owner: np.ndarray
    layers: int
    found: int


def find_tracks(moving: np.ndarray, foregrounds: int | None) -> Tracks:
    """Group what moves into ``foregrounds`` layers (``None``: as many as stand out, at most three).

    Args:
        moving: (T, h, w), 0 to 1: how surely each pixel does not belong to the background.

    Tracks are ordered by score (volume, less what touches the border). The largest get a layer each, the rest joins the
    nearest of them, so with one foreground all kept tracks share it.
    """
    labels, count = ndimage.label(moving > _ON, structure=np.ones((3, 3, 3), bool), output=np.int32)
    if count == 0:
        return Tracks(np.ones(moving.shape, np.uint8), foregrounds or 1, 0)
    scores = _scores(labels, count, moving)
    order = np.argsort(-scores, kind="stable")
    kept = [int(i) + 1 for i in order if scores[i] >= _KEEP * scores[order[0]]]
    standing_out = sum(scores[i - 1] >= _OWN_LAYER * scores[order[0]] for i in kept)
    layers = min(foregrounds or max(int(standing_out), 1), MOST_FOREGROUNDS)

    layer_of = np.zeros(count + 1, np.uint8)
    for rank, label in enumerate(kept[:layers], start=1):
        layer_of[label] = rank
    if layers == 1:
        layer_of[kept] = 1
    owner = np.stack([_owner(frame, layer_of, kept) for frame in labels])
    return Tracks(owner, layers, int(standing_out))


def _scores(labels: np.ndarray, count: int, moving: np.ndarray) -> np.ndarray:
    volumes = ndimage.sum_labels(moving, labels, np.arange(1, count + 1))
    border = np.zeros(labels.shape[1:], bool)
    border[:2] = border[-2:] = True
    border[:, :2] = border[:, -2:] = True
    scores = np.zeros(count)
    for index, block in enumerate(ndimage.find_objects(labels)):
        touches = ((labels[block] == index + 1) & border[block[1:]]).any((1, 2)).mean()
        scores[index] = volumes[index] * (1.0 - _BORDER * touches)
    return scores


def _owner(labels: np.ndarray, layer_of: np.ndarray, kept: list[int]) -> np.ndarray:
    """Owner of each pixel of one frame: the layer of the nearest kept track; none on and around what is left out."""
    is_kept = np.isin(labels, kept)
    left_out = (labels > 0) & ~is_kept
    owned = layer_of[labels] > 0
    if owned.any():
        nearest = ndimage.distance_transform_edt(~owned, return_distances=False, return_indices=True)
        owner = layer_of[labels][tuple(nearest)]
    else:
        owner = np.ones(labels.shape, np.uint8)
    rim = ndimage.binary_dilation(left_out, iterations=_RIM) & ~is_kept if left_out.any() else left_out
    owner[rim] = 0
    return owner.astype(np.uint8)
