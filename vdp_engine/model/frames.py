"""Frames as the nets see them: everything at net size, the evidence gathered along the motion."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vdp_engine.motion import MotionFrame, camera_flow, flow_rgb, warp
from vdp_engine.motion.sizes import Size

GATHER_REACH = 8
"""How many frames each way evidence is gathered from."""

_BORDER_WEIGHT = 0.2
_NEXT, _PREVIOUS = 1, -1


@dataclass(frozen=True)
class NetFrame:
    """One frame at net size (h, w); float32, flow in pixels of (h, w).

    Attributes:
        frame: the frame number.
        image: (3, h, w), log-encoded.
        flow_rgb: (6, h, w), see ``motion.flow_rgb``.
        evidence: (h, w), motion evidence of this frame alone, 0 to 1.
        flow: (2, 2, h, w), to the next and to the previous frame.
        trust: (2, h, w), forward-backward consistency of the two; 0 where there is no such frame.
        camera: (2, 2, h, w), the camera's share of the two.
    """

    frame: int
    image: Tensor
    flow_rgb: Tensor
    evidence: Tensor
    flow: Tensor
    trust: Tensor
    camera: Tensor

    @classmethod
    def of(cls, motion: MotionFrame, scale: tuple[float, float], size: Size) -> NetFrame:
        """``motion`` brought to net size; ``scale`` is the shot's flow-RGB scale."""
        height, width = motion.size
        towards = [motion.gaps.index(_NEXT), motion.gaps.index(_PREVIOUS)]
        shrink = torch.tensor([size[1] / width, size[0] / height])[None, :, None, None]
        present = motion.present[towards].float()[:, None, None]
        return cls(
            frame=motion.frame,
            image=_area(motion.image, size),
            flow_rgb=flow_rgb(motion, scale, size),
            evidence=_area(motion.evidence[None], size)[0],
            flow=_area(motion.flow[towards], size) * shrink,
            trust=_area(motion.confidence[towards], size) * present,
            camera=camera_flow(motion.theta[towards], motion.size, size),
        )


def _area(x: Tensor, size: Size) -> Tensor:
    return interpolate(x[None] if x.dim() == 3 else x, size=size, mode="area").reshape(*x.shape[:-2], *size)


class NetFrames:
    """The shot's frames at net size by position, read when asked for and kept while there is room.

    Args:
        read: the motion of the frame at a position, e.g. from its file.
        count: frames in the shot.
        scale: flow-RGB scale of the shot.
        size: net size.
        keep: how many frames to hold at most.
    """

    def __init__(
        self,
        read: Callable[[int], MotionFrame],
        count: int,
        scale: tuple[float, float],
        size: Size,
        keep: int = 4 * GATHER_REACH,
    ) -> None:
        self.count = count
        self.scale = scale
        self.size = size
        self._read, self._keep = read, keep
        self._held: OrderedDict[int, NetFrame] = OrderedDict()

    def __getitem__(self, position: int) -> NetFrame:
        if position in self._held:
            self._held.move_to_end(position)
        else:
            self._held[position] = NetFrame.of(self._read(position), self.scale, self.size)
            if len(self._held) > self._keep:
                self._held.popitem(last=False)
        return self._held[position]

    def picture(self, position: int, size: Size) -> Tensor:
        """The frame at another size, (3, *size), log-encoded."""
        image = self._read(position).image
        larger = size[0] > image.shape[1] or size[1] > image.shape[2]
        mode = "bilinear" if larger else "area"
        return interpolate(image[None], size=size, mode=mode)[0]

    def gathered_evidence(self, position: int, reach: int = GATHER_REACH) -> Tensor:
        """Evidence (h, w) of a frame, averaged along the flow over its neighbours up to ``reach`` frames away.

        What stands still for a moment (a foot on the ground) is still known to move, and a frame whose flow failed is
        helped by those beside it.
        """
        return self.gathered(position, lambda at: self[at].evidence, reach)

    def gathered(self, position: int, values: Callable[[int], Tensor], reach: int) -> Tensor:
        """Mean of ``values`` (h, w) by position, carried along the flow to a frame, over its neighbours up to ``reach``
        frames away. A neighbour counts as far as forward and backward flow agreed all the way to it."""
        here = self[position]
        total, weights = values(position).clone(), torch.ones_like(here.evidence)
        for index, step in enumerate((_NEXT, _PREVIOUS)):
            way = torch.zeros_like(here.flow[:1])
            weight = torch.ones_like(here.evidence)
            at = position
            for _ in range(reach):
                if not 0 <= at + step < self.count:
                    break
                now = self[at]
                onward = torch.cat([now.flow[index], now.trust[index][None]])[None]
                carried, inside = warp(onward, way)
                way = way + carried[:, :2]
                weight = weight * carried[0, 2] * inside[0]
                at += step
                value, inside = warp(values(at)[None, None], way)
                total += weight * inside[0] * value[0, 0]
                weights += weight * inside[0]
        return total / weights


def border_connected(evidence: Tensor) -> Tensor:
    """The level at which each pixel of ``evidence`` (h, w) hangs together with the border of the picture.

    Grey-scale reconstruction (Vincent, IEEE Transactions on Image Processing 2(2), 1993) of the evidence from its
    border: the largest v for which a path with evidence of at least v leads to the border. What moves against
    the camera but reaches in from outside is more often parallax than an object.
    """
    inner = evidence[None, None]
    level = inner.clone()
    level[..., 1:-1, 1:-1] = 0
    while True:
        grown = torch.minimum(torch.nn.functional.max_pool2d(level, 3, 1, 1), inner)
        if torch.equal(grown, level):
            return level[0, 0]
        level = grown


def without_border(evidence: Tensor) -> Tensor:
    """Evidence (h, w) less a fifth of what hangs together with the border: objects seldom touch it all around."""
    return evidence - _BORDER_WEIGHT * border_connected(evidence)
