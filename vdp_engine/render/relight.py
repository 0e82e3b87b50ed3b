"""The task ``relight`` as the stage ``render`` sees it: R, A and the noise of every frame at full size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vdp_engine.equations import RGB, recompose_relight
from vdp_engine.machine import threads
from vdp_engine.model import Decomposition
from vdp_engine.model.relight.model import NetRelight, RelightDecomposition
from vdp_engine.motion import MotionFrame, shot_motion, shot_sizes
from vdp_engine.motion.sizes import Size
from vdp_engine.plate import Frame, Window
from vdp_engine.plate.writer import HALF_MAX
from vdp_engine.render.bands import bands
from vdp_engine.render.denoise import NoiseLevel, measure_noise
from vdp_engine.render.lighting import Controls, Lighting, relight, stops
from vdp_engine.render.nearby import Nearby, clean_rows, frames_nearby
from vdp_engine.render.plates import Plates
from vdp_engine.render.resize import enlarged
from vdp_engine.render.task import Rendered, RenderTask, bytes_a_pixel
from vdp_engine.render.vectors import vector_channels
from vdp_engine.render.written import Plane, as_float, store, write_bands
from vdp_engine.settings import Machine
from vdp_engine.shot import Shot

Array = NDArray[np.float32]

# Measured peak per pixel while a frame is rendered and the one before it is written, besides their channels.
_BYTES_A_PIXEL = 100
_BAND_PIXELS = 1 << 15
# The residual makes up for rounding by 2⁻¹¹ and is itself rounded by as much: together 2⁻²² of what is added up, and
# 2⁻⁹ of the plate, or of half's smallest normal number, are allowed.
_MOST_NOISE = 2.0**12
_SMALLEST_NORMAL = 2.0**-14
_SURE = 3.0  # times its noise, at which light is half trusted

CHANNELS = (
    *RGB, "A", *(f"{layer}.{c}" for layer in ("relit", "gain", "noise") for c in RGB), "confidence.A",
    *(f"residual.{c}" for c in RGB),
)  # fmt: skip


@dataclass(frozen=True)
class RelightRenderer:
    """Renders frames of one shot.

    Attributes:
        canvas: union of the shot's data windows, which nets and motion cover.
        working: (height, width) at which the lighting is brought to follow the plate's edges.
        model: what the nets say of the frame at a position.
        read: a frame of the plate by position.
        motion: the motion of a frame by position.
        count: frames of the shot.
        controls: the artist's.
        bit_depth, vectors: as in ``Settings``.
        threads: how many to work in; their number changes no pixel.
    """

    canvas: Window
    working: Size
    model: Callable[[int], NetRelight]
    read: Callable[[int], Frame]
    motion: Callable[[int], MotionFrame]
    count: int
    controls: Controls
    bit_depth: Literal["half", "float"]
    vectors: bool = False
    threads: int = 1

    def render(self, position: int) -> Rendered:
        """All channels of the frame at ``position``, scene-linear."""
        net, frame = self.model(position), self.read(position)
        plate = frame.on(self.canvas)
        motion = self.motion(position) if self.vectors or self.count > 1 else None
        work = _Work(
            plate=plate,
            nearby=frames_nearby(position, motion, self.read, self.canvas),
            noise=measure_noise(frame.pixels),
            lighting=Lighting.of(net, plate, self.working),
            net=net,
            controls=self.controls,
        )
        vectors = vector_channels(motion, self.canvas.shape) if self.vectors and motion is not None else {}
        rows, _ = frame.header.data_window.slices_in(self.canvas)

        def channels(band: slice) -> dict[str, Array]:
            return work.channels(band) | {name: plane[band] for name, plane in vectors.items()}

        with ThreadPoolExecutor(self.threads, "vdp-render") as pool:
            written = write_bands(
                frame, self.canvas, [*CHANNELS[:-3], *vectors, *CHANNELS[-3:]], self.bit_depth,
                bands(rows, self.canvas.width, _BAND_PIXELS, least=8), channels,
                partial(_add_residual, gamma=work.gamma), pool,
            )  # fmt: skip
        return Rendered(written.channels, written.clamped, written.holes, {"vdp/gamma": float(work.gamma)})


@dataclass(frozen=True)
class _Work:
    """What the channels of one frame are made of; pictures cover the canvas."""

    plate: Array
    nearby: list[Nearby]
    noise: NoiseLevel
    lighting: Lighting
    net: NetRelight
    controls: Controls

    @property
    def gamma(self) -> float:
        """γ at the strength that is asked for."""
        return float(np.float32(1 + self.controls.strength * (self.net.gamma - 1)))

    def channels(self, band: slice) -> dict[str, Array]:
        """All but the residual of some rows, (rows, W) by name."""
        height, width = self.plate.shape[:2]
        plate = self.plate[band]
        held = np.clip(plate, -HALF_MAX, HALF_MAX)
        clean = _within_reach(clean_rows(self.plate, self.nearby, self.noise, band), held)
        bright = stops(clean)
        lighting = self.lighting.at(bright, (height, width), (band, slice(0, width)))
        relit, gain, _ = relight(clean, lighting, self.net, self.controls)
        channels = {"A": np.ones(bright.shape, np.float32), "confidence.A": self._confidence(bright, band)}
        for layer, picture in {"": plate, "relit": relit, "gain": gain, "noise": held - clean}.items():
            prefix = f"{layer}." if layer else ""
            channels |= {prefix + c: picture[..., index] for index, c in enumerate(RGB)}
        return channels

    def _confidence(self, bright: Array, band: slice) -> Array:
        """How far the light of some rows stands above its noise, 0 to 1."""
        height, width = self.plate.shape[:2]
        known = enlarged(self.net.confidence.numpy(), (height, width), (band, slice(0, width)))
        root = np.exp2(bright / 2)
        # √light has half the relative noise that light has.
        ratio = np.square(root / (2 * _SURE * self.noise.of(root)))
        return np.asarray(known * ratio / (1 + ratio), np.float32)


def _within_reach(clean: Array, plate: Array) -> Array:
    """``clean``, and ``plate`` at pixels whose noise dwarfs what is left: half is too coarse to add up to it."""
    bounds = np.float32(_MOST_NOISE) * np.maximum(np.abs(plate), np.float32(_SMALLEST_NORMAL))
    return np.where((np.abs(clean) <= bounds).all(-1, keepdims=True), np.clip(clean, -HALF_MAX, HALF_MAX), plate)


def _add_residual(written: Mapping[str, Plane], gamma: float) -> None:
    held = {name: as_float(plane) for name, plane in written.items() if not name.startswith("residual.")}
    nothing = np.zeros(held["R"].shape, np.float32)
    recomposed = recompose_relight(held | {f"residual.{c}": nothing for c in RGB}, gamma=gamma)
    for index, c in enumerate(RGB):
        store(held[c] - recomposed[..., index], written[f"residual.{c}"])


def _renderer(shot: Shot, model: Decomposition[Any], plates: Plates, machine: Machine) -> RelightRenderer:
    assert isinstance(model, RelightDecomposition)
    settings = shot.settings
    return RelightRenderer(
        canvas=shot.plate.canvas,
        working=shot_sizes(shot).motion,
        model=model.at,
        read=plates.at,
        motion=partial(shot_motion, shot),
        count=len(shot.frames),
        controls=Controls(settings.strength, settings.exposure, settings.key_fill, settings.protect),
        bit_depth=settings.bit_depth,
        vectors=settings.vectors,
        threads=threads(machine),
    )


def _bytes_a_pixel(shot: Shot, model: Decomposition[Any] | None) -> int:
    return bytes_a_pixel(shot.settings, _BYTES_A_PIXEL, len(CHANNELS))


TASK = RenderTask(_renderer, _bytes_a_pixel, plates=3, most_plates=4)
