"""What the whole shot agrees on: evidence of motion, shared among all that look alike, and where it ends.

Motion says little where an object rests, where its surface is plain or where ripples, smoke and parallax move as well.
But what looks alike in other frames has mostly been seen moving, or mostly been seen still. So every superpixel asks
those of the whole shot that look most like it (non-local consensus voting: Faktor and Irani, "Video Segmentation by
Non-Local Consensus Voting", BMVC 2014).

How much evidence then makes an object differs from shot to shot: rippling water around a swan shows more of it than a
dancer's planted foot. It is decided once for the shot, by where the outline lies best on edges of the picture, stands
still when the level is changed a little, and is that of the artist's hints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from vdp_engine.model.frames import NetFrames, without_border
from vdp_engine.model.layers.agreement import agreed
from vdp_engine.model.layers.steering import Rough, believed, steer
from vdp_engine.model.layers.superpixels import Superpixels, lab_picture
from vdp_engine.motion.sizes import Size

Array = NDArray[np.float32]

_NEIGHBOURS = 40
_REFERENCES = 12_000  # superpixels of the shot that may be asked; more were not measured to say more
_PASSES = 2
_STRONGEST = 0.98  # quantile of the votes that counts as 1
_CHUNK = 4096

_LEVELS = np.linspace(0.3, 0.7, 17)
_SLACK = 0.1  # change of level under which an outline should stand still
_UNSTEADY = 0.5


@dataclass(frozen=True)
class ShotEvidence:
    """What is known of a shot before any net is fitted, over all T frames at net size.

    Attributes:
        moving: float32 (T, h, w), signed: positive where a pixel belongs to a foreground layer, about -1 to 1, and to
            twice that where hints steer.
        claims: uint8 (T, h, w): which hinted layer, 1 to N, a pixel belongs to; 0: to none of them.
        hinted: bool (T, h, w): what a hint surely puts inside a layer.
    """

    moving: Array
    claims: NDArray[np.uint8]
    hinted: NDArray[np.bool_]


def shot_evidence(frames: NetFrames, hints: Sequence[Rough] = (), foregrounds: int | None = None) -> ShotEvidence:
    """Motion evidence of the whole shot, steered by the artist's hints.

    Args:
        hints: of the first foreground layers, what they say of the frames at some positions.
        foregrounds: how many foreground layers there will be; ``None``: as many as are found. Where there are more than
            hints, what moves and is claimed by no hint is foreground too.
    """
    found, pictures = [], []
    for position in range(frames.count):
        found.append(without_border(frames.gathered_evidence(position)).numpy())
        pictures.append(frames[position].image)  # still held: a second pass would read every file again
    gathered, images = np.stack(found), torch.stack(pictures)
    low, high = picture_range(images)
    cut = superpixels(frames, low, high)
    votes = cut.paint(vote(cut, cut.means(gathered)), frames.size)
    shared = (gathered + votes / max(float(np.quantile(votes, _STRONGEST)), 1e-3)) / 2
    moving = np.asarray(shared - level(shared, outlines(images, low, high), hints), np.float32)
    if not hints:
        nothing = np.zeros(moving.shape, np.uint8)
        return ShotEvidence(agreed(frames, cut, moving, gathered), nothing, nothing > 0)
    return _steered(frames, cut, moving, hints, foregrounds)


def _steered(
    frames: NetFrames, cut: Superpixels, moving: Array, hints: Sequence[Rough], foregrounds: int | None
) -> ShotEvidence:
    layers = np.stack([steer(frames, cut, moving, rough) for rough in _exclusive(hints)])
    claims = (layers.argmax(0) + 1).astype(np.uint8)
    claimed = layers.max(0)
    if foregrounds != len(hints):
        # Where no hint claims a pixel, what moves may be one of the other layers; what a hint calls outside its layer
        # is not thereby background.
        claims[claimed <= 0] = 0
        claimed = np.maximum(claimed, moving)
    hinted = np.zeros(moving.shape, bool)
    for rough in hints:
        for position, picture in rough.items():
            value, weight = believed(picture, frames.size)
            hinted[position] |= value * weight > 0.5
    return ShotEvidence(claimed, claims, hinted)


def _exclusive(hints: Sequence[Rough]) -> Sequence[Rough]:
    """What is inside one layer is outside all others."""
    told = []
    for index, rough in enumerate(hints):
        others = [other for number, other in enumerate(hints) if number != index]
        mine = {}
        for position in {position for hint in hints for position in hint}:
            inside = [other[position][0] for other in others if position in other]
            blank = np.zeros_like(next(hint[position] for hint in hints if position in hint))
            picture = rough.get(position, blank)
            elsewhere = np.max([picture[1], *inside], axis=0)
            mine[position] = np.stack([picture[0], elsewhere * (1 - picture[0])]).astype(np.float32)
        told.append(mine)
    return told


def picture_range(images: Tensor) -> tuple[float, float]:
    """The darkest and the brightest value that matter in log-encoded images (T, 3, h, w)."""
    low, high = np.quantile(images.numpy()[:, :, ::4, ::4], (0.005, 0.995))
    return float(low), float(high)


def superpixels(frames: NetFrames, low: float, high: float) -> Superpixels:
    """The shot's superpixels, at twice the net size."""
    size = (2 * frames.size[0], 2 * frames.size[1])
    pictures = (frames.picture(position, size).permute(1, 2, 0).numpy() for position in range(frames.count))
    return Superpixels.of(lab_picture(picture, low, high) for picture in pictures)


