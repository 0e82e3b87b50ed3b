"""Motion vectors out of the plate's own files, as renderers and Nuke write them.

Conventions, those of Nuke's ``forward`` and ``backward`` layers: in pixels of the plate, u to the right and v UP;
``forward`` leads from a pixel to where it lies in the next frame, ``backward`` to where it lay in the frame
before. As flow with y down that is (u, -v).
"""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vdp_engine.errors import MotionError
from vdp_engine.motion.estimator import FlowEstimator
from vdp_engine.motion.proxy import Proxy, shrink
from vdp_engine.motion.sizes import Size
from vdp_engine.plate import Plate, format_frames, place


class VectorFlow:
    """Flow to the next and the previous frame from ``forward.u/v`` and ``backward.u/v``, or ``LAYER.forward.u`` …

    Raises:
        MotionError: the frames are not consecutive, or the first one lacks the channels.
    """

    max_gap: int | None = 1
    witness: FlowEstimator | None = None

    def __init__(self, plate: Plate, size: Size, layer: str | None) -> None:
        self.name = "vectors"
        self._plate = plate
        self._size = size
        self._prefix = f"{layer}." if layer else ""
        self._turn = threading.Lock()  # one full-resolution read at a time, for the memory
        frames = plate.frames
        if any(after - before != 1 for before, after in pairwise(frames)):
            raise MotionError(
                f"motion vectors lead to the next frame, but the frames {format_frames(frames)} are not consecutive",
                code="vectors_frames", remedy="choose frames without steps and gaps, or another --flow",
            )  # fmt: skip
        if len(frames) > 1:
            self._channels(frames[0], "forward")
            self._channels(frames[-1], "backward")

    def flow(self, source: Proxy, target: Proxy) -> NDArray[np.float32]:
        """See ``FlowEstimator.flow``.

        Raises:
            MotionError: the frame lacks the channels.
            PlateError: it cannot be read.
        """
        names = self._channels(source.frame, "forward" if target.frame > source.frame else "backward")
        with self._turn:
            pixels = self._plate.read_channels(source.frame, names)
            window, canvas = self._plate.header(source.frame).data_window, self._plate.canvas
            known = np.isfinite(pixels).min(-1).astype(np.float32)
            pixels[known == 0] = 0.0
            smaller, _ = shrink(place(pixels, window, canvas), place(known, window, canvas), self._size)
        across, up = self._size[1] / canvas.width, self._size[0] / canvas.height
        return np.stack([smaller[..., 0] * across, smaller[..., 1] * -up]).astype(np.float32)

    def _channels(self, frame: int, direction: str) -> tuple[str, str]:
        names = (f"{self._prefix}{direction}.u", f"{self._prefix}{direction}.v")
        present = self._plate.channel_names(frame)
        missing = [name for name in names if name not in present]
        if missing:
            one_way = self._prefix and f"{self._prefix}u" in present
            raise MotionError(
                f"the plate has no motion vectors {' and '.join(missing)}"
                + (f"; {self._prefix}u/v lead one way only, and the way back is needed too" if one_way else ""),
                code="vectors_channels", frame=frame,
                expected=f"{self._prefix}forward.u/v and {self._prefix}backward.u/v beside the channels it has: "
                + ", ".join(present),
                remedy="name their layer with --flow-layer NAME, or use --flow dis",
            )  # fmt: skip
        return names
