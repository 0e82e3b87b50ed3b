"""The stage ``render``: every frame's layers at full resolution, as multi-layer EXRs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import torch

from vdp_engine import __version__, files
from vdp_engine.equations import EQUATIONS, MODEL_ATTRIBUTE, SETTINGS_ATTRIBUTE
from vdp_engine.machine import left, require, torch_device, workers
from vdp_engine.model import Decomposition, load_decomposition
from vdp_engine.model.fit import fit_digest
from vdp_engine.plate import FrameHeader, write_layers
from vdp_engine.plate.header import stamps
from vdp_engine.progress import Reporter
from vdp_engine.render.plates import BYTES_A_PIXEL, Plates
from vdp_engine.render.task import Rendered
from vdp_engine.render.tasks import RENDER_TASKS
from vdp_engine.settings import Machine
from vdp_engine.shot import Shot


def render(shot: Shot, machine: Machine, reporter: Reporter, frames: Sequence[int] | None = None) -> None:
    """Write the layers of ``frames`` (none: all of the shot); files that are up to date stay untouched.

    Raises:
        ShotError: there is no model of this shot as it is, or motion is missing.
        PlateError: a frame cannot be read.
        TryAgainError: no room on the disk, or not enough memory.
    """
    files.sweep(shot.out)
    asked = shot.frames if frames is None else tuple(frames)
    todo = pending(shot, asked)
    if not todo:
        reporter.progress("render", 1.0, "the layers are up to date")
        return
    files.require_writable(shot.out)
    model = load_decomposition(shot, torch_device(machine))
    task = RENDER_TASKS[shot.settings.task]
    plates = Plates(shot, _room_for_plates(shot, machine, model))
    renderer = task.renderer(shot, model, plates, machine)
    # In more, the nets' small pictures would wait for threads that are busy with a frame or its file, and sums would
    # depend on their number.
    torch.set_num_threads(1)
    positions = {frame: position for position, frame in enumerate(shot.frames)}
    unwritten = len(todo)

    def written(frame: int, writing: Future[None]) -> None:
        nonlocal unwritten
        writing.result()
        unwritten -= 1
        reporter.progress("render", 1 - unwritten / len(asked), f"layers of frame {frame}")
        reporter.frame(frame, shot.layer_file(frame))

    # The next frame is computed while this one is compressed and written.
    with workers(1, "vdp-write", machine) as writer:
        under_way: tuple[int, Future[None]] | None = None
        for frame in todo:
            position = positions[frame]
            rendered = renderer.render(position)
            if under_way is not None:
                written(*under_way)
            under_way = frame, writer.submit(_write, shot, model.digest, shot.plate.header(frame), rendered)
            _tell(frame, rendered, reporter)
        if under_way is not None:
            written(*under_way)


def pending(shot: Shot, frames: Sequence[int]) -> tuple[int, ...]:
    """Those of ``frames`` whose layers are missing or made from something else.

    Raises:
        ShotError: a frame of the shot has not been prepared.
    """
    wanted = (shot.settings.digest("render"), fit_digest(shot))
    made_from = (SETTINGS_ATTRIBUTE, MODEL_ATTRIBUTE)
    return tuple(frame for frame in frames if stamps(shot.layer_file(frame), *made_from) != wanted)


def require_memory(shot: Shot, machine: Machine, model: Decomposition[Any] | None = None) -> int:
    """Refuse a shot whose frames do not fit into memory; returns what rendering one takes, in bytes.

    Args:
        model: the shot's, where there is one yet.

    Raises:
        TryAgainError: there is less left than it takes.
    """
    task, canvas = RENDER_TASKS[shot.settings.task], shot.plate.canvas
    a_pixel = task.bytes_a_pixel(shot, model)
    if any(shot.plate.header(frame).data_window != canvas for frame in shot.frames):
        a_pixel += task.plates * BYTES_A_PIXEL  # the plates as they are, and placed on the canvas
    needed = canvas.area * a_pixel
    height, width = canvas.shape
    require(needed, f"rendering a frame of {width}x{height}", machine)
    return needed


def _room_for_plates(shot: Shot, machine: Machine, model: Decomposition[Any]) -> int:
    """How many frames of the plate may be kept in what memory is left."""
    task = RENDER_TASKS[shot.settings.task]
    spare = (left(machine) - require_memory(shot, machine, model)) // (BYTES_A_PIXEL * shot.plate.canvas.area)
    return min(task.plates + spare, task.most_plates)


def _write(shot: Shot, model: str, header: FrameHeader, rendered: Rendered) -> None:
    settings = shot.settings
    attributes: dict[str, str | int | float] = {
        "vdp/task": settings.task,
        "vdp/version": __version__,
        SETTINGS_ATTRIBUTE: settings.digest("render"),
        MODEL_ATTRIBUTE: model,
        "vdp/seed": settings.seed,
        "vdp/equation": EQUATIONS[settings.task],
        "vdp/holes": rendered.holes,
        "vdp/clamped": rendered.clamped,
        **rendered.attributes,
    }
    write_layers(
        shot.layer_file(header.number),
        rendered.channels,
        header,
        bit_depth=settings.bit_depth,
        compression=settings.compression,
        attributes=attributes,
    )


def _tell(frame: int, rendered: Rendered, reporter: Reporter) -> None:
    if rendered.holes:
        reporter.warning("plate.holes", f"{rendered.holes} pixels were NaN or Inf and are written as 0", frame)
    if rendered.clamped:
        reporter.warning("plate.clamped", f"{rendered.clamped} values beyond 65504 were clamped; "
                         "use --bit-depth float to keep them", frame)  # fmt: skip
