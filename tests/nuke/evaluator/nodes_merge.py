"""Nodes of several pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tests.nuke.evaluator.image import RGBA, Image
from tests.nuke.evaluator.registry import (
    Evaluation,
    EvaluationError,
    blend,
    channels_of,
    computes,
    has,
    mixed,
    number,
    text,
)

Operation = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(A, B, alpha of A, alpha of B) to the result."""

_OPERATIONS: dict[str, Operation] = {
    "plus": lambda a, b, aa, ba: a + b,
    "over": lambda a, b, aa, ba: a + b * (1 - aa),
    "under": lambda a, b, aa, ba: a * (1 - ba) + b,
    "copy": lambda a, b, aa, ba: a,
    "from": lambda a, b, aa, ba: b - a,
    "minus": lambda a, b, aa, ba: a - b,
    "multiply": lambda a, b, aa, ba: np.where((a < 0) & (b < 0), a, a * b),
    "mask": lambda a, b, aa, ba: b * aa,
    "stencil": lambda a, b, aa, ba: b * (1 - aa),
    "in": lambda a, b, aa, ba: a * ba,
    "out": lambda a, b, aa, ba: a * (1 - ba),
    "max": lambda a, b, aa, ba: np.maximum(a, b),
    "min": lambda a, b, aa, ba: np.minimum(a, b),
}


@computes("Merge2")
def merge(evaluation: Evaluation, node: Any, frame: float) -> Image:
    operation = _OPERATIONS.get(text(node, "operation"))
    if operation is None:
        raise EvaluationError(f"{node.name()}: operation {text(node, 'operation')} is not known here")
    for knob in ("Achannels", "Bchannels"):
        if text(node, knob, "rgba") not in ("rgba", "rgb", "all"):
            raise EvaluationError(f"{node.name()}: {knob} {text(node, knob)} is not known here")
    result = evaluation.input(node, 0, frame)
    for index in range(1, node.inputs()):
        if index != 2 and node.input(index) is not None:
            result = _merged(evaluation, node, frame, result, evaluation.input(node, index, frame), operation)
    return result


def _merged(evaluation: Evaluation, node: Any, frame: float, under: Image, over: Image, operation: Operation) -> Image:
    window = under.data.union(over.data)
    a, b = over.over(window), under.over(window)
    both = Image({**b.channels, **a.channels})
    names = channels_of(node, "output", both)
    if text(node, "also_merge", "none") not in ("none", ""):
        names += [c for c in channels_of(node, "also_merge", both) if c not in names]
    alphas = a.plane("rgba.alpha"), b.plane("rgba.alpha")
    planes = {c: np.asarray(operation(a.plane(c), b.plane(c), *alphas), np.float32) for c in names}
    result = replace(b.having(planes), format=over.format if under.format.empty else under.format)
    return mixed(evaluation, node, frame, b, result, mask_input=2)


@computes("Keymix")
def keymix(evaluation: Evaluation, node: Any, frame: float) -> Image:
    """B, and A where the mask is."""
    under, over = evaluation.input(node, 0, frame), evaluation.input(node, 1, frame)
    window = under.data.union(over.data)
    a, b = over.over(window), under.over(window)
    channel = text(node, "maskChannel", "rgba.alpha")
    channel = "rgba.alpha" if channel in ("", "alpha") else channel
    matte = evaluation.input(node, 2, frame).plane(channel, window) if node.input(2) is not None else np.float32(1)
    if has(node, "invertMask") and node["invertMask"].value():
        matte = 1 - matte
    if has(node, "mix"):
        matte = matte * number(node, "mix", frame)
    names = channels_of(node, "channels", Image({**b.channels, **a.channels}))
    planes = {c: blend(b.plane(c), a.plane(c), matte) for c in names}
    return replace(b.having(planes), format=over.format if under.format.empty else under.format)


@computes("Copy")
def copy(evaluation: Evaluation, node: Any, frame: float) -> Image:
    """B with some channels of A."""
    under, over = evaluation.input(node, 0, frame), evaluation.input(node, 1, frame)
    window = under.data.union(over.data)
    a, b = over.over(window), under.over(window)
    planes: dict[str, np.ndarray] = {}
    for i in range(4):
        source, target = text(node, f"from{i}", "none"), text(node, f"to{i}", "none")
        if "none" not in (source, target) and source and target:
            planes[target] = a.plane(source)
    if has(node, "channels") and text(node, "channels") not in ("", "none"):
        planes |= {c: a.plane(c) for c in channels_of(node, "channels", a)}
    return mixed(evaluation, node, frame, b, b.having(planes), mask_input=2)


@computes("Switch")
def switch(evaluation: Evaluation, node: Any, frame: float) -> Image:
    last = max(node.inputs() - 1, 0)
    which = min(max(int(number(node, "which", frame)), 0), last)
    return evaluation.input(node, which, frame)


@computes("Dissolve")
def dissolve(evaluation: Evaluation, node: Any, frame: float) -> Image:
    which = float(number(node, "which", frame))
    low = int(np.floor(which))
    first, second = evaluation.input(node, low, frame), evaluation.input(node, low + 1, frame)
    if which == low:
        return first
    window = first.data.union(second.data)
    a, b = first.over(window), second.over(window)
    names = dict.fromkeys([*a.channels, *b.channels])
    part = np.float32(which - low)
    return a.having({c: blend(a.plane(c), b.plane(c), part) for c in names})


@computes("Roto", "RotoPaint")
def roto(evaluation: Evaluation, node: Any, frame: float) -> Image:
    """The matte that the test draws, over what comes in."""
    hook = evaluation.hooks.get(node.Class())
    if hook is None:
        raise EvaluationError(f"{node.name()}: a {node.Class()} needs a hook that gives its matte")
    below, drawn = evaluation.input(node, 0, frame), hook(node, frame)
    window = below.data.union(drawn.data)
    base = below.over(window)
    planes = {c: drawn.plane(c, window) for c in RGBA if c in drawn.channels}
    return replace(base.having(planes), format=drawn.format if below.format.empty else below.format)
