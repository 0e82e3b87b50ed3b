"""The task ``layers`` as the stage ``render`` sees it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from safetensors import safe_open

from vdp_engine.machine import threads
from vdp_engine.model import Decomposition, LayersDecomposition
from vdp_engine.motion import MotionFrame, shot_sizes
from vdp_engine.render.clean import Background
from vdp_engine.render.frame import FrameRenderer, channel_names
from vdp_engine.render.plates import Plates
from vdp_engine.render.task import Rendered, RenderTask
from vdp_engine.settings import Machine
from vdp_engine.shot import Shot

# Measured peak per pixel while a frame is rendered and the one before it is written, besides their channels: the plate
# and the six that its background is fetched from, one of them log-encoded, four mattes, and what readers and
# allocators hold.
_BYTES_A_PIXEL = 144
_VECTORS_BYTES_A_PIXEL = 32


@dataclass(frozen=True)
class _LayersRenderer:
    model: LayersDecomposition
    frames: FrameRenderer

    def render(self, position: int) -> Rendered:
        return self.frames.render(position, self.model.at(position))


def _renderer(shot: Shot, model: Decomposition[Any], plates: Plates, machine: Machine) -> _LayersRenderer:
    assert isinstance(model, LayersDecomposition)
    frames = FrameRenderer(
        canvas=shot.plate.canvas,
        working=shot_sizes(shot).flow,
        background=_background(shot, model),
        read=plates.at,
        bit_depth=shot.settings.bit_depth,
        alpha=shot.settings.alpha,
        motion=partial(_motion, shot) if shot.settings.vectors else None,
        threads=threads(machine),
    )
    return _LayersRenderer(model, frames)


def _bytes_a_pixel(shot: Shot, model: Decomposition[Any] | None) -> int:
    settings = shot.settings
    # With layers=auto there are two at least.
    layers = model.count if isinstance(model, LayersDecomposition) else settings.least_layers
    written = len(channel_names(layers)) + (4 if settings.vectors else 0)
    size = _BYTES_A_PIXEL + 2 * written * (2 if settings.bit_depth == "half" else 4)
    return size + (_VECTORS_BYTES_A_PIXEL if settings.vectors else 0)


def _background(shot: Shot, model: LayersDecomposition) -> Background:
    """Camera motion of the whole shot, which is a few numbers a frame, and where its foreground is."""
    theta = []
    for frame in shot.frames:
        with safe_open(shot.motion_file(frame), "pt") as stored:
            gaps = stored.get_tensor("gaps").tolist()
            theta.append(stored.get_tensor("theta")[[gaps.index(1), gaps.index(-1)]].clone())
    fitted = _motion(shot, 0).size
    return Background(torch.stack(theta), fitted, model.foreground)


def _motion(shot: Shot, position: int) -> MotionFrame:
    return MotionFrame.load(shot.motion_file(shot.frames[position]), shot.frames[position])


TASK = RenderTask(_renderer, _bytes_a_pixel, plates=7, most_plates=12)
