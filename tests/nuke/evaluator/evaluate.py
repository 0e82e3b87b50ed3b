"""Computes the picture of a node of Nuke's Python API, with numpy, for the few classes of nodes used here.

Float32 throughout, as Nuke. A class, an operation or a knob's setting that is not known is refused: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

# Each of these registers its classes.
from tests.nuke.evaluator import nodes_colour, nodes_files, nodes_merge  # noqa: F401
from tests.nuke.evaluator.image import Image, Window
from tests.nuke.evaluator.registry import (
    CLASSES,
    Evaluation,
    EvaluationError,
    Hook,
    computes,
    has,
    number,
    numbers,
    text,
)


def evaluate(node: Any, frame: float, hooks: Mapping[str, Hook] | None = None) -> Image:
    """The picture of a node at a frame.

    Args:
        hooks: by class of node, what to take instead of computing it: ``{"Roto": lambda node, frame: Image(…)}``.

    Raises:
        EvaluationError: the node or one above it would show an error in Nuke, or is not known here.
    """
    with np.errstate(all="ignore"):
        return _compute(node, frame, Evaluation(_compute, hooks or {}))


def _compute(node: Any, frame: float, evaluation: Evaluation) -> Image:
    kind = node.Class()
    if has(node, "disable") and node["disable"].valueAt(frame):
        return evaluation.input(node, 0, frame)
    if kind in CLASSES:
        return CLASSES[kind](evaluation, node, frame)
    if kind in evaluation.hooks:
        return evaluation.hooks[kind](node, frame)
    if hasattr(node, "nodes"):  # a Group, or a Gizmo, whose class is its file's name
        return _of_group(evaluation, node, frame)
    raise EvaluationError(f"{node.name()}: nodes of class {kind} are not known here")


def _of_group(evaluation: Evaluation, group: Any, frame: float) -> Image:
    outputs = [node for node in group.nodes() if node.Class() == "Output"]
    if len(outputs) != 1:
        raise EvaluationError(f"{group.name()}: {len(outputs)} Output nodes in the group")
    return evaluation.input(outputs[0], 0, frame)


@computes("Input")
def group_input(evaluation: Evaluation, node: Any, frame: float) -> Image:
    """What is plugged into the group, by the Input's number."""
    index = int(node["number"].value()) if has(node, "number") else 0
    return evaluation.input(node.parent(), index, frame)


@computes("Dot", "NoOp", "Output", "Write", "OneView", "Viewer")
def passed(evaluation: Evaluation, node: Any, frame: float) -> Image:
    return evaluation.input(node, 0, frame)


@computes("FrameHold")
def frame_hold(evaluation: Evaluation, node: Any, frame: float) -> Image:
    held = float(number(node, "first_frame", frame))
    step = int(number(node, "increment", frame)) if has(node, "increment") else 0
    if step:
        held += (frame - held) // step * step
    return evaluation.input(node, 0, held)


@computes("TimeOffset")
def time_offset(evaluation: Evaluation, node: Any, frame: float) -> Image:
    return evaluation.input(node, 0, frame - float(number(node, "time_offset", frame)))


@computes("Crop")
def crop(evaluation: Evaluation, node: Any, frame: float) -> Image:
    """The box is Nuke's: x, y, right and top, upwards from the bottom of the format."""
    image = evaluation.input(node, 0, frame)
    left, low, right, high = (int(value) for value in numbers(node, "box", frame))
    bottom = image.format.bottom
    window = Window(left, bottom - high, right, bottom - low)
    cropped = image.over(window.intersection(image.data))
    return replace(cropped, format=window) if has(node, "reformat") and node["reformat"].value() else cropped


@computes("Reformat")
def reformat(evaluation: Evaluation, node: Any, frame: float) -> Image:
    """Another format around the same pixels, lower left corner kept; scaling is not known."""
    image = evaluation.input(node, 0, frame)
    if text(node, "resize", "width") != "none" or node["center"].value():
        raise EvaluationError(f"{node.name()}: only a Reformat that neither resizes nor centres is known here")
    chosen = node["format"].value()
    down = chosen.height() - image.format.bottom
    data = Window(image.data.left, image.data.top + down, image.data.right, image.data.bottom + down)
    return replace(image, data=data, format=Window(0, 0, chosen.width(), chosen.height()))
