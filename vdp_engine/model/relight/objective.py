"""The task ``relight``: log X_t = γ⁻¹ (log(1/A_t) + log R_t), that is R_t = A_t ⊙ X_t^γ (Shrivastava et al., 2024).

Nets: one RGB-Net, which sees the plate X and gives R, the well-lit picture; one α-Net, which sees the plate and the
flow-RGB and gives the lighting map 1/A; and γ⁻¹, a number in (0, 1), one for the shot. All of it in stops, that is
log₂ of scene-linear light.

The equation alone is met by any A with any γ. Objective ``vdp`` says what well lit means. The α-Net draws the lighting
b of the plate, in stops; from it follow

    lit(b) = b + key + φ (pivot − b)          where the lighting is to be
    log A  = lit(b) − γ b                     so that  log R = lit(b) + γ (log X − b)

The key is the lift that brings the shot's brightest surfaces to white; φ, the fill, takes a little of the differences
in lighting away around the pivot, which is the mean of the shot; γ gives the detail log X − b half of the contrast back
that tone and fill take away. Key and pivot come from the shot in closed form, and the only term that γ has, its
contrast, has one minimum: whatever value γ starts from, it ends there. The artist's controls move key and fill
after the fit and need none anew. Objective ``paper``: L_rec and L_warp alone, with A, R and γ free.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from vdp_engine.model import losses
from vdp_engine.model.frames import NetFrames
from vdp_engine.model.keyframes import KeyFrames
from vdp_engine.model.task import Phase
from vdp_engine.model.unet import UNet
from vdp_engine.motion import warp
from vdp_engine.motion.flow_rgb import CHANNELS as FLOW_RGB_CHANNELS
from vdp_engine.plate import log_decode
from vdp_engine.settings import Settings

LUMINANCE = (0.2126, 0.7152, 0.0722)
DARKEST = 2.0**-14
"""Scene-linear: darker light counts as this much. Motion files keep light to a tenth of it."""

# What well lit means. WHITE and KNEE were chosen on half of the pictures and hold on the others, see docs/relight.md.
WHITE = 1.1
_BRIGHTEST, _BRIGHT = 0.999, 0.98  # shares of the picture: its brightest surfaces, and what is bright
_LAMP = 4.0  # times what is bright: what is brighter than that gives light and is no surface
MOST_KEY = 8.0  # stops
KNEE = 0.6
_TONE_POWER = 2.2
FILL = 0.1
LEAST_GAMMA, MOST_GAMMA = 1.001, 2.0
GAMMA_START = 1.5

_GIVEN_BACK = 0.5  # of the contrast that tone and fill take
_GAMMA_RATE = 20.0  # how much faster than the nets' weights γ moves
_BASE = 8  # the lighting starts as means over so many net pixels
_REGION = 4  # net pixels, of which the means keep their order
_STOPS = 17.52  # of the log encoding: a step of light weighs in L_rec what it weighs for the other tasks
_BATCH_PAIRS = 2

# λ: rec and warp are the paper's.
PAPER = {"rec": 1.0, "warp": 0.01}
PRIORS = {
    "exposure": 1.0, "colour": 1.0, "spatial": 0.2, "light": 0.3, "smooth": 1.0, "steady": 1.0, "contrast": 1.0,
    "hint": 1.0,
}  # fmt: skip

PHASES: dict[str, dict[str, tuple[Phase, ...]]] = {
    "vdp": {
        "draft": (Phase("light", 80, 5e-3),),
        "standard": (Phase("light", 120, 5e-3),),
        "final": (Phase("light", 240, 5e-3),),
    },
    "paper": {
        "draft": (Phase("paper", 100, 2e-3),),
        "standard": (Phase("paper", 200, 2e-3),),
        "final": (Phase("paper", 400, 2e-3),),
    },
}


def stops(light: Tensor) -> Tensor:
    """log₂ of scene-linear light, of which nothing is darker than ``DARKEST``."""
    return light.clamp_min(DARKEST).log2()


def luminance(light: Tensor) -> Tensor:
    """(N, 3, h, w) scene-linear to (N, 1, h, w)."""
    return (light * light.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)


def shoulder(light: Tensor) -> Tensor:
    """The tone curve of highlights: light up to about a third as it is, everything brighter below 1, any shape.

    d = light^(1/2.2), as eyes and displays count it, goes on from the knee as k + (1 − k)(1 − exp(−(d − k)/(1 − k))):
    rising, smooth, without a largest value that it takes in.
    """
    shown = light.clamp_min(1e-12) ** (1 / _TONE_POWER)
    over = ((shown - KNEE) / (1 - KNEE)).clamp_min(0)
    return torch.where(shown > KNEE, (KNEE - (1 - KNEE) * torch.expm1(-over)) ** _TONE_POWER, light)


def brightest(light: Tensor) -> float:
    """How bright the brightest surfaces of a picture (3, h, w), scene-linear, are.

    The luminance that a thousandth of the picture surpasses. Lamps, and the sun in a window, are bounded by what is
    bright besides them: a picture is lit for what they shine on.
    """
    levels = luminance(light[None]).flatten().sort().values
    top, bright = (float(levels[min(int(share * len(levels)), len(levels) - 1)]) for share in (_BRIGHTEST, _BRIGHT))
    return max(min(top, _LAMP * bright), DARKEST)


class RelightNets(nn.Module):
    """The nets of the task, γ, and what they need to be applied to a frame.

    Args:
        gamma: where γ starts, above 1; where it stays, if ``learned`` is false.
    """

    mean: Tensor
    spread: Tensor
    key: Tensor
    pivot: Tensor

    def __init__(self, gamma: float = GAMMA_START, *, learned: bool = True) -> None:
        super().__init__()
        self.rgb = UNet(3, 3)
        self.alpha = UNet(3 + FLOW_RGB_CHANNELS, 1)
        self.steep = nn.Parameter(torch.tensor(0.0), requires_grad=learned)
        self.set_gamma(gamma)
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("spread", torch.ones(3, 1, 1))
        self.register_buffer("key", torch.tensor(0.0))  # stops
        self.register_buffer("pivot", torch.tensor(0.0))  # stops

    @property
    def gamma(self) -> Tensor:
        """γ > 1."""
        return 1 / torch.sigmoid(_GAMMA_RATE * self.steep)

    @torch.no_grad()
    def set_gamma(self, gamma: float) -> None:
        """Let γ be ``gamma``, above 1."""
        self.steep.fill_(-math.log(gamma - 1) / _GAMMA_RATE)

    def standardise(self, images: Tensor) -> None:
        """Take mean and spread of the shot's colours (N, 3, h, w), in stops."""
        self.mean.copy_(images.mean((0, 2, 3))[:, None, None])
        self.spread.copy_(images.std((0, 2, 3)).clamp_min(0.1)[:, None, None])

    def relit(self, image: Tensor) -> Tensor:
        """R in stops (N, 3, h, w) of the plate (N, 3, h, w), in stops."""
        return image + self.key + self.spread * self.rgb((image - self.mean) / self.spread)

    def drawn(self, image: Tensor, flow_rgb: Tensor) -> Tensor:
        """What the α-Net draws, in stops (N, 1, h, w)."""
        return self.spread.mean() * self.alpha(torch.cat([(image - self.mean) / self.spread, flow_rgb], 1))

    def lighting(self, image: Tensor, flow_rgb: Tensor) -> Tensor:
        """The lighting b in stops (N, 1, h, w): means over what is around, and what the α-Net makes of them."""
        return _around(grey_stops(image)) + self.drawn(image, flow_rgb)

    def lit(self, lighting: Tensor) -> Tensor:
        """lit(b): where the lighting (any shape) is to be, in stops."""
        return lighting + self.key + FILL * (self.pivot - lighting)

    def log_gain(self, lighting: Tensor) -> Tensor:
        """log A in stops, the shape of ``lighting``."""
        return self.lit(lighting) - self.gamma * lighting


