"""Which of the moving things are the objects, decided once for the whole shot.

The mattes of all frames form a block of space and time; whatever hangs together in it is one track. A thing that leaves
and comes back makes two, which are joined where they look alike and are not there at the same time. Tracks that are
small, or that mostly touch the border, are left to the background; the others become the foreground layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from vdp_engine.model.layers.appearance import LAB_BINS
from vdp_engine.settings import MOST_LAYERS

_ON = 0.5
_KEEP = 0.2  # of the largest track's score
_KEEP_STEERED = 0.01  # where a hint says what the layer is: what comes back from behind a tree is small
_OWN_LAYER = 0.3  # of the largest: smaller tracks share a layer when the number of layers is chosen automatically
_BORDER = 0.5  # a track that touches the border in every frame loses this share of its score
_ALIKE = 0.8  # Bhattacharyya coefficient of colours above which two tracks look like the same thing
_TOGETHER = 2  # frames in which both may be seen all the same: one may come apart before the other joins
_RIM = 3  # pixels at net size around a track that is left out

MOST_FOREGROUNDS = MOST_LAYERS - 1


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


def find_tracks(
    moving: np.ndarray,
    foregrounds: int | None,
    cells: np.ndarray | None = None,
    hinted: np.ndarray | None = None,
    keep: float = _KEEP,
) -> Tracks:
    """Group what moves into ``foregrounds`` layers (``None``: as many as stand out, at most three).

    Args:
        moving: (T, h, w), 0 to 1: how surely each pixel does not belong to the background.
        cells: int (T, h, w), the colour of each pixel as ``appearance.lab_cells`` counts it; without it no tracks are
            joined.
        hinted: bool (T, h, w): what is surely part of a layer, so that its track is kept whatever its score.
        keep: share of the largest track's score that a track must have not to be left to the background.

    Tracks are ordered by score (volume, less what touches the border). The largest get a layer each, the rest joins the
    nearest of them, so with one foreground all kept tracks share it.
    """
    labels, count = ndimage.label(moving > _ON, structure=np.ones((3, 3, 3), bool), output=np.int32)
    if count == 0:
        return Tracks(np.ones(moving.shape, np.uint8), foregrounds or 1, 0)
    if cells is not None:
        labels, count = _joined(labels, count, cells)
    scores = _scores(labels, count, moving)
    if hinted is not None:
        kept_by_hand = np.unique(labels[hinted & (labels > 0)])
        scores[kept_by_hand - 1] = scores.max()
    order = np.argsort(-scores, kind="stable")
    kept = [int(i) + 1 for i in order if scores[i] >= keep * scores[order[0]]]
    standing_out = sum(scores[i - 1] >= _OWN_LAYER * scores[order[0]] for i in kept)
    layers = min(foregrounds or max(int(standing_out), 1), MOST_FOREGROUNDS)

    layer_of = np.zeros(count + 1, np.uint8)
    for rank, label in enumerate(kept[:layers], start=1):
        layer_of[label] = rank
    if layers == 1:
        layer_of[kept] = 1
    owner = np.stack([_owner(frame, layer_of, kept) for frame in labels])
    return Tracks(owner, layers, int(standing_out))


def steered_tracks(
    moving: np.ndarray,
    claims: np.ndarray,
    hinted: np.ndarray,
    hints: int,
    foregrounds: int | None,
    cells: np.ndarray | None = None,
) -> Tracks:
    """Group what moves into the layers that hints claim, and what no hint claims into the layers after them.

    Args:
        moving: as in ``find_tracks``.
        claims: uint8 (T, h, w), which hinted layer a pixel belongs to; 0: none.
        hinted: bool (T, h, w), what a hint surely puts inside a layer.
        hints: how many layers are hinted; each keeps its place, also where it claims nothing.
        foregrounds: as in ``find_tracks``, the hinted ones included.
        cells: as in ``find_tracks``.
    """
    mine = find_tracks(np.where(claims > 0, moving, 0), 1, hinted=hinted, keep=_KEEP_STEERED)
    owner = np.where(mine.owner > 0, claims, 0).astype(np.uint8)
    others = np.where(claims > 0, 0, moving)
    room = (MOST_FOREGROUNDS if foregrounds is None else foregrounds) - hints
    found = find_tracks(others, None, cells).found
    more = min(found, room) if foregrounds is None else room
    if more > 0:
        rest = find_tracks(others, more, cells)
        owner = np.where(claims > 0, owner, np.where(rest.owner > 0, rest.owner + hints, 0)).astype(np.uint8)
    return Tracks(owner, hints + max(more, 0), hints + found)


def _joined(labels: np.ndarray, count: int, cells: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels with those tracks made one that look alike and take turns, the larger first."""
    spans = [block[0] for block in ndimage.find_objects(labels)]
    volumes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = [int(i) for i in np.argsort(-volumes, kind="stable") if volumes[i] >= _KEEP**2 * volumes.max()]
    looks = {i: _colours(cells[labels == i + 1]) for i in order}
    same = np.arange(count + 1)
    taken: dict[int, list[slice]] = {}
    for i in order:
        for first, others in taken.items():
            apart = all(min(spans[i].stop, one.stop) - max(spans[i].start, one.start) <= _TOGETHER for one in others)
            if apart and float(np.sqrt(looks[first] * looks[i]).sum()) > _ALIKE:
                same[i + 1] = first + 1
                others.append(spans[i])
                break
        else:
            taken[i] = [spans[i]]
    kept, renamed = np.unique(same[1:], return_inverse=True)
    return np.concatenate([[0], renamed + 1])[labels].astype(np.int32), len(kept)


def _colours(cells: np.ndarray) -> np.ndarray:
    """The spread of a track over the colours, blurred a little, sums to 1."""
    counts = np.bincount(cells, minlength=int(np.prod(LAB_BINS))).reshape(LAB_BINS).astype(np.float64)
    blurred = ndimage.gaussian_filter(counts, 1.0)
    return np.asarray(blurred / max(blurred.sum(), 1e-9))


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
