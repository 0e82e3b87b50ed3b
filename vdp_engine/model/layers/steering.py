"""The artist's hand: rough mattes on a few frames, carried over the shot as knowledge of what the layer looks like.

Flow alone cannot carry a hint far, and a rough one is wrong along its rim. So from a hinted frame on, frame by frame in
both directions, three things are weighed for every pixel: the motion evidence of the shot; what the layer looks like,
asked of the most similar superpixels of the hinted frames and of the last few frames; and the answer of the frame
before, carried along the flow. Each frame's answer joins what the next one may ask, so that a layer that turns or
comes nearer is followed. Towards the rim of a hint less is taken from it, and motion and picture decide there.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    walk = _Walk(frames, cut, motion, hint)
    onward, back = walk.along(1), walk.along(-1)
    hinted = np.array(sorted(walk.starts))
    steered = np.empty_like(motion)
    for position in range(frames.count):
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


class _Walk:
    def __init__(self, frames: NetFrames, cut: Superpixels, motion: Array, hint: Rough) -> None:
        self._frames, self._cut, self._motion = frames, cut, motion
        self._hinted: dict[int, tuple[Array, _Answer]] = {}
        self._elsewhere: dict[int, tuple[Array, Array]] = {}
        for position, picture in hint.items():
            value, weight = believed(picture, frames.size)
            evidence = 0.5 * (1 - weight) * motion[position] + _SURE * weight * value
            answer = self._answer(position, evidence)
            known = cut.frame(position).means(weight[None])[0]
            if (value > 0).any():
                known = np.maximum(known, 0.3)
            else:
                self._elsewhere[position] = value, weight
            self._hinted[position] = evidence.astype(np.float32), _Answer(answer.value, known)
        # A frame of which only the outside is known is no place to start from, if there is another.
        self.starts = self._hinted.keys() - self._elsewhere.keys() or self._hinted.keys()
        self._spread = _spread(cut.looks)

    def along(self, step: int) -> dict[int, Array]:
        """Evidence (h, w) by position, from the first of ``starts`` in the direction of ``step`` to the end."""
        position = min(self.starts) if step > 0 else max(self.starts)
        found: dict[int, Array] = {}
        answers: dict[int, _Answer] = {}
        while 0 <= position < self._frames.count:
            if position in self.starts:
                found[position], answers[position] = self._hinted[position]
            else:
                found[position] = self._next(position, step, found[position - step], answers)
                if position in self._elsewhere:
                    value, weight = self._elsewhere[position]
                    found[position] = (1 - weight) * found[position] + _SURE * weight * value
                answers[position] = self._answer(position, found[position])
                answers.pop(position - step * _WINDOW, None)
            position += step
        return found

    def _next(self, position: int, step: int, before: Array, answers: Mapping[int, _Answer]) -> Array:
        frame = self._frames[position]
        index = 1 if step > 0 else 0  # the way back to the frame before: to the previous, or to the next
        answer = torch.from_numpy(np.clip(_CARRIED_GAIN * before, -1, 1))[None, None]
        carried, inside = warp(answer, frame.flow[index][None])
        carried = carried[0, 0] * inside[0] * frame.trust[index]
        known = {**{at: answer for at, (_, answer) in self._hinted.items()}, **answers}
        looks = self._cut.frame(position).paint(self._alike(position, known)[None], self._frames.size)[0]
        return np.asarray(self._motion[position] + _LOOKS * looks + _CARRIED * carried.numpy(), np.float32)

    def _alike(self, position: int, known: Mapping[int, _Answer]) -> Array:
        """What those say that look most like each superpixel, (N,), -1 to 1; 0 where nothing looks like it."""
        references = torch.from_numpy(np.concatenate([self._cut.looks[at] for at in known]))
        value = torch.from_numpy(np.concatenate([answer.value for answer in known.values()]))
        weight = torch.from_numpy(np.concatenate([answer.weight for answer in known.values()]))
        inside = value > 0
        # A small layer has few samples: without more weight each, its surroundings always win.
        rarity = (weight[~inside].sum() / weight[inside].sum().clamp_min(1e-3)).sqrt().clamp(1, _MOST_BALANCE)
        weight = torch.where(inside, weight * rarity, weight)
        looks = torch.from_numpy(self._cut.looks[position])
        distance, index = _distances(looks, references).topk(min(_ALIKE, len(references)), largest=False)
        likeness = torch.exp(-distance / (2 * self._spread)) * weight[index]
        return np.asarray(((likeness * value[index]).sum(1) / (likeness.sum(1) + _UNFAMILIAR)).numpy(), np.float32)

    def _answer(self, position: int, evidence: Array) -> _Answer:
        cut = self._cut.frame(position)
        value = cut.means(np.clip(_GAIN * evidence, -1, 1)[None])[0]
        weight = cut.means(np.clip(np.abs(_GAIN * evidence), 0.05, 1)[None])[0]
        return _Answer(value, weight)


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
