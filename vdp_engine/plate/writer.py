"""Layers as one multi-layer OpenEXR per frame."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio

from vdp_engine import stopping
from vdp_engine.errors import VdpError
from vdp_engine.files import atomic, disk_error
from vdp_engine.plate.header import FrameHeader, last_error
from vdp_engine.settings import Compression

BitDepth = Literal["half", "float"]
HALF_MAX = 65504.0
FLOAT_MAX = float(np.finfo(np.float32).max)

_BLOCK_BYTES = 32 << 20
_CACHE_BYTES = 256 << 10  # interleaving is six times faster while the rows at hand stay in the processor's cache
_BLOCK_ROWS = 64  # enough chunks a block to keep the compressing threads busy
_DISK_ERRNOS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EFBIG,
    errno.ENOENT,
    errno.ENOTDIR,
)


def to_half(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float16], int]:
    """Float as half, never Inf or NaN, and how many values had to change for it.

    Values beyond ±65504, Inf included, become ±65504; NaN becomes 0; all others round to the nearest half, ties to
    even.

    Args:
        values: any shape, float32 (float16 comes back as it is where it is finite).
    """
    if values.size == 0 or _fits(values, HALF_MAX):
        return values.astype(np.float16, copy=False), 0
    clamped, changed = _clamp(values, HALF_MAX)
    return clamped.astype(np.float16), changed


def write_layers(
    path: Path,
    channels: Mapping[str, npt.NDArray[Any]],
    like: FrameHeader,
    *,
    bit_depth: BitDepth = "half",
    compression: Compression = "zips",
    attributes: Mapping[str, str | int | float] | None = None,
) -> None:
    """Write channels over a plate frame's data window as a single-part scan-line OpenEXR, whole or not at all.

    The windows, pixel aspect and surviving attributes are those of the frame; ``attributes`` come on top. Values the
    file cannot hold are changed as in ``to_half``. The lossy compressions (b44, b44a, dwaa, dwab, and pxr24 with
    float) are the user's choice: they lose something after the residual was computed, so the rebuild rule cannot
    hold and the layers add up to the plate only about as well as the compression keeps them.

    Args:
        path: ends in ``.exr``.
        channels: ``(H, W)`` float16 or float32 by full channel name, in the order they are handed to the library
            (OpenEXR keeps channels sorted by name).
        like: the frame of the plate.

    Raises:
        TryAgainError: ``disk``, the drive is full, read-only or not allowed.
    """
    for name, plane in channels.items():
        if plane.shape != like.data_window.shape:
            raise ValueError(f"channel {name} of shape {plane.shape} does not cover {like.data_window}")
    spec = _spec(list(channels), like, bit_depth, compression, attributes or {})
    with atomic(path) as temporary:
        _write(temporary, path, spec, list(channels.values()), like.number)
        _check_whole(temporary, path, like.number)


def _spec(
    names: list[str], like: FrameHeader, bit_depth: BitDepth, compression: str, extra: Mapping[str, str | int | float]
) -> oiio.ImageSpec:
    data, display = like.data_window, like.display_window
    spec = oiio.ImageSpec(data.width, data.height, len(names), oiio.HALF if bit_depth == "half" else oiio.FLOAT)
    spec.channelnames = names
    spec.x, spec.y = data.x, data.y
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = display.x, display.y, display.width, display.height
    # An empty date keeps OpenImageIO from writing the present time: the same frame gives the same file, byte by byte.
    spec.attribute("DateTime", "")
    for name, (kind, value) in like.attributes.items():
        # OpenImageIO writes this name as it is, where OpenEXR's standard one has a small f.
        spec.attribute("framesPerSecond" if name == "FramesPerSecond" else name, kind, value)
    spec.attribute("PixelAspectRatio", float(like.pixel_aspect))
    spec.attribute("compression", compression)
    for name, number in extra.items():
        spec.attribute(name, number)
    return spec


def _write(temporary: Path, path: Path, spec: oiio.ImageSpec, planes: list[npt.NDArray[Any]], frame: int) -> None:
    output = oiio.ImageOutput.create(str(temporary))
    if output is None or not output.open(str(temporary), spec):
        raise _failed(path, last_error(output or oiio), frame)
    try:
        for row, block in _blocks(planes, spec.format == oiio.HALF):
            # In a thread of its own no signal cuts this short, and the rest of a large frame takes seconds.
            if stop := stopping.received():
                raise stop
            # After a failed write the file must be closed at once: OpenEXR's threads can wait forever in the next.
            if not output.write_scanlines(spec.y + row, spec.y + row + block.shape[0], 0, block):
                raise _failed(path, last_error(output), frame)
    finally:
        closed = output.close()
    if not closed:
        raise _failed(path, last_error(output), frame)


def _blocks(planes: list[npt.NDArray[Any]], half: bool) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Rows of all planes interleaved, ``(rows, W, C)`` in the file's own type, a bounded number of bytes at a time."""
    height, width = planes[0].shape
    dtype = np.dtype(np.float16 if half else np.float32)
    row_bytes = width * len(planes) * dtype.itemsize
    step = max(_BLOCK_ROWS, _BLOCK_BYTES // row_bytes // _BLOCK_ROWS * _BLOCK_ROWS)
    band = max(1, _CACHE_BYTES // row_bytes)
    block = np.empty((min(step, height), width, len(planes)), dtype=dtype)
    for top in range(0, height, step):
        rows = min(step, height - top)
        ready = [plane[top : top + rows] for plane in planes]
        ready = [to_half(values)[0] if half else _to_float(values) for values in ready]
        for row in range(0, rows, band):
            end = min(row + band, rows)
            for index, values in enumerate(ready):
                block[row:end, :, index] = values[row:end]
        yield top, block[:rows]


def _to_float(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return values if _fits(values, FLOAT_MAX) else _clamp(values, FLOAT_MAX)[0]


def _fits(values: npt.NDArray[Any], limit: float) -> bool:
    """Whether all values are finite and within ±``limit``, told by extremes, which NaN fails."""
    if values.dtype == np.float16:
        # All exponent bits set is Inf or NaN; numpy compares halfs one by one, but integers many at a time.
        return bool((values.view(np.uint16) & np.uint16(0x7FFF)).max() < 0x7C00)
    return bool(values.min() >= -limit and values.max() <= limit)


def _clamp(values: npt.NDArray[Any], limit: float) -> tuple[npt.NDArray[np.float32], int]:
    full = values.astype(np.float32)
    changed = int(full.size - np.count_nonzero(np.abs(full) <= limit))
    return np.clip(np.nan_to_num(full, copy=False, nan=0.0), -limit, limit), changed


def _check_whole(temporary: Path, path: Path, frame: int) -> None:
    """Read the last row back: what was still buffered at the end can be lost on a full drive without an error."""
    written = oiio.ImageInput.open(str(temporary))
    if written is None:
        raise _failed(path, last_error(), frame)
    try:
        spec = written.spec()
        last = spec.y + spec.height - 1
        if written.read_scanlines(last, last + 1, 0, 0, 1, spec.format) is None:
            raise disk_error(path, os.strerror(errno.ENOSPC))
    finally:
        written.close()


def _failed(path: Path, message: str, frame: int) -> VdpError:
    """The error for a failed write, from the library's message, which is all it tells."""
    reasons = [os.strerror(number) for number in _DISK_ERRNOS]
    for reason in reasons:
        if reason in message:
            return disk_error(path, reason)
    if "File output failed" in message:
        return disk_error(path, "the drive did not take all of it (full, over quota, or gone)")
    return VdpError(f"cannot write {path}: {message}", code="write", path=path, frame=frame)
