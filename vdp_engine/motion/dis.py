"""Optical flow by dense inverse search, as OpenCV has it: no weights, the default."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine.motion.estimator import FlowEstimator
from vdp_engine.motion.proxy import Proxy, joint_stretch

_SMOOTH_IN_THE_DARK = 40.0  # weight of smoothness in the refinement, twice OpenCV's
_SMALLEST = 16  # DIS refuses pictures smaller than its patches


class DisFlow:
    """DIS (Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016), preset medium, down to full size.

    Its result does not depend on the number of threads that OpenCV uses.

    Args:
        dark: the plate is, and its noise is strong once it is exposed. Flow is held smoother then. The range that a
            pair uses is stretched as for any plate; smoothing the pictures themselves makes patches of noise that
            match nothing, and was measured worse at every level of noise.
    """

    max_gap: int | None = None
    witness: FlowEstimator | None = None

    def __init__(self, *, dark: bool = False) -> None:
        self.name = "dis-dark" if dark else "dis"
        self._dark = dark

    def flow(self, source: Proxy, target: Proxy) -> NDArray[np.float32]:
        """See ``FlowEstimator.flow``."""
        low, high = joint_stretch(source, target)
        # One estimator per call: its buffers are not to be shared between threads.
        estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        estimator.setFinestScale(0)
        if self._dark:
            estimator.setVariationalRefinementAlpha(_SMOOTH_IN_THE_DARK)
        found = estimator.calc(_grey(source, low, high), _grey(target, low, high), None)  # type: ignore[call-overload]
        height, width = source.coverage.shape
        return np.ascontiguousarray(found[:height, :width].transpose(2, 0, 1), np.float32)


def _grey(proxy: Proxy, low: float, high: float) -> NDArray[np.uint8]:
    """8-bit luma, which is all that DIS takes, with what is not covered at mid-grey; padded to what DIS needs."""
    luma = cv2.cvtColor(proxy.image, cv2.COLOR_RGB2GRAY)
    grey = np.clip((luma - low) * (255.0 / (high - low)), 0.0, 255.0)
    grey = np.where(proxy.coverage > 0, grey, 127.5)
    height, width = grey.shape
    bottom, right = max(0, _SMALLEST - height), max(0, _SMALLEST - width)
    return np.asarray(cv2.copyMakeBorder(np.rint(grey).astype(np.uint8), 0, bottom, 0, right, cv2.BORDER_REPLICATE))
