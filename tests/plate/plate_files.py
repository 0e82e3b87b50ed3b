"""OpenEXR files for tests, written by the OpenEXR module: the reader under test uses OpenImageIO."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR

CLIPS = Path(os.environ.get("VDP_TEST_CLIPS") or Path(__file__).resolve().parents[3] / "shared" / "clips") / "exr"

COMPRESSIONS = {
    "none": OpenEXR.NO_COMPRESSION,
    "rle": OpenEXR.RLE_COMPRESSION,
    "zips": OpenEXR.ZIPS_COMPRESSION,
    "zip": OpenEXR.ZIP_COMPRESSION,
    "piz": OpenEXR.PIZ_COMPRESSION,
    "pxr24": OpenEXR.PXR24_COMPRESSION,
    "b44": OpenEXR.B44_COMPRESSION,
    "b44a": OpenEXR.B44A_COMPRESSION,
    "dwaa": OpenEXR.DWAA_COMPRESSION,
    "dwab": OpenEXR.DWAB_COMPRESSION,
}


def ramp(height: int, width: int, channel: int = 0, dtype: Any = np.float16) -> np.ndarray:
    """Smooth values with a little noise, from below 0 to above 10, other ones in every channel."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    noise = np.random.default_rng(channel).random((height, width))
    values = -0.5 + 12.0 * (columns + 1) / width * (rows + 1 + channel) / (height + channel) + 0.05 * noise
    return values.astype(dtype)


def colour_channels(height: int, width: int, prefix: str = "", dtype: Any = np.float16) -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": ramp(height, width, index, dtype) for index, name in enumerate("RGB")}


def tiles(size: int, *, mipmap: bool = False) -> Any:
    description = OpenEXR.TileDescription()
    description.xSize = description.ySize = size
    if mipmap:
        description.mode = OpenEXR.MIPMAP_LEVELS
    return description


def box(x: int, y: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """OpenEXR's inclusive box."""
    return np.array([x, y], np.int32), np.array([x + width - 1, y + height - 1], np.int32)


def write(path: Path, channels: dict[str, Any], **header: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    full = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(full, channels).write(str(path))
    return path


def write_sequence(folder: Path, frames: Any, name: str = "shot.{:04d}.exr", **header: Any) -> Path:
    for frame in frames:
        write(folder / name.format(frame), colour_channels(12, 16), **header)
    return folder


def write_luminance_chroma(path: Path, luminance: np.ndarray, chroma: dict[str, np.ndarray]) -> Path:
    """An uncompressed OpenEXR file with float32 Y and, in every second row and column, RY and BY.

    Laid out byte by byte ("OpenEXR File Layout"), since no Python module writes channels of two sizes soundly.
    """
    height, width = luminance.shape
    planes = {**chroma, "Y": luminance}

    def attribute(name: str, kind: str, value: bytes) -> bytes:
        return name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value

    channels = b"".join(
        name.encode() + b"\0" + struct.pack("<iBxxxii", 2, 0, *((1, 1) if name == "Y" else (2, 2)))
        for name in sorted(planes)
    )
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    header = struct.pack("<ii", 20000630, 2)
    header += attribute("channels", "chlist", channels + b"\0")
    header += attribute("compression", "compression", b"\0")
    header += attribute("dataWindow", "box2i", window) + attribute("displayWindow", "box2i", window)
    header += attribute("lineOrder", "lineOrder", b"\0") + attribute("owner", "string", b"somebody")
    header += attribute("pixelAspectRatio", "float", struct.pack("<f", 1.0))
    header += attribute("screenWindowCenter", "v2f", struct.pack("<ff", 0.0, 0.0))
    header += attribute("screenWindowWidth", "float", struct.pack("<f", 1.0)) + b"\0"

    chunks = []
    for row in range(height):
        lines = [
            planes[name][row if name == "Y" else row // 2] for name in sorted(planes) if name == "Y" or row % 2 == 0
        ]
        pixels = b"".join(line.astype("<f4").tobytes() for line in lines)
        chunks.append(struct.pack("<ii", row, len(pixels)) + pixels)
    starts = len(header) + 8 * height + np.cumsum([0, *(len(chunk) for chunk in chunks[:-1])])
    path.write_bytes(header + starts.astype("<u8").tobytes() + b"".join(chunks))
    return path


def reference(path: Path, names: tuple[str, ...] = ("R", "G", "B"), part: int = 0) -> np.ndarray:
    """Channels as the OpenEXR module reads them, float32 (H, W, C)."""
    channels = OpenEXR.File(str(path), separate_channels=True).channels(part)
    return np.stack([channels[name].pixels.astype(np.float32) for name in names], axis=-1)
