"""Pixels of one part of one file, by channel index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio

from vdp_engine.plate import subsampled
from vdp_engine.plate.header import Part, last_error, open_image, unreadable
from vdp_engine.plate.windows import Window

Pixels = npt.NDArray[np.float32]


def read_pixels(path: Path, part: Part, channels: Sequence[int], frame: int | None = None) -> Pixels:
    """Channels of a part over its data window.

    Half, float and EXR's uint channels come as the numbers they are; integer formats (DPX, PNG …) as 0 to 1.

    Args:
        channels: indices into ``part.channels``, in the order wanted.

    Returns:
        ``(H, W, len(channels))`` float32, contiguous, not looked through for NaN or Inf.

    Raises:
        PlateError: ``unreadable``: the file is damaged, ends early, or is another one than when it was scanned.
    """
    if part.is_subsampled:
        try:
            return subsampled.read_channels(path, [part.channels[index] for index in channels])
        except subsampled.Unsupported as error:
            raise unreadable(path, frame, str(error)) from error

    image = open_image(path)
    if image is None:
        raise unreadable(path, frame, last_error())
    try:
        if not image.seek_subimage(part.index, 0):
            raise unreadable(path, frame, "it changed since the plate was opened")
        spec = image.spec()
        window = Window(spec.x, spec.y, max(spec.width, 1), max(spec.height, 1))
        if window != part.data_window or tuple(spec.channelnames) != part.channels:
            raise unreadable(path, frame, "it changed since the plate was opened")
        return _read(image, part, channels, path, frame)
    finally:
        image.close()


def _read(image: oiio.ImageInput, part: Part, channels: Sequence[int], path: Path, frame: int | None) -> Pixels:
    first, end = min(channels), max(channels) + 1
    if len(set(part.kinds[first:end])) == 1 and end - first <= 2 * len(channels):
        block = _read_span(image, part, first, end, path, frame)
        if list(channels) != list(range(first, end)):
            block = block[..., [channel - first for channel in channels]]
        return np.ascontiguousarray(block, dtype=np.float32)
    spans = [_read_span(image, part, channel, channel + 1, path, frame) for channel in channels]
    return np.concatenate([span.astype(np.float32) for span in spans], axis=-1)


def _read_span(
    image: oiio.ImageInput, part: Part, first: int, end: int, path: Path, frame: int | None
) -> npt.NDArray[Any]:
    # Half stays half until numpy casts it, which is a good deal faster than OpenImageIO's own conversion. Asked for
    # float, OpenImageIO would divide a uint by the largest one; in OpenEXR it is a number like any other.
    kind = part.kinds[first]
    if kind != "half" and not (kind == "uint" and part.file_format == "openexr"):
        kind = "float"
    block = image.read_image(part.index, 0, first, end, kind)
    if block is None:
        raise unreadable(path, frame, last_error(image))
    return block.reshape(*part.data_window.shape, end - first)
