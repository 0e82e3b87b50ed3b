"""The task ``layers``: X_t = Σ_i α_i,t ⊙ L_i,t with Σ_i α_i,t = 1 (Shrivastava et al., 2024, section 3).

Nets: one α-Net, which sees the plate and the flow-RGB and gives a logit per foreground layer against a background of
0; one RGB-Net per layer, which sees the part of the plate that shows the layer and gives the layer's colour everywhere.

Objective ``vdp``, in two phases. *Evidence*: the α-Net alone learns what moves against the camera; halfway, the colours
of what it found join the evidence. Then the moving things are grouped into layers, once for the shot. *Joint*: all nets
together under L_rec + L_layer + L_warp + L_sim + L_mask, α held to its evidence. Objective ``paper``: the paper's five
terms and weights from the first step, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from vdp_engine.model import losses
from vdp_engine.model.frames import NetFrames
from vdp_engine.model.layers.appearance import colour_posterior, fill, lab_cells
from vdp_engine.model.layers.tracks import MOST_FOREGROUNDS, find_tracks, steered_tracks
from vdp_engine.model.layers.training import TrainingSet
from vdp_engine.model.task import Phase
from vdp_engine.model.unet import UNet
from vdp_engine.motion import warp
from vdp_engine.motion.flow_rgb import CHANNELS as FLOW_RGB_CHANNELS
from vdp_engine.plate import log_decode, log_encode
from vdp_engine.settings import Settings

_STEEPNESS = 6.0
_COLOUR_WEIGHT = 0.5
_BATCH_PAIRS = 2

# λ of the paper: rec, layer, warp, sim, mask.
PAPER = {"rec": 1.0, "layer": 1.0, "warp": 0.01, "sim": 0.001, "mask": 0.01}
_SMOOTH = 0.1
_STEADY = 0.1


PHASES: dict[str, dict[str, tuple[Phase, ...]]] = {
    "vdp": {
        "draft": (Phase("evidence", 80, 5e-3), Phase("joint", 40, 3e-3)),
        "standard": (Phase("evidence", 120, 5e-3), Phase("joint", 80, 3e-3)),
        "final": (Phase("evidence", 200, 5e-3), Phase("joint", 200, 3e-3)),
    },
    "paper": {
        "draft": (Phase("paper", 100, 2e-3),),
        "standard": (Phase("paper", 200, 2e-3),),
        "final": (Phase("paper", 400, 2e-3),),
    },
}


class LayersNets(nn.Module):
    """The nets of the task and what they need to be applied to a frame.

    Args:
        count: layers, the background included.
    """

    mean: Tensor
    spread: Tensor
    order: Tensor
    found: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        # The bias leans to the background; a strong one collapses to it.
        self.alpha = UNet(3 + FLOW_RGB_CHANNELS, count - 1, bias=-0.5)
        self.rgb = nn.ModuleList([UNet(4, 3) for _ in range(count)])
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("spread", torch.ones(3, 1, 1))
        self.register_buffer("order", torch.arange(count))  # from back to front
        self.register_buffer("found", torch.tensor(0))  # separate moving things that are worth a layer

    def standardise(self, images: Tensor) -> None:
        """Take mean and spread of the shot's colours (N, 3, h, w), log-encoded."""
        self.mean.copy_(images.mean((0, 2, 3))[:, None, None])
        self.spread.copy_(images.std((0, 2, 3)).clamp_min(1e-3)[:, None, None])

    def keep(self, count: int) -> None:
        """Drop all layers past the first ``count``, of which no pixel of the shot can be."""
        if count == self.count:
            return
        self.alpha.keep(count - 1)
        self.rgb = self.rgb[:count]
        self.order = self.order[:count]
        self.count = count

    def logits(self, image: Tensor, flow_rgb: Tensor) -> Tensor:
        """Logits of the mattes, (N, count, h, w); log-encoded image (N, 3, h, w), flow-RGB (N, 6, h, w)."""
        foreground = self.alpha(torch.cat([(image - self.mean) / self.spread, flow_rgb], 1))
        return torch.cat([torch.zeros_like(foreground[:, :1]), foreground], 1)

    def colours(self, image: Tensor, visible: Tensor) -> Tensor:
        """Each layer's colour everywhere, log-encoded (N, count, 3, h, w).

        Args:
            image: (N, 3, h, w), log-encoded.
            visible: (N, count, h, w), how far each pixel shows the layer: a net sees no more of the plate than that, so
                it has to complete what is covered instead of copying it.
        """
        x = (image - self.mean) / self.spread
        layers = []
        for index, net in enumerate(self.rgb):
            shown = visible[:, index : index + 1]
            smooth = fill(x, shown)
            layers.append((smooth + net(torch.cat([smooth, shown], 1))) * self.spread + self.mean)
        return torch.stack(layers, 1)


