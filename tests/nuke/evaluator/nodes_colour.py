"""Nodes of one picture that change values pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.nuke.evaluator.expression import parse
from tests.nuke.evaluator.image import RGBA, Image, Window
from tests.nuke.evaluator.registry import (
    Evaluation,
    EvaluationError,
    channels_of,
    computes,
    filled,
    has,
    index_of,
    mixed,
    numbers,
    text,
)

VDP_LAYERS = (
    "bg", "fg1", "fg2", "fg3", "clean", "residual", "confidence", "clear", "airlight", "transmission", "relit", "gain"
)  # fmt: skip
"""Layers that a script with VDP in it knows: black where the stream does not have them."""

_SHORT = {"r": "red", "g": "green", "b": "blue", "a": "alpha", "red": "red", "green": "green", "blue": "blue"}
_FIELDS = {name: i for fields in ("rgba", "xyzw") for i, name in enumerate(fields)} | {"w": 0, "h": 1}


def _per_channel(
    evaluation: Evaluation, node: Any, frame: float, change: Callable[[np.ndarray, int], np.ndarray]
) -> Image:
    """``change(plane, index in its colour)`` on the channels that the node chooses, under its mask and mix."""
    before = evaluation.input(node, 0, frame)
    planes = {c: change(before.plane(c), index_of(c)) for c in channels_of(node, "channels", before)}
    return mixed(evaluation, node, frame, before, before.having(planes))


@computes("Multiply")
def multiply(evaluation: Evaluation, node: Any, frame: float) -> Image:
    value = numbers(node, "value", frame)
    return _per_channel(evaluation, node, frame, lambda plane, i: plane * value[i])


@computes("Add")
def add(evaluation: Evaluation, node: Any, frame: float) -> Image:
    value = numbers(node, "value", frame)
    return _per_channel(evaluation, node, frame, lambda plane, i: plane + value[i])


@computes("Invert")
def invert(evaluation: Evaluation, node: Any, frame: float) -> Image:
    return _per_channel(evaluation, node, frame, lambda plane, i: 1 - plane)


@computes("Clamp")
def clamp(evaluation: Evaluation, node: Any, frame: float) -> Image:
    low, high = numbers(node, "minimum", frame), numbers(node, "maximum", frame)
    return _per_channel(evaluation, node, frame, lambda plane, i: np.clip(plane, low[i], high[i]))


@computes("Grade")
def grade(evaluation: Evaluation, node: Any, frame: float) -> Image:
    names = ("blackpoint", "whitepoint", "black", "white", "multiply", "add", "gamma")
    knobs = {name: numbers(node, name, frame) for name in names}
    if node["reverse"].value():
        raise EvaluationError(f"{node.name()}: a reversed Grade is not known here")

    def change(plane: np.ndarray, i: int) -> np.ndarray:
        low, high, lift, gain, factor, offset, gamma = (knobs[name][i] for name in names)
        slope = factor * (gain - lift) / (high - low)
        result = plane * slope + (offset + lift - slope * low)
        if gamma != 1:
            result = np.where(result > 0, np.abs(result) ** (1 / gamma), result)
        if node["black_clamp"].value():
            result = np.maximum(result, 0)
        return np.minimum(result, 1) if node["white_clamp"].value() else result

    return _per_channel(evaluation, node, frame, change)


@computes("Premult", "Unpremult")
def premult(evaluation: Evaluation, node: Any, frame: float) -> Image:
    image = evaluation.input(node, 0, frame)
    alpha = image.plane(text(node, "alpha", "rgba.alpha"))
    planes = {}
    for channel in channels_of(node, "channels", image):
        plane = image.plane(channel)
        if channel == "rgba.alpha":
            continue
        if node.Class() == "Premult":
            planes[channel] = plane * alpha
        else:
            planes[channel] = np.where(alpha == 0, plane, plane / np.where(alpha == 0, np.float32(1), alpha))
    return image.having(planes)


@computes("Blur")
def blur(evaluation: Evaluation, node: Any, frame: float) -> Image:
    """A box of the size's width: a picture that is not the one of the file, which is all that is asked of it."""
    radius = max(int(numbers(node, "size", frame)[0]) // 2, 0)

    def change(plane: np.ndarray, i: int) -> np.ndarray:
        padded = np.pad(plane, radius, mode="edge")
        shifts = range(2 * radius + 1)
        rows, columns = plane.shape
        total = sum(padded[r : r + rows, c : c + columns] for r in shifts for c in shifts)
        return np.asarray(total / np.float32(len(shifts) ** 2), np.float32)

    return _per_channel(evaluation, node, frame, change)


@computes("Expression")
def expression(evaluation: Evaluation, node: Any, frame: float) -> Image:
    before = evaluation.input(node, 0, frame)
    variables: dict[str, Any] = {}

    def look(word: str) -> Any:
        found = variables.get(word)
        if found is None:
            found = _channel(word, before)
        if found is None:
            found = _coordinate(word, before.data, before.format, frame)
        return _knob(node, word, frame) if found is None else found

    for i in range(4):
        name, body = text(node, f"temp_name{i}"), text(node, f"temp_expr{i}")
        if name and body:
            variables[name] = parse(body)(look)
    planes: dict[str, np.ndarray] = {}
    for i, own in enumerate(RGBA):
        body = text(node, f"expr{i}")
        # Untouched, the four fields are red, green, blue and alpha; an empty one leaves its channel alone.
        names = [own] if node[f"channel{i}"].isDefault() else channels_of(node, f"channel{i}", before)
        if body:
            planes |= dict.fromkeys(names, filled(parse(body)(look), before.data))
    return mixed(evaluation, node, frame, before, before.having(planes))


def _channel(word: str, image: Image) -> np.ndarray | None:
    layer, _, name = word.rpartition(".")
    full = f"{layer or 'rgba'}.{_SHORT.get(name, name)}"
    return image.plane(full) if full in image.channels or layer in VDP_LAYERS else None


def _coordinate(word: str, data: Window, format: Window, frame: float) -> Any:
    if word in ("frame", "t"):
        return np.float32(frame)
    if word == "x":
        return np.broadcast_to(np.arange(data.left, data.right, dtype=np.float32), data.shape)
    if word == "y":  # upwards, from the bottom of the format
        rows = format.bottom - 1 - np.arange(data.top, data.bottom, dtype=np.float32)
        return np.broadcast_to(rows[:, None], data.shape)
    return None


def _knob(node: Any, word: str, frame: float) -> np.float32:
    """A knob by its path: ``haze_amount``, ``airlight_gain.r``, ``parent.fg1_gain.g``, ``Grade1.white``."""
    home, parts = node, word.split(".")
    if len(parts) > 1 and parts[0] in ("this", "parent"):
        home = node if parts[0] == "this" else node.parent()
        parts = parts[1:]
    elif not has(home, parts[0]):
        home = node.parent().node(parts[0])
        parts = parts[1:]
    if home is None or not parts or not has(home, parts[0]):
        raise EvaluationError(f"{node.name()}: nothing called {word}")
    value = home[parts[0]].valueAt(frame)
    if len(parts) > 1 and isinstance(value, (list, tuple)):
        value = value[_FIELDS[parts[1]]]
    return np.float32(value)


@computes("Shuffle2")
def shuffle(evaluation: Evaluation, node: Any, frame: float) -> Image:
    base = evaluation.input(node, 0, frame)
    sides = {"A": evaluation.input(node, 1, frame), "B": base}
    planes: dict[str, np.ndarray] = {}
    for source, slot, target in _mappings(node):
        if source in ("black", "white"):
            planes[target] = filled(float(source == "white"), base.data)
            continue
        planes[target] = sides[_side(node, slot)].plane(source, base.data)
    missing = {f"rgba.{c}" for c in ("red", "green", "blue", "alpha")} - set(planes)
    if text(node, "out1", "rgba") == "rgba" and missing:
        raise EvaluationError(f"{node.name()}: what becomes of {sorted(missing)} is not said")
    return base.having(planes)


def _side(node: Any, slot: int) -> str:
    """``A`` or ``B``: the knob holds an index and a list, ``{0} B A``."""
    index, *names = text(node, f"fromInput{slot + 1}").replace("{", " ").replace("}", " ").split()
    return names[min(int(index), len(names) - 1)]


def _mappings(node: Any) -> list[tuple[str, int, str]]:
    """(source, 0 or 1 for in1 or in2, target), from the text form ``2 fg1.red 0 0 rgba.red 0 0 black -1 -1 …``."""
    words = node["mappings"].toScript().strip('"').replace('\\"', "").replace('"', "").split()
    return [(words[i], max(int(words[i + 1]), 0), words[i + 3]) for i in range(1, len(words), 6)]


@computes("Remove")
def remove(evaluation: Evaluation, node: Any, frame: float) -> Image:
    image = evaluation.input(node, 0, frame)
    named = {
        channel
        for knob in ("channels", "channels2", "channels3", "channels4")
        if has(node, knob) and text(node, knob) not in ("", "none")
        for channel in channels_of(node, knob, image)
    }
    keep = text(node, "operation", "remove") == "keep"
    return replace(image, channels={c: plane for c, plane in image.channels.items() if (c in named) == keep})
