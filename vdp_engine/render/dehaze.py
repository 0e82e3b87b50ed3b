"""The task ``dehaze`` as the stage ``render`` sees it: the haze of a frame undone at full plate resolution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vdp_engine.equations import RGB
from vdp_engine.machine import threads
from vdp_engine.model import Decomposition
from vdp_engine.model.dehaze.haze import LEAST, LINEAR, brightness, guided_model, relative, told_by
from vdp_engine.model.dehaze.model import NetDehaze
from vdp_engine.model.dehaze.veil import airlight_over
from vdp_engine.motion import MotionFrame, shot_motion, shot_sizes
from vdp_engine.motion.sizes import Size
from vdp_engine.plate import Frame, Window
from vdp_engine.plate.writer import HALF_MAX
from vdp_engine.render.bands import bands
from vdp_engine.render.denoise import NoiseLevel, measure_noise
from vdp_engine.render.nearby import Nearby, clean_rows, frames_nearby
from vdp_engine.render.plates import Plates
from vdp_engine.render.resize import enlarged, shrunk
from vdp_engine.render.task import Rendered, RenderTask, bytes_a_pixel
from vdp_engine.render.vectors import vector_channels
from vdp_engine.render.written import Plane, as_float, store, write_bands
from vdp_engine.settings import Machine
from vdp_engine.shot import Shot

Array = NDArray[np.float32]

# Peak per pixel while a frame is rendered and the one before it is written, besides their channels and the plates near
# by. With these a frame of 4096x2160 takes 1.4 GB; a run of it peaked at 1.9 GB, torch and the engine included.
_BYTES_A_PIXEL = 100
_BAND_PIXELS = 1 << 15
_MOST_NOISE = 0.5  # of a value: the residual makes up for it, and is rounded by 2⁻¹¹ of itself
_BLOWN_UP = 0.2  # of the light lost in haze, from which on noise is left out altogether
_SMALLEST_NORMAL = 2.0**-14
_AIR = 1e-4  # in terms of the airlight: what is nearer to it says nothing of the transmission


def undone(plate: Array, through: Array, airlight: Array, exponent: float) -> tuple[Array, Array]:
    """The clear picture, and the transmission with which X = T ⊙ J + (1 − T) ⊙ A in scene-linear light.

    Where haze adds up in another light than the scene's, the T of the three colours differ: a single T is the one that
    fits best (least squares), and what it cannot explain is no more than the plate's own value. What is brighter than
    the airlight cannot come from haze, and is amplified in linear light.

    Args:
        plate: (..., 3), scene-linear.
        through: (..., 1 or 3), transmission in the light of ``exponent``, above 0.
        airlight: (3,) or as the plate, scene-linear, above 0.

    Returns:
        J (..., 3), scene-linear, with the plate's sign, and T, as many channels as ``through``, 0 to 1. No haze is
        taken off beyond what a pixel shows, and J stays within what half can hold.
    """
    air = np.asarray(airlight, np.float32)
    light = relative(plate, air, exponent)
    dimmer, telling = light < 1 - _AIR, told_by(air)
    # Haze before a pixel is no brighter than the pixel.
    least = np.where(telling, 1 - light, 0)
    least = least if through.shape[-1] == 3 else least.max(-1, keepdims=True)
    through = np.asarray(np.clip(np.maximum(through, least), 0, 1), np.float32)
    seen = np.where(dimmer, np.maximum(1 - (1 - light) / through, 0), 1)
    clear = np.asarray(np.where(dimmer & (light >= 0), air * seen ** np.float32(exponent), plate), np.float32)
    linear = through if exponent == LINEAR else _linear(plate, clear, through, air, dimmer & telling)
    most = (plate - air) / (np.float32(HALF_MAX) - air)
    linear = np.maximum(linear, most if linear.shape[-1] == 3 else most.max(-1, keepdims=True))
    linear = np.minimum(linear, 1)
    return np.where(dimmer, clear, air + (plate - air) / linear), linear


def _linear(plate: Array, clear: Array, through: Array, air: Array, dimmer: NDArray[np.bool_]) -> Array:
    """T in linear light of pixels whose J is known; ``through`` where the plate is as bright as the airlight.

    Args:
        dimmer: (..., 3): where it is dimmer, in colours that tell of haze.
    """
    veiled = np.where(dimmer, air - plate, 0)
    whole = np.where(dimmer, air - clear, 0)
    least = np.where(dimmer, 1 - plate / air, 0)
    if through.shape[-1] == 3:
        return np.maximum(np.where(dimmer, veiled / np.where(dimmer, whole, 1), through), least)
    known = dimmer.any(-1, keepdims=True)
    squares = np.square(whole).sum(-1, keepdims=True)
    fitted = (veiled * whole).sum(-1, keepdims=True) / np.where(known, squares, 1)
    return np.where(known, np.maximum(fitted, least.max(-1, keepdims=True)), through)


@dataclass(frozen=True)
class _Material:
    """What the channels of one frame are made of.

    Attributes:
        plate: (H, W, 3), scene-linear.
        model: (sh, sw, 2K), slope and offset of each of K transmissions in the brightness of the plate.
        confidence: (h, w).
        airlight, surface: as in ``NetDehaze``.
        exponent, strength: as in ``NetDehaze`` and ``Settings``.
        kind: of the numbers in the file.
        nearby: frames before and after, and
        noise: of the plate, which is left in ``residual`` as far as 1 / T would blow it up.
    """

    plate: Array
    model: Array
    confidence: Array
    airlight: Array
    surface: Array
    exponent: float
    strength: float
    kind: type[np.floating[Any]]
    nearby: list[Nearby]
    noise: NoiseLevel

    def channels(self, rows: slice) -> dict[str, Array]:
        """Those rows of all channels but the residual, (rows, W) by name."""
        plate = self.plate[rows]
        size = (self.plate.shape[0], self.plate.shape[1])
        box = (rows, slice(0, size[1]))
        model = enlarged(self.model, size, box)
        # What is worked with is what the file will hold.
        air = np.clip(airlight_over(self.airlight, self.surface, size, rows), None, HALF_MAX)
        air = air.astype(self.kind).astype(np.float32)
        clean = _within_reach(clean_rows(self.plate, self.nearby, self.noise, rows), plate)
        seen = brightness(relative(clean, air, self.exponent))[..., None]
        half = model.shape[-1] // 2
        through = np.clip(model[..., :half] * seen + model[..., half:], LEAST, 1) ** np.float32(self.strength)
        # Where there is no haze, grain stays; where 1 / T would blow it up, it goes.
        held = plate + np.minimum((1 - through) / _BLOWN_UP, 1) * (clean - plate)
        clear, linear = undone(np.asarray(held, np.float32), through, air, self.exponent)
        channels = _planes("", plate)
        channels["A"] = channels["transmission.A"] = np.asarray(linear.mean(-1), np.float32)
        if half == 3:
            channels |= _planes("transmission.", linear)
        channels |= _planes("clear.", clear)
        channels |= _planes("airlight.", air)
        channels["confidence.A"] = enlarged(self.confidence, size, box)
        return channels


@dataclass(frozen=True)
class DehazeRenderer:
    """Renders frames of one shot.

    Attributes:
        model: the shot's.
        canvas: union of the shot's data windows, which nets and motion cover.
        working: (height, width) at which filter coefficients are worked out.
        read: a frame of the plate by position.
        bit_depth, strength: as in ``Settings``.
        motion: the motion of a frame by position.
        count: frames of the shot.
        vectors: as in ``Settings``.
        threads: how many to work in; their number changes no pixel.
    """

    model: Decomposition[NetDehaze]
    canvas: Window
    working: Size
    read: Callable[[int], Frame]
    bit_depth: Literal["half", "float"]
    strength: float
    motion: Callable[[int], MotionFrame]
    count: int
    vectors: bool = False
    threads: int = 1

    def render(self, position: int) -> Rendered:
        """All channels of the frame at ``position``, scene-linear."""
        net, frame = self.model.at(position), self.read(position)
        motion = self.motion(position) if self.vectors or self.count > 1 else None
        nearby = frames_nearby(position, motion, self.read, self.canvas)
        material = self._material(frame.on(self.canvas), net, nearby, measure_noise(frame.pixels))
        vectors = vector_channels(motion, self.canvas.shape) if self.vectors and motion is not None else {}
        rows, _ = frame.header.data_window.slices_in(self.canvas)

        def channels(band: slice) -> dict[str, Array]:
            return material.channels(band) | {name: plane[band] for name, plane in vectors.items()}

        with ThreadPoolExecutor(self.threads, "vdp-render") as pool:
            written = write_bands(
                frame, self.canvas, channel_names(len(net.transmission) == 3, vectors), self.bit_depth,
                bands(rows, self.canvas.width, _BAND_PIXELS, least=8), channels, _add_residual, pool,
            )  # fmt: skip
        told = {"vdp/strength": self.strength, "vdp/exponent": net.exponent}
        return Rendered(written.channels, written.clamped, written.holes, told)

    def _material(self, plate: Array, net: NetDehaze, nearby: list[Nearby], noise: NoiseLevel) -> _Material:
        airlight, surface = net.airlight.numpy(), net.surface.numpy()
        there = airlight_over(airlight, surface, self.working)
        guide = brightness(relative(shrunk(plate, self.working), there, net.exponent))
        models = [guided_model(guide, enlarged(one, self.working)) for one in net.transmission.numpy()]
        slopes, offsets = zip(*models, strict=True)
        model = np.stack([*slopes, *offsets], -1)
        kind = np.float16 if self.bit_depth == "half" else np.float32
        return _Material(
            plate, model, net.confidence.numpy(), airlight, surface, net.exponent, self.strength, kind, nearby, noise
        )  # fmt: skip


def channel_names(by_colour: bool, more: Iterable[str] = ()) -> list[str]:
    """What is written of a frame; ``more`` go before the residual."""
    names = [*RGB, "A", *(f"clear.{c}" for c in RGB), *(f"airlight.{c}" for c in RGB)]
    names += [f"transmission.{c}" for c in RGB] if by_colour else []
    return [*names, "transmission.A", "confidence.A", *more, *(f"residual.{c}" for c in RGB)]


def _within_reach(clean: Array, plate: Array) -> Array:
    """``clean``, and ``plate`` at pixels whose noise is about as large as they are."""
    near = np.abs(clean - plate) <= _MOST_NOISE * np.maximum(np.abs(plate), np.float32(_SMALLEST_NORMAL))
    return np.where(near.all(-1, keepdims=True), np.clip(clean, -HALF_MAX, HALF_MAX), plate)


def _planes(prefix: str, picture: Array) -> dict[str, Array]:
    return {prefix + c: np.ascontiguousarray(picture[..., i]) for i, c in enumerate(RGB)}


def _add_residual(written: Mapping[str, Plane]) -> None:
    for c in RGB:
        through = as_float(written[f"transmission.{c}" if "transmission.R" in written else "transmission.A"])
        haze = (1 - through) * as_float(written[f"airlight.{c}"])
        mixed = through * as_float(written[f"clear.{c}"]) + haze
        store(as_float(written[c]) - mixed, written[f"residual.{c}"])


def _renderer(shot: Shot, model: Decomposition[Any], plates: Plates, machine: Machine) -> DehazeRenderer:
    return DehazeRenderer(
        model=model,
        canvas=shot.plate.canvas,
        working=shot_sizes(shot).flow,
        read=plates.at,
        bit_depth=shot.settings.bit_depth,
        strength=shot.settings.strength,
        motion=partial(shot_motion, shot),
        count=len(shot.frames),
        vectors=shot.settings.vectors,
        threads=threads(machine),
    )


def _bytes_a_pixel(shot: Shot, model: Decomposition[Any] | None) -> int:
    return bytes_a_pixel(shot.settings, _BYTES_A_PIXEL, len(channel_names(shot.settings.transmission == "rgb")))


TASK = RenderTask(_renderer, _bytes_a_pixel, plates=3, most_plates=4)
