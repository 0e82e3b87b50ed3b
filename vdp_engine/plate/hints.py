"""Hints: rough mattes of a layer that an artist made for some frames of a plate.

A hint is a sequence of pictures whose numbers are those of the plate's frames; one picture is enough. A pixel says:

- inside the layer, where the matte is 0.75 or more (white);
- outside of it, where it is 0.25 or less (black);
- do not know, between them (grey), where it is NaN, where the picture is transparent, and where it has no pixel.

In OpenEXR files the matte is channel ``A``, else the only channel, else ``Y``, else the mean of ``R G B``. In others
(PNG, TIFF, JPEG …) it is the mean of the colours, and an alpha below 0.5 is transparent. Values are taken as stored.

A picture of any resolution covers the plate's display window with its own; it needs the same shape, within 1.5 %. Its
data window, where it has one, says where in there its pixels lie.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vdp_engine.errors import PlateError, UsageError
from vdp_engine.plate.header import Part, scan
from vdp_engine.plate.pixels import read_pixels
from vdp_engine.plate.reader import Plate
from vdp_engine.plate.sequence import Sequence as Files
from vdp_engine.plate.sequence import format_frames
from vdp_engine.plate.windows import Window

Edges = npt.NDArray[np.float64]
Shares = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

INSIDE, OUTSIDE = 0.75, 0.25
_OPAQUE = 0.5
_SHAPE_TOLERANCE = 0.015
_HOW_TO_PAINT = (
    "paint the layer white, everything else black, and grey (0.5) or transparent where you do not know; in an EXR with "
    "a channel A that channel is the matte"
)


@dataclass(frozen=True)
class _Picture:
    """One file of a hint; ``matte`` and ``alpha`` are indices into the channels of ``part``."""

    path: Path
    frame: int
    part: Part
    matte: tuple[int, ...]
    alpha: int | None


@dataclass(frozen=True)
class Hint:
    """The hint of one layer. Make it with ``open_hints``.

    Attributes:
        pattern: absolute; ``open_hints`` reads it as the same files, and misses those that have gone since.
        frames: plate frames that it has a picture for, rising.
        ignored: numbers of pictures that belong to no frame of the shot.
    """

    pattern: str
    frames: tuple[int, ...]
    ignored: tuple[int, ...]
    _display: Window
    _pictures: Mapping[int, _Picture] = field(repr=False, compare=False)

    def path(self, frame: int) -> Path:
        """The file of one of ``frames``."""
        return self._pictures[frame].path

    def read(self, frame: int, canvas: Window, size: tuple[int, int]) -> Shares:
        """What the hint says of one of ``frames``.

        Args:
            canvas: the plate's window that the result covers.
            size: height and width of the result.

        Returns:
            float32 ``(2, *size)``: the share 0 to 1 of each pixel's area that is inside the layer, and that is outside;
            what is left over is not known.

        Raises:
            PlateError: ``unreadable``; ``hint_empty`` where nothing in the picture is inside or outside.
        """
        return self._placed(self._pictures[frame], _masks(self._pictures[frame]), canvas, size)

    def read_map(self, frame: int, canvas: Window, size: tuple[int, int]) -> Shares:
        """The values of one of ``frames``, where the hint is a map and not a matte.

        Args:
            canvas, size: as for ``read``.

        Returns:
            float32 ``(2, *size)``: the mean, 0 to 1, of what is known in each pixel's area, and the share 0 to 1 of it
            that is known.

        Raises:
            PlateError: ``unreadable``; ``hint_empty`` where nothing in the picture is known.
        """
        picture = self._pictures[frame]
        values = _values(picture)
        known = np.isfinite(values)
        if not known.any():
            raise _empty(picture, "values from 0 to 1 somewhere")
        told = np.where(known, np.clip(values, 0, 1), 0)
        total, share = self._placed(picture, (told, known), canvas, size)
        return np.stack([np.where(share > 0, total / np.maximum(share, 1e-6), 0), share]).astype(np.float32)

    def _placed(
        self, picture: _Picture, planes: Sequence[npt.NDArray], canvas: Window, size: tuple[int, int]
    ) -> Shares:
        """Area means ``(N, *size)`` over ``canvas`` of planes over the data window of a picture, 0 outside of it."""
        full, data = picture.part.display_window, picture.part.data_window

        def edges(count: int, seen: tuple[int, int], shown: tuple[int, int], own: tuple[int, int], at: int) -> Edges:
            # From the canvas to the share of the plate's display window, to pixels of the picture's data window.
            plate = seen[0] + np.linspace(0, seen[1], count + 1)
            return (plate - shown[0]) / shown[1] * own[1] + own[0] - at

        shown = self._display
        rows = edges(size[0], (canvas.y, canvas.height), (shown.y, shown.height), (full.y, full.height), data.y)
        columns = edges(size[1], (canvas.x, canvas.width), (shown.x, shown.width), (full.x, full.width), data.x)
        return np.stack([_area_means(_area_means(plane, rows).T, columns).T for plane in planes])

    def check(self, *, matte: bool = True) -> None:
        """Read all pictures, so that faults show before hours of work and not after them.

        Args:
            matte: whether it is a rough matte, or a map of values.

        Raises:
            PlateError: ``unreadable``; ``hint_empty``: a picture says nothing, or all of them together say nowhere
                what is inside, or that everything is.
        """
        if not matte:
            for frame in self.frames:
                self.read_map(frame, self._display, (1, 1))
            return
        inside_somewhere, known_apart = False, False
        for picture in self._pictures.values():
            inside, _ = _masks(picture)
            inside_somewhere |= bool(inside.any())
            covers = picture.part.data_window.contains(picture.part.display_window)
            known_apart |= not (covers and inside.all())
        if not (inside_somewhere and known_apart):
            raise PlateError(
                f"the hint {self.pattern} says that {'everything' if inside_somewhere else 'nothing'} is inside",
                code="hint_empty",
                path=self.path(self.frames[0]),
                expected="a matte that is white in some places and not in all",
                remedy=_HOW_TO_PAINT,
            )

    def stamp(self) -> str:
        """16 hex digits that change when one of the pictures does, or their frames.

        Raises:
            PlateError: ``hint_missing``.
        """
        digest = hashlib.blake2s(digest_size=8)
        for frame, picture in self._pictures.items():
            try:
                stat = picture.path.stat()
            except OSError as error:
                raise _missing(picture.path, frame) from error
            told = f"{frame}|{picture.path.name}|{stat.st_size}|{stat.st_mtime_ns}\n"
            digest.update(told.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def open_hints(patterns: Sequence[str], plate: Plate, frames: Sequence[int]) -> tuple[Hint, ...]:
    """Find the pictures of every hint and look at their headers; no pixel is read.

    Args:
        patterns: one for each hint, as ``plate.Sequence.find`` takes them; the first steers the first foreground layer.
        plate: what the pictures have to fit.
        frames: those of the shot.

    Raises:
        PlateError: ``hint_missing``, ``hint_frames`` (no picture belongs to a frame of the shot), ``hint_shape``,
            ``hint_channels``, ``unreadable``, and what ``Sequence.find`` raises.
        UsageError: ``frames``, the range in a pattern makes no sense.
    """
    return tuple(_open(text, plate, tuple(sorted(frames))) for text in patterns)


def _open(text: str, plate: Plate, frames: tuple[int, ...]) -> Hint:
    sequence, named = _find(text)
    if sequence.width is None:
        if len(frames) != 1:
            raise _without_number(sequence.path(1), frames)
        picture = _look_at(sequence.path(1), frames[0], plate)
        return Hint(sequence.pattern, frames, (), plate.display_window, {frames[0]: picture})

    numbers = sorted(set(sequence.frames if named is None else named))
    gone = [number for number in numbers if number not in sequence.names]
    if gone:
        raise _missing(sequence.path(gone[0]), gone[0])
    used = tuple(number for number in numbers if number in set(frames))
    if not used:
        raise PlateError(
            f"no picture of the hint {text} belongs to a frame of the shot: they are numbered {format_frames(numbers)}",
            code="hint_frames",
            path=sequence.path(numbers[0]),
            expected=f"numbers out of {format_frames(frames)}",
            remedy="give each picture the number of the plate's frame that it was painted on",
        )
    pictures = {number: _look_at(sequence.path(number), number, plate) for number in used}
    ignored = tuple(number for number in numbers if number not in pictures)
    return Hint(_pattern(sequence, used), used, ignored, plate.display_window, pictures)


def _find(text: str) -> tuple[Files, tuple[int, ...] | None]:
    try:
        return Files.find(text)
    except PlateError as error:
        if error.code != "plate.not_found":
            raise
        raise PlateError(
            f"no such hint: {error.path}", code="hint_missing", path=error.path, remedy=error.remedy
        ) from error


def _pattern(sequence: Files, frames: tuple[int, ...]) -> str:
    """The pattern of exactly these frames, so that one which goes missing later is missed."""
    every = Path(sequence.pattern).name.removeprefix(sequence.prefix)
    exact = str(sequence.folder / f"{sequence.prefix}{format_frames(frames)}{every}")
    try:
        if Files.find(exact) == (sequence, frames):
            return exact
    except (PlateError, UsageError):
        pass
    # After a prefix such as "mask_v2-" a range is not told from the prefix; a file stands for its sequence.
    return str(sequence.path(frames[0]))


def _look_at(path: Path, frame: int, plate: Plate) -> _Picture:
    part = next((part for part in scan(path, frame) if not part.deep), None)
    if part is None:
        raise PlateError(
            f"the hint {path} is a deep image", code="hint_channels", path=path, frame=frame, expected="a flat matte",
            remedy="flatten it first (DeepToImage in Nuke)",
        )  # fmt: skip
    matte, alpha = _matte_channels(part)
    if not matte:
        raise PlateError(
            f"the hint {path} has no matte: its channels are {', '.join(part.channels[:12])}",
            code="hint_channels",
            path=path,
            frame=frame,
            expected="a channel A, or one channel only, or Y, or R G B",
        )
    _check_shape(path, frame, part, plate)
    return _Picture(path, frame, part, matte, alpha)


def _matte_channels(part: Part) -> tuple[tuple[int, ...], int | None]:
    """Channels whose mean is the matte, and that of the transparency."""
    where = {name.upper(): index for index, name in enumerate(part.channels)}
    alpha = where.get("A")
    if part.file_format != "openexr":
        colours = tuple(index for index in range(len(part.channels)) if index != alpha)
        return (colours, alpha) if colours else ((0,), None)
    if alpha is not None:
        return (alpha,), None
    if len(part.channels) == 1:
        return (0,), None
    if "Y" in where:
        return (where["Y"],), None
    return tuple(where[name] for name in "RGB") if {"R", "G", "B"} <= where.keys() else (), None


def _check_shape(path: Path, frame: int, part: Part, plate: Plate) -> None:
    own, shown = part.display_window, plate.display_window
    # Painted on an anamorphic plate's pixels, or on the picture as it is seen.
    pixels = own.width / own.height / (shown.width / shown.height)
    seen = pixels * part.pixel_aspect / plate.pixel_aspect
    if min(abs(pixels - 1), abs(seen - 1)) > _SHAPE_TOLERANCE:
        raise PlateError(
            f"the hint {path} has another shape than the plate: {own.width}x{own.height} pixels",
            code="hint_shape",
            path=path,
            frame=frame,
            expected=f"{shown.width}x{shown.height}, the plate's display window, or any other size of that shape",
            remedy="make it from the whole picture, not from a crop",
        )


def _values(picture: _Picture) -> npt.NDArray[np.float32]:
    """The matte of a picture as stored, (H, W) over its data window; NaN where it is not known."""
    channels = [*picture.matte, *(() if picture.alpha is None else (picture.alpha,))]
    pixels = read_pixels(picture.path, picture.part, channels, picture.frame)
    with np.errstate(invalid="ignore", over="ignore"):
        matte = pixels[..., : len(picture.matte)].mean(axis=-1)
    if picture.alpha is not None:
        matte[~(pixels[..., -1] >= _OPAQUE)] = nan
    return matte


def _masks(picture: _Picture) -> tuple[Mask, Mask]:
    """Where a picture says inside and where outside, bool (H, W) over its data window."""
    matte = _values(picture)
    inside, outside = matte >= INSIDE, matte <= OUTSIDE
    if not inside.any() and not outside.any():
        raise _empty(picture, f"values of at least {INSIDE} inside the layer or at most {OUTSIDE} outside of it")
    return inside, outside


def _empty(picture: _Picture, expected: str) -> PlateError:
    return PlateError(
        f"the hint {picture.path} says nothing: it is grey, transparent or without a value everywhere",
        code="hint_empty", path=picture.path, frame=picture.frame, expected=expected, remedy=_HOW_TO_PAINT,
    )  # fmt: skip


def _area_means(values: npt.NDArray, edges: Edges) -> Shares:
    """Means of ``values`` (n, m) over the intervals between ``edges`` (k + 1), in rows: (k, m); 0 outside of them."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=sums[1:])
    places = np.clip(edges, 0, len(values))
    below = np.minimum(places.astype(int), len(values) - 1)
    part = (places - below)[:, None]
    means = np.diff(sums[below] * (1 - part) + sums[below + 1] * part, axis=0) / np.diff(edges)[:, None]
    return np.clip(means, 0, 1).astype(np.float32)


def _missing(path: Path, frame: int) -> PlateError:
    return PlateError(f"the hint has no file {path}", code="hint_missing", path=path, frame=frame)


def _without_number(path: Path, frames: tuple[int, ...]) -> PlateError:
    middle = frames[len(frames) // 2]
    return PlateError(
        f"the hint {path} does not say which frame it belongs to",
        code="hint_frames",
        path=path,
        expected="the number of a frame before the suffix (one after a v is a version)",
        remedy=f"name it {path.stem}.{middle}{path.suffix} if it was painted on frame {middle}",
    )
