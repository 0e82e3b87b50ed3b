"""Pictures between working size and the plate's own, whole or in part."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.motion.sizes import Size

Array = NDArray[np.float32]
Box = tuple[slice, slice]

_FOLD = 1024


def shrunk(x: Array, size: Size) -> Array:
    """Area means of ``x`` (H, W[, C]) at ``size``."""
    if x.shape[:2] == size:
        return x
    return np.asarray(cv2.resize(x, size[::-1], interpolation=cv2.INTER_AREA), np.float32)


def enlarged(x: Array, size: Size, box: Box | None = None) -> Array:
    """``x`` (h, w[, C]) resized bilinearly to ``size``, all of it or the part in ``box``."""
    box = box or (slice(0, size[0]), slice(0, size[1]))
    if x.shape[:2] == size:
        return x[box]
    rows, columns = (np.arange(part.start, part.stop) for part in box)
    map_x, map_y = np.meshgrid(*_positions((x.shape[0], x.shape[1]), size, rows, columns))
    return np.asarray(cv2.remap(x, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def pixels(size: Size) -> Array:
    """(h, w, 2): x and y of every pixel of a picture of ``size``."""
    height, width = size
    return np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))


def sampled(x: Array, size: Size, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Array:
    """``x`` (h, w, C), as if resized bilinearly to ``size``, at single pixels: (P, C)."""
    map_x, map_y = _positions((x.shape[0], x.shape[1]), size, rows, columns)
    # Folded into rows: OpenCV refuses maps longer than 32767.
    pad = (0, -len(map_x) % _FOLD)
    folded_x, folded_y = (np.pad(m, pad).reshape(-1, _FOLD) for m in (map_x, map_y))
    found = cv2.remap(x, folded_x, folded_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32).reshape(-1, x.shape[2])[: len(map_x)]


def _positions(small: Size, size: Size, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[Array, Array]:
    """Where pixels of a picture of ``size`` lie in one of size ``small``: x and y."""
    x = (columns.astype(np.float32) + 0.5) * np.float32(small[1] / size[1]) - np.float32(0.5)
    y = (rows.astype(np.float32) + 0.5) * np.float32(small[0] / size[0]) - np.float32(0.5)
    return x, y
