"""Plates and hints that a host rendered, as the EXRs that a run reads."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import OpenImageIO as oiio
from numpy.typing import NDArray

from vdp_engine import files
from vdp_engine.serve.folder import plate_file

_CHANNELS = {1: ("A",), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}
_ROUNDED = 0.005  # hosts tell 23.976 and 29.97 for 24000/1001 and 30000/1001


class Picture(NamedTuple):
    """A picture as a host has it.

    ``pixels`` are float32 (H, W, C), scene-linear, rows from top to bottom. ``window`` is x1, y1, x2, y2, y up from the
    lower left corner of the display window, whose width and height ``display`` gives. ``frame_rate`` 0: not known.
    """

    pixels: NDArray[np.float32]
    window: tuple[int, ...]
    display: tuple[int, ...]
    pixel_aspect: float
    frame_rate: float


def write_plate(folder: Path, kind: str, frame: int, picture: Picture) -> Path:
    """Write a frame of the plate or the hint, whole or not at all, with every value as it is, NaN included.

    A file that holds the very same is left as it is, so that a run does not take it for another plate.

    Raises:
        TryAgainError: ``disk``, it cannot be written.
    """
    path = plate_file(folder, kind, frame)
    try:
        descriptor, name = tempfile.mkstemp(prefix="vdp-", suffix=".exr")
    except OSError as error:
        raise files.disk_error(Path(tempfile.gettempdir()), error) from error
    os.close(descriptor)
    try:
        _write(Path(name), picture)
        files.write_bytes(path, Path(name).read_bytes())
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
    return path


def remove_others(folder: Path, kind: str, frames: Collection[int]) -> None:
    """Remove the files of ``kind`` that are of other frames."""
    ours = re.compile(rf"ofx_{kind}\.(-?\d+)\.exr")
    place = plate_file(folder, kind, 0).parent
    for path in place.iterdir() if place.is_dir() else ():
        match = ours.fullmatch(path.name)
        if match is not None and int(match[1]) not in frames:
            path.unlink(missing_ok=True)


def _write(path: Path, picture: Picture) -> None:
    height, width, components = picture.pixels.shape
    spec = oiio.ImageSpec(width, height, components, oiio.FLOAT)
    spec.channelnames = _CHANNELS[components]
    spec.x, spec.y = picture.window[0], picture.display[1] - picture.window[3]
    spec.full_x, spec.full_y = 0, 0
    spec.full_width, spec.full_height = picture.display
    spec.attribute("compression", "zip")
    spec.attribute("PixelAspectRatio", picture.pixel_aspect)
    # An empty date keeps OpenImageIO from writing the present time: the same frame gives the same bytes.
    spec.attribute("DateTime", "")
    if picture.frame_rate > 0:
        rate = _rational(picture.frame_rate)
        spec.attribute("framesPerSecond", oiio.TypeDesc("rational"), (rate.numerator, rate.denominator))
    output = oiio.ImageOutput.create(str(path))
    if output is None or not output.open(str(path), spec):
        raise files.disk_error(path, (output or oiio).geterror())
    try:
        written = output.write_image(np.ascontiguousarray(picture.pixels))
    finally:
        closed = output.close()
    if not (written and closed):
        raise files.disk_error(path, output.geterror() or "the drive did not take all of it")


def _rational(rate: float) -> Fraction:
    """The frame rate that a host means.

    >>> _rational(25.0), _rational(23.98), _rational(12.5)
    (Fraction(25, 1), Fraction(24000, 1001), Fraction(25, 2))
    """
    meant = (Fraction(round(rate)), Fraction(round(rate * 1.001) * 1000, 1001))
    near = [one for one in meant if one > 0 and abs(one - Fraction(rate)) < _ROUNDED]
    return near[0] if near else Fraction(rate).limit_denominator(1000)
