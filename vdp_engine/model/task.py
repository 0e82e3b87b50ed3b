"""What a task is to the engine: an objective to fit, and a model to ask for frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from vdp_engine.model.frames import NetFrames
from vdp_engine.model.store import Stored
from vdp_engine.plate.hints import Hint
from vdp_engine.shot import Shot

Net = TypeVar("Net")


@dataclass(frozen=True)
class Phase:
    """One stretch of the fit: how many steps, and the highest learning rate of its one-cycle schedule."""

    name: str
    steps: int
    rate: float


class Objective(Protocol):
    """What a task brings to the fit: nets, phases, and a loss.

    ``state`` is saved with every checkpoint, the part of it named in ``kept`` with the model.
    """

    state: dict[str, Tensor]
    phases: tuple[Phase, ...]

    @property
    def kept(self) -> tuple[str, ...]: ...
    @property
    def nets(self) -> nn.Module: ...
    def facts(self) -> dict[str, Any]: ...
    def to(self, device: torch.device) -> None: ...
    def parameters(self, phase: Phase) -> list[nn.Parameter]: ...
    def before_step(self, phase: Phase, step: int) -> None: ...
    def loss(self, phase: Phase, step: int) -> tuple[Tensor, dict[str, Tensor]]: ...
    def after_phase(self, phase: Phase, frames: NetFrames) -> None: ...


@dataclass(frozen=True)
class Decomposition(Generic[Net]):
    """The model of a shot, ready to be asked for any of its frames.

    Attributes:
        digest: what it was made from.
        facts: what the fit found out: ``task``, ``features``, ``key_frames``, …, and those of the objective.
        kept: what the objective kept of the whole shot, by name, on the CPU.
        at: what the nets say of the frame at a position of the shot, at net size.
    """

    digest: str
    facts: Mapping[str, Any]
    kept: Mapping[str, Tensor]
    at: Callable[[int], Net]


@dataclass(frozen=True)
class TaskModel:
    """A task's file in this room, as ``fit`` and ``load_decomposition`` see it.

    Attributes:
        objective: that of a shot on a device; the mapping holds the facts of the checkpoint that it goes on from.
        decomposition: the model in a file, its nets on a device.
    """

    objective: Callable[[Shot, NetFrames, torch.device, Mapping[str, Any] | None], Objective]
    decomposition: Callable[[Stored, NetFrames, torch.device], Decomposition[Any]]


def hint_positions(shot: Shot, hint: Hint) -> dict[int, int]:
    """Frame number by position in the shot, of the frames that a hint has pictures for."""
    at = {frame: position for position, frame in enumerate(shot.frames)}
    return {at[frame]: frame for frame in hint.frames}
