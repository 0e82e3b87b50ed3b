"""The artist's hand: rough mattes on a few frames, carried over the shot as knowledge of what the layer looks like.

Flow alone cannot carry a hint far, and a rough one is wrong along its rim. So from a hinted frame on, frame by frame in
both directions, three things are weighed for every pixel: the motion evidence of the shot; what the layer looks like,
asked of the most similar superpixels of the hinted frames and of the last few frames; and the answer of the frame
before, carried along the flow. Each frame's answer joins what the next one may ask, so that a layer that turns or
comes nearer is followed. Towards the rim of a hint less is taken from it, and motion and picture decide there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdp_engine.model.frames import NetFrames
from vdp_engine.model.layers.superpixels import Superpixels
from vdp_engine.motion import warp
from vdp_engine.motion.sizes import Size

Array = NDArray[np.float32]
Rough = Mapping[int, Array]
"""What a hint says of the frames at some positions: (2, H, W), the share of each pixel inside, and outside."""

_RIM = 0.02  # of the picture's height: how far from its outline a hint is fully believed
_SURE = 0.7  # evidence where a hint is fully believed; what is not hinted has half its motion evidence there
_LOOKS = 0.5  # weight of what looks alike
_CARRIED = 0.6  # weight of the frame before
_GAIN = 2.0  # from evidence, about -0.5 to 0.5, to an answer of -1 to 1
_CARRIED_GAIN = 3.0
_ALIKE = 20  # superpixels asked
_UNFAMILIAR = 2.0  # likeness below which a superpixel's looks say little
_WINDOW = 6  # frames before that may be asked, besides the hinted ones
_MOST_BALANCE = 6.0  # how much more than outside an inside sample may count where it is rare


@dataclass(frozen=True)
class _Answer:
    """What is known of a frame's superpixels, each (N,): -1 outside to 1 inside, and how surely, 0 to 1."""

    value: Array
    weight: Array


def steer(frames: NetFrames, cut: Superpixels, motion: Array, hint: Rough) -> Array:
    """Signed evidence (T, h, w) that each pixel belongs to the hinted layer; positive: it does.

    Args:
        cut: the superpixels of the shot.
        motion: (T, h, w), signed evidence that a pixel moves by itself.
        hint: of one frame at least.
    """
    return steer_each(frames, cut, motion, [hint])[0]


def steer_each(frames: NetFrames, cut: Superpixels, motion: Array, hints: Sequence[Rough]) -> list[Array]:
    """What ``steer`` says of each hint, none of which knows of the others.

    What looks alike is looked up once for all of them, which is most of the work.
    """
    spread = _spread(cut.looks)
    walks = [_Walk(frames, cut, motion, hint, spread) for hint in hints]
    onward, back = _along(walks, 1), _along(walks, -1)
    return [walk.both(onward.pop(0), back.pop(0)) for walk in walks]  # let go of, for memory


def believed(hint: Array, size: Size) -> tuple[Array, Array]:
    """What a rough matte (2, H, W) says at ``size``: -1 outside to 1 inside, and how far to believe it, (h, w) each."""
    rim = max(_RIM * hint.shape[1], 1.0)
    sides = []
    for share in hint:
        depth = cv2.distanceTransform((share >= 0.5).astype(np.uint8), cv2.DIST_L2, 5)
        trust = np.clip(depth / rim, 0, 1)
        # What is thinner than its rim all over is still believed in its middle.
        trust /= max(float(trust.max()), 1e-6)
        sides.append(np.asarray(cv2.resize(trust, size[::-1], interpolation=cv2.INTER_AREA), np.float32))
    inside, outside = sides
    weight = inside + outside
    return np.where(weight > 1e-3, (inside - outside) / np.maximum(weight, 1e-3), 0), weight


def _along(walks: Sequence[_Walk], step: int) -> list[dict[int, Array]]:
    """What each walk finds on its way through the shot in the direction of ``step``: evidence (h, w) by position."""
    ways = [_Way(walk, step) for walk in walks]
    for position in range(walks[0].frames.count)[::step] if walks else ():
        alike = _Alike(walks[0].cut, position)
        for way in ways:
            way.go(position, alike)
    return [way.found for way in ways]


class _Walk:
    """One hint, and what it says of the frames it is of."""

    def __init__(self, frames: NetFrames, cut: Superpixels, motion: Array, hint: Rough, spread: Tensor) -> None:
        self.frames, self.cut, self.motion, self.spread = frames, cut, motion, spread
        self.hinted: dict[int, tuple[Array, _Answer]] = {}
        self.elsewhere: dict[int, tuple[Array, Array]] = {}
        for position, picture in hint.items():
            value, weight = believed(picture, frames.size)
            evidence = 0.5 * (1 - weight) * motion[position] + _SURE * weight * value
            answer = self.answer(position, evidence)
            known = cut.frame(position).means(weight[None])[0]
            if (value > 0).any():
                known = np.maximum(known, 0.3)
            else:
                self.elsewhere[position] = value, weight
            self.hinted[position] = evidence.astype(np.float32), _Answer(answer.value, known)
        # A frame of which only the outside is known is no place to start from, if there is another.
        self.starts = self.hinted.keys() - self.elsewhere.keys() or self.hinted.keys()

    def answer(self, position: int, evidence: Array) -> _Answer:
        """What evidence (h, w) says of the superpixels of a frame."""
        cut = self.cut.frame(position)
        value = cut.means(np.clip(_GAIN * evidence, -1, 1)[None])[0]
        weight = cut.means(np.clip(np.abs(_GAIN * evidence), 0.05, 1)[None])[0]
        return _Answer(value, weight)

    def both(self, onward: Mapping[int, Array], back: Mapping[int, Array]) -> Array:
        """The evidence of the whole shot, (T, h, w), from what was found in each direction."""
        hinted = np.array(sorted(self.starts))
        steered = np.empty_like(self.motion)
        for position in range(self.frames.count):
            # Between two hinted frames the nearer one has more to say.
            before = position - hinted[hinted <= position].max(initial=-(10**9))
            after = hinted[hinted >= position].min(initial=10**9) - position
            if position not in onward:
                steered[position] = back[position]
            elif position not in back:
                steered[position] = onward[position]
            else:
                share = after / max(before + after, 1)
                steered[position] = share * onward[position] + (1 - share) * back[position]
        return steered


