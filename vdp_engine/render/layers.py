"""The task ``layers`` as the stage ``render`` sees it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from safetensors import safe_open

from vdp_engine.machine import threads
from vdp_engine.model import Decomposition, LayersDecomposition
from vdp_engine.motion import shot_motion, shot_sizes
from vdp_engine.render.clean import Background
from vdp_engine.render.frame import FrameRenderer, channel_names
from vdp_engine.render.plates import Plates
from vdp_engine.render.task import Rendered, RenderTask, bytes_a_pixel
from vdp_engine.settings import Machine
from vdp_engine.shot import Shot

# Measured peak per pixel while a frame is rendered and the one before it is written, besides their channels: the plate
# and the six that its background is fetched from, one of them log-encoded, four mattes, and what readers and
# allocators hold.
_BYTES_A_PIXEL = 144


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
        motion=partial(shot_motion, shot) if shot.settings.vectors else None,
        threads=threads(machine),
    )
    return _LayersRenderer(model, frames)


def _bytes_a_pixel(shot: Shot, model: Decomposition[Any] | None) -> int:
    # With layers=auto there are two at least.
    layers = model.count if isinstance(model, LayersDecomposition) else shot.settings.least_layers
    return bytes_a_pixel(shot.settings, _BYTES_A_PIXEL, len(channel_names(layers)))


def _background(shot: Shot, model: LayersDecomposition) -> Background:
    """Camera motion of the whole shot, which is a few numbers a frame, and where its foreground is."""
    theta = []
    for frame in shot.frames:
        with safe_open(shot.motion_file(frame), "pt") as stored:
            gaps = stored.get_tensor("gaps").tolist()
            theta.append(stored.get_tensor("theta")[[gaps.index(1), gaps.index(-1)]].clone())
    fitted = shot_motion(shot, 0).size
    return Background(torch.stack(theta), fitted, model.foreground)


TASK = RenderTask(_renderer, _bytes_a_pixel, plates=7, most_plates=12)