def grey_stops(image: Tensor) -> Tensor:
    """Stops of the luminance (N, 1, h, w) of a picture in stops (N, 3, h, w)."""
    return stops(luminance(torch.exp2(image)))


def _around(x: Tensor) -> Tensor:
    """Means over the surroundings of each pixel (N, 1, h, w)."""
    size = x.shape[-2:]
    coarse = (max(1, round(size[0] / _BASE)), max(1, round(size[1] / _BASE)))
    return interpolate(interpolate(x, size=coarse, mode="area"), size=size, mode="bilinear", align_corners=False)


def _steps(x: Tensor) -> tuple[Tensor, Tensor]:
    """First differences across and down."""
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def _contrast(x: Tensor) -> Tensor:
    """Mean step from pixel to pixel, in stops."""
    across, down = _steps(x)
    return across.abs().mean() + down.abs().mean()


class RelightObjective:
    """The objective of the task over key frames; see ``task.Objective`` for the part it plays.

    Args:
        hints: (T, 2, h, w): the lighting that the artist wants seen, 0 unlit to 1 well lit, and how far it is known.
        gamma_start: where γ starts, unless the settings lock it.
    """

    kept: tuple[str, ...] = ()

    def __init__(
        self,
        key_frames: KeyFrames,
        settings: Settings,
        features: Callable[[Tensor], list[Tensor]],
        *,
        highlights: float,
        hints: Tensor | None = None,
        features_name: str = "",
        gamma_start: float = GAMMA_START,
    ) -> None:
        self.nets = RelightNets(settings.gamma or gamma_start, learned=settings.gamma is None)
        self.phases = PHASES[settings.objective][settings.quality]
        self.state: dict[str, Tensor] = {}
        self._frames, self._features, self._seed = key_frames, features, settings.seed
        self._features_name = features_name
        self._image = stops(log_decode(key_frames.image))
        self._edges = losses.edge_weights(self._image)
        self.nets.standardise(self._image)
        grey = grey_stops(self._image)
        if settings.objective == "vdp":
            self.nets.key.fill_(min(max(math.log2(WHITE / highlights), 0.0), MOST_KEY))
            self.nets.pivot.fill_(float(grey.mean()))
        self._hints = None if hints is None else _hinted(hints[key_frames.places.cpu()].to(grey.device), grey)

    def to(self, device: torch.device) -> None:
        """Move the nets; the frames are on their device already."""
        self.nets.to(device)

    def facts(self) -> dict[str, Any]:
        """What the model file says of the fit."""
        return {
            "features": self._features_name,
            "key_frames": len(self._frames.places),
            "gamma": float(self.nets.gamma.detach()),
            "key": float(self.nets.key),
        }

    def parameters(self, phase: Phase) -> list[nn.Parameter]:
        """What the phase optimises."""
        return [one for one in self.nets.parameters() if one.requires_grad]

    def before_step(self, phase: Phase, step: int) -> None:
        """Nothing changes between steps."""

    @torch.no_grad()
    def after_phase(self, phase: Phase, frames: NetFrames) -> None:
        """Give γ the last step: to where its term is least over all key frames, not only those of the last batches."""
        if phase.name == "paper" or not self.nets.steep.requires_grad:
            return
        parts = range(0, len(self._image), 8)
        grey = grey_stops(self._image)
        lighting = torch.cat(
            [self.nets.lighting(self._image[i : i + 8], self._frames.flow_rgb[i : i + 8]) for i in parts]
        )
        self.nets.set_gamma(self._settled_gamma(grey, lighting))

    def loss(self, phase: Phase, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The objective on the step's batch, and its terms by name."""
        pairs = self._frames.batch(self._seed, step, min(_BATCH_PAIRS, len(self._frames.pairs)))
        frames = pairs[:, 0] if self._frames.count == 1 else torch.cat([pairs[:, 0], pairs[:, 1]])
        image, flow_rgb = self._image[frames], self._frames.flow_rgb[frames]
        relit = self.nets.relit(image)
        if phase.name == "paper":
            terms = self._paper_terms(pairs, image, relit, -self.nets.drawn(image, flow_rgb), self.nets.gamma)
            weights = PAPER
        else:
            lighting = self.nets.lighting(image, flow_rgb)
            # γ has its own term. In L_rec, R and A make up for any γ, and it would stay about where it started.
            gain = self.nets.lit(lighting) - self.nets.gamma.detach() * lighting
            terms = self._paper_terms(pairs, image, relit, gain, self.nets.gamma.detach())
            terms |= self._priors(pairs, frames, image, relit, lighting)
            weights = PAPER | PRIORS
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def _paper_terms(
        self, pairs: Tensor, image: Tensor, relit: Tensor, gain: Tensor, gamma: Tensor
    ) -> dict[str, Tensor]:
        """L_rec between log X and γ⁻¹ (log(1/A) + log R), and L_warp of R."""
        recomposed = (relit - gain) / gamma
        return {
            "rec": losses.reconstruction(recomposed / _STOPS, image / _STOPS, self._features),
            "warp": self._steadiness(pairs, relit) / _STOPS,
        }

    def _priors(
        self, pairs: Tensor, frames: Tensor, image: Tensor, relit: Tensor, lighting: Tensor
    ) -> dict[str, Tensor]:
        grey, grey_relit = grey_stops(image), grey_stops(relit)
        across, down = self._edges
        terms = {
            # R is lifted by the key, keeps the plate's colours, and keeps the order of its regions.
            "exposure": (grey_relit.mean() - (grey.mean() + self.nets.key)).abs(),
            "colour": ((relit - grey_relit) - (image - grey)).abs().mean(),
            "spatial": _order(grey_relit, grey),
            # The lighting is what the plate shows, smooth but for its edges, and moves with what it shines on.
            "smooth": losses.smoothness(lighting, across[frames], down[frames]),
            "steady": self._steadiness(pairs, lighting),
            "contrast": self._contrast_term(grey, lighting.detach()),
        }
        unknown = torch.ones_like(grey)
        if self._hints is not None:
            wanted, known = self._hints
            terms["hint"] = (known[frames] * (lighting - wanted[frames]).abs()).mean()
            unknown = 1 - known[frames]
        terms["light"] = (unknown * (lighting - grey).abs()).mean()
        return terms

    def _contrast_term(self, grey: Tensor, lighting: Tensor) -> Tensor:
        """How far R, as it is shown, is from giving back half of the contrast that it loses; depends on γ alone."""
        gamma = self.nets.gamma
        beyond = (gamma / MOST_GAMMA).log().clamp_min(0)
        return self._given_too_much(gamma, grey, lighting).square() + beyond.square()

    def _given_too_much(self, gamma: Tensor | float, grey: Tensor, lighting: Tensor) -> Tensor:
        """By how much the contrast that γ gives surpasses half of what tone and fill take; log of a ratio."""

        def shown(raised: Tensor | float) -> Tensor:
            relit = self.nets.lit(lighting) + raised * (grey - lighting)
            return _contrast(stops(shoulder(torch.exp2(relit)))).clamp_min(1e-3).log()

        plain = shown(1.0)
        lost = _contrast(grey).clamp_min(1e-3).log() - plain
        return shown(gamma) - plain - _GIVEN_BACK * lost

    def _settled_gamma(self, grey: Tensor, lighting: Tensor) -> float:
        """The γ that gives back what is wanted, by halving the interval that it may lie in."""
        low, high = LEAST_GAMMA, MOST_GAMMA
        for _ in range(20):
            middle = (low + high) / 2
            if float(self._given_too_much(middle, grey, lighting)) < 0:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    def _steadiness(self, pairs: Tensor, x: Tensor) -> Tensor:
        if self._frames.count == 1:
            return x.new_zeros(())
        first, second = x.chunk(2)
        here = pairs[:, 0]
        carried, inside = warp(second, self._frames.flow[here])
        return losses.warp(first, carried, (self._frames.trust[here] * inside)[:, None])


def _order(relit: Tensor, grey: Tensor) -> Tensor:
    """Spatial consistency: regions differ in R as they do in the plate (Guo et al., Zero-DCE, CVPR 2020)."""
    if min(grey.shape[-2:]) < 2 * _REGION:
        return grey.new_zeros(())
    ours, theirs = (_steps(avg_pool2d(x, _REGION)) for x in (relit, grey))
    return torch.stack([(a - b).abs().mean() for a, b in zip(ours, theirs, strict=True)]).sum()


def _hinted(hints: Tensor, grey: Tensor) -> tuple[Tensor, Tensor]:
    """The lighting in stops that hints (N, 2, h, w) ask for, and how far it is known, (N, 1, h, w) each.

    Their black and white are the darkest and the brightest of the shot's lighting.
    """
    levels = _around(grey).flatten().sort().values
    low, high = levels[int(0.02 * len(levels))], levels[int(0.98 * (len(levels) - 1))]
    return low + (high - low) * hints[:, :1], hints[:, 1:]
