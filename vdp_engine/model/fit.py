"""The stage ``fit``: optimises the nets of a task on the key frames of one shot.

The loop knows nothing of a task but the ``Objective`` it is given. It can be killed at any moment: the checkpoint
holds nets, optimiser, phase and step, and batches depend on seed and step alone, so a resumed fit ends, on the same
CPU, bit for bit where an undisturbed one does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vdp_engine import files
from vdp_engine.errors import FitError, ShotError
from vdp_engine.machine import require, threads, torch_device
from vdp_engine.model import store
from vdp_engine.model.frames import NetFrames
from vdp_engine.model.task import Objective, Phase
from vdp_engine.model.tasks import TASK_MODELS
from vdp_engine.motion import MotionFrame, shot_motion, shot_scale, shot_sizes, stamp_of
from vdp_engine.progress import Reporter
from vdp_engine.settings import Machine, short_digest
from vdp_engine.shot import Shot
from vdp_engine.stopping import Stopped, held

FORMAT = 4
CHECKPOINT_SECONDS = 5.0
# Measured peaks: nets and their gradients, and what is kept of each of the frames, 96 of them at most.
_BYTES_A_NET_PIXEL = 45_000
_BYTES_A_FRAME_PIXEL = 900
_MOST_FRAMES = 96
_WARM_UP = 0.1
_WEIGHT_DECAY = 1e-4


def fit(shot: Shot, machine: Machine, reporter: Reporter) -> None:
    """Fit the nets of the shot's task and write ``shot.model_file``; does nothing where it is up to date.

    Raises:
        ShotError: a frame has not been prepared.
        FitError: the optimisation came to nothing.
        TryAgainError: no room on the disk, or no memory.
    """
    digest = fit_digest(shot)
    if store.facts(shot.model_file).get("digest") == digest:
        reporter.progress("fit", 1.0, "the model is up to date")
        return
    device = torch_device(machine)
    files.require_writable(shot.work)
    _require_memory(shot, machine)
    reporter.note(f"fitting on {device}, {threads(machine)} CPU threads")
    reporter.progress("fit", 0.0, "reading the motion of the shot")
    frames = net_frames(shot)
    _Fit(shot, digest, device, frames, reporter).run()


def _require_memory(shot: Shot, machine: Machine) -> None:
    height, width = shot_sizes(shot).net
    a_pixel = _BYTES_A_NET_PIXEL + _BYTES_A_FRAME_PIXEL * min(len(shot.frames), _MOST_FRAMES)
    require(height * width * a_pixel, f"fitting nets at {width}x{height}", machine)


def pending(shot: Shot) -> bool:
    """Whether ``fit`` has something to do."""
    try:
        return store.facts(shot.model_file).get("digest") != fit_digest(shot)
    except ShotError:
        return True


def fit_digest(shot: Shot) -> str:
    """What the model follows from: settings, the motion of all frames, and the pictures of the hints.

    Raises:
        ShotError: a frame has not been prepared, or a hint is gone.
    """
    stamps = [stamp_of(shot.motion_file(frame)) for frame in shot.frames]
    for frame, stamp in zip(shot.frames, stamps, strict=True):
        if stamp is None:
            MotionFrame.load(shot.motion_file(frame), frame)  # says what is wrong with it
    return short_digest([FORMAT, shot.settings.digest("fit"), stamps, *(hint.stamp() for hint in shot.hints)])


def net_frames(shot: Shot, scale: tuple[float, float] | None = None) -> NetFrames:
    """The shot's frames at net size, read from their motion files as they are needed.

    Args:
        scale: flow-RGB scale of the shot; ``None``: worked out from all frames.
    """

    read = partial(shot_motion, shot)
    if scale is None:
        scale = shot_scale(read(position) for position in range(len(shot.frames)))
    return NetFrames(read, len(shot.frames), scale, shot_sizes(shot).net)


@dataclass
class _Fit:
    shot: Shot
    digest: str
    device: torch.device
    frames: NetFrames
    reporter: Reporter
    unsaved: Callable[[], None] | None = None  # writes a checkpoint of the steps since the last one

    def run(self) -> None:
        checkpoint = store.load(self.shot.checkpoint_file, self.digest)
        begun = None if checkpoint is None else checkpoint.facts
        objective = TASK_MODELS[self.shot.settings.task].objective(self.shot, self.frames, self.device, begun)
        at = (0, 0)
        if checkpoint is not None:
            at = tuple(checkpoint.facts["at"])
            objective.nets.load_state_dict(checkpoint.group("nets"))
            objective.state |= checkpoint.group("state")
            self.reporter.note(f"going on from step {at[1]} of the phase {objective.phases[at[0]].name}")
        objective.to(self.device)

        total = sum(phase.steps for phase in objective.phases)
        done = sum(phase.steps for phase in objective.phases[: at[0]])
        try:
            self._phases(objective, at, checkpoint, total, done)
        except Stopped:
            if self.unsaved is not None:
                with held():
                    self.unsaved()
            raise
        self._finish(objective)

    def _phases(
        self, objective: Objective, begun: tuple[int, ...], checkpoint: store.Stored | None, total: int, done: int
    ) -> None:
        for index in range(begun[0], len(objective.phases)):
            phase = objective.phases[index]
            resumed = checkpoint if index == begun[0] and begun[1] else None
            for step, terms in self._phase(objective, index, begun[1] if resumed else 0, resumed):
                if step % 10 == 0 or step == phase.steps - 1:
                    told = ", ".join(f"{name} {float(value):.3f}" for name, value in terms.items())
                    at = (done + step + 1) / total
                    self.reporter.progress("fit", at, f"{phase.name} step {step + 1} of {phase.steps}: {told}")
            objective.after_phase(phase, self.frames)
            done += phase.steps

    def _phase(
        self, objective: Objective, index: int, begin: int, resumed: store.Stored | None
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        phase = objective.phases[index]
        parameters = objective.parameters(phase)
        optimiser = torch.optim.AdamW(parameters, phase.rate, weight_decay=_WEIGHT_DECAY)
        if resumed is not None:
            _restore(optimiser, parameters, resumed.group("optimiser"))
        saved = time.monotonic()
        for step in range(begin, phase.steps):
            with held():
                objective.before_step(phase, step)
                for group in optimiser.param_groups:
                    group["lr"], group["betas"] = one_cycle(phase, step)
                loss, terms = objective.loss(phase, step)
                if not math.isfinite(loss.item()):
                    raise FitError(
                        f"the loss is not finite at step {step} of the phase {phase.name}", code="diverged",
                        remedy="try another --seed or --quality, and report the shot",
                    )  # fmt: skip
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                if time.monotonic() - saved > CHECKPOINT_SECONDS and step + 1 < phase.steps:
                    self._checkpoint(objective, (index, step + 1), optimiser, parameters)
                    saved, self.unsaved = time.monotonic(), None
                elif step + 1 < phase.steps:
                    self.unsaved = partial(self._checkpoint, objective, (index, step + 1), optimiser, parameters)
                else:
                    self.unsaved = None  # what comes after the phase changes the state
            yield step, terms

    def _checkpoint(
        self,
        objective: Objective,
        at: tuple[int, int],
        optimiser: torch.optim.Optimizer,
        parameters: list[nn.Parameter],
    ) -> None:
        moments = {
            f"{number}.{name}": value
            for number, parameter in enumerate(parameters)
            for name, value in optimiser.state[parameter].items()
        }
        tensors = store.grouped(nets=objective.nets.state_dict(), state=objective.state, optimiser=moments)
        store.save(self.shot.checkpoint_file, store.Stored(tensors, self._facts(objective, at=at)))

    def _facts(self, objective: Objective, **more: Any) -> dict[str, Any]:
        return {
            "digest": self.digest,
            "task": self.shot.settings.task,
            "objective": self.shot.settings.objective,
            "scale": self.frames.scale,
            **objective.facts(),
            **more,
        }

    def _finish(self, objective: Objective) -> None:
        kept = {name: objective.state[name] for name in objective.kept}
        tensors = store.grouped(nets=objective.nets.state_dict(), shot=kept)
        facts = self._facts(objective)
        store.save(self.shot.model_file, store.Stored(tensors, facts))
        self.shot.checkpoint_file.unlink(missing_ok=True)
        self.reporter.progress("fit", 1.0, f"fitted on {facts['key_frames']} of {self.frames.count} frames")


def _restore(optimiser: torch.optim.Optimizer, parameters: list[nn.Parameter], moments: dict[str, Tensor]) -> None:
    for name, value in moments.items():
        number, key = name.split(".", 1)
        parameter = parameters[int(number)]
        # AdamW keeps its step count on the CPU.
        optimiser.state[parameter][key] = value if key == "step" else value.to(parameter.device)


def one_cycle(phase: Phase, step: int) -> tuple[float, tuple[float, float]]:
    """Learning rate and Adam's β of a step (Smith and Topin, 2017): a short warm-up, a long cosine to nearly zero.

    A function of the step alone, so that nothing of a schedule has to be kept in a checkpoint.
    """
    peak = _WARM_UP * phase.steps - 1
    end = phase.steps - 1

    def between(a: float, b: float, share: float) -> float:
        return b + (a - b) * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2

    if step <= peak:
        share = step / max(peak, 1e-9)
        return between(phase.rate / 25, phase.rate, share), (between(0.95, 0.85, share), 0.999)
    share = (step - peak) / max(end - peak, 1e-9)
    return between(phase.rate, phase.rate / 25e4, share), (between(0.85, 0.95, share), 0.999)
