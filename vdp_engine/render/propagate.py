"""The command ``propagate``: what is painted on one frame of a layer, carried over the shot along its motion."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vdp_engine import __version__, files
from vdp_engine.equations import BACKGROUND
from vdp_engine.errors import ShotError, UsageError
from vdp_engine.machine import require
from vdp_engine.model.fit import fit_digest
from vdp_engine.motion import MotionFrame, shot_sizes
from vdp_engine.motion.proxy import read_proxies
from vdp_engine.motion.sizes import Size
from vdp_engine.plate import FrameHeader, cut, format_frames, place, write_layers
from vdp_engine.plate.header import scan, stamps
from vdp_engine.plate.pixels import read_pixels
from vdp_engine.progress import Reporter
from vdp_engine.render.bands import bands
from vdp_engine.render.carry import Look, advanced, anchor, layer_flow, still
from vdp_engine.render.clean import resample
from vdp_engine.render.edit import read_edit
from vdp_engine.render.resize import enlarged, shrunk
from vdp_engine.render.stage import pending as unrendered
from vdp_engine.settings import Machine, short_digest
from vdp_engine.shot import Shot, frame_text

Array = NDArray[np.float32]

_FORMAT = 1  # of everything that decides the contents of a file; part of every stamp
_STAMP = "vdp/edit"
_BYTES_A_PIXEL = 100  # measured: the edit, a frame of the plate as read and on the canvas, the matte, the result
_MOST_SAMPLES = 4  # each way, of an edit that is carried to where it is smaller


@dataclass(frozen=True)
class Edit:
    """What is to be carried, and how.

    Attributes:
        path: the painted frame, see ``edit.read_edit``.
        layer: the layer it lies on: ``bg``, ``fg1``, ….
        frame: the frame it was painted on.
        name: stem of the results.
        over: it lies over everything, also beyond the layer's matte.
    """

    path: Path
    layer: str
    frame: int
    name: str
    over: bool = False

    def file(self, shot: Shot, frame: int) -> Path:
        """The carried edit in one frame."""
        return shot.out / "edits" / f"{self.name}.{self.layer}.{frame_text(frame)}.exr"

    def pattern(self, shot: Shot) -> Path:
        """The carried edit as a sequence."""
        return shot.out / "edits" / f"{self.name}.{self.layer}.####.exr"


def propagate(
    shot: Shot, machine: Machine, reporter: Reporter, edit: Edit, frames: Sequence[int] | None = None
) -> None:
    """Write the carried edit for ``frames`` (none: all of the shot); files that are up to date stay untouched.

    Each is R G B A, premultiplied and scene-linear, over the window of the plate: ``RGB + (1 - A) plate`` is the plate
    with the edit on its layer. A frame's file depends on the frames between it and the painted one, and on no other
    frame's being made in the same run.

    Raises:
        UsageError: the layer or the frame is not in the shot, or the edit cannot be used.
        ShotError: layers are missing or out of date.
        PlateError: a frame cannot be read.
        TryAgainError: no room on the disk, or not enough memory.
    """
    asked = shot.frames if frames is None else tuple(frames)
    _check(shot, edit, asked)
    stamp = _stamp(shot, edit)
    todo = set(_stale(shot, edit, asked, stamp))
    files.sweep(shot.out / "edits")
    if not todo:
        reporter.progress("propagate", 1.0, "the edit is up to date")
        return
    height, width = shot.plate.canvas.shape
    require(_BYTES_A_PIXEL * height * width, f"carrying an edit over frames of {width}x{height}", machine)
    painted = read_edit(edit.path, shot.plate)
    done = len(asked) - len(todo)
    for position, shift in ways(shot, edit.layer, shot.frames.index(edit.frame), _positions(shot, todo)):
        frame = shot.frames[position]
        if frame in todo:
            matte = None if edit.over else read_matte(shot, frame, edit.layer)
            result = placed(painted, None if frame == edit.frame else shift, matte)
            _write(shot, edit, shot.plate.header(frame), result, stamp)
            done += 1
            reporter.frame(frame, edit.file(shot, frame))
        reporter.progress("propagate", done / len(asked), f"{edit.layer} followed to frame {frame}")


def pending(shot: Shot, edit: Edit, frames: Sequence[int]) -> tuple[int, ...]:
    """Those of ``frames`` whose file is missing or made from something else; writes nothing.

    Raises:
        UsageError, ShotError: as ``propagate``.
    """
    _check(shot, edit, frames)
    return _stale(shot, edit, frames, _stamp(shot, edit))


def ways(shot: Shot, layer: str, reference: int, wanted: Sequence[int]) -> Iterator[tuple[int, Array]]:
    """The way of a layer from frames to a reference frame, all by position, see ``carry``.

    Yields:
        Positions and ways at flow size: the reference, then those on to the last one ``wanted``, then those back to
        the first, so that every file on disk is read once.
    """
    size = shot_sizes(shot).flow
    there = _look(shot, layer, reference, size)
    yield reference, still(size)
    for step, last in ((1, max(wanted)), (-1, min(wanted))):
        shift = still(size)
        for position in range(reference + step, last + step, step):
            frame = shot.frames[position]
            here = _look(shot, layer, position, size)
            motion = MotionFrame.load(shot.motion_file(frame), frame)
            flow = layer_flow(motion, -step, here.matte, background=layer == BACKGROUND)
            shift = anchor(advanced(shift, flow), here, there)
            yield position, shift


def placed(painted: Array, shift: Array | None, matte: Array | None) -> Array:
    """The edit where its layer is in another frame, float32 (H, W, 4), premultiplied.

    Resampled once, from the edit as it was painted: cubic, and over the area that a pixel covers in it.

    Args:
        painted: (H, W, 4), premultiplied.
        shift: (h, w, 2), the way to the painted frame at any size; ``None``: it is the painted frame.
        matte: (H, W), what holds the edit; ``None``: nothing does.
    """
    height, width = painted.shape[:2]
    held = painted if shift is None else np.zeros_like(painted)
    if shift is not None:
        samples = _samples(shift, matte)
        for rows in bands(slice(0, height), width * samples**2):
            if matte is None or matte[rows].any():
                held[rows] = _fetched(painted, shift, rows, samples)
    return held if matte is None else held * matte[..., None]


def read_matte(shot: Shot, frame: int, layer: str) -> Array:
    """How far a layer is seen in a frame, float32 (H, W) over the shot's canvas, from the layers on disk.

    What stands before the layer is taken out already: mattes of all layers add up to 1.
    """
    path = shot.layer_file(frame)
    part = scan(path, frame)[0]
    matte = read_pixels(path, part, [part.channels.index(f"{layer}.A")], frame)[..., 0]
    return np.asarray(place(matte, part.data_window, shot.plate.canvas), np.float32)


def _fetched(painted: Array, shift: Array, rows: slice, samples: int) -> Array:
    height, width = painted.shape[:2]
    size: Size = (height * samples, width * samples)
    box = (slice(rows.start * samples, rows.stop * samples), slice(0, size[1]))
    scale = np.array([width / shift.shape[1], height / shift.shape[0]], np.float32)
    way = enlarged(shift, size, box) * scale
    way[..., 0] += (np.arange(size[1], dtype=np.float32) + 0.5) / samples - 0.5
    way[..., 1] += ((np.arange(box[0].start, box[0].stop, dtype=np.float32) + 0.5) / samples - 0.5)[:, None]
    near = resample(painted, way, outside=0)
    # Cubic keeps what is sharp sharp; it may ring, so it is held to what is there.
    slack = 0.25 * np.abs(near)
    found = np.clip(resample(painted, way, cubic=True, outside=0), near - slack, near + slack)
    found[..., 3] = np.clip(found[..., 3], 0, 1)
    return shrunk(found, (rows.stop - rows.start, width))


def _samples(shift: Array, matte: Array | None) -> int:
    """How many pixels of the edit a pixel spans each way where the layer is, as a whole number of samples."""
    across, down = np.gradient(shift[..., 0]), np.gradient(shift[..., 1])
    area = np.abs((1 + across[1]) * (1 + down[0]) - across[0] * down[1])
    inside = np.ones(area.shape, bool) if matte is None else shrunk(matte, (area.shape[0], area.shape[1])) > 0.5
    if not inside.any():
        return 1
    return int(np.clip(round(float(np.sqrt(np.median(area[inside])))), 1, _MOST_SAMPLES))


def _look(shot: Shot, layer: str, position: int, size: Size) -> Look:
    frame = shot.frames[position]
    proxy, _ = read_proxies(shot.plate, frame, shot_sizes(shot))
    return Look(proxy.image, shrunk(read_matte(shot, frame, layer), size) * proxy.coverage)


def _positions(shot: Shot, frames: set[int]) -> list[int]:
    return [position for position, frame in enumerate(shot.frames) if frame in frames]


def _check(shot: Shot, edit: Edit, frames: Sequence[int]) -> None:
    if edit.frame not in shot.frames:
        raise UsageError(
            f"frame {edit.frame} is not in the shot", code="frames", path=shot.file,
            expected=f"one of {format_frames(shot.frames)}", remedy="name the frame that was painted with --frame",
        )  # fmt: skip
    first, last = min(*frames, edit.frame), max(*frames, edit.frame)
    stale = unrendered(shot, [frame for frame in shot.frames if first <= frame <= last])
    if stale:
        raise ShotError(
            f"the layers of frames {format_frames(stale)} are missing or out of date", code="no_layers", path=shot.out,
            remedy=f"run `vdp render {shot.out}` first",
        )  # fmt: skip
    channels = scan(shot.layer_file(edit.frame), edit.frame)[0].channels
    names = sorted(name[:-2] for name in channels if name.endswith(".A") and f"{name[:-2]}.R" in channels)
    if edit.layer not in names:
        raise UsageError(
            f"there is no layer {edit.layer} in the shot", code="layer", path=shot.layer_file(edit.frame),
            expected=f"one of {', '.join(names)}",
        )  # fmt: skip
    if edit.path.resolve() in {edit.file(shot, frame).resolve() for frame in frames}:
        raise UsageError(
            "the results would overwrite the edit itself", code="name", path=edit.path,
            remedy="choose another --name, or keep the painted frame elsewhere",
        )  # fmt: skip


def _stale(shot: Shot, edit: Edit, frames: Sequence[int], stamp: str) -> tuple[int, ...]:
    return tuple(frame for frame in frames if stamps(edit.file(shot, frame), _STAMP) != (stamp,))


def _stamp(shot: Shot, edit: Edit) -> str:
    """Digest of all that a file follows from."""
    try:
        content = hashlib.sha256(edit.path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise UsageError(
            f"there is no file {edit.path}", code="edit", path=edit.path, remedy="give the painted frame as EDIT"
        ) from None  # fmt: skip
    made_by = (shot.settings.digest("render"), fit_digest(shot))
    return short_digest([_FORMAT, made_by, content, edit.layer, edit.frame, edit.over])


def _write(shot: Shot, edit: Edit, header: FrameHeader, result: Array, stamp: str) -> None:
    own = cut(result, shot.plate.canvas, header.data_window)
    write_layers(
        edit.file(shot, header.number),
        dict(zip("RGBA", cv2.split(own), strict=True)),
        header,
        bit_depth=shot.settings.bit_depth,
        compression=shot.settings.compression,
        attributes={
            "vdp/version": __version__,
            _STAMP: stamp,
            "vdp/layer": edit.layer,
            "vdp/edit_frame": edit.frame,
            "vdp/alpha": "premultiplied",
        },
    )
