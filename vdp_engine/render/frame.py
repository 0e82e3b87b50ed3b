"""One frame of layers at full plate resolution: a function of the model, the plate and the motion around it alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vdp_engine.equations import RGB, layer_names
from vdp_engine.model import NetLayers
from vdp_engine.model.appearance import fill
from vdp_engine.motion.sizes import Size
from vdp_engine.plate import Frame, Window, log_decode, log_encode, to_half
from vdp_engine.render.clean import Background, Source, assemble, correct, resample
from vdp_engine.render.refine import refine
from vdp_engine.render.split import balance, explain, residual

Array = NDArray[np.float32]

_SOLID = 1e-3  # less opacity than this has no colour of its own
_CORE = 0.98
_FOLD = 1024


@dataclass(frozen=True)
class Rendered:
    """The channels of a frame over the plate's data window, as they go to the file, and what was noticed.

    Attributes:
        channels: (H, W) by EXR channel name, float16 or float32.
        clamped: values that half could not hold.
        holes: pixels of the plate that were NaN or Inf.
        invented: share of the background's hole that no frame of the shot shows.
    """

    channels: dict[str, NDArray[np.generic]]
    clamped: int
    holes: int
    invented: float


@dataclass(frozen=True)
class FrameRenderer:
    """Renders frames of one shot.

    Attributes:
        canvas: union of the shot's data windows, which nets and motion cover.
        working: (height, width) at which filter coefficients, filled colours and flow are worked out.
        background: where each frame's background is seen in others.
        read: a frame of the plate by position.
        bit_depth, alpha: as in ``Settings``.
    """

    canvas: Window
    working: Size
    background: Background
    read: Callable[[int], Frame]
    bit_depth: Literal["half", "float"]
    alpha: Literal["premultiplied", "straight"]

    def render(self, position: int, net: NetLayers) -> Rendered:
        """All channels of the frame at ``position``, scene-linear."""
        frame = self.read(position)
        plate = frame.on(self.canvas)
        encoded = encode(plate)
        small = self._small(plate)
        foreground = refine(net.mattes[1:].numpy(), small, encoded)
        del encoded
        mattes = np.concatenate([1 - foreground.sum(0, keepdims=True), foreground])

        colours = self._completed(net, small, mattes)
        clean, invented = self._clean(position, plate, small, mattes, colours[0])
        channels = {name: plate[..., index] for index, name in enumerate(RGB)}
        channels["A"] = 1 - mattes[0]
        channels |= self._layers(plate, mattes, clean, colours)
        channels |= {f"clean.{name}": clean[..., index] for index, name in enumerate(RGB)}
        confidence = _enlarged(net.confidence.numpy(), plate.shape[:2])
        if frame.holes is not None:
            confidence = np.array(confidence)
            confidence[frame.header.data_window.slices_in(self.canvas)][frame.holes] = 0
        channels["confidence.A"] = confidence
        return self._file(frame, channels, invented)

    def _small(self, plate: Array) -> Array:
        return log_encode(_shrunk(plate, self.working))

    def _completed(self, net: NetLayers, small: Array, mattes: Array) -> list[Array]:
        """Each layer's colour everywhere, log-encoded at working size.

        It is the RGB-Net's, with the plate's own detail carried on from where the layer is seen.
        """
        completed = []
        for index, colour in enumerate(net.colours.numpy()):
            base = _enlarged(np.ascontiguousarray(colour.transpose(1, 2, 0)), self.working)
            seen = (_shrunk(mattes[index], self.working) > _CORE).astype(np.float32)
            detail = fill(
                torch.from_numpy(np.ascontiguousarray((small - base).transpose(2, 0, 1)))[None],
                torch.from_numpy(seen)[None, None],
            )[0]
            completed.append(base + detail.numpy().transpose(1, 2, 0))
        return completed

    def _clean(
        self, position: int, plate: Array, small: Array, mattes: Array, invented_colour: Array
    ) -> tuple[Array, float]:
        """The clean plate (H, W, 3), and the share of the hole that had to be invented."""
        covered = 1 - mattes[0]
        height, width = covered.shape
        # A little wider than the matte: its last percent of opacity still tints the plate.
        radius = max(1, round(height / 240))
        square = (2 * radius + 1, 2 * radius + 1)
        hole = np.asarray(cv2.dilate(covered, np.ones(square, np.uint8)), np.float32)
        hole = np.asarray(cv2.blur(np.minimum(hole * 4, 1), square), np.float32)
        box = _box_of(hole > 0)
        if box is None:
            return plate, 0.0
        net_hole = _shrunk(hole, self.background.size)
        sources = self.background.sources(position, net_hole)
        background = _shrunk((hole < 1e-3).astype(np.float32), self.working)
        fetched = [self._fetch(source, small, background, plate.shape[:2], box) for source in sources]
        invented = log_decode(_enlarged(invented_colour, (height, width), box))
        found, left = assemble(invented, hole[box], fetched)
        clean = plate.copy()
        clean[box] += hole[box][..., None] * (found - clean[box])
        share = float((left * hole[box]).sum() / max(float(hole.sum()), 1e-6))
        return clean, share

    def _fetch(
        self, source: Source, small: Array, background: Array, size: Size, box: tuple[slice, slice]
    ) -> tuple[Callable[[], Array], Array]:
        light = self.read(source.position).on(self.canvas)
        way = correct(self.background.way(source, self.working), small, self._small(light), background)
        scale = np.array([size[1] / self.working[1], size[0] / self.working[0]], np.float32)
        way_here = (_enlarged(way, size, box) + 0.5) * scale - 0.5
        shows = _enlarged(source.shows, size, box)
        inside = ((way_here >= 0) & (way_here <= (size[1] - 1, size[0] - 1))).all(-1)

        def pixels() -> Array:
            # Cubic keeps the grain and sharpness of the plate; it may ring, so highlights are held to their range.
            near = resample(light, way_here)
            slack = 0.25 * np.abs(near) + 1e-3
            return np.clip(resample(light, way_here, cubic=True), near - slack, near + slack)

        return pixels, shows * inside

    def _layers(self, plate: Array, mattes: Array, clean: Array, completed: list[Array]) -> dict[str, Array]:
        """The layers' channels, and the residual worked out on what the file will hold of them."""
        height, width = plate.shape[:2]
        names = layer_names(len(mattes))
        parts = mattes[..., None] * plate[None]
        mixed = (mattes > 0).sum(0) > 1
        rows, columns = np.nonzero(mixed)
        if len(rows):
            alphas = mattes[:, rows, columns]
            colours = np.stack(
                [clean[rows, columns]]
                + [log_decode(_sampled(colour, (height, width), rows, columns)) for colour in completed[1:]]
            )
            seen = plate[rows, columns]
            explained = alphas[..., None] * explain(seen, alphas, colours)
            parts[:, rows, columns] = balance(seen, alphas, explained)
        channels: dict[str, Array] = {}
        for index, name in enumerate(names):
            colour = parts[index]
            if self.alpha == "straight":
                full = clean if index == 0 else log_decode(_enlarged(completed[index], (height, width)))
                alpha = mattes[index][..., None]
                colour = np.where(alpha > _SOLID, colour / np.maximum(alpha, _SOLID), full)
            channels |= {f"{name}.{c}": np.ascontiguousarray(colour[..., k]) for k, c in enumerate(RGB)}
            channels[f"{name}.A"] = mattes[index]
        return channels

    def _file(self, frame: Frame, channels: dict[str, Array], invented: float) -> Rendered:
        """Cut to the frame's data window, rounded as the file will hold it, the residual on top."""
        window = frame.header.data_window.slices_in(self.canvas)
        half = self.bit_depth == "half"
        written: dict[str, NDArray[np.generic]] = {}
        clamped = 0
        for name, plane in channels.items():
            written[name], changed = to_half(plane[window]) if half else (plane[window], 0)
            clamped += changed if name in RGB else 0
        names = layer_names(sum(name.endswith(".R") for name in channels) - 1)
        for c in RGB:
            parts = [self._weighed(written, name, c) for name in names]
            left = residual(written[c].astype(np.float32), parts)
            written[f"residual.{c}"] = to_half(left)[0] if half else left
        holes = 0 if frame.holes is None else int(frame.holes.sum())
        return Rendered(written, clamped, holes, invented)

    def _weighed(self, written: dict[str, NDArray[np.generic]], name: str, c: str) -> Array:
        part = written[f"{name}.{c}"].astype(np.float32)
        return part * written[f"{name}.A"].astype(np.float32) if self.alpha == "straight" else part


