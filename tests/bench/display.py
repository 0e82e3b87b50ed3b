"""Display-referred pictures, the scene-linear plates made of them, and back. Colours are RGB, float32 (H, W, 3)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
from clips import FIRST

_WHITE_XYZ = (0.95047, 1.0, 1.08883)  # D65, 2 degrees
_SRGB_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))


def read_picture(path: Path) -> np.ndarray:
    """The codes of a JPEG or PNG, display-referred, 0 to 1."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SystemExit(f"{path} cannot be read")
    return picture[..., ::-1].astype(np.float32) / 255


def write_picture(path: Path, codes: np.ndarray) -> None:
    """Display-referred codes, 0 to 1, as an 8-bit PNG or JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), np.rint(np.clip(codes, 0, 1) * 255).astype(np.uint8)[..., ::-1]):
        raise SystemExit(f"cannot write {path}")


def to_linear(codes: np.ndarray) -> np.ndarray:
    """Scene-linear light of sRGB codes, display white at 1 (IEC 61966-2-1)."""
    codes = np.asarray(codes, np.float32)
    return np.where(codes <= 0.04045, codes / 12.92, ((np.maximum(codes, 0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_display(light: np.ndarray) -> np.ndarray:
    """sRGB codes, 0 to 1, of scene-linear light, which the display clips."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def to_lab(codes: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of sRGB codes, float64; L 0 to 100."""
    codes = np.asarray(codes, np.float64)
    light = np.where(codes <= 0.04045, codes / 12.92, ((np.maximum(codes, 0) + 0.055) / 1.055) ** 2.4)
    ratios = light @ np.transpose(_SRGB_TO_XYZ) / _WHITE_XYZ
    x, y, z = np.moveaxis(
        np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios / (3 * (6 / 29) ** 2) + 4 / 29), -1, 0
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def write_plate(stem: Path, frames: Iterable[np.ndarray]) -> str:
    """Scene-linear frames as ``stem.1001.exr …``, half float; the sequence's pattern."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    last = FIRST - 1
    for last, light in enumerate(frames, FIRST):
        write_exr(stem.with_name(f"{stem.name}.{last:04d}.exr"), light)
    return f"{stem}.{FIRST:04d}-{last:04d}#.exr"


def write_exr(path: Path, light: np.ndarray) -> None:
    """One half-float EXR."""
    spec = oiio.ImageSpec(light.shape[1], light.shape[0], 3, oiio.HALF)
    spec.attribute("compression", "zips")
    output = oiio.ImageOutput.create(str(path))
    whole = np.ascontiguousarray(light, np.float32)
    if not (output and output.open(str(path), spec) and output.write_image(whole) and output.close()):
        raise SystemExit(f"cannot write {path}: {output.geterror() if output else oiio.geterror()}")
