"""The task ``relight`` as the engine sees it: its objective made from a shot, its model applied to frames."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vdp_engine.model.features import perceptual
from vdp_engine.model.frames import NetFrames
from vdp_engine.model.keyframes import KeyFrames
from vdp_engine.model.relight.objective import (
    DARKEST,
    FILL,
    RelightNets,
    RelightObjective,
    brightest,
    grey_stops,
    stops,
)
from vdp_engine.model.store import Stored
from vdp_engine.model.task import Decomposition, TaskModel, hint_positions
from vdp_engine.motion import shot_sizes, warp
from vdp_engine.motion.sizes import Size
from vdp_engine.plate import log_decode
from vdp_engine.shot import Shot


@dataclass(frozen=True)
class NetRelight:
    """What the nets say of one frame, at net size; float32 on the CPU, in stops.

    ``log A = offset + slope · lighting`` where nothing is asked for but what was fitted.

    Attributes:
        lighting: (h, w), b.
        offset, slope: from the lighting to log A.
        pivot: the lighting that fill leaves as it is.
        gamma: γ.
        confidence: (h, w), 0 to 1: how far there is any light to go by.
    """

    lighting: Tensor
    offset: float
    slope: float
    pivot: float
    gamma: float
    confidence: Tensor


@torch.no_grad()
def apply_relight(nets: RelightNets, frames: NetFrames, position: int, *, paper: bool = False) -> NetRelight:
    """The lighting of one frame at net size; ``paper``: after the paper's objective, whose α-Net draws log(1/A)."""
    frame, device = frames[position], nets.mean.device
    image, flow_rgb = stops(log_decode(frame.image[None])).to(device), frame.flow_rgb[None].to(device)
    gamma, key, pivot = float(nets.gamma.detach()), float(nets.key), float(nets.pivot)
    grey = grey_stops(image)[0, 0].cpu()
    confidence = ((grey - math.log2(DARKEST)) / 4).clamp(0, 1)
    if paper:
        drawn = nets.drawn(image, flow_rgb)[0, 0].cpu()
        return NetRelight(drawn, 0.0, -1.0, float(drawn.mean()), gamma, confidence)
    lighting = nets.lighting(image, flow_rgb)[0, 0].cpu()
    return NetRelight(lighting, key + FILL * pivot, 1 - FILL - gamma, pivot, gamma, confidence)


def carried_hints(frames: NetFrames, given: Mapping[int, Tensor]) -> Tensor:
    """Hints (2, h, w) of some frames, carried along the flow to all others: (T, 2, h, w).

    Known is a value as far as the flow agrees with itself all the way; between two hinted frames the better known of
    what comes from both counts most.
    """
    total = torch.zeros(frames.count, 2, *frames.size)
    for step, index in ((1, 1), (-1, 0)):
        held: Tensor | None = None
        order = range(frames.count) if step > 0 else range(frames.count - 1, -1, -1)
        for position in order:
            if position in given:
                held = given[position]
            elif held is not None:
                frame = frames[position]
                value, inside = warp(held[None], frame.flow[index][None])
                held = torch.stack([value[0, 0], value[0, 1] * inside[0] * frame.trust[index]])
            if held is not None:
                total[position] += torch.stack([held[0] * held[1], held[1]])
    return torch.stack([total[:, 0] / total[:, 1].clamp_min(1e-6), total[:, 1].clamp(max=1)], 1)


class RelightDecomposition(Decomposition[NetRelight]):
    """The model of a shot that was relit."""

    @property
    def gamma(self) -> float:
        """γ of the shot."""
        return float(self.facts["gamma"])


def shot_highlights(frames: NetFrames, positions: Tensor, size: Size) -> float:
    """How bright the brightest surfaces of a shot are: the median over its frames at ``positions``, scene-linear.

    One number for the shot, so that the picture does not pump; the median, so that a flash does not set it.
    """
    levels = [brightest(log_decode(frames.picture(int(position), size))) for position in positions]
    return float(torch.tensor(levels).median())


def relight_objective(shot: Shot, frames: NetFrames, device: torch.device, **more: Any) -> RelightObjective:
    """The objective of a shot on a device; ``more`` goes to ``RelightObjective``."""
    key_frames = KeyFrames.of(frames)
    highlights = shot_highlights(frames, key_frames.places, shot_sizes(shot).motion)
    name, features = perceptual(device)
    hints = None
    if shot.hints:
        hint = shot.hints[0]
        given = {
            position: torch.from_numpy(hint.read_map(frame, shot.plate.canvas, frames.size))
            for position, frame in hint_positions(shot, hint).items()
        }
        hints = carried_hints(frames, given)
    torch.manual_seed(shot.settings.seed)
    return RelightObjective(
        key_frames.to(device), shot.settings, features, highlights=highlights, hints=hints, features_name=name, **more
    )  # fmt: skip


def _objective(
    shot: Shot, frames: NetFrames, device: torch.device, begun: Mapping[str, Any] | None
) -> RelightObjective:
    return relight_objective(shot, frames, device)


def _decomposition(stored: Stored, frames: NetFrames, device: torch.device) -> RelightDecomposition:
    nets = RelightNets()
    nets.load_state_dict(stored.group("nets"))
    nets.to(device).eval()
    paper = stored.facts["objective"] == "paper"
    return RelightDecomposition(
        stored.facts["digest"],
        stored.facts,
        stored.group("shot"),
        lambda position: apply_relight(nets, frames, position, paper=paper),
    )


TASK = TaskModel(_objective, _decomposition)
