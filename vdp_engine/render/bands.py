"""A frame's layers at full size, some rows at a time: what is at work stays in the processor's cache.

At 4K a temporary copy of the whole picture costs more than what is computed on it, and memory besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.equations import RGB, layer_names
from vdp_engine.motion.proxy import DARKEST
from vdp_engine.motion.sizes import Size
from vdp_engine.plate import log_decode, log_encode
from vdp_engine.plate.writer import HALF_MAX
from vdp_engine.render.clean import Fetched, assemble, resample, within
from vdp_engine.render.resize import Box, enlarged, sampled
from vdp_engine.render.split import balance, explain

Array = NDArray[np.float32]

_PIXELS = 1 << 17
_SMALLEST = 1e-30  # nothing is divided by less


def bands(rows: slice, width: int, pixels: int = _PIXELS, *, least: int = 1) -> Iterator[slice]:
    """``rows`` of a picture in parts of about so many ``pixels``: a size that depends on nothing but its width.

    Args:
        least: rows of a part, but for the last.
    """
    step = max(least, pixels // width)
    for top in range(rows.start, rows.stop, step):
        yield slice(top, min(top + step, rows.stop))


@dataclass(frozen=True)
class View:
    """What another frame of the shot shows of the background.

    Attributes:
        light: (H, W, 3), that frame, scene-linear.
        shift: (h, w, 2), how far from each pixel its background lies in that frame, in pixels of this array's size.
        shows: (h', w'), 0 to 1: how far the frame shows the background there.
        tone: (h", w", 3), log-encoded: how much brighter this frame's background is there.
        weight: how far it counts beside others.
    """

    light: Array
    shift: Array
    shows: Array
    tone: Array
    weight: float

    def at(self, box: Box) -> Fetched:
        """For ``assemble``: its pixels where the background of ``box`` lies, log-encoded and as bright as here."""
        height, width = size = _size(self.light)
        scale = np.array([width / self.shift.shape[1], height / self.shift.shape[0]], np.float32)
        # The shift is enlarged, not the position: OpenCV interpolates in steps of 1/32, which a slope of 1 would show.
        way = enlarged(self.shift, size, box) * scale
        way[..., 0] += np.arange(box[1].start, box[1].stop, dtype=np.float32)
        way[..., 1] += np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None]

        def pixels() -> Array:
            # Cubic keeps the grain and sharpness of the plate; of encoded light, or highlights would ring. What is
            # far below black or beyond half would ring even so.
            rows, columns = (_span(way[..., axis], side) for axis, side in ((1, height), (0, width)))
            corner = np.array([columns.start, rows.start], np.float32)
            light = np.clip(self.light[rows, columns], DARKEST, HALF_MAX)
            sharp = resample(log_encode(light), way - corner, cubic=True)
            return sharp + enlarged(self.tone, size, box)

        return pixels, enlarged(self.shows, size, box) * within(way, size), self.weight


@dataclass(frozen=True)
class Material:
    """What the layers of one frame are made of. Pictures cover the canvas (H, W) or are any smaller size of it.

    Attributes:
        plate: (H, W, 3), scene-linear.
        foreground: (F, H, W), α of the foreground layers.
        hole: (H, W), 0 to 1, where the clean plate is not the plate.
        colours: per layer, background first, (h, w, 3): its colour everywhere, log-encoded.
        views: what other frames show of the background.
        confidence: (h, w).
        straight: whether the layers' colours are to be straight.
    """

    plate: Array
    foreground: Array
    hole: Array
    colours: Sequence[Array]
    views: Sequence[View]
    confidence: Array
    straight: bool

    def channels(self, rows: slice) -> tuple[dict[str, Array], float]:
        """Those rows of all channels but the residual, (rows, W) by name; and how many pixels are invented."""
        foreground = self.foreground[:, rows]
        mattes = np.concatenate([1 - foreground.sum(0, keepdims=True), foreground])
        clean, invented = self._clean(rows)
        channels = _planes("", self.plate[rows])
        channels["A"] = foreground.sum(0)  # not 1 - bg: the rounding of 1 - (1 - α) shows in the thinnest veils
        parts = self._parts(rows, mattes, clean)
        for index, name in enumerate(layer_names(len(mattes))):
            colour = parts[index]
            if self.straight:
                colour = self._straight(rows, index, colour, mattes[index], clean)
            channels |= {f"{name}.{c}": plane for c, plane in zip(RGB, colour, strict=True)}
            channels[f"{name}.A"] = mattes[index]
        channels |= _planes("clean.", clean)
        channels["confidence.A"] = enlarged(self.confidence, _size(self.plate), self._whole(rows))
        return channels, invented

    def _whole(self, rows: slice) -> Box:
        return rows, slice(0, self.plate.shape[1])

    def _clean(self, rows: slice) -> tuple[Array, float]:
        columns = _extent(self.hole[rows].max(0) > 0)
        if columns is None:
            return self.plate[rows], 0.0
        hole = self.hole[rows, columns]
        found, shown = assemble(hole, [view.at((rows, columns)) for view in self.views])
        invented = enlarged(self.colours[0], _size(self.plate), (rows, columns))
        found = log_decode(shown[..., None] * found + (1 - shown[..., None]) * invented)
        clean = self.plate[rows].copy()
        # Not as a + h (b - a): before a bright foreground that would leave little of a dark background's digits.
        clean[:, columns] = (1 - hole[..., None]) * clean[:, columns] + hole[..., None] * found
        return clean, float(np.sum((1 - shown) * hole, dtype=np.float64))

    def _parts(self, rows: slice, mattes: Array, clean: Array) -> Array:
        """α_i ⊙ L_i of all layers, (L, 3, rows, W), summing to the plate up to rounding."""
        plate = self.plate[rows]
        parts = mattes[:, None] * np.stack(cv2.split(plate))
        # Where a single layer is seen, it is the plate.
        mixed = np.flatnonzero(mattes.max(0) < 1)
        if len(mixed):
            y, x = np.divmod(mixed, plate.shape[1])
            size = _size(self.plate)
            alphas = mattes.reshape(len(mattes), -1)[:, mixed]
            seen, behind = (picture.reshape(-1, 3)[mixed] for picture in (plate, clean))
            before = [log_decode(sampled(colour, size, y + rows.start, x)) for colour in self.colours[1:]]
            explained = alphas[..., None] * explain(seen, alphas, np.stack([behind, *before]))
            parts.reshape(*parts.shape[:2], -1)[..., mixed] = balance(seen, alphas, explained).transpose(0, 2, 1)
        return parts

    def _straight(self, rows: slice, index: int, part: Array, alpha: Array, clean: Array) -> Array:
        if index == 0:
            everywhere = clean
        else:
            everywhere = log_decode(enlarged(self.colours[index], _size(self.plate), self._whole(rows)))
        # However small α is: the file's α times the file's colour has to be the part, or the residual grows beyond it.
        return np.where(alpha > 0, part / np.maximum(alpha, _SMALLEST), everywhere.transpose(2, 0, 1))


def _size(picture: Array) -> Size:
    return picture.shape[0], picture.shape[1]


def _planes(prefix: str, picture: Array) -> dict[str, Array]:
    return {
        f"{prefix}{name}": np.asarray(plane, np.float32) for name, plane in zip(RGB, cv2.split(picture), strict=True)
    }


def _span(at: Array, side: int) -> slice:
    """The pixels of a picture's ``side`` that cubic interpolation at ``at`` reads."""
    first, last = (min(max(int(end), 0), side - 1) for end in (at.min(), at.max()))
    return slice(max(first - 1, 0), min(last + 3, side))


def _extent(marked: NDArray[np.bool_]) -> slice | None:
    """From the first to the last of what is marked; ``None``: nothing is."""
    where = np.flatnonzero(marked)
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else None
