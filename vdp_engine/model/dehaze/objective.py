"""The task ``dehaze``: X_t = T_t ⊙ J_t + (1 − T_t) ⊙ A_t (Shrivastava et al., 2024, section on dehazing).

Nets: an α-Net, which sees the plate, the flow-RGB and what the dark channel says, and gives T; an RGB-Net, which
sees the plate and gives J. A is estimated beforehand and held, as in the paper, or given by the artist.

Objective ``vdp``: L_rec + L_warp and the priors without which T = 1 and J = X is a perfect answer: T held to the dark
channel as soft evidence (``haze``), which is gathered along the flow, and its edges to those of the picture. Objective
``paper``: L_rec and L_warp alone, nets that see nothing but plate and flow-RGB.

The equation is taken to hold in X^(1/g), g = 1 for scene-linear plates, see ``haze.picture_exponent``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vdp_engine.model import losses
from vdp_engine.model.dehaze.haze import LEAST
from vdp_engine.model.dehaze.shot import Haze
from vdp_engine.model.frames import NetFrames
from vdp_engine.model.keyframes import KeyFrames
from vdp_engine.model.task import Phase
from vdp_engine.model.unet import UNet
from vdp_engine.motion import warp
from vdp_engine.motion.flow_rgb import CHANNELS as FLOW_RGB_CHANNELS
from vdp_engine.plate import log_decode, log_encode
from vdp_engine.settings import Quality, Settings

_BATCH_PAIRS = 2

PAPER = {"rec": 1.0, "warp": 0.01}
WEIGHTS = {"rec": 1.0, "warp": 0.1, "dark": 1.0, "edges": 0.05}

PHASES: dict[str, dict[Quality, tuple[Phase, ...]]] = {
    "vdp": {
        "draft": (Phase("haze", 60, 5e-3),),
        "standard": (Phase("haze", 60, 5e-3),),
        "final": (Phase("haze", 200, 5e-3),),
    },
    "paper": {
        "draft": (Phase("paper", 100, 2e-3),),
        "standard": (Phase("paper", 200, 2e-3),),
        "final": (Phase("paper", 400, 2e-3),),
    },
}


class DehazeNets(nn.Module):
    """α-Net and RGB-Net.

    Args:
        told: whether the α-Net is shown what the dark channel says.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, told: bool) -> None:
        super().__init__()
        self.told = told
        self.alpha = UNet(3 + FLOW_RGB_CHANNELS + int(told), 1)
        self.rgb = UNet(3, 3)
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("spread", torch.ones(3, 1, 1))

    def standardise(self, images: Tensor) -> None:
        """Take mean and spread of the shot's colours (N, 3, h, w), log-encoded."""
        self.mean.copy_(images.mean((0, 2, 3))[:, None, None])
        self.spread.copy_(images.std((0, 2, 3)).clamp_min(1e-3)[:, None, None])

    def transmission(self, image: Tensor, flow_rgb: Tensor, dark: Tensor) -> Tensor:
        """T (N, 1, h, w), ``LEAST`` to 1.

        Args:
            image: (N, 3, h, w), log-encoded.
            flow_rgb: (N, 6, h, w).
            dark: (N, 1, h, w), transmission as the dark channel tells it.
        """
        seen = [(image - self.mean) / self.spread, flow_rgb]
        return LEAST + (1 - LEAST) * torch.sigmoid(self.alpha(torch.cat([*seen, dark] if self.told else seen, 1)))

    def clear(self, image: Tensor) -> Tensor:
        """J (N, 3, h, w), log-encoded, of the log-encoded plate (N, 3, h, w): the plate, and what the net adds."""
        x = (image - self.mean) / self.spread
        return (x + self.rgb(x)) * self.spread + self.mean


def hazed(clear: Tensor, through: Tensor, airlight: Tensor, exponent: float) -> Tensor:
    """The equation: T ⊙ J + (1 − T) ⊙ A in the light of ``exponent``, log-encoded (N, 3, h, w).

    Args:
        clear: (N, 3, h, w), log-encoded.
        through: (N, 1, h, w).
        airlight: (N, 3, h, w) or (N, 3, 1, 1), scene-linear.
    """
    ratio = log_decode(clear) / airlight
    if exponent != 1:
        ratio = ratio.clamp_min(1e-4) ** (1 / exponent)
    mixed = through * ratio + (1 - through)
    return log_encode(airlight * (mixed if exponent == 1 else mixed**exponent))


