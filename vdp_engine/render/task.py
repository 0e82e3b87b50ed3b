"""What a task is to the stage ``render``, and a frame as it goes to its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vdp_engine.model import Decomposition
from vdp_engine.render.plates import Plates
from vdp_engine.render.written import Written
from vdp_engine.settings import Machine, Settings
from vdp_engine.shot import Shot

_VECTORS_BYTES_A_PIXEL = 32


@dataclass(frozen=True)
class Rendered(Written):
    """A frame as it goes to its file.

    Attributes:
        attributes: what the file's header says of this frame beside what every layer file says.
    """

    attributes: Mapping[str, str | int | float]


class Renderer(Protocol):
    """Renders frames of one shot."""

    def render(self, position: int) -> Rendered:
        """All channels of the frame at a position of the shot, scene-linear."""
        ...


@dataclass(frozen=True)
class RenderTask:
    """A task's file in this room, as the stage sees it.

    Attributes:
        renderer: that of a shot and its model.
        bytes_a_pixel: measured peak of memory for a pixel of the canvas, besides frames of the plate that lie in
            memory; the model is ``None`` where there is none yet.
        plates: frames of the plate that are at work at a time, and
        most_plates: that it pays to keep.
    """

    renderer: Callable[[Shot, Decomposition[Any], Plates, Machine], Renderer]
    bytes_a_pixel: Callable[[Shot, Decomposition[Any] | None], int]
    plates: int = 1
    most_plates: int = 1


def bytes_a_pixel(settings: Settings, at_work: int, channels: int) -> int:
    """Memory for a pixel of the canvas while a frame is rendered and the one before it is written.

    Args:
        at_work: what the renderer holds besides channels.
        channels: that are written of a frame, without vectors.
    """
    written = channels + (4 if settings.vectors else 0)
    size = at_work + 2 * written * (2 if settings.bit_depth == "half" else 4)
    return size + (_VECTORS_BYTES_A_PIXEL if settings.vectors else 0)
