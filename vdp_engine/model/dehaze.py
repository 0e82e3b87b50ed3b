"""The task ``dehaze``: X_t = T_t ⊙ J_t + (1 − T_t) ⊙ A_t (Shrivastava et al., 2024, section on dehazing).

Nets: an α-Net, which sees the plate, the flow-RGB and what the dark channel says, and gives T; an RGB-Net, which
sees the plate and gives J. A is estimated beforehand and held, as in the paper, or given by the artist.

Objective ``vdp``: L_rec + L_warp and the priors without which T = 1 and J = X is a perfect answer: T held to the dark
channel as soft evidence (``haze``), which is gathered along the flow, and its edges to those of the picture. Objective
``paper``: L_rec and L_warp alone, nets that see nothing but plate and flow-RGB.

The equation is taken to hold in X^(1/g), g = 1 for scene-linear plates, see ``haze.picture_exponent``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vdp_engine.model import losses
from vdp_engine.model.airlight import Airlight, estimate_airlight, shot_airlight
from vdp_engine.model.features import perceptual
from vdp_engine.model.frames import NetFrames
from vdp_engine.model.haze import (
    LEAST,
    Array,
    believed,
    brightness,
    dark_channel_transmission,
    picture_exponent,
    relative,
    tempered,
)
from vdp_engine.model.store import Stored
from vdp_engine.model.task import Decomposition, Phase, TaskModel, hint_positions
from vdp_engine.model.training import KeyFrames
from vdp_engine.model.unet import UNet
from vdp_engine.motion import warp
from vdp_engine.motion.flow_rgb import CHANNELS as FLOW_RGB_CHANNELS
from vdp_engine.plate import log_decode, log_encode
from vdp_engine.settings import Quality, Settings
from vdp_engine.shot import Shot

_BATCH_PAIRS = 2
_LOOK = 3  # the dark channel is looked at in pictures so many times the net's size
_REACH = 6  # frames each way over which transmission is steadied along the flow
_MOST_ESTIMATES = 24  # frames of a shot that the airlight is estimated from
_MOST_APART = 2.0  # between the optical depths of two colours

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


@dataclass(frozen=True)
class NetDehaze:
    """What the nets say of one frame, at net size; float32 on the CPU.

    Attributes:
        transmission: (1 or 3, h, w), ``LEAST`` to 1, in the light of ``exponent``.
        clear: (3, h, w), J of the RGB-Net, log-encoded.
        airlight: (3,), scene-linear.
        confidence: (h, w), 0 to 1.
        exponent: of the light in which the equation holds.
    """

    transmission: Tensor
    clear: Tensor
    airlight: Tensor
    confidence: Tensor
    exponent: float


@dataclass(frozen=True)
class Haze:
    """What is known of a shot's haze before there are nets.

    Attributes:
        airlight: float32 (T, 3), scene-linear.
        wanted, acted_on: float16 (T, h, w): the transmission that the dark channel or the hint tells, and what of it is
            believed, see ``haze.believed``; both steadied along the flow.
        depths: float32 (3,), optical depth of each colour in terms of their mean.
        exponent: of the light in which the equation holds.
    """

    airlight: Tensor
    wanted: Tensor
    acted_on: Tensor
    depths: Tensor
    exponent: float


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
        airlight: (N, 3, 1, 1), scene-linear.
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
        self.state: dict[str, Tensor] = {
            "airlight": haze.airlight,
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
        airlight = self.state["airlight"][places][..., None, None]
        mixed = hazed(clear, through, airlight, self._exponent)
        terms = {"rec": losses.reconstruction(mixed, plate, self._features)}
        terms["warp"] = torch.zeros_like(terms["rec"]) if single else self._warp(pairs, through, clear)
        weights = PAPER
        if self._objective == "vdp":
            weights = WEIGHTS
            # In optical depth: a tenth more or less haze counts alike near and far.
            terms["dark"] = (through.log() - dark.log()).abs().mean()
            terms["edges"] = losses.smoothness(through, *losses.edge_weights(plate))
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def _warp(self, pairs: Tensor, through: Tensor, clear: Tensor) -> Tensor:
        """L_warp of both, along the optical flow."""
        flow, trust = self._training.flow[pairs[:, 0]], self._training.trust[pairs[:, 0]]
        first, second = torch.cat([through, clear], 1).chunk(2)
        carried, inside = warp(second, flow)
        return losses.warp(first, carried, (inside * trust)[:, None])


@torch.no_grad()
def apply_dehaze(
    nets: DehazeNets, kept: Mapping[str, Tensor], facts: Mapping[str, Any], frames: NetFrames, at: int
) -> NetDehaze:
    """T, J and A of the frame at a position of the shot, at net size.

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
    return NetDehaze(channels, nets.clear(image)[0].cpu(), kept["airlight"][at], confidence, float(facts["exponent"]))


