"""The stage ``render``: every frame's layers at full resolution, as multi-layer EXRs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

import torch
from safetensors import safe_open

from vdp_engine import __version__, files
from vdp_engine.equations import EQUATIONS, MODEL_ATTRIBUTE, SETTINGS_ATTRIBUTE
from vdp_engine.machine import left, require, threads, torch_device, workers
from vdp_engine.model import Decomposition, load_decomposition
from vdp_engine.model.fit import fit_digest
from vdp_engine.motion import MotionFrame, shot_sizes
from vdp_engine.plate import Frame, FrameHeader, write_layers
from vdp_engine.plate.header import stamps
from vdp_engine.progress import Reporter
from vdp_engine.render.clean import Background
from vdp_engine.render.frame import FrameRenderer, Rendered, channel_names
from vdp_engine.settings import Machine
from vdp_engine.shot import Shot

# Measured peak per pixel while a frame is rendered and the one before it is written, besides their channels: the plate
# and the six that its background is fetched from, one of them log-encoded, four mattes, and what readers and
# allocators hold.
_BYTES_A_PIXEL = 144
_VECTORS_BYTES_A_PIXEL = 32
_PLATE_BYTES_A_PIXEL = 12
_PLATES_AT_WORK = 7
_MOST_PLATES = 12


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
    plates = _Plates(shot, machine, model.count)
    renderer = FrameRenderer(
        canvas=shot.plate.canvas,
        working=shot_sizes(shot).flow,
        background=_background(shot, model),
        read=plates.at,
        bit_depth=shot.settings.bit_depth,
        alpha=shot.settings.alpha,
        motion=partial(_motion, shot) if shot.settings.vectors else None,
        threads=threads(machine),
    )
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
            rendered = renderer.render(position, model.at(position))
            if under_way is not None:
                written(*under_way)
            under_way = frame, writer.submit(_write, shot, model, shot.plate.header(frame), rendered)
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


def require_memory(shot: Shot, machine: Machine, layers: int) -> int:
    """Refuse a shot whose frames do not fit into memory; returns what rendering one takes, in bytes.

    Raises:
        TryAgainError: there is less left than it takes.
    """
    height, width = shot.plate.canvas.shape
    needed = shot.plate.canvas.area * _bytes_a_pixel(shot, layers)
    require(needed, f"rendering a frame of {width}x{height}", machine)
    return needed


class _Plates:
    """Frames of the plate by position, the last few kept: neighbours look for their background in the same ones."""

    def __init__(self, shot: Shot, machine: Machine, layers: int) -> None:
        self._shot = shot
        needed = require_memory(shot, machine, layers)
        spare = (left(machine) - needed) // (_PLATE_BYTES_A_PIXEL * shot.plate.canvas.area)
        self._keep = min(_PLATES_AT_WORK + spare, _MOST_PLATES)
        self._held: OrderedDict[int, Frame] = OrderedDict()

    def at(self, position: int) -> Frame:
        if position in self._held:
            self._held.move_to_end(position)
            return self._held[position]
        if len(self._held) >= self._keep:
            self._held.popitem(last=False)
        self._held[position] = self._shot.plate.read(self._shot.frames[position])
        return self._held[position]


def _bytes_a_pixel(shot: Shot, layers: int) -> int:
    settings, canvas = shot.settings, shot.plate.canvas
    written = len(channel_names(layers)) + (4 if settings.vectors else 0)
    size = _BYTES_A_PIXEL + 2 * written * (2 if settings.bit_depth == "half" else 4)
    size += _VECTORS_BYTES_A_PIXEL if settings.vectors else 0
    if any(shot.plate.header(frame).data_window != canvas for frame in shot.frames):
        size += _PLATES_AT_WORK * _PLATE_BYTES_A_PIXEL  # the plates as they are, and placed on the canvas
    return size


def _background(shot: Shot, model: Decomposition) -> Background:
    """Camera motion of the whole shot, which is a few numbers a frame, and where its foreground is."""
    theta = []
    for frame in shot.frames:
        with safe_open(shot.motion_file(frame), "pt") as stored:
            gaps = stored.get_tensor("gaps").tolist()
            theta.append(stored.get_tensor("theta")[[gaps.index(1), gaps.index(-1)]].clone())
    fitted = _motion(shot, 0).size
    return Background(torch.stack(theta), fitted, model.foreground)


def _motion(shot: Shot, position: int) -> MotionFrame:
    return MotionFrame.load(shot.motion_file(shot.frames[position]), shot.frames[position])


def _write(shot: Shot, model: Decomposition, header: FrameHeader, rendered: Rendered) -> None:
    settings = shot.settings
    attributes: dict[str, str | int | float] = {
        "vdp/task": settings.task,
        "vdp/version": __version__,
        SETTINGS_ATTRIBUTE: settings.digest("render"),
        MODEL_ATTRIBUTE: model.digest,
        "vdp/seed": settings.seed,
        "vdp/equation": EQUATIONS[settings.task],
        "vdp/alpha": settings.alpha,
        "vdp/layers": model.count,
        "vdp/holes": rendered.holes,
        "vdp/clamped": rendered.clamped,
        "vdp/invented": rendered.invented,
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
