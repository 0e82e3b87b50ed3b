"""Turn a folder of display-referred frames (JPEG, PNG) into a scene-linear EXR sequence.

The sRGB curve of IEC 61966-2-1 is undone exactly; display white becomes 1.0. Frames are numbered from 1001 in the
order of their names, half float, ZIPS, 24 frames a second. With --upscale the frames are enlarged in linear light
by Lanczos resampling. Resampling rings, so that enlarged frames have values below 0 and above 1, as plates do.

    python tests/tools/clip_to_exr.py CLIP/frames OUT/clip [--upscale 1080] [--first 1001] [--limit 50]

writes OUT/clip.1001.exr … and prints the sequence's pattern.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio

_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}


def srgb_to_linear(code: np.ndarray) -> np.ndarray:
    """Scene-linear float32 from display-referred sRGB codes, both 0 to 1, any shape."""
    code = np.asarray(code, np.float32)
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


def convert(
    frames: Path, stem: Path, *, upscale: int | None = None, first: int = 1001, limit: int | None = None
) -> str:
    """Write ``stem.1001.exr …`` from the pictures in ``frames``; returns the sequence's pattern."""
    pictures = sorted(path for path in frames.iterdir() if path.suffix.lower() in _SUFFIXES)[:limit]
    if not pictures:
        raise SystemExit(f"{frames} holds no pictures: expected files ending in {', '.join(sorted(_SUFFIXES))}")
    stem.parent.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, first):
        bgr = cv2.imread(str(picture), cv2.IMREAD_COLOR)
        if bgr is None:
            raise SystemExit(f"{picture} cannot be read")
        linear = srgb_to_linear(bgr[..., ::-1] / np.float32(255))
        if upscale is not None:
            size = (round(linear.shape[1] * upscale / linear.shape[0] / 2) * 2, upscale)
            linear = cv2.resize(linear, size, interpolation=cv2.INTER_LANCZOS4)
        _write(stem.with_name(f"{stem.name}.{number:04d}.exr"), linear)
    return f"{stem}.{first:04d}-{first + len(pictures) - 1:04d}#.exr"


def _write(path: Path, linear: np.ndarray) -> None:
    spec = oiio.ImageSpec(linear.shape[1], linear.shape[0], 3, oiio.HALF)
    spec.attribute("compression", "zips")
    spec.attribute("framesPerSecond", oiio.TypeRational, (24, 1))
    output = oiio.ImageOutput.create(str(path))
    if not (output and output.open(str(path), spec) and output.write_image(linear) and output.close()):
        raise SystemExit(f"cannot write {path}: {output.geterror() if output else oiio.geterror()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", type=Path, help="folder of JPEG, PNG or TIFF frames")
    parser.add_argument("stem", type=Path, help="output path without frame number and suffix")
    parser.add_argument("--upscale", type=int, metavar="HEIGHT", help="enlarge to this height by Lanczos")
    parser.add_argument("--first", type=int, default=1001, help="number of the first frame (1001)")
    parser.add_argument("--limit", type=int, help="at most this many frames")
    chosen = parser.parse_args()
    print(convert(chosen.frames, chosen.stem, upscale=chosen.upscale, first=chosen.first, limit=chosen.limit))


if __name__ == "__main__":
    main()
