"""The task ``layers`` as the engine sees it: its objective made from a shot, its model applied to frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, one_hot

from vdp_engine.model.features import perceptual
from vdp_engine.model.frames import NetFrames
from vdp_engine.model.layers.consensus import shot_evidence
from vdp_engine.model.layers.objective import LayersNets, LayersObjective, evidence_matte, frame_mattes, visibility
from vdp_engine.model.layers.steering import Rough
from vdp_engine.model.layers.training import TrainingSet
from vdp_engine.model.store import Stored
from vdp_engine.model.task import Decomposition, TaskModel, hint_positions
from vdp_engine.shot import Shot

_LEFT_OUT = 0.05  # most that a track left to the background keeps of its matte


@dataclass(frozen=True)
class NetLayers:
    """What the nets say of one frame, at net size; float32 on the CPU.

    Attributes:
        mattes: (L, h, w), sum to 1 over L, background first.
        colours: (L, 3, h, w), log-encoded: each layer's colour everywhere, also where it is covered.
        confidence: (h, w), 0 to 1.
    """

    mattes: Tensor
    colours: Tensor
    confidence: Tensor


@torch.no_grad()
def apply_layers(
    nets: LayersNets, evidence: Tensor, owner: Tensor | None, frames: NetFrames, position: int
) -> NetLayers:
    """The layers of one frame at net size.

    Args:
        evidence: uint8 (T, h, w), as ``LayersObjective`` keeps it.
        owner: uint8 (T, h, w); ``None`` after the paper's objective, which knows neither tracks nor evidence.

    The average of net and evidence was measured better and steadier than either.
    """
    net = frame_mattes(nets, frames, position)
    moving = evidence_matte(evidence, position)
    if owner is None:
        mattes = net
    else:
        owned = one_hot(owner[position].long(), nets.count).permute(2, 0, 1)[1:].float()
        foreground = 0.5 * net[1:] + 0.5 * owned * moving
        left_out = owner[position] == 0
        foreground = torch.where(left_out, foreground.clamp(max=_LEFT_OUT / (nets.count - 1)), foreground)
        mattes = torch.cat([1 - foreground.sum(0, keepdim=True), foreground])
    frame = frames[position]
    device = nets.mean.device
    as_fitted = mattes[nets.order.cpu().argsort()]  # the RGB-Nets are in the order in which they were fitted
    colours = nets.colours(frame.image[None].to(device), visibility(as_fitted[None]).to(device))[0, nets.order].cpu()
    sure = 1 - net[0] if owner is None else 0.5 * (1 - net[0]) + 0.5 * moving
    return NetLayers(mattes, colours, confidence(sure, mattes[1:].sum(0), frame.trust.amax(0)))


def confidence(sure: Tensor, matte: Tensor, trust: Tensor) -> Tensor:
    """The chance that a pixel is on the right side of the matte, (h, w), 0 to 1.

    Args:
        sure: (h, w), how surely nets and evidence together call the pixel foreground, before anything was left out.
        matte: (h, w), the foreground's matte.
        trust: (h, w), forward-backward consistency of the flow.

    What leans on the border of the picture is foreground less surely, by the share of its outline that lies there: more
    often than an object it is water, a shadow, or something near that the camera passes.
    """
    inside = matte > 0.5
    right = torch.where(inside, sure, 1 - sure)
    chance = 0.5 + (right - 0.5) * (0.5 + 0.5 * trust)
    outline = inside & (max_pool2d((~inside).float()[None, None], 3, 1, 1)[0, 0] > 0)
    border = torch.zeros_like(inside)
    border[0] = border[-1] = border[:, 0] = border[:, -1] = True
    on_border = inside & border
    share = float(on_border.sum()) / max(int((outline | on_border).sum()), 1)
    return torch.where(inside, chance * (1 - share), chance).clamp(0, 1)


class LayersDecomposition(Decomposition[NetLayers]):
    """The model of a shot taken apart into layers."""

    @property
    def count(self) -> int:
        """Layers, the background included."""
        return int(self.facts["layers"])

    @property
    def foreground(self) -> np.ndarray:
        """uint8 (T, h, w): how surely each pixel of each frame belongs to a foreground layer, at net size."""
        return self.kept["foreground"].numpy()


def _objective(
    shot: Shot, frames: NetFrames, device: torch.device, begun: Mapping[str, Any] | None
) -> LayersObjective:
    layers = shot.settings.layers
    evidence = shot_evidence(frames, rough_hints(shot, frames), None if layers == "auto" else layers - 1)
    training = TrainingSet.with_evidence(frames, evidence).to(device)
    name, features = perceptual(device)
    torch.manual_seed(shot.settings.seed)
    count = None if begun is None else begun["layers"]
    return LayersObjective(training, shot.settings, features, count=count, features_name=name)


def rough_hints(shot: Shot, frames: NetFrames) -> list[Rough]:
    """What each hint says of the frames it has pictures for, at twice the net size, by position in the shot."""
    size = (2 * frames.size[0], 2 * frames.size[1])
    return [
        {position: hint.read(frame, shot.plate.canvas, size) for position, frame in hint_positions(shot, hint).items()}
        for hint in shot.hints
    ]


def _decomposition(stored: Stored, frames: NetFrames, device: torch.device) -> LayersDecomposition:
    nets = LayersNets(stored.facts["layers"])
    nets.load_state_dict(stored.group("nets"))
    nets.to(device).eval()
    kept = stored.group("shot")
    owner = kept["owner"] if stored.facts["objective"] == "vdp" else None
    return LayersDecomposition(
        stored.facts["digest"],
        stored.facts,
        kept,
        lambda position: apply_layers(nets, kept["evidence"], owner, frames, position),
    )


TASK = TaskModel(_objective, _decomposition)