def recompose(mattes: Tensor, colours: Tensor) -> Tensor:
    """log(Σ α_i L_i): light adds up in linear; mattes (N, L, h, w), log-encoded colours (N, L, 3, h, w)."""
    return log_encode((mattes[:, :, None] * log_decode(colours)).sum(1))


def visibility(mattes: Tensor) -> Tensor:
    """How far each pixel shows nothing but the layer: mattes (N, L, h, w), sharpened, without gradient."""
    return ((mattes.detach() - 0.5) * 4).clamp(0, 1)


class LayersObjective:
    """The objective of the task over a training set; see ``task.Objective`` for the part it plays.

    ``state`` is what belongs to the fit beside the nets: ``contrast`` (N, h, w), signed evidence that a key frame's
    pixel moves; over all frames of the shot, uint8 (T, h, w): ``evidence``, 128 where a pixel may as well move as not,
    ``owner``, the foreground that may claim each pixel, and ``foreground``, 0 to 255, how surely it is one.
    """

    kept: tuple[str, ...] = ("evidence", "owner", "foreground")

    def __init__(
        self,
        training: TrainingSet,
        settings: Settings,
        features: Callable[[Tensor], list[Tensor]],
        *,
        count: int | None = None,
        features_name: str = "",
    ) -> None:
        # With layers=auto the nets start with all the layers there may be, and keep those that are found. The paper's
        # objective finds no tracks to count.
        automatic = None if settings.objective == "vdp" else 2
        self._wanted = automatic if settings.layers == "auto" else settings.layers
        self._hints = len(settings.hints)
        self.nets = LayersNets(count or self._wanted or 1 + MOST_FOREGROUNDS)
        self.phases = PHASES[settings.objective][settings.quality]
        self._training, self._features, self._seed = training, features, settings.seed
        self._features_name = features_name
        self.nets.standardise(training.image)
        self._cells = lab_cells(training.image.cpu())
        self._edges = losses.edge_weights(training.image)
        shape = (training.count, *training.image.shape[-2:])
        self.state: dict[str, Tensor] = {
            "contrast": training.contrast,
            "evidence": ((training.evidence + 0.5).clamp(0, 1) * 255).round().to(torch.uint8),
            "owner": training.claims.clamp_min(1),
            "foreground": torch.zeros(shape, dtype=torch.uint8, device=training.image.device),
        }

    def to(self, device: torch.device) -> None:
        """Move nets and state."""
        self.nets.to(device)
        self.state = {name: value.to(device) for name, value in self.state.items()}

    def facts(self) -> dict[str, Any]:
        """What the model file says of the nets."""
        return {
            "layers": self.nets.count,
            "found": int(self.nets.found),
            "features": self._features_name,
            "key_frames": len(self._training.places),
        }

    def parameters(self, phase: Phase) -> list[nn.Parameter]:
        """What the phase optimises."""
        return list((self.nets.alpha if phase.name == "evidence" else self.nets).parameters())

    # Between steps

    def before_step(self, phase: Phase, step: int) -> None:
        """At 40 % and 70 % of the evidence phase let the colours of what was found speak where motion says little."""
        if phase.name != "evidence" or step not in (int(0.4 * phase.steps), int(0.7 * phase.steps)):
            return
        moving = 1 - self._mattes()[:, 0]
        posterior = colour_posterior(self._cells, torch.stack([1 - moving, moving], 1).cpu())[:, 1]
        self.state["contrast"] = self._training.contrast + _COLOUR_WEIGHT * (posterior.to(moving.device) - 0.5)

    def after_phase(self, phase: Phase, frames: NetFrames) -> None:
        """Group what moves into layers after the evidence phase; put the layers in order after the paper's."""
        if phase.name == "evidence":
            evidence = self.state["evidence"]
            found, images = [], []
            for position in range(frames.count):
                found.append(moving_matte(self.nets, evidence, frames, position))
                images.append(frames[position].image)  # still held: a second pass would read every file again
            moving = np.stack(found)
            foregrounds = None if self._wanted is None else self._wanted - 1
            claims, hinted = self._training.claims.cpu().numpy(), self._training.hinted.cpu().numpy()
            cells = lab_cells(torch.stack(images))
            if self._hints:
                tracks = steered_tracks(moving, claims, hinted, self._hints, foregrounds, cells)
            else:
                tracks = find_tracks(moving, foregrounds, cells)
            self.nets.keep(1 + tracks.layers)
            self.nets.found.fill_(tracks.found)
            self._keep_for_shot("owner", tracks.owner)
            self._keep_for_shot("foreground", (moving * 255 * (tracks.owner > 0)).astype(np.uint8))
        elif phase.name == "paper":
            # Nothing in it tells the layers apart: the one with the least motion is called the background.
            mattes = self._mattes()
            motion = (mattes * self._training.contrast[:, None]).sum((0, 2, 3)) / mattes.sum((0, 2, 3)).clamp_min(1e-6)
            self.nets.order.copy_(motion.argsort())
            every = range(frames.count)
            background = np.stack([frame_mattes(self.nets, frames, position)[0].numpy() for position in every])
            self._keep_for_shot("foreground", ((1 - background) * 255).astype(np.uint8))

    def _keep_for_shot(self, name: str, value: np.ndarray) -> None:
        self.state[name] = torch.from_numpy(value).to(self.state[name].device)

    @torch.no_grad()
    def _mattes(self) -> Tensor:
        """Mattes (N, L, h, w) of all key frames as the α-Net sees them now."""
        t = self._training
        parts = [self.nets.logits(t.image[i : i + 8], t.flow_rgb[i : i + 8]) for i in range(0, len(t.image), 8)]
        return torch.cat(parts).softmax(1)

    # A step

    def loss(self, phase: Phase, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective on the step's batch, and its terms by name."""
        pairs = self._training.batch(self._seed, step, _BATCH_PAIRS)
        frames = torch.cat([pairs[:, 0], pairs[:, 1]])
        logits = self.nets.logits(self._training.image[frames], self._training.flow_rgb[frames])
        mattes = logits.softmax(1)
        terms: dict[str, Tensor] = {}
        weights: dict[str, float] = {}
        if phase.name != "paper":
            terms["evidence"], weights["evidence"] = losses.evidence(logits, self._target(frames)), 1.0
            across, down = self._edges
            terms["smooth"], weights["smooth"] = losses.smoothness(mattes[:, 1:], across[frames], down[frames]), _SMOOTH
            terms["steady"], weights["steady"] = self._steadiness(pairs, mattes), _STEADY
        if phase.name != "evidence":
            terms |= self._paper_terms(pairs, frames, mattes, step, hide=phase.name == "joint")
            weights |= PAPER
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def _target(self, frames: Tensor) -> Tensor:
        moving = torch.sigmoid(_STEEPNESS * self.state["contrast"][frames])
        owner = self.state["owner"][self._training.places[frames]].long()
        share = one_hot(owner, self.nets.count).permute(0, 3, 1, 2).float()[:, 1:] * moving[:, None]
        return torch.cat([1 - share.sum(1, keepdim=True), share], 1)

    def _steadiness(self, pairs: Tensor, mattes: Tensor) -> Tensor:
        first, second = mattes.chunk(2)
        carried, inside = warp(second[:, 1:], self._training.flow[pairs[:, 0]])
        trust = self._training.trust[pairs[:, 0]] * inside
        return losses.warp(first[:, 1:], carried, trust[:, None])

    def _paper_terms(
        self, pairs: Tensor, frames: Tensor, mattes: Tensor, step: int, *, hide: bool
    ) -> dict[str, Tensor]:
        plate = self._training.image[frames]
        visible = visibility(mattes) if hide else torch.ones_like(mattes)
        shown = visible
        hidden = torch.zeros_like(mattes[:, :1])
        if hide:
            hidden = self._hidden(visible, step)
            shown = visible * (1 - hidden)
        colours = self.nets.colours(plate, shown)
        recomposed = recompose(mattes, colours)
        # What was hidden from the nets on purpose says nothing about α.
        recomposed = torch.where(hidden > 0, plate, recomposed)
        on = visible if hide else mattes
        per_layer = [losses.layer(colours[:, i], plate, on[:, i : i + 1]) for i in range(self.nets.count)]
        flow_rgb = self._training.flow_rgb[frames]
        return {
            "rec": losses.reconstruction(recomposed, plate, self._features),
            "layer": torch.stack(per_layer).sum(),
            "warp": self._layer_warp(pairs, colours),
            "sim": torch.stack([losses.similarity(flow_rgb, matte) for matte in mattes[:, 1:].split(1, 1)]).sum(),
            "mask": losses.mask(mattes),
        }

    def _hidden(self, visible: Tensor, step: int) -> Tensor:
        """Regions (N, 1, h, w) shaped like the shot's own foreground, put elsewhere: what nets learn to complete."""
        generator = torch.Generator().manual_seed((self._seed << 20) + step)
        height, width = visible.shape[-2:]
        down = int(torch.randint(height, (1,), generator=generator))
        across = int(torch.randint(width, (1,), generator=generator))
        foreground = visible[:, 1:].sum(1, keepdim=True).roll((down, across), (2, 3)).flip(0)
        return (foreground > 0.5).float()

    def _layer_warp(self, pairs: Tensor, colours: Tensor) -> Tensor:
        """L_warp: the background carried along the camera's motion, the others along the optical flow."""
        first, second = colours.chunk(2)
        here = pairs[:, 0]
        total = colours.new_zeros(())
        for index in range(self.nets.count):
            flow = self._training.camera[here] if index == 0 else self._training.flow[here]
            carried, inside = warp(second[:, index], flow)
            trust = inside.float() if index == 0 else inside * self._training.trust[here]
            total = total + losses.warp(first[:, index], carried, trust[:, None])
        return total


@torch.no_grad()
def moving_matte(nets: LayersNets, evidence: Tensor, frames: NetFrames, position: int) -> np.ndarray:
    """How surely each pixel of a frame does not belong to the background, (h, w): nets and evidence, half each."""
    net = frame_mattes(nets, frames, position)
    return (0.5 * (1 - net[0]) + 0.5 * evidence_matte(evidence, position)).numpy()


@torch.no_grad()
def frame_mattes(nets: LayersNets, frames: NetFrames, position: int) -> Tensor:
    """Mattes (L, h, w) of a frame as the α-Net sees them, background first, on the CPU."""
    frame, device = frames[position], nets.mean.device
    return nets.logits(frame.image[None].to(device), frame.flow_rgb[None].to(device)).softmax(1)[0, nets.order].cpu()


def evidence_matte(evidence: Tensor, position: int) -> Tensor:
    """The kept evidence of a frame as a matte, (h, w), 0 to 1."""
    return evidence[position].cpu().float() / 255