def encode(plate: Array) -> Array:
    """``log_encode`` with all threads: at 4K it is a good part of a frame's time."""
    return log_encode(torch.from_numpy(plate)).numpy()


def _box_of(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _shrunk(x: Array, size: Size) -> Array:
    if x.shape[:2] == size:
        return x
    return np.asarray(cv2.resize(x, size[::-1], interpolation=cv2.INTER_AREA), np.float32)


def _positions(
    small: Size, size: Size, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[Array, Array]:
    """Where pixels of a picture of ``size`` lie in one of size ``small``: x and y."""
    x = (columns.astype(np.float32) + 0.5) * np.float32(small[1] / size[1]) - np.float32(0.5)
    y = (rows.astype(np.float32) + 0.5) * np.float32(small[0] / size[0]) - np.float32(0.5)
    return x, y


def _enlarged(x: Array, size: Size, box: tuple[slice, slice] | None = None) -> Array:
    """``x`` (h, w[, C]) resized bilinearly to ``size``; only the part in ``box`` is made."""
    if x.shape[:2] == size:
        return x if box is None else x[box]
    if box is None:
        return np.asarray(cv2.resize(x, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    rows, columns = (np.arange(part.start, part.stop) for part in box)
    map_x, map_y = np.meshgrid(*_positions((x.shape[0], x.shape[1]), size, rows, columns))
    return np.asarray(cv2.remap(x, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _sampled(x: Array, size: Size, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Array:
    """``x`` (h, w, C), as if resized to ``size``, at single pixels: (P, C)."""
    map_x, map_y = _positions((x.shape[0], x.shape[1]), size, rows, columns)
    # Folded into rows: OpenCV refuses maps longer than 32767.
    pad = (0, -len(map_x) % _FOLD)
    folded_x, folded_y = (np.pad(m, pad).reshape(-1, _FOLD) for m in (map_x, map_y))
    found = cv2.remap(x, folded_x, folded_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32).reshape(-1, x.shape[2])[: len(map_x)]