def shot_haze(shot: Shot, frames: NetFrames) -> Haze:
    """The haze of a shot: its airlight, and the transmission that dark channel and hint tell."""
    size = (_LOOK * frames.size[0], _LOOK * frames.size[1])
    positions = range(frames.count)
    exponent = picture_exponent(shot.plate.read(shot.frames[0]).pixels)

    def light(position: int) -> Array:
        picture = np.asarray(log_decode(frames.picture(position, size)).numpy().transpose(1, 2, 0), np.float32)
        return np.ascontiguousarray(picture)

    airlight = _airlight(shot.settings, light, frames.count)
    seen, depths, contrast, bright = [], [], [], []
    for position in positions:
        inside = relative(light(position), airlight[position], exponent)
        seen.append(_shrunk(dark_channel_transmission(inside), frames.size))
        bright.append(_shrunk_colours(inside, frames.size))
        contrast.append(float(brightness(inside).std()))
        if shot.settings.transmission == "rgb":
            own = [dark_channel_transmission(inside[..., c : c + 1]) for c in range(3)]
            depths.append(np.array([-np.log(np.maximum(one, 0.05)).mean() for one in own]))
    told = _with_hint(shot, frames, np.stack(seen), np.stack(bright))
    level = float(np.exp(np.log(told).mean()))
    acted_on = believed(told, level, float(np.median(contrast)), exponent)
    if shot.hints:
        acted_on = np.clip(told, LEAST, 1)  # the artist knows how far the haze goes
    return Haze(
        airlight=torch.from_numpy(airlight),
        wanted=_steadied(frames, told).half(),
        acted_on=_steadied(frames, acted_on).half(),
        depths=torch.from_numpy(_relative_depths(depths)),
        exponent=exponent,
    )


def _airlight(settings: Settings, light: Callable[[int], Array], count: int) -> Array:
    """The airlight of every frame, (count, 3)."""
    if settings.airlight is not None:
        return np.tile(np.array(settings.airlight, np.float32), (count, 1))
    chosen = sorted({round(k) for k in np.linspace(0, count - 1, min(count, _MOST_ESTIMATES))})
    estimates = [_estimate(light(position)) for position in chosen]
    found = shot_airlight(estimates, chosen, count)
    return np.maximum(found, np.float32(1e-4))


def _estimate(light: Array) -> Airlight:
    return tempered(estimate_airlight(light), light)


def _relative_depths(depths: Sequence[np.ndarray]) -> Array:
    """How much faster each colour is lost than all three on average, (3,)."""
    if not depths:
        return np.ones(3, np.float32)
    mean = np.mean(depths, 0)
    return np.asarray(np.clip(mean / max(mean.mean(), 1e-6), 1 / _MOST_APART, _MOST_APART), np.float32)


def _with_hint(shot: Shot, frames: NetFrames, seen: Array, bright: Array) -> Array:
    """Transmission (T, h, w), the artist's where there is a hint, and corrected likewise in all other frames.

    What the hint says against the dark channel, in optical depth, is carried over as a function of colour and place in
    the picture: what is sky in one frame is sky in the others.

    Args:
        seen: (T, h, w), transmission of the dark channel.
        bright: (T, h, w, 3), light in terms of the airlight.
    """
    if not shot.hints:
        return seen
    hint = shot.hints[0]
    told = {
        at: hint.read_map(frame, shot.plate.canvas, frames.size) for at, frame in hint_positions(shot, hint).items()
    }
    wanted = np.log(seen)
    correction = _Correction.of(wanted, bright, told)
    result = wanted + correction.at(wanted, bright)
    for position, (value, share) in told.items():
        said = np.log(np.maximum(value, LEAST))
        result[position] = share * said + (1 - share) * result[position]
    return np.asarray(np.clip(np.exp(result), LEAST / 4, 1), np.float32)


@dataclass(frozen=True)
class _Correction:
    """How much more or less log T is than the dark channel says, linear in colour, place and what it says."""

    weights: np.ndarray

    @classmethod
    def of(cls, wanted: Array, bright: Array, told: Mapping[int, np.ndarray]) -> _Correction:
        rows, values, counts = [], [], []
        for position, (value, share) in told.items():
            rows.append(_features(wanted[position], bright[position]))
            values.append((np.log(np.maximum(value, LEAST)) - wanted[position]).ravel())
            counts.append(share.ravel())
        x, y, weight = np.concatenate(rows), np.concatenate(values), np.concatenate(counts)
        moments = x.T @ (x * weight[:, None])
        ridge = 0.01 * max(float(weight.sum()), 1.0) * np.eye(x.shape[1])
        return cls(np.linalg.solve(moments + ridge, x.T @ (y * weight)))

    def at(self, wanted: Array, bright: Array) -> Array:
        flat = [_features(one, colours) @ self.weights for one, colours in zip(wanted, bright, strict=True)]
        return np.asarray(np.stack(flat).reshape(wanted.shape), np.float32)


def _features(wanted: Array, bright: Array) -> np.ndarray:
    height, width = wanted.shape
    y, x = np.mgrid[:height, :width] / max(height, width) - 0.5
    colours = np.clip(bright, 0, 2)
    planes = [np.ones_like(wanted), wanted, *np.moveaxis(colours, -1, 0), colours.std(-1), y, y * y, x, x * x]
    return np.stack([plane.ravel() for plane in planes], -1).astype(np.float64)


def _steadied(frames: NetFrames, transmission: Array) -> Tensor:
    """Mean over neighbouring frames along the flow, (T, h, w)."""
    maps = torch.from_numpy(transmission)
    return torch.stack([frames.gathered(at, lambda other: maps[other], _REACH) for at in range(frames.count)])


def _shrunk(plane: Array, size: tuple[int, int]) -> Array:
    return np.asarray(
        torch.nn.functional.interpolate(torch.from_numpy(plane)[None, None], size=size, mode="area")[0, 0].numpy()
    )


def _shrunk_colours(picture: Array, size: tuple[int, int]) -> Array:
    return np.stack([_shrunk(np.ascontiguousarray(picture[..., c]), size) for c in range(3)], -1)


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
