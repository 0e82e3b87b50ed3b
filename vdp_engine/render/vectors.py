"""Motion vectors for compositors, from the motion that the layers were found by."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.motion import MotionFrame
from vdp_engine.motion.sizes import Size

_DIRECTIONS = {"forward": 1, "backward": -1}


def vector_channels(motion: MotionFrame, size: Size) -> dict[str, NDArray[np.float32]]:
    """``forward.u/v`` and ``backward.u/v`` over the plate's canvas of ``size``, float32 (H, W) by channel name.

    In pixels of the plate, u to the right and v UP, as Nuke has them and ``motion.vectors`` reads them: where each
    pixel lies in the next and the previous frame of the shot, minus where it lies here. 0 where there is no such frame.
    """
    height, width = size
    # Per axis: working pixels are square, those of the plate need not be.
    across, up = width / motion.size[1], -height / motion.size[0]
    channels: dict[str, NDArray[np.float32]] = {}
    for name, gap in _DIRECTIONS.items():
        flow = np.ascontiguousarray(motion.flow[motion.gaps.index(gap)].numpy().transpose(1, 2, 0))
        large = np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        channels |= {f"{name}.u": large[..., 0] * np.float32(across), f"{name}.v": large[..., 1] * np.float32(up)}
    return channels
