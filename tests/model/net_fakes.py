"""Frames of motion made up for tests, with no plate behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vdp_engine.model.frames import NetFrames
from vdp_engine.model.layers.consensus import ShotEvidence
from vdp_engine.motion import MotionFrame

GAPS = (1, -1, 2, -2)


def motion_frame(
    position: int,
    count: int,
    size: tuple[int, int],
    *,
    move: tuple[float, float] = (0.0, 0.0),
    evidence: Tensor | None = None,
    confidence: float | Tensor = 1.0,
    image: Tensor | None = None,
    theta: Tensor | None = None,
) -> MotionFrame:
    """Frame ``position`` of ``count``, everything in it moving by ``move`` (x, y) pixels a frame."""
    gaps = len(GAPS)
    flow = torch.tensor([[gap * move[0], gap * move[1]] for gap in GAPS])[..., None, None].expand(-1, -1, *size)
    return MotionFrame(
        frame=1001 + position,
        gaps=GAPS,
        present=torch.tensor([0 <= position + gap < count for gap in GAPS]),
        image=torch.rand(3, *size, generator=torch.Generator().manual_seed(position)) if image is None else image,
        coverage=torch.ones(size),
        flow=flow.clone(),
        confidence=torch.zeros(gaps, *size) + confidence,
        theta=torch.zeros(gaps, 6, 2) if theta is None else theta,
        sigma=torch.full((gaps,), 0.1),
        strength=torch.ones(gaps),
        evidence=torch.zeros(size) if evidence is None else evidence,
    )


def net_frames(make: Callable[[int], MotionFrame], count: int, size: tuple[int, int], keep: int = 32) -> NetFrames:
    """``count`` frames at net size ``size``."""
    return NetFrames(make, count, (1.0, 1.0), size, keep)


def square_shot(count: int = 6, size: tuple[int, int] = (24, 32), squares: int = 1) -> NetFrames:
    """A still, textured ground, and ``squares`` bright squares that move 1 pixel a frame to the right."""
    ground = torch.rand(3, *size, generator=torch.Generator().manual_seed(99)) * 0.3

    def make(position: int) -> MotionFrame:
        moving = torch.zeros(size)
        image = ground.clone()
        for index in range(squares):
            rows = slice(5 + 9 * index, 11 + 9 * index)
            columns = slice(6 + position + 4 * index, 13 + position + 4 * index)
            moving[rows, columns] = 1.0
            image[:, rows, columns] = torch.tensor([0.7, 0.5, 0.2])[:, None, None] - 0.3 * index
        frame = motion_frame(position, count, size, image=image, evidence=moving)
        for index, gap in enumerate(GAPS):
            frame.flow[index, 0] = gap * moving
        return frame

    return net_frames(make, count, size)


def plain_evidence(frames: NetFrames) -> ShotEvidence:
    """The frames' own motion evidence around the level 0.45, of a shot without hints."""
    moving = np.stack([frames.gathered_evidence(position).numpy() - 0.45 for position in range(frames.count)])
    return ShotEvidence(moving, np.zeros(moving.shape, np.uint8), np.zeros(moving.shape, bool))


@dataclass(frozen=True)
class Thing:
    """A square in a shot of ``things_shot``: where it is in the first frame, and how it moves."""

    colour: tuple[float, float, float]
    top: int
    left: int
    side: int = 14
    across: int = 1
    rests: tuple[int, ...] = ()  # positions at which nothing of its motion is seen

    def mask(self, position: int, size: tuple[int, int]) -> Tensor:
        """Bool (h, w), where it is."""
        found = torch.zeros(size, dtype=torch.bool)
        left = self.left + self.across * position
        found[self.top : self.top + self.side, left : left + self.side] = True
        return found


def things_shot(*things: Thing, count: int = 6, size: tuple[int, int] = (48, 64), trust: float = 1.0) -> NetFrames:
    """A still, slightly textured grey ground, and things before it that all move in the same way."""
    ground = 0.4 + 0.05 * torch.rand(1, *size, generator=torch.Generator().manual_seed(99)).expand(3, -1, -1)

    def make(position: int) -> MotionFrame:
        image, evidence, flow = ground.clone(), torch.zeros(size), torch.zeros(len(GAPS), 2, *size)
        for thing in things:
            mask = thing.mask(position, size)
            image[:, mask] = torch.tensor(thing.colour)[:, None]
            evidence[mask] = 0.0 if position in thing.rests else 1.0
            flow[:, 0, mask] = torch.tensor(GAPS)[:, None].float() * thing.across
        frame = motion_frame(position, count, size, image=image, evidence=evidence, confidence=trust)
        return replace(frame, flow=flow)

    return net_frames(make, count, size)