def vote(cut: Superpixels, values: Array) -> Array:
    """Every superpixel's mean of ``values`` (T, N) over those of the shot that look most like it, twice over."""
    looks = torch.from_numpy(cut.looks.reshape(-1, cut.looks.shape[-1]))
    generator = torch.Generator().manual_seed(0)  # not the shot's seed: which ones are asked should not matter
    asked = torch.randperm(len(looks), generator=generator)[:_REFERENCES]
    references, own = looks[asked], torch.from_numpy(values.reshape(-1))[asked]
    among, spread = _likest(references, references, None)
    for _ in range(_PASSES - 1):
        own = (among[1] * own[among[0]]).sum(1)
    (index, weight), _ = _likest(looks, references, spread)
    return (weight * own[index]).sum(1).reshape(values.shape).numpy()


def _likest(looks: Tensor, references: Tensor, spread: Tensor | None) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The references most like each of ``looks`` (N, D): index and weight (N, K), and the spread of the distances."""
    indices, distances = [], []
    count = min(_NEIGHBOURS, len(references))
    squares = references.square().sum(1)
    for part in looks.split(_CHUNK):
        distance = part.square().sum(1, keepdim=True) + squares - 2 * part @ references.T
        nearest, index = distance.topk(count, largest=False)
        indices.append(index)
        distances.append(nearest.clamp_min(0))
    distance = torch.cat(distances)
    if spread is None:
        spread = distance[:, :10].mean().clamp_min(1e-6)
    weight = torch.exp(-distance / (2 * spread)) + 1e-12
    return (torch.cat(indices), weight / weight.sum(1, keepdim=True)), spread


def outlines(images: Tensor, low: float, high: float) -> Array:
    """How strong an edge runs through each pixel, (T, h, w), 1 on average over the shot."""
    edges = []
    for image in images:
        lab = lab_picture(image.permute(1, 2, 0).numpy(), low, high)
        slopes = [cv2.Sobel(lab, cv2.CV_32F, *order) for order in ((1, 0), (0, 1))]
        edges.append(np.hypot(*(np.abs(slope).sum(2) for slope in slopes)))
    stacked = np.stack(edges)
    return np.asarray(stacked / max(float(stacked.mean()), 1e-6), np.float32)


def level(evidence: Array, edges: Array, hints: Sequence[Rough] = ()) -> float:
    """The level of ``evidence`` (T, h, w) above which things belong to the foreground, one for the shot.

    Args:
        edges: (T, h, w), as ``outlines`` gives it.
        hints: of all layers; what is above the level should be what they say.
    """
    ordered = np.sort(evidence, axis=None)
    told = _told(hints, (evidence.shape[1], evidence.shape[2]))

    def above(threshold: float) -> float:
        return 1 - float(np.searchsorted(ordered, threshold)) / len(ordered)

    scores = []
    for threshold in _LEVELS:
        inside = (evidence > threshold).astype(np.uint8)
        rim = np.stack([one - cv2.erode(one, np.ones((3, 3), np.uint8)) for one in inside]) > 0
        on_edges = float(edges[rim].mean()) if rim.any() else 0.0
        change = (above(threshold - _SLACK) - above(threshold + _SLACK)) / (above(threshold) + 1e-4)
        as_told = _overlap(inside > 0, told) if told else 1.0
        scores.append(np.log(on_edges + 1e-6) - _UNSTEADY * change + np.log(as_told + 1e-6))
    return float(_LEVELS[int(np.argmax(scores))])


def _told(hints: Sequence[Rough], size: Size) -> dict[int, tuple[Array, Array]]:
    """What all hints together say of foreground, by position: -1 to 1, and how far to believe it, (h, w) each."""
    told = {}
    for position in sorted({position for hint in hints for position in hint}):
        pictures = [hint[position] for hint in hints if position in hint]
        inside = np.max([picture[0] for picture in pictures], axis=0)
        outside = np.min([picture[1] for picture in pictures], axis=0) * (1 - inside)
        told[position] = believed(np.stack([inside, outside]).astype(np.float32), size)
    return told


def _overlap(inside: NDArray[np.bool_], told: dict[int, tuple[Array, Array]]) -> float:
    """Intersection over union of hints with what hangs together with them in ``inside`` (T, h, w).

    What moves somewhere else may be another layer, and a hinted one is told from it later by its looks.
    """
    shared, either = 0.0, 0.0
    for position, (value, weight) in told.items():
        labels, _ = ndimage.label(inside[position], np.ones((3, 3), bool))
        touched = np.unique(labels[(value * weight > 0.5) & inside[position]])
        found = np.isin(labels, touched[touched > 0])
        shared += float(weight[found & (value > 0)].sum())
        either += float(weight[found | (value > 0)].sum())
    return shared / max(either, 1e-6)
