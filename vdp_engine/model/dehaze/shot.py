"""The haze of a shot before there are nets: its airlight, and the transmission that dark channel and hint tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdp_engine.model.dehaze.airlight import Airlight, estimate_airlight, shot_airlight
from vdp_engine.model.dehaze.haze import (
    DISPLAY,
    LEAST,
    Array,
    believed,
    dark_channel_transmission,
    doubt,
    picture_exponent,
    relative,
    tempered,
    told_by,
    without_faint,
)
from vdp_engine.model.dehaze.veil import TERMS, airlight_over, estimate_veil, shot_veil, unevenness
from vdp_engine.model.frames import NetFrames
from vdp_engine.model.task import hint_positions
from vdp_engine.plate import log_decode
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

_LOOK = 3  # the dark channel is looked at in pictures so many times the net's size
_REACH = 6  # frames each way over which transmission is steadied along the flow
_MOST_ESTIMATES = 24  # frames of a shot that the airlight is estimated from
_LOOKED_AT = (32, 32)  # places at which the spread of a surface is taken
_MOST_APART = 2.0  # between the optical depths of two colours


@dataclass(frozen=True)
class Haze:
    """What is known of a shot's haze before there are nets.

    Attributes:
        airlight: float32 (T, 3), scene-linear.
        surface: float32 (T, TERMS, 3): how it changes over the picture, see ``veil.unevenness``.
        wanted, acted_on: float16 (T, h, w): the transmission that the dark channel or the hint tells, and what of it is
            believed, see ``haze.believed``; both steadied along the flow.
        depths: float32 (3,), optical depth of each colour in terms of their mean.
        exponent: of the light in which the equation holds.
    """

    airlight: Tensor
    surface: Tensor
    wanted: Tensor
    acted_on: Tensor
    depths: Tensor
    exponent: float

    def airlight_at(self, position: int, size: tuple[int, int]) -> Tensor:
        """A of a frame all over a picture of ``size`` (h, w): float32 (3, h, w), scene-linear."""
        over = airlight_over(self.airlight[position].numpy(), self.surface[position].numpy(), size)
        return torch.from_numpy(over).permute(2, 0, 1)


def shot_haze(shot: Shot, frames: NetFrames) -> Haze:
    """The haze of a shot: its airlight, and the transmission that dark channel and hint tell."""
    size = (_LOOK * frames.size[0], _LOOK * frames.size[1])
    positions = range(frames.count)
    exponent = picture_exponent(shot.plate.read(shot.frames[0]).pixels)

    def light(position: int) -> Array:
        picture = np.asarray(log_decode(frames.picture(position, size)).numpy().transpose(1, 2, 0), np.float32)
        return np.ascontiguousarray(picture)

    air = _airlight(shot.settings, light, frames.count)
    seen, depths, bright = [], [], []
    for position in positions:
        inside = relative(light(position), air.at(position, size), exponent)
        telling = told_by(air.colour[position])
        seen.append(_shrunk(dark_channel_transmission(inside[..., telling]), frames.size))
        bright.append(_shrunk_colours(inside, frames.size))
        if shot.settings.transmission == "rgb":
            own = [dark_channel_transmission(inside[..., c : c + 1]) for c in range(3)]
            depth = np.array([-np.log(np.maximum(one, 0.05)).mean() for one in own])
            # A colour that haze has not is the one that it swallows first.
            depths.append(np.where(telling, depth, _MOST_APART * depth[telling].mean()))
    told = _with_hint(shot, frames, np.stack(seen), np.stack(bright))
    level = float(np.exp(np.log(told).mean()))
    acted_on = believed(told, level, air.doubt, exponent)
    if shot.hints:
        acted_on = np.clip(told, LEAST, 1)  # the artist knows how far the haze goes
    return Haze(
        airlight=torch.from_numpy(air.colour),
        surface=torch.from_numpy(air.surface),
        wanted=_steadied(frames, told).half(),
        acted_on=_steadied(frames, acted_on).half(),
        depths=torch.from_numpy(_relative_depths(depths)),
        exponent=exponent,
    )


@dataclass(frozen=True)
class _Air:
    """The airlight of a shot, ``colour`` (T, 3) and ``surface`` (T, TERMS, 3), and c of ``haze.believed``."""

    colour: Array
    surface: Array
    doubt: float

    def at(self, position: int, size: tuple[int, int]) -> Array:
        """That of a frame, (h, w, 3)."""
        return airlight_over(self.colour[position], self.surface[position], size)


def _airlight(settings: Settings, light: Callable[[int], Array], count: int) -> _Air:
    """The airlight of every frame: that of the artist is the same all over the picture."""
    chosen = sorted({round(k) for k in np.linspace(0, count - 1, min(count, _MOST_ESTIMATES))})
    lights = [light(position) for position in chosen]
    estimates = [_estimate(one) for one in lights]
    if settings.airlight is not None:
        colour = np.tile(np.array(settings.airlight, np.float32), (count, 1))
    else:
        colour = without_faint(np.maximum(shot_airlight(estimates, chosen, count), np.float32(1e-4)))
    veils = [estimate_veil(one, colour[position]) for one, position in zip(lights, chosen, strict=True)]
    surface, dense = shot_veil(veils, [one.confidence for one in estimates], chosen, count)
    if settings.airlight is None:
        return _Air(colour, surface, doubt(dense, 0.0))
    missed = unevenness(surface[0] / np.float32(DISPLAY), _LOOKED_AT).mean(-1).std()
    return _Air(colour, np.zeros((count, TERMS, 3), np.float32), doubt(dense, float(missed)))


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
