"""A frame's layers at full size, some rows at a time: what is at work stays in the processor's cache.

At 4K a temporary copy of the whole picture costs more than what is computed on it, and memory besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.equations import RGB, layer_names
from vdp_engine.motion.sizes import Size
from vdp_engine.plate import log_decode
from vdp_engine.render.clean import assemble, resample
from vdp_engine.render.resize import Box, enlarged, sampled
from vdp_engine.render.split import balance, explain

Array = NDArray[np.float32]

_PIXELS = 1 << 17
_SMALLEST = 1e-30  # nothing is divided by less


def bands(rows: slice, width: int) -> Iterator[slice]:
    """``rows`` of a picture in parts of a size that depends on nothing but its width."""
    step = max(1, _PIXELS // width)
    for top in range(rows.start, rows.stop, step):
        yield slice(top, min(top + step, rows.stop))


@dataclass(frozen=True)
class View:
    """What another frame of the shot shows of the background.

    Attributes:
        light: (H, W, 3), that frame, scene-linear.
        shift: (h, w, 2), how far from each pixel its background lies in that frame, in pixels of this array's size.
        shows: (h', w'), 0 to 1: how far the frame shows the background there.
    """

    light: Array
    shift: Array
    shows: Array

    def at(self, box: Box) -> tuple[Callable[[], Array], Array]:
        """A function that gives its pixels where the background of ``box`` lies, and how far it shows it there."""
        height, width = size = _size(self.light)
        scale = np.array([width / self.shift.shape[1], height / self.shift.shape[0]], np.float32)
        # The shift is enlarged, not the position: OpenCV interpolates in steps of 1/32, which a slope of 1 would show.
        way = enlarged(self.shift, size, box) * scale
        way[..., 0] += np.arange(box[1].start, box[1].stop, dtype=np.float32)
        way[..., 1] += np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None]
        x, y = way[..., 0], way[..., 1]
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)

        def pixels() -> Array:
            # Cubic keeps the grain and sharpness of the plate; it may ring, so highlights are held to their range.
            near = resample(self.light, way)
            slack = 0.25 * np.abs(near) + 1e-3
            return np.clip(resample(self.light, way, cubic=True), near - slack, near + slack)

        return pixels, enlarged(self.shows, size, box) * inside


@dataclass(frozen=True)
class Material:
    """What the layers of one frame are made of. Pictures cover the canvas (H, W) or are any smaller size of it.

    Attributes:
        plate: (H, W, 3), scene-linear.
        foreground: (F, H, W), α of the foreground layers.
        hole: (H, W), 0 to 1, where the clean plate is not the plate.
        colours: per layer, background first, (h, w, 3): its colour everywhere, log-encoded.
        views: what other frames show of the background, to be used in this order.
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
        channels["A"] = 1 - mattes[0]
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
        invented = log_decode(enlarged(self.colours[0], _size(self.plate), (rows, columns)))
        found, left = assemble(invented, hole, [view.at((rows, columns)) for view in self.views])
        clean = self.plate[rows].copy()
        # Not as a + h (b - a): before a bright foreground that would leave little of a dark background's digits.
        clean[:, columns] = (1 - hole[..., None]) * clean[:, columns] + hole[..., None] * found
        return clean, float(np.sum(left * hole, dtype=np.float64))

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


def _extent(marked: NDArray[np.bool_]) -> slice | None:
    """From the first to the last of what is marked; ``None``: nothing is."""
    where = np.flatnonzero(marked)
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else None
