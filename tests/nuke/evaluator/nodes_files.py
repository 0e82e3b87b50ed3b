"""Read, and generators of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio

from tests.nuke.evaluator.image import RGBA, Image, Window
from tests.nuke.evaluator.registry import Evaluation, EvaluationError, computes, filled, has, numbers, text

_SHORT = {"R": "red", "G": "green", "B": "blue", "A": "alpha", "r": "red", "g": "green", "b": "blue", "a": "alpha"}


def nuke_name(channel: str) -> str:
    """What Nuke calls a channel of an EXR: ``R`` is ``rgba.red``, ``fg1.R`` ``fg1.red``, ``Z`` ``depth.Z``."""
    layer, _, name = channel.rpartition(".")
    name = _SHORT.get(name, name)
    if layer:
        return f"{layer.replace('.', '_').lstrip('0123456789')}.{name}"
    if name == "Z":
        return "depth.Z"
    return f"rgba.{name}" if name in ("red", "green", "blue", "alpha") else f"other.{name}"


def read_exr(path: str) -> Image:
    """All channels of a file by Nuke's names, float32."""
    file = oiio.ImageInput.open(path)
    if file is None:
        raise EvaluationError(f"{path}: {oiio.geterror()}")
    try:
        spec = file.spec()
        pixels = file.read_image(0, 0, 0, spec.nchannels, oiio.FLOAT)
        if pixels is None:
            raise EvaluationError(f"{path}: {file.geterror()}")
    finally:
        file.close()
    planes = {nuke_name(name): np.ascontiguousarray(pixels[..., i]) for i, name in enumerate(spec.channelnames)}
    left, top = spec.full_x, spec.full_y
    return Image(
        planes,
        Window(spec.x, spec.y, spec.x + spec.width, spec.y + spec.height),
        Window(left, top, left + spec.full_width, top + spec.full_height),
    )


@computes("Read")
def read(evaluation: Evaluation, node: Any, frame: float) -> Image:
    if not node["raw"].value() and text(node, "colorspace", "default") not in ("default", "linear", "scene_linear"):
        raise EvaluationError(f"{node.name()}: {text(node, 'colorspace')} is no linear reading")
    chosen = _frame_in_range(node, round(frame))
    if chosen is None:
        return _blank(node)
    path = node["file"].evaluate(chosen)
    if Path(path).exists():
        return read_exr(path)
    return _missing(node, chosen, path)


def _frame_in_range(node: Any, frame: int) -> int | None:
    """The frame that is read; None for black."""
    first, last = int(node["first"].value()), int(node["last"].value())
    if first <= frame <= last:
        return frame
    how = text(node, "before" if frame < first else "after", "hold")
    length = last - first + 1
    if how == "hold":
        return first if frame < first else last
    if how == "loop":
        return first + (frame - first) % length
    if how == "bounce":
        step = (frame - first) % max(2 * length - 2, 1)
        return first + min(step, 2 * length - 2 - step)
    return None


def _missing(node: Any, frame: int, path: str) -> Image:
    how = text(node, "on_error", "error")
    if how == "error":
        raise EvaluationError(f"{node.name()}: Read error: No such file or directory: {path}")
    if how == "nearest frame":
        frames = range(int(node["first"].value()), int(node["last"].value()) + 1)
        for other in sorted(frames, key=lambda number: abs(number - frame)):
            nearest = node["file"].evaluate(other)
            if Path(nearest).exists():
                return read_exr(nearest)
        raise EvaluationError(f"{node.name()}: no frame of {path}")
    blank = _blank(node)
    if how == "checkerboard":
        return blank.having(dict.fromkeys(RGBA, _checks(blank.data)))
    return blank


def _blank(node: Any) -> Image:
    """Black in the channels and windows of a file of the sequence that is there."""
    for frame in range(int(node["first"].value()), int(node["last"].value()) + 1):
        path = node["file"].evaluate(frame)
        if Path(path).exists():
            like = read_exr(path)
            return like.having({name: np.zeros_like(plane) for name, plane in like.channels.items()})
    return Image()


def _checks(window: Window) -> np.ndarray:
    rows, columns = np.mgrid[0 : window.bottom - window.top, 0 : window.right - window.left]
    return ((rows // 8 + columns // 8) % 2).astype(np.float32)


def _format(node: Any) -> Window:
    chosen = node["format"].value() if has(node, "format") else None
    return Window(0, 0, chosen.width(), chosen.height()) if chosen is not None else Window(0, 0, 1, 1)


@computes("Constant")
def constant(evaluation: Evaluation, node: Any, frame: float) -> Image:
    window = _format(node)
    values = numbers(node, "color", frame)
    return Image({c: filled(value, window) for c, value in zip(RGBA, values, strict=True)}, window, window)


@computes("CheckerBoard2")
def checker_board(evaluation: Evaluation, node: Any, frame: float) -> Image:
    window = _format(node)
    checks = _checks(window)
    planes = dict.fromkeys(RGBA[:3], checks * np.float32(0.4) + np.float32(0.1))
    return Image({**planes, "rgba.alpha": np.ones_like(checks)}, window, window)
