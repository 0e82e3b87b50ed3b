"""Renders a Write node to real EXRs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio

from tests.nuke.evaluator.evaluate import evaluate
from tests.nuke.evaluator.image import RGBA, Image, chosen
from tests.nuke.evaluator.registry import EvaluationError, Hook, has, text

_COMPRESSIONS = {"Zip (1 scanline)": "zips", "Zip (16 scanlines)": "zip", "PIZ Wavelet (32 scanlines)": "piz"}
_SHORT = dict(zip(RGBA, "RGBA", strict=True))


def write_frames(
    write_node: Any, first: int, last: int, increment: int = 1, hooks: Mapping[str, Hook] | None = None
) -> list[str]:
    """Write the frames of a Write node as Nuke does: its channels, data type, compression and file name.

    Returns:
        the files written.

    Raises:
        EvaluationError: a frame cannot be computed or written, in Nuke's words.
    """
    written = []
    for frame in range(first, last + 1, increment):
        path = write_node["file"].evaluate(frame)
        folder = Path(path).parent
        if has(write_node, "create_directories") and write_node["create_directories"].value():
            folder.mkdir(parents=True, exist_ok=True)
        image = evaluate(write_node, frame, hooks)
        _write(path, image, chosen(text(write_node, "channels", "rgb"), image.channels), write_node)
        written.append(path)
    return written


def _write(path: str, image: Image, names: list[str], node: Any) -> None:
    if text(node, "file_type", "exr").strip() not in ("exr", "") or not path.endswith(".exr"):
        raise EvaluationError(f"{node.name()}: only EXR is known here, not {path}")
    kind = oiio.HALF if text(node, "datatype", "16 bit half") == "16 bit half" else oiio.FLOAT
    data, format = image.data, image.format
    spec = oiio.ImageSpec(data.right - data.left, data.bottom - data.top, len(names), kind)
    # The four of rgba go by their short names, all others by their long ones.
    spec.channelnames = [_SHORT.get(name, name) for name in names]
    spec.x, spec.y = data.left, data.top
    spec.full_x, spec.full_y = format.left, format.top
    spec.full_width, spec.full_height = format.right - format.left, format.bottom - format.top
    compression = text(node, "compression", "Zip (1 scanline)")
    spec.attribute("compression", _COMPRESSIONS.get(compression, compression.lower()))
    temporary = f"{path}.tmp.exr"
    output = oiio.ImageOutput.create(temporary)
    if output is None or not output.open(temporary, spec):
        raise EvaluationError(f"{node.name()}: {path}: {oiio.geterror()}")
    pixels = np.stack([image.plane(name) for name in names], axis=-1)
    if not output.write_image(pixels.astype(np.float16 if kind == oiio.HALF else np.float32)):
        raise EvaluationError(f"{node.name()}: {path}: {output.geterror()}")
    output.close()
    os.replace(temporary, path)
