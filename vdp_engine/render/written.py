"""From the channels of a frame, worked out band by band, to planes as its file will hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vdp_engine.equations import RGB
from vdp_engine.plate import Frame, Window, to_half
from vdp_engine.plate.writer import HALF_MAX

Array = NDArray[np.float32]
Plane = NDArray[np.generic]


@dataclass(frozen=True)
class Written:
    """Planes over the plate's data window, and what was noticed.

    Attributes:
        channels: (H, W) by EXR channel name, float16 or float32.
        clamped: values of the plate that half could not hold.
        holes: pixels of the plate that were NaN or Inf.
    """

    channels: dict[str, Plane]
    clamped: int
    holes: int


def write_bands(
    frame: Frame,
    canvas: Window,
    names: Sequence[str],
    bit_depth: Literal["half", "float"],
    parts: Iterable[slice],
    channels: Callable[[slice], dict[str, Array]],
    add_residual: Callable[[Mapping[str, Plane]], None],
    pool: Executor,
) -> Written:
    """All channels of a frame.

    Args:
        canvas: what rows and columns are counted in.
        names: of the channels, in the order of the file.
        parts: rows of the frame's data window on the canvas.
        channels: some rows of all channels but the residual, (rows, W) over the canvas, scene-linear.
        add_residual: writes the residual of rounded rows among them, from what the file will hold of all others, so
            that it makes up for their rounding.
    """
    window = frame.header.data_window
    rows, columns = window.slices_in(canvas)
    kind = np.float16 if bit_depth == "half" else np.float32
    written: dict[str, Plane] = {name: np.empty(window.shape, kind) for name in names}

    def fill_in(band: slice) -> int:
        made = channels(band)
        at = slice(band.start - rows.start, band.stop - rows.start)
        if frame.holes is not None:
            made["confidence.A"] = np.array(made["confidence.A"])
            made["confidence.A"][:, columns][frame.holes[at]] = 0
        into = {name: plane[at] for name, plane in written.items()}
        clamped = 0
        for name, plane in made.items():
            changed = store(plane[:, columns], into[name])
            clamped += changed if name in RGB else 0
        add_residual(into)
        return clamped

    clamped = sum(pool.map(fill_in, parts))
    return Written(written, clamped, 0 if frame.holes is None else int(frame.holes.sum()))


def store(values: Array, into: Plane) -> int:
    """Round ``values`` to the type of ``into``; gives how many half could not hold."""
    if into.dtype == np.float32:
        into[...] = values
        return 0
    if values.min() >= -HALF_MAX and values.max() <= HALF_MAX:
        # numpy rounds to half one value at a time, torch many.
        torch.from_numpy(into).copy_(torch.from_numpy(values))
        return 0
    into[...], changed = to_half(values)
    return changed


def as_float(plane: Plane) -> Array:
    """A written channel as float32, faster than numpy does it."""
    return torch.from_numpy(plane).float().numpy()
