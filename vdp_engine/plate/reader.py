"""A plate: a sequence of colour frames, looked through once by its headers, then read frame by frame."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vdp_engine.errors import PlateError
from vdp_engine.plate import colour, growing
from vdp_engine.plate.channels import colour_groups
from vdp_engine.plate.header import Attribute, FrameHeader, unreadable
from vdp_engine.plate.pixels import Pixels, read_pixels
from vdp_engine.plate.sequence import Sequence, format_frames, parse_frames
from vdp_engine.plate.subsampled import to_rgb
from vdp_engine.plate.survey import Missing, Source, check_encoding, notes, survey
from vdp_engine.plate.windows import Window, place


@dataclass(frozen=True)
class Frame:
    """One frame of a plate.

    ``pixels``: float32 ``(H, W, 3)``, scene-linear RGB over ``header.data_window``, contiguous, finite, unclamped.
    ``holes``: bool ``(H, W)``, True where the file held NaN or Inf (pixels are 0 there); None where it held none.
    """

    header: FrameHeader
    pixels: Pixels
    holes: npt.NDArray[np.bool_] | None

    @property
    def number(self) -> int:
        """The frame number asked for, also where the pixels are held over from another."""
        return self.header.number

    def on(self, canvas: Window) -> Pixels:
        """The pixels over ``canvas``, float32 ``(H, W, 3)``, 0 outside the data window."""
        return place(self.pixels, self.header.data_window, canvas)


class Plate:
    """A sequence of colour frames with known windows. Make one with ``Plate.open``.

    Attributes:
        sequence: the files on disk.
        frames: the frame numbers asked for, rising.
        canvas: union of all data windows; display_window, pixel_aspect: the same for every frame.
        frame_rate: frames a second, None where the files do not say.
        layer_names: names of all channel groups with colour in the first frame, "" being the plain R G B.
        notes: what a user should know about how the plate is read.
    """

    def __init__(self, sequence: Sequence, sources: Mapping[int, Source], colorspace: str | None, notes: Many[str]):
        self.sequence = sequence
        self.frames = tuple(sources)
        self.colorspace = colorspace
        self.notes = tuple(notes)
        self._sources = dict(sources)
        first = sources[self.frames[0]]
        self.display_window = first.part.display_window
        self.pixel_aspect = first.part.pixel_aspect
        self.canvas = reduce(Window.union, (source.part.data_window for source in sources.values()))
        self.layer_names = tuple(group.layer for group in colour_groups(first.parts))
        self.frame_rate = _frame_rate(first.part.attributes)

    @classmethod
    def open(
        cls,
        text: str | Path,
        *,
        frames: str | tuple[int, ...] | None = None,
        layer: str | None = None,
        colorspace: str | None = None,
        missing: Missing = "error",
    ) -> Plate:
        """Find a sequence and look through the headers of all its frames; no pixel is read.

        Args:
            text: what ``Sequence.find`` takes: a pattern, a folder, or one frame.
            frames: the frames wanted; None: those named in ``text``, else all from the first to the last on disk
                (in their common step, so that a gap is a missing frame).
            layer: channel group to take as colour (``diffuse`` for diffuse.R …); None or "": the plain R G B.
            colorspace: OCIO name of what the files are encoded in; None: scene-linear.
            missing: what to do about frames that are not there: ``error``, ``hold`` the nearest earlier frame (else
                the nearest later), or ``black`` in the windows of that same frame.

        Raises:
            PlateError: ``not_found``, ``ambiguous``, ``movie``, ``no_frames``, ``missing_frame``, ``growing``,
                ``unreadable``, ``too_large``, ``deep``, ``no_colour``, ``no_layer``, ``mixed_size``,
                ``needs_colorspace``, ``colorspace``.
            UsageError: ``frames``.
        """
        sequence, named = Sequence.find(text)
        wanted = parse_frames(frames) if isinstance(frames, str) else (frames or named)
        if colorspace is not None:
            colour.check_colorspace(colorspace)
        sources = survey(sequence, wanted, layer, missing)
        check_encoding(next(iter(sources.values())), colorspace)
        return cls(sequence, sources, colorspace, notes(sources, layer, colorspace))

    def header(self, frame: int) -> FrameHeader:
        """The header of a frame; of a missing one, that of its stand-in, under its own number."""
        source = self._source(frame)
        part = source.part
        return FrameHeader(
            number=frame,
            path=source.path,
            data_window=part.data_window,
            display_window=part.display_window,
            pixel_aspect=part.pixel_aspect,
            channels=part.channels,
            pixel_type=part.kinds[source.group.channels[0]],
            compression=part.compression,
            tiled=part.tiled,
            attributes=part.attributes,
        )

    def read(self, frame: int) -> Frame:
        """Read the colour of a frame.

        Raises:
            PlateError: ``unreadable``: the file is damaged, ends early, or changed since the plate was opened;
                ``growing``: it is still being written.
        """
        source = self._source(frame)
        header = self.header(frame)
        if source.black:
            return Frame(header, np.zeros((*header.data_window.shape, 3), np.float32), None)
        try:
            pixels = read_pixels(source.path, source.part, source.group.channels, frame)
        except PlateError as error:
            raise growing.unreadable(self.sequence, source.taken, error) or error from None
        if source.group.kind == "luminance":
            pixels = np.repeat(pixels, 3, axis=-1)
        elif source.group.kind == "luminance-chroma":
            chromaticities = source.part.attributes.get("chromaticities")
            pixels = to_rgb(pixels, chromaticities.value if chromaticities else None)
        holes = take_out_holes(pixels)
        if self.colorspace is not None:
            # OCIO may turn a hole into a number, and a code value far out of range into Inf: look twice.
            pixels = colour.to_scene_linear(pixels, self.colorspace)
            if holes is not None:
                pixels[holes] = np.nan
            holes = take_out_holes(pixels)
        return Frame(header, pixels, holes)

    def read_channels(self, frame: int, names: Many[str]) -> Pixels:
        """Any channels of a frame, such as motion vectors, from whatever part holds them.

        Returns:
            float32 ``(H, W, len(names))`` over the frame's data window, 0 where their part has no pixels; as in the
            file, NaN and Inf included. Zeros for a missing frame under ``missing="black"``.

        Raises:
            PlateError: ``no_channels``, with the channels there are; ``unreadable``.
        """
        source = self._source(frame)
        window = source.part.data_window
        where = _find_channels(source)
        lacking = [name for name in names if name not in where]
        if lacking:
            raise PlateError(
                f"no channels {', '.join(lacking)} in {source.path}",
                code="no_channels",
                path=source.path,
                frame=frame,
                expected=f"some of {', '.join(where)}",
            )
        stacked = np.zeros((*window.shape, len(names)), np.float32)
        if source.black:
            return stacked
        for part in source.parts:
            columns = [column for column, name in enumerate(names) if where[name][0] == part.index]
            if columns:
                read = read_pixels(source.path, part, [where[names[column]][1] for column in columns], frame)
                stacked[..., columns] = place(read, part.data_window, window)
        return stacked

    def channel_names(self, frame: int) -> tuple[str, ...]:
        """All channels of a frame's file that ``read_channels`` can read, those of the colour's own part first."""
        return tuple(_find_channels(self._source(frame)))

    def source_path(self, frame: int) -> Path:
        """The file a frame is read from; of a missing frame, that of its stand-in."""
        return self._source(frame).path

    def stamp(self, frame: int) -> str:
        """16 hex digits that change when the frame's file does: for telling whether a cache is still good."""
        source = self._source(frame)
        try:
            stat = source.path.stat()
        except OSError as error:
            raise unreadable(source.path, frame, error.strerror or "") from error
        told = f"{source.path.name}|{stat.st_size}|{stat.st_mtime_ns}|{source.black}"
        return hashlib.blake2s(told.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()

    def describe(self) -> dict[str, Any]:
        """What the plate is, as JSON-able values: for ``vdp inspect``."""
        first = self.header(self.frames[0])
        absent = [source.number for source in self._sources.values() if source.taken != source.number]
        return {
            "pattern": self.sequence.pattern,
            "frames": format_frames(self.frames),
            "frame_count": len(self.frames),
            "on_disk": format_frames(self.sequence.frames),
            "missing": format_frames(absent),
            "display_window": _box(self.display_window),
            "canvas": _box(self.canvas),
            "data_window_moves": any(self.header(n).data_window != self.canvas for n in self.frames),
            "pixel_aspect": self.pixel_aspect,
            "frame_rate": self.frame_rate,
            "pixel_type": first.pixel_type,
            "compression": first.compression,
            "tiled": first.tiled,
            "colorspace": self.colorspace or "scene-linear",
            "ocio_config": colour.config_name(),
            "layers": list(self.layer_names),
            "channels": list(self.channel_names(self.frames[0])),
            "attributes": {name: _plain(item.value) for name, item in first.attributes.items()},
            "notes": list(self.notes),
        }

    def _source(self, frame: int) -> Source:
        try:
            return self._sources[frame]
        except KeyError:
            raise PlateError(
                f"frame {frame} is not one of this plate",
                code="no_frames",
                frame=frame,
                expected=f"one of {format_frames(self.frames)}",
            ) from None


def take_out_holes(pixels: Pixels) -> npt.NDArray[np.bool_] | None:
    """Set pixels with NaN or Inf in any channel to 0, in place; returns their mask, or None where there are none."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(pixels.sum()):  # a sum spreads NaN and Inf; one pass without a mask, and most frames are whole
            return None
    holes = np.asarray(~np.isfinite(pixels).all(axis=-1))
    if not holes.any():  # finite values whose sum overflowed
        return None
    pixels[holes] = 0.0
    return holes


def _find_channels(source: Source) -> dict[str, tuple[int, int]]:
    """Part and index of every channel by name; of equal names that in the colour's own part, then its own view."""
    own = source.part
    ranked = sorted(source.parts, key=lambda part: (part is not own, part.view != own.view, part.index))
    where: dict[str, tuple[int, int]] = {}
    for part in ranked:
        if not part.deep:
            for index, name in enumerate(part.channels):
                where.setdefault(name, (part.index, index))
    return where


def _frame_rate(attributes: Mapping[str, Attribute]) -> float | None:
    for name in ("framesPerSecond", "FramesPerSecond", "dpx:FrameRate"):
        if name in attributes:
            value = attributes[name].value
            rate = value[0] / value[1] if isinstance(value, tuple) and value[1] else value
            return float(rate) if isinstance(rate, int | float) and 0 < rate < 1e4 else None
    return None


def _box(window: Window) -> dict[str, int]:
    return {"x": window.x, "y": window.y, "width": window.width, "height": window.height}


def _plain(value: Any) -> Any:
    """An attribute's value as JSON has it: tuples and arrays as lists, anything odd as its text."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float) else str(value)