class _Way:
    """A walk in one direction, from the first of its starts to the end of the shot."""

    def __init__(self, walk: _Walk, step: int) -> None:
        self._walk, self._step = walk, step
        self._begin = min(walk.starts) if step > 0 else max(walk.starts)
        self._answers: dict[int, _Answer] = {}
        self.found: dict[int, Array] = {}

    def go(self, position: int, alike: _Alike) -> None:
        """On to ``position``, the next one; nothing where the walk has not begun."""
        walk, step = self._walk, self._step
        if (position - self._begin) * step < 0:
            return
        if position in walk.starts:
            self.found[position], self._answers[position] = walk.hinted[position]
            return
        self.found[position] = self._next(position, self.found[position - step], alike)
        if position in walk.elsewhere:
            value, weight = walk.elsewhere[position]
            self.found[position] = (1 - weight) * self.found[position] + _SURE * weight * value
        self._answers[position] = walk.answer(position, self.found[position])
        self._answers.pop(position - step * _WINDOW, None)

    def _next(self, position: int, before: Array, alike: _Alike) -> Array:
        walk, frame = self._walk, self._walk.frames[position]
        index = 1 if self._step > 0 else 0  # the way back to the frame before: to the previous, or to the next
        answer = torch.from_numpy(np.clip(_CARRIED_GAIN * before, -1, 1))[None, None]
        carried, inside = warp(answer, frame.flow[index][None])
        carried = carried[0, 0] * inside[0] * frame.trust[index]
        known = {**{at: answer for at, (_, answer) in walk.hinted.items()}, **self._answers}
        looks = walk.cut.frame(position).paint(alike.say(known, walk.spread)[None], walk.frames.size)[0]
        return np.asarray(walk.motion[position] + _LOOKS * looks + _CARRIED * carried.numpy(), np.float32)


class _Alike:
    """Which superpixels of other frames look most like those of one frame."""

    def __init__(self, cut: Superpixels, position: int) -> None:
        self._cut = cut
        self._looks = torch.from_numpy(cut.looks[position])
        self._likest: dict[int, tuple[Tensor, Tensor]] = {}

    def say(self, known: Mapping[int, _Answer], spread: Tensor) -> Array:
        """What those say that look most like each superpixel, (N,), -1 to 1; 0 where nothing looks like it."""
        value = torch.from_numpy(np.concatenate([answer.value for answer in known.values()]))
        weight = torch.from_numpy(np.concatenate([answer.weight for answer in known.values()]))
        inside = value > 0
        # A small layer has few samples: without more weight each, its surroundings always win.
        rarity = (weight[~inside].sum() / weight[inside].sum().clamp_min(1e-3)).sqrt().clamp(1, _MOST_BALANCE)
        weight = torch.where(inside, weight * rarity, weight)
        likest = [self._in(at) for at in known]
        among = torch.cat([distance for distance, _ in likest], 1)
        index = torch.cat([index + number * self._cut.count for number, (_, index) in enumerate(likest)], 1)
        distance, nearest = among.topk(min(_ALIKE, among.shape[1]), largest=False)
        index = index.gather(1, nearest)
        likeness = torch.exp(-distance / (2 * spread)) * weight[index]
        return np.asarray(((likeness * value[index]).sum(1) / (likeness.sum(1) + _UNFAMILIAR)).numpy(), np.float32)

    def _in(self, at: int) -> tuple[Tensor, Tensor]:
        """Of one other frame: squared distances and indices, (N, K) each."""
        if at not in self._likest:
            distances = _distances(self._looks, torch.from_numpy(self._cut.looks[at]))
            self._likest[at] = distances.topk(min(_ALIKE, self._cut.count), largest=False)
        return self._likest[at]


def _spread(looks: Array) -> Tensor:
    """How unlike the superpixels are that look most alike, over the shot: mean squared distance to the nearest ten."""
    flat = torch.from_numpy(looks.reshape(-1, looks.shape[-1]))
    asked, references = flat[:: max(1, len(flat) // 2000)], flat[:: max(1, len(flat) // 6000)]
    nearest = _distances(asked, references).topk(min(10, len(references)), largest=False).values
    return nearest.mean().clamp_min(1e-6)


def _distances(looks: Tensor, references: Tensor) -> Tensor:
    """Squared distances (N, M)."""
    squares = references.square().sum(1)
    return (looks.square().sum(1, keepdim=True) + squares - 2 * looks @ references.T).clamp_min(0)
