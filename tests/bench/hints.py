"""Rough hints as an artist would paint them, made from the ground truth: the one place where it reaches the engine.

    python tests/bench/hints.py --clips cows dog --out hints

The mask of the middle frame is dilated by 6 pixels, shifted by 4 to the right and blurred by a Gaussian of 3: white
inside, black outside, and the rim, where such a hint is wrong more often than not, grey.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from clips import CHECKOUT, Clip, layer_clips

DILATION = 6
SHIFT = (4, 0)  # right, down
BLUR = 3.0


def rough(mask: np.ndarray) -> np.ndarray:
    """The hint, uint8 (H, W), for a bool mask (H, W)."""
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    grown = np.where(distance <= DILATION, np.uint8(255), np.uint8(0))
    move = np.array([[1, 0, SHIFT[0]], [0, 1, SHIFT[1]]], np.float32)
    # What the shift brings in from outside the picture is what stands at its border.
    shifted = cv2.warpAffine(grown, move, mask.shape[::-1], flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(shifted, (0, 0), BLUR), np.uint8)


def make_hint(clip: Clip, folder: Path) -> Path:
    """Write ``NAME.FRAME.png`` for the clip's middle frame, and say where."""
    masks = clip.truth()
    middle = len(masks) // 2
    path = folder / f"{clip.name}.{clip.numbers()[middle]:04d}.png"
    folder.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), rough(masks[middle])):
        raise SystemExit(f"{path} cannot be written")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="some of the clips (all)")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "build" / "bench" / "hints")
    chosen = parser.parse_args()
    for clip in layer_clips(chosen.clips):
        print(make_hint(clip, chosen.out))


if __name__ == "__main__":
    main()