class DehazeObjective:
    """The nets and their loss.

    Args:
        training: the key frames.
        haze: of the whole shot.
        features: for L_rec, with their name.
    """

    def __init__(
        self,
        training: KeyFrames,
        settings: Settings,
        haze: Haze,
        features: tuple[str, Callable[[Tensor], list[Tensor]]],
    ) -> None:
        self._training = training
        self._features_name, self._features = features
        self._seed = settings.seed
        self._objective = settings.objective
        self._exponent = haze.exponent
        self._by_colour = settings.transmission == "rgb"
        self.phases = PHASES[settings.objective][settings.quality]
        self._nets = DehazeNets(told=settings.objective == "vdp")
        self._nets.standardise(training.image)
        size = (training.image.shape[-2], training.image.shape[-1])
        self._airlight = torch.stack([haze.airlight_at(int(place), size) for place in training.places])
        self._airlight = self._airlight.to(training.image.device)
        self._edges = losses.edge_weights(training.image)
        self.state: dict[str, Tensor] = {
            "airlight": haze.airlight,
            "surface": haze.surface,
            "wanted": haze.wanted,
            "acted_on": haze.acted_on,
            "depths": haze.depths,
        }

    @property
    def kept(self) -> tuple[str, ...]:
        """All of the state goes with the model."""
        return tuple(self.state)

    @property
    def nets(self) -> nn.Module:
        """α-Net and RGB-Net."""
        return self._nets

    def facts(self) -> dict[str, Any]:
        """What the model file says of the fit."""
        return {
            "features": self._features_name,
            "key_frames": len(self._training.places),
            "exponent": self._exponent,
            "by_colour": self._by_colour,
        }

    def to(self, device: torch.device) -> None:
        """Move nets and state to a device."""
        self._nets.to(device)
        self.state = {name: value.to(device) for name, value in self.state.items()}

    def parameters(self, phase: Phase) -> list[nn.Parameter]:
        """Everything is fitted at once."""
        return list(self._nets.parameters())

    def before_step(self, phase: Phase, step: int) -> None:
        """Nothing to do."""

    def after_phase(self, phase: Phase, frames: NetFrames) -> None:
        """Nothing to do."""

    def loss(self, phase: Phase, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a step, and its terms."""
        training = self._training
        pairs = training.batch(self._seed, step, min(_BATCH_PAIRS, len(training.pairs)))
        single = training.count == 1
        frames = pairs[:, 0] if single else torch.cat([pairs[:, 0], pairs[:, 1]])
        places = training.places[frames]
        plate = training.image[frames]
        dark = self.state["acted_on"][places].float()[:, None]
        through = self._nets.transmission(plate, training.flow_rgb[frames], dark)
        clear = self._nets.clear(plate)
        mixed = hazed(clear, through, self._airlight[frames], self._exponent)
        terms = {"rec": losses.reconstruction(mixed, plate, self._features)}
        terms["warp"] = torch.zeros_like(terms["rec"]) if single else self._warp(pairs, through, clear)
        weights = PAPER
        if self._objective == "vdp":
            weights = WEIGHTS
            # In optical depth: a tenth more or less haze counts alike near and far.
            terms["dark"] = (through.log() - dark.log()).abs().mean()
            terms["edges"] = losses.smoothness(through, *(edges[frames] for edges in self._edges))
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def _warp(self, pairs: Tensor, through: Tensor, clear: Tensor) -> Tensor:
        """L_warp of both, along the optical flow."""
        flow, trust = self._training.flow[pairs[:, 0]], self._training.trust[pairs[:, 0]]
        first, second = torch.cat([through, clear], 1).chunk(2)
        carried, inside = warp(second, flow)
        return losses.warp(first, carried, (inside * trust)[:, None])
