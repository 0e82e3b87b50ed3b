"""The task ``dehaze`` as the engine sees it: its objective made from a shot, its model applied to frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vdp_engine.model.dehaze.haze import LEAST
from vdp_engine.model.dehaze.objective import DehazeNets, DehazeObjective
from vdp_engine.model.dehaze.shot import shot_haze
from vdp_engine.model.features import perceptual
from vdp_engine.model.frames import NetFrames
from vdp_engine.model.keyframes import KeyFrames
from vdp_engine.model.store import Stored
from vdp_engine.model.task import Decomposition, TaskModel
from vdp_engine.shot import Shot


@dataclass(frozen=True)
class NetDehaze:
    """What the nets say of one frame, at net size; float32 on the CPU.

    Attributes:
        transmission: (1 or 3, h, w), ``LEAST`` to 1, in the light of ``exponent``.
        airlight: (3,), scene-linear.
        surface: (TERMS, 3), how it changes over the picture, see ``veil.unevenness``.
        confidence: (h, w), 0 to 1.
        exponent: of the light in which the equation holds.
    """

    transmission: Tensor
    airlight: Tensor
    surface: Tensor
    confidence: Tensor
    exponent: float


@torch.no_grad()
def apply_dehaze(
    nets: DehazeNets, kept: Mapping[str, Tensor], facts: Mapping[str, Any], frames: NetFrames, at: int
) -> NetDehaze:
    """T and A of the frame at a position of the shot, at net size; J follows from them at the plate's own size.

    The mean of net and evidence in optical depth: the net smooths what the dark channel makes of single things, and the
    dark channel holds the net to each frame. After the paper's objective, the net alone.
    """
    frame, device = frames[at], nets.mean.device
    image = frame.image[None].to(device)
    dark, wanted = kept["acted_on"][at].float(), kept["wanted"][at].float()
    net = nets.transmission(image, frame.flow_rgb[None].to(device), dark[None, None].to(device))[0, 0].cpu()
    through = (net * dark).sqrt() if nets.told else net
    # Sure where all the haze that was seen is taken off, and where the net, who knows the whole shot, agrees.
    agreed = torch.exp(-(net.log() - dark.log()).abs())
    confidence = (wanted / through).clamp(0, 1) * agreed
    channels = through[None]
    if facts["by_colour"]:
        channels = (through[None] ** kept["depths"][:, None, None]).clamp(LEAST, 1)
    return NetDehaze(channels, kept["airlight"][at], kept["surface"][at], confidence, float(facts["exponent"]))


def _objective(shot: Shot, frames: NetFrames, device: torch.device, begun: Mapping[str, Any] | None) -> DehazeObjective:
    haze = shot_haze(shot, frames)
    training = KeyFrames.of(frames).to(device)
    features = perceptual(device)
    torch.manual_seed(shot.settings.seed)
    return DehazeObjective(training, shot.settings, haze, features)


def _decomposition(stored: Stored, frames: NetFrames, device: torch.device) -> Decomposition[NetDehaze]:
    nets = DehazeNets(told=stored.facts["objective"] == "vdp")
    nets.load_state_dict(stored.group("nets"))
    nets.to(device).eval()
    kept = stored.group("shot")
    return Decomposition(
        stored.facts["digest"],
        stored.facts,
        kept,
        lambda position: apply_dehaze(nets, kept, stored.facts, frames, position),
    )


TASK = TaskModel(_objective, _decomposition)
