"""What a task is to the stage ``render``, and a frame as it goes to its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vdp_engine.model import Decomposition
from vdp_engine.plate import to_half
from vdp_engine.plate.writer import HALF_MAX
from vdp_engine.render.plates import Plates
from vdp_engine.settings import Machine
from vdp_engine.shot import Shot

Array = NDArray[np.float32]
Plane = NDArray[np.generic]


@dataclass(frozen=True)
class Rendered:
    """The channels of a frame over the plate's data window, as they go to the file, and what was noticed.

    Attributes:
        channels: (H, W) by EXR channel name, float16 or float32.
        clamped: values that half could not hold.
        holes: pixels of the plate that were NaN or Inf.
        attributes: what the file's header says of this frame beside what every layer file says.
    """

    channels: dict[str, Plane]
    clamped: int
    holes: int
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


def store(values: Array, into: Plane) -> int:
    """Round ``values`` to the type of ``into``; gives how many half could not hold."""
    if into.dtype == np.float32:
        into[...] = values
        return 0
    if values.min() >= -HALF_MAX and values.max() <= HALF_MAX:
        # numpy rounds to half one value at a time, torch many.
        torch.from_numpy(into).copy_(torch.from_numpy(values))
        return 0
    into[...], changed = to_half(values)
    return changed


def as_float(plane: Plane) -> Array:
    """A written channel as float32, faster than numpy does it."""
    return torch.from_numpy(plane).float().numpy()
