"""What a task is to the stage ``check``, and how pictures of its channels are shown on a contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vdp_engine.check.layers_file import LayerFile
from vdp_engine.check.numbers import FrameNumbers
from vdp_engine.check.signs import Sign
from vdp_engine.equations import Channels, colour
from vdp_engine.plate import to_display
from vdp_engine.settings import Settings

_CHECKER = (0.05, 0.16)  # scene-linear
_SQUARE = 8

Show = Callable[[Channels], np.ndarray]
"""From the channels of a frame to one picture of it, display-referred uint8 (h, w, 3)."""


@dataclass(frozen=True)
class CheckTask:
    """A task's file in this room, as the stage sees it.

    Attributes:
        has_foreground: whether there are mattes of what is in front, whose overlap with the truth and whose outline
            say how good they are; else the mean confidence does.
        followed: whether a channel is followed over time, and its mean reported: mattes, transmission.
        controls: what ``equations.recompose`` has to be told of a file to give the plate back.
        numbers: the task's own numbers of some rows of a frame, each a mean over their pixels, for the report.
        signs: of trouble, the gravest first, from the numbers of all frames.
        summary: the task's own part of the report, from the same.
        lines: that part for a person, from the report as its file holds it.
        pictures: of the contact sheet, by label, from the names of the channels.
    """

    has_foreground: bool
    followed: Callable[[str], bool]
    controls: Callable[[LayerFile, Settings], dict[str, Any]]
    numbers: Callable[[Channels], Mapping[str, float]]
    signs: Callable[[Sequence[FrameNumbers], Settings], list[Sign]]
    summary: Callable[[Sequence[FrameNumbers]], dict[str, Any]]
    lines: Callable[[Mapping[str, Any]], list[str]]
    pictures: Callable[[Sequence[str], Settings], dict[str, Show]]


def light(layer: str) -> Show:
    """The colours of a layer (``""``: the plate), scene-linear, through the display transform."""
    return lambda channels: to_display(np.ascontiguousarray(colour(channels, layer)))


def over_checker(layer: str, *, straight: bool) -> Show:
    """A layer over a checkerboard, so that its transparency shows."""

    def show(channels: Channels) -> np.ndarray:
        colours, alpha = colour(channels, layer), channels[f"{layer}.A"][..., None]
        squares = (np.indices(alpha.shape[:2]) // _SQUARE).sum(0)[..., None] % 2
        checker = np.where(squares == 0, *(np.float32(shade) for shade in _CHECKER))
        return to_display(np.asarray((colours * alpha if straight else colours) + (1 - alpha) * checker, np.float32))

    return show


def grey(name: str) -> Show:
    """A channel as it is, black for 0 and white for 1."""

    def show(channels: Channels) -> np.ndarray:
        levels = (np.clip(channels[name], 0, 1) * 255).round().astype(np.uint8)
        return np.repeat(levels[..., None], 3, axis=-1)

    return show
