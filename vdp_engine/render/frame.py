"""One frame of layers at full plate resolution: a function of the model, the plate and the motion around it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vdp_engine.equations import RGB, layer_names
from vdp_engine.model import NetLayers
from vdp_engine.model.layers.appearance import fill
from vdp_engine.motion import MotionFrame
from vdp_engine.motion.proxy import encoded
from vdp_engine.motion.sizes import Size
from vdp_engine.plate import Frame, Window
from vdp_engine.render.bands import Material, View, bands
from vdp_engine.render.clean import Background, Fetched, Source, assemble, continued, resample, tone, within
from vdp_engine.render.refine import refine
from vdp_engine.render.resize import enlarged, pixels, shrunk
from vdp_engine.render.split import residual
from vdp_engine.render.task import Rendered
from vdp_engine.render.vectors import vector_channels
from vdp_engine.render.written import Plane, as_float, store, write_bands

Array = NDArray[np.float32]

_CORE = 0.98
_CLEAR = 0.9


@dataclass(frozen=True)
class FrameRenderer:
    """Renders frames of one shot.

    Attributes:
        canvas: union of the shot's data windows, which nets and motion cover.
        working: (height, width) at which filter coefficients, filled colours and flow are worked out.
        background: where each frame's background is seen in others.
        read: a frame of the plate by position.
        bit_depth, alpha: as in ``Settings``.
        motion: the motion of a frame by position, to write it as vectors; ``None``: no vectors.
        threads: how many to work in; their number changes no pixel.
    """

    canvas: Window
    working: Size
    background: Background
    read: Callable[[int], Frame]
    bit_depth: Literal["half", "float"]
    alpha: Literal["premultiplied", "straight"]
    motion: Callable[[int], MotionFrame] | None = None
    threads: int = 1

    def render(self, position: int, net: NetLayers) -> Rendered:
        """All channels of the frame at ``position``, scene-linear."""
        frame = self.read(position)
        with ThreadPoolExecutor(self.threads, "vdp-render") as pool:
            material = self._material(position, frame.on(self.canvas), net)
            vectors = {} if self.motion is None else vector_channels(self.motion(position), self.canvas.shape)
            return self._file(frame, material, vectors, pool)

    def _material(self, position: int, plate: Array, net: NetLayers) -> Material:
        small = self._small(plate)
        foreground = refine(net.mattes[1:].numpy(), shrunk(plate, self.working), plate)
        hole = _hole(foreground)
        views, behind = self._views(position, small, hole)
        return Material(
            plate=plate,
            foreground=foreground,
            hole=hole,
            colours=[behind, *self._completed(net, small, foreground)],
            views=views,
            confidence=net.confidence.numpy(),
            straight=self.alpha == "straight",
        )

    def _small(self, plate: Array) -> Array:
        return encoded(shrunk(plate, self.working))

    def _completed(self, net: NetLayers, small: Array, foreground: Array) -> list[Array]:
        """Each foreground layer's colour everywhere, log-encoded at working size.

        It is the RGB-Net's, with the plate's own detail carried on from where the layer is seen.
        """
        mattes = [shrunk(matte, self.working) for matte in foreground]
        completed = []
        for colour, matte in zip(net.colours[1:].numpy(), mattes, strict=True):
            base = enlarged(np.ascontiguousarray(colour.transpose(1, 2, 0)), self.working)
            detail = fill(
                torch.from_numpy(np.ascontiguousarray((small - base).transpose(2, 0, 1)))[None],
                torch.from_numpy((matte > _CORE).astype(np.float32))[None, None],
            )[0]
            completed.append(base + detail.numpy().transpose(1, 2, 0))
        return completed

    def _views(self, position: int, small: Array, hole: Array) -> tuple[list[View], Array]:
        """What other frames show of the hole; and the background at working size, log-encoded, continued from it."""
        background = shrunk((hole < 1e-3).astype(np.float32), self.working)
        if not hole.any():
            return [], small
        sources = self.background.sources(position, shrunk(hole, self.background.size))
        views, found = [], []
        for source in sources:
            view, seen = self._view(source, small, background, abs(source.position - position) ** -0.5)
            views.append(view)
            found.append(seen)
        fetched, shown = assemble(1 - background, found)
        picture = np.where((background > shown)[..., None], small, fetched)
        return views, continued(picture, np.maximum(background, shown))

    def _view(self, source: Source, small: Array, background: Array, weight: float) -> tuple[View, Fetched]:
        """A view of full size, and what it shows at working size."""
        light = self.read(source.position).on(self.canvas)
        way = self.background.way(source, self.working)
        shows = enlarged(source.shows, self.working) * within(way, self.working)
        carried = resample(self._small(light), way)
        change = tone(small, carried, (background * shows > _CLEAR).astype(np.float32))
        seen = carried + enlarged(change, self.working)
        return View(light, way - pixels(self.working), source.shows, change, weight), (lambda: seen, shows, weight)

    def _file(
        self, frame: Frame, material: Material, vectors: Mapping[str, Array], pool: ThreadPoolExecutor
    ) -> Rendered:
        """The channels over the frame's data window as the file will hold them, worked out band by band."""
        rows, _ = frame.header.data_window.slices_in(self.canvas)
        names = channel_names(1 + len(material.foreground), vectors)
        invented: dict[int, float] = {}

        def channels(band: slice) -> dict[str, Array]:
            made, invented[band.start] = material.channels(band)
            return made | {name: plane[band] for name, plane in vectors.items()}

        layers = layer_names(1 + len(material.foreground))
        written = write_bands(
            frame, self.canvas, names, self.bit_depth, bands(rows, self.canvas.width), channels,
            partial(self._add_residual, layers), pool,
        )  # fmt: skip
        area = float(np.sum(material.hole[rows], dtype=np.float64))
        told = {
            "vdp/alpha": self.alpha,
            "vdp/layers": len(layers),
            # Share of the background's hole that no frame shows.
            "vdp/invented": sum(invented[top] for top in sorted(invented)) / max(area, 1e-6),
        }
        return Rendered(written.channels, written.clamped, written.holes, told)

    def _add_residual(self, layers: Sequence[str], written: Mapping[str, Plane]) -> None:
        for c in RGB:
            parts = [self._weighed(written, layer, c) for layer in layers]
            store(residual(as_float(written[c]), parts), written[f"residual.{c}"])

    def _weighed(self, written: Mapping[str, Plane], layer: str, c: str) -> Array:
        part = as_float(written[f"{layer}.{c}"])
        return part * as_float(written[f"{layer}.A"]) if self.alpha == "straight" else part


def _hole(foreground: Array) -> Array:
    """Where the plate shows more than its background, (H, W), 0 to 1.

    Wider than the mattes: their last percent of opacity still tints the plate, and the ends of hairs that they miss
    would stand around the hole. It fades out where the background surely shows.
    """
    covered = foreground.sum(0) if len(foreground) > 1 else foreground[0]
    radius = max(1, round(covered.shape[0] / 120))
    wide, fade = (np.ones((2 * reach + 1, 2 * reach + 1), np.uint8) for reach in (2 * radius, radius))
    hole = np.asarray(cv2.dilate(covered, wide), np.float32)
    return np.asarray(cv2.blur(np.minimum(hole * 4, 1), fade.shape), np.float32)


def channel_names(layers: int, more: Iterable[str] = ()) -> list[str]:
    """What is written of a frame of so many layers, the background included; ``more`` go before the residual."""
    names = [*RGB, "A"]
    names += [f"{layer}.{c}" for layer in layer_names(layers) for c in (*RGB, "A")]
    return [*names, *(f"clean.{c}" for c in RGB), "confidence.A", *more, *(f"residual.{c}" for c in RGB)]
