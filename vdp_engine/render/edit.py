"""Reading an edit: what an artist painted on one frame, as premultiplied scene-linear RGBA over the plate's canvas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vdp_engine.errors import UsageError
from vdp_engine.plate import Plate, Window, colour, place
from vdp_engine.plate.header import Part, scan
from vdp_engine.plate.pixels import read_pixels
from vdp_engine.plate.reader import take_out_holes

Array = NDArray[np.float32]

_RGBA = ("R", "G", "B", "A")


def read_edit(path: Path, plate: Plate) -> Array:
    """An edit over the plate's canvas, float32 (H, W, 4), scene-linear, premultiplied, 0 where nothing is painted.

    An OpenEXR is taken as it is: scene-linear in the plate's primaries, premultiplied, any data window. Of any other
    file colours are encoded as the plate is (sRGB where that is scene-linear) and straight, and it fills the format.
    Pixels with NaN or Inf become 0.

    Raises:
        UsageError: ``size``: its format is not the plate's; ``edit``: it has no colour or no alpha.
        PlateError: ``unreadable``.
    """
    part = scan(path)[0]
    _check(part, path, plate.display_window)
    pixels = read_pixels(path, part, [part.channels.index(name) for name in _RGBA])
    take_out_holes(pixels)
    if part.file_format != "openexr":
        pixels[..., :3] = _linear(pixels[..., :3], plate.colorspace) * pixels[..., 3:]
        return np.asarray(place(pixels, plate.display_window, plate.canvas), np.float32)
    return np.asarray(place(pixels, part.data_window, plate.canvas), np.float32)


def _check(part: Part, path: Path, display: Window) -> None:
    lacking = [name for name in _RGBA if name not in part.channels]
    if lacking or part.deep:
        held = "deep pixels" if part.deep else f"the channels {', '.join(part.channels)}"
        raise UsageError(
            f"the edit cannot be used: it has {held}", code="edit", path=path, expected="R G B A",
            remedy="write it with an alpha that is 0 where nothing is painted",
        )  # fmt: skip
    if part.display_window != display:
        raise UsageError(
            f"the edit is {part.display_window}, the plate is {display}", code="size", path=path,
            expected="the format of the plate", remedy="paint on a frame of the plate, and write it in the same format",
        )  # fmt: skip


def _linear(encoded: Array, colorspace: str | None) -> Array:
    if colorspace is not None and not colour.is_linear(colorspace):
        return colour.to_scene_linear(np.ascontiguousarray(encoded), colorspace)
    # IEC 61966-2-1
    above = ((np.maximum(encoded, 0) + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.asarray(np.where(encoded <= 0.04045, encoded / np.float32(12.92), above), np.float32)
