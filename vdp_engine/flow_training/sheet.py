"""A picture of generated scenes, for the eye."""

from __future__ import annotations

import cv2
import numpy as np

from vdp_engine.flow_training.scenes import HELD_OUT, TRAINING, make_pair
from vdp_engine.flow_training.textures import Array, Size

_SIZE: Size = (180, 240)


def sheet(rows: int, seed: int = 0) -> np.ndarray:
    """uint8 BGR: training scenes on the left, held-out ones on the right; first and second picture, forward flow as
    hue and saturation, and what the second picture hides in black."""
    families = []
    for family in (TRAINING, HELD_OUT):
        pairs = [make_pair(np.random.default_rng([seed, row]), _SIZE, family) for row in range(rows)]
        strips = []
        for pair in pairs:
            low, high = np.percentile(pair.first, (0.5, 99.5))
            shown = [np.clip((one[..., ::-1] - low) / (high - low), 0, 1) * 255 for one in (pair.first, pair.second)]
            hidden = np.repeat(pair.seen[..., None] * 255, 3, 2)
            strips.append(np.hstack([*(one.astype(np.uint8) for one in shown), _wheel(pair.forward), hidden]))
        families.append(np.vstack(strips))
    gap = np.full((len(families[0]), 12, 3), 255, np.uint8)
    return np.hstack([families[0], gap, families[1]]).astype(np.uint8)


def _wheel(flow: Array) -> np.ndarray:
    """Direction as hue, length as saturation, full at the 98th percentile."""
    length = np.hypot(*flow)
    share = np.clip(length / max(0.1, float(np.percentile(length, 98))), 0, 1)
    hue = (np.arctan2(flow[1], flow[0]) + np.pi) * (179 / (2 * np.pi))
    return cv2.cvtColor(np.dstack([hue, share * 255, np.full_like(hue, 255)]).astype(np.uint8), cv2.COLOR_HSV2BGR)
