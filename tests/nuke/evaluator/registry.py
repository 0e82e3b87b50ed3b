"""Which function computes which class of node, and what all of them need of a node's knobs and inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.nuke.evaluator.image import Image, Window, chosen

Hook = Callable[[Any, float], Image]
"""Stands in for a class of nodes: (node, frame) to its picture."""


class EvaluationError(Exception):
    """What Nuke would show as the error of a node, or a node that this evaluator does not know."""


@dataclass(frozen=True)
class Evaluation:
    """One walk up a tree."""

    compute: Callable[[Any, float, Evaluation], Image]
    hooks: Mapping[str, Hook] = field(default_factory=dict)

    def of(self, node: Any, frame: float) -> Image:
        """The picture of a node; an empty one where there is none."""
        return Image() if node is None else self.compute(node, frame, self)

    def input(self, node: Any, index: int, frame: float) -> Image:
        return self.of(node.input(index), frame)


Compute = Callable[[Evaluation, Any, float], Image]
CLASSES: dict[str, Compute] = {}


def computes(*classes: str) -> Callable[[Compute], Compute]:
    """Registers a function for classes of nodes."""

    def register(function: Compute) -> Compute:
        CLASSES.update(dict.fromkeys(classes, function))
        return function

    return register


def has(node: Any, knob: str) -> bool:
    return knob in node.knobs()


def text(node: Any, knob: str, default: str = "") -> str:
    return str(node[knob].value()) if has(node, knob) else default


def number(node: Any, knob: str, frame: float) -> np.float32:
    return np.float32(node[knob].valueAt(frame))


def numbers(node: Any, knob: str, frame: float) -> list[np.float32]:
    """Four numbers, a single one four times."""
    value = node[knob].valueAt(frame)
    values = [np.float32(one) for one in value] if isinstance(value, (list, tuple)) else [np.float32(value)] * 4
    return values + [np.float32(1)] * (4 - len(values))


def index_of(channel: str) -> int:
    """Which of a colour's four numbers a channel takes."""
    return {"red": 0, "green": 1, "blue": 2, "alpha": 3}.get(channel.rpartition(".")[2], 0)


def channels_of(node: Any, knob: str, image: Image) -> list[str]:
    """The channels a knob chooses from a picture."""
    return chosen(text(node, knob, "all"), image.channels)


def mixed(evaluation: Evaluation, node: Any, frame: float, before: Image, after: Image, mask_input: int = 1) -> Image:
    """``after`` where the node's mask and mix let it through, else ``before``."""
    weight: np.ndarray | np.float32 = number(node, "mix", frame) if has(node, "mix") else np.float32(1)
    if node.input(mask_input) is not None:
        channel = text(node, "maskChannelMask", "rgba.alpha")
        channel = "rgba.alpha" if channel in ("", "none", "alpha") else channel
        matte = evaluation.input(node, mask_input, frame).plane(channel, after.data)
        weight = weight * (1 - matte if has(node, "invert_mask") and node["invert_mask"].value() else matte)
    elif text(node, "maskChannelInput", "none") not in ("none", ""):
        raise EvaluationError(f"{node.name()}: a mask from the stream is not known here")
    if np.all(weight == 1):
        return after
    under = before.over(after.data)
    planes = {c: blend(under.plane(c), after.plane(c), weight) for c in after.channels}
    return after.having(planes)


def blend(under: np.ndarray, over: np.ndarray, weight: Any) -> np.ndarray:
    """Exactly one or the other where the weight is 0 or 1, whatever the other holds."""
    part = np.asarray(under * (1 - weight) + over * weight, np.float32)
    return np.where(weight == 0, under, np.where(weight == 1, over, part))


def filled(value: Any, window: Window) -> np.ndarray:
    """A plane of a number, or the plane itself."""
    return np.ascontiguousarray(np.broadcast_to(np.asarray(value, np.float32), window.shape))
