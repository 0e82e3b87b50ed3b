"""The plain way to find what moves, for comparison: no nets, no memory from frame to frame.

    python tests/bench/baseline.py shared/clips/layers/cows/frames --out mattes

Per frame: DIS flow to the next one, less the camera's motion as the homography that RANSAC finds in it; Otsu's
threshold on the length of what is left; a guided filter along the picture's edges. One 8-bit PNG a frame.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

_GRID = 8  # every so many pixels one match for the homography
_INLIER = 1.0  # pixels
_BRIGHTEST = 0.99  # quantile of the residual that is drawn white: a few wild vectors must not squeeze the rest
_RADIUS, _EPSILON = 8, 1e-3


def residual(flow: np.ndarray) -> np.ndarray:
    """|flow − camera| in pixels, float32 (H, W), of a flow (H, W, 2); the camera is a homography."""
    height, width = flow.shape[:2]
    here = np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))
    source = here[::_GRID, ::_GRID].reshape(-1, 2)
    target = source + flow[::_GRID, ::_GRID].reshape(-1, 2)
    found, _ = cv2.findHomography(source, target, cv2.RANSAC, _INLIER)
    if found is None:
        return np.asarray(np.hypot(flow[..., 0], flow[..., 1]), np.float32)
    camera = cv2.perspectiveTransform(here.reshape(-1, 1, 2), found).reshape(height, width, 2) - here
    return np.asarray(np.linalg.norm(flow - camera, axis=2), np.float32)


def otsu(values: np.ndarray) -> np.ndarray:
    """The larger of two classes of ``values`` (H, W), as float32 zeros and ones."""
    white = max(float(np.quantile(values, _BRIGHTEST)), 1e-6)
    levels = (np.clip(values / white, 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1], np.float32)


def guided(matte: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Guided filter (He, Sun and Tang, 2010) of a matte by a grey picture, both float32 (H, W), 0 to 1."""

    def mean(x: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.blur(x, (2 * _RADIUS + 1, 2 * _RADIUS + 1), borderType=cv2.BORDER_REFLECT))

    slope = (mean(guide * matte) - mean(guide) * mean(matte)) / (mean(guide * guide) - mean(guide) ** 2 + _EPSILON)
    offset = mean(matte) - slope * mean(guide)
    return np.clip(mean(slope) * guide + mean(offset), 0, 1)


def mattes(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """The matte of each uint8 grey picture (H, W), float32 (H, W), 0 to 1."""
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = []
    for index, now in enumerate(pictures):
        other = pictures[index + 1 if index + 1 < len(pictures) else index - 1]
        flow = np.asarray(estimator.calc(now, other, np.zeros((*now.shape, 2), np.float32)))
        found.append(guided(otsu(residual(flow)), now.astype(np.float32) / 255))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path, help="a folder of JPEGs")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    paths = sorted(chosen.frames.glob("*.jpg"))
    if len(paths) < 2:
        raise SystemExit(f"{chosen.frames} holds fewer than two JPEGs")
    chosen.out.mkdir(parents=True, exist_ok=True)
    pictures = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in paths]
    for path, matte in zip(paths, mattes(pictures), strict=True):
        if not cv2.imwrite(str(chosen.out / f"{path.stem}.png"), np.round(matte * 255).astype(np.uint8)):
            raise SystemExit(f"{chosen.out} cannot be written")


if __name__ == "__main__":
    main()
