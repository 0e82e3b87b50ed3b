"""How close a picture comes to the truth, and how steady a clip is. Display-referred RGB, float (H, W, 3), 0 to 1."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from display import to_lab

_TAPS, _SIGMA = 11, 1.5  # of SSIM's window
_C1, _C2 = 0.01**2, 0.03**2
_DETAIL_SIGMA = 2.0


def psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, dB."""
    return float(-10 * np.log10(max(_mse(picture, truth), 1e-12)))


def _mse(picture: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean((np.asarray(picture, np.float64) - truth) ** 2))


def ssim(picture: np.ndarray, truth: np.ndarray) -> float:
    """Mean structural similarity (Wang et al., 2004) over the three channels, where the window fits in the picture."""
    a, b = np.asarray(picture, np.float64), np.asarray(truth, np.float64)

    def mean(image: np.ndarray) -> np.ndarray:
        inside = _TAPS // 2
        return cv2.GaussianBlur(image, (_TAPS, _TAPS), _SIGMA)[inside:-inside, inside:-inside]

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return float(np.mean(luminance * (2 * covariance + _C2) / (var_a + var_b + _C2)))


def delta_e(picture: np.ndarray, truth: np.ndarray) -> float:
    """Mean CIEDE2000 of sRGB codes."""
    return float(ciede2000(to_lab(picture), to_lab(truth)).mean())


def ciede2000(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """ΔE00 of two CIELAB arrays (…, 3), in the order of steps and with the symbols of Sharma, Wu and Dalal (2005)."""
    L1, a1, b1 = np.moveaxis(np.asarray(one, np.float64), -1, 0)
    L2, a2, b2 = np.moveaxis(np.asarray(other, np.float64), -1, 0)
    # 1. Chroma and hue, with a* stretched near the neutral axis.
    C7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - np.sqrt(C7 / (C7 + 25**7)))
    C1, C2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    # 2. Differences; hue the short way round, and none of a neutral.
    neutral = C1 * C2 == 0
    dh = np.where(neutral, 0, (h2 - h1 + 180) % 360 - 180)
    dL, dC, dH = L2 - L1, C2 - C1, 2 * np.sqrt(C1 * C2) * np.sin(np.radians(dh / 2))
    # 3. Weights at the means.
    L, C = (L1 + L2) / 2, (C1 + C2) / 2
    far = np.abs(h1 - h2) > 180
    h = np.where(neutral, h1 + h2, ((h1 + h2) / 2 + np.where(far, 180, 0)) % 360)
    T = (
        1 - 0.17 * np.cos(np.radians(h - 30)) + 0.24 * np.cos(np.radians(2 * h))
        + 0.32 * np.cos(np.radians(3 * h + 6)) - 0.20 * np.cos(np.radians(4 * h - 63))
    )  # fmt: skip
    SL = 1 + 0.015 * (L - 50) ** 2 / np.sqrt(20 + (L - 50) ** 2)
    SC, SH = 1 + 0.045 * C, 1 + 0.015 * C * T
    turn = 60 * np.exp(-(((h - 275) / 25) ** 2))
    RT = -2 * np.sqrt(C**7 / (C**7 + 25**7)) * np.sin(np.radians(turn))
    dL, dC, dH = dL / SL, dC / SC, dH / SH
    return np.sqrt(np.maximum(dL**2 + dC**2 + dH**2 + RT * dC * dH, 0))


def scores(picture: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """PSNR, SSIM and ΔE of one picture, which is clipped as a display does."""
    picture = np.clip(picture, 0, 1)
    return {"PSNR": psnr(picture, truth), "SSIM": ssim(picture, truth), "ΔE": delta_e(picture, truth)}


def mean_scores(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each score over pictures."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


class Motion:
    """Where each pixel of a frame was in the frame before: dense flow, with what came into view left out.

    Worked out once on a guide (the truth, or the plate where there is none) and used for all results of a clip.
    """

    def __init__(self, guide: Sequence[np.ndarray]) -> None:
        """``guide``: the display-referred frames of a clip, in order."""
        estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        grays = [cv2.cvtColor(_codes(frame), cv2.COLOR_RGB2GRAY) for frame in guide]
        self._back: list[np.ndarray] = []
        self._seen: list[np.ndarray] = []
        for before, now in itertools.pairwise(grays):
            back, forward = (
                np.asarray(estimator.calc(*pair, np.zeros((*now.shape, 2), np.float32)), np.float32)
                for pair in ((now, before), (before, now))
            )
            there = _carry(forward, back)
            # The check of Sundaram, Brox and Keutzer (2010).
            closed = np.square(back + there).sum(-1)
            bound = 0.01 * (np.square(back).sum(-1) + np.square(there).sum(-1)) + 0.5
            self._back.append(back)
            self._seen.append((closed < bound) & _inside(back))

    def warp_error(self, clip: Sequence[np.ndarray]) -> float:
        """Mean |y_t − y_{t−1} carried along the flow| where that was in view, over frames and channels, in codes."""
        errors = [
            float(np.abs(now - _carry(before, back))[seen].mean())
            for (before, now), back, seen in zip(itertools.pairwise(clip), self._back, self._seen, strict=True)
            if seen.any()
        ]
        return float(np.mean(errors)) if errors else 0.0


def gain(result: Sequence[np.ndarray], plate: Sequence[np.ndarray]) -> float:
    """How many times brighter the result is than its plate: the ratio of the means of their codes."""
    return float(np.mean([one.mean() for one in result]) / max(np.mean([one.mean() for one in plate]), 1e-6))


def detail_gain(result: Sequence[np.ndarray], plate: Sequence[np.ndarray]) -> float:
    """How many times the plate's detail the result has: the ratio of the mean slopes of their codes.

    What taking off a veil scales a clip's changes by: they lie at edges, and a veil dims edges by its T, while it
    raises the mean. Fine grain is smoothed away first, so that a result cannot buy itself room with noise.
    """

    def slope(clip: Sequence[np.ndarray]) -> float:
        smooth = (cv2.GaussianBlur(np.asarray(frame, np.float32), (0, 0), _DETAIL_SIGMA) for frame in clip)
        return float(np.mean([np.abs(np.diff(frame, axis=axis)).mean() for frame in smooth for axis in (0, 1)]))

    return slope(result) / max(slope(plate), 1e-6)


def _codes(picture: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _carry(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    x, y = _targets(flow)
    return cv2.remap(np.asarray(image, np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _inside(flow: np.ndarray) -> np.ndarray:
    x, y = _targets(flow)
    return (x >= 0) & (y >= 0) & (x <= flow.shape[1] - 1) & (y <= flow.shape[0] - 1)


def _targets(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x + flow[..., 0], y + flow[..., 1]
