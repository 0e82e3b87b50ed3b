"""The survey of a plate before any pixel is read: which file each frame comes from, and whether they fit together."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from pathlib import Path
from typing import Literal

from vdp_engine.errors import PlateError
from vdp_engine.plate import growing
from vdp_engine.plate.channels import ColourGroup, choose, default_view
from vdp_engine.plate.header import Part, check_size, scan
from vdp_engine.plate.sequence import Sequence, format_frames

Missing = Literal["error", "hold", "black"]

_SCENE_LINEAR_FORMATS = frozenset({"openexr", "hdr"})
_FLOAT_KINDS = frozenset({"half", "float", "double"})
_MAX_SPARSE = 10_000
_SCAN_THREADS = 8  # opening a file is waiting for a file server, not work


@dataclass(frozen=True, slots=True)
class Source:
    """Where one frame comes from.

    ``taken`` is the frame on disk that is read: ``number`` itself, or for a missing frame the neighbour that stands
    in for it, with its pixels or, where ``black``, with its windows only.
    """

    number: int
    taken: int
    path: Path
    black: bool
    parts: tuple[Part, ...]
    group: ColourGroup

    @property
    def part(self) -> Part:
        """The part of the file that holds the colour."""
        return self.parts[self.group.part]


def survey(sequence: Sequence, numbers: Iterable[int] | None, layer: str | None, missing: Missing) -> dict[int, Source]:
    """The source of every frame, by rising number, from the headers of all files.

    Args:
        numbers: the frames wanted; None: from the first to the last on disk, in their common step.

    Raises:
        PlateError: ``no_frames``, ``missing_frame``, ``growing``, ``mixed_size``, ``too_large`` and what ``scan`` and
            ``choose`` raise.
    """
    wanted = sorted(set(_implied_frames(sequence) if numbers is None else numbers))
    taken = _stand_ins(sequence, wanted, missing)
    needed = sorted(set(taken.values()))
    with ThreadPoolExecutor(_SCAN_THREADS) as threads:
        scanned = dict(zip(needed, threads.map(lambda n: _scan(sequence, n), needed), strict=True))
    groups = {n: choose(parts, layer, sequence.path(n), n) for n, parts in scanned.items()}
    sources = {
        number: Source(number, n, sequence.path(n), missing == "black" and n != number, scanned[n], groups[n])
        for number, n in taken.items()
    }
    _check_sizes(sources)
    return sources


def _scan(sequence: Sequence, number: int) -> tuple[Part, ...]:
    try:
        return scan(sequence.path(number), number)
    except PlateError as error:
        raise growing.unreadable(sequence, number, error) or error from None


def _implied_frames(sequence: Sequence) -> tuple[int, ...]:
    """The frames that a sequence on disk means: first to last in their common step, so that a gap shows.

    1001, 1003, 1005 was rendered on twos and has no gap; 1001, 1002, 1004 lacks 1003.

    Raises:
        PlateError: ``missing_frame``, where the numbers lie so far apart that they are something else (dates).
    """
    on_disk = sequence.frames
    step = gcd(*(later - earlier for earlier, later in pairwise(on_disk))) or 1
    meant = range(on_disk[0], on_disk[-1] + 1, step)
    if len(meant) > max(_MAX_SPARSE, 100 * len(on_disk)):
        raise PlateError(
            f"{len(on_disk)} files are numbered from {on_disk[0]} to {on_disk[-1]}",
            code="missing_frame",
            path=sequence.pattern,
            expected="frames in a row",
            remedy="choose frames with --frames",
        )
    return tuple(meant)


def _stand_ins(sequence: Sequence, wanted: list[int], missing: Missing) -> dict[int, int]:
    """For each frame wanted, the frame on disk to read.

    Raises:
        PlateError: ``no_frames`` where none of them is there, ``missing_frame`` where one is not and may not,
            ``growing`` where it is only not there yet.
    """
    there = frozenset(sequence.frames)
    gaps = [number for number in wanted if number not in there]
    has = f"{Path(sequence.pattern).name} has frames {format_frames(sequence.frames)}"
    if len(gaps) == len(wanted):
        raise PlateError(
            f"none of the frames {format_frames(wanted)} exists",
            code="no_frames",
            path=sequence.path(wanted[0]),
            expected=f"frames of the plate: {has}",
        )
    if gaps and missing == "error":
        if still := growing.missing(sequence, gaps):
            raise still
        further = f" (and {len(gaps) - 1} more: {format_frames(gaps[1:])})" if len(gaps) > 1 else ""
        raise PlateError(
            f"the plate has no file {sequence.path(gaps[0])}{further}",
            code="missing_frame",
            path=sequence.path(gaps[0]),
            frame=gaps[0],
            remedy=f"{has}: render the rest, choose frames with --frames, or use --missing hold or black",
        )
    return {number: number if number in there else _neighbour(sequence.frames, number) for number in wanted}


def _neighbour(on_disk: tuple[int, ...], number: int) -> int:
    """The nearest earlier frame, else the first."""
    return on_disk[max(bisect(on_disk, number) - 1, 0)]


def _check_sizes(sources: Mapping[int, Source]) -> None:
    first, *others = sources.values()
    canvas = first.part.data_window
    for source in others:
        for what, value, usual in (
            ("display window", source.part.display_window, first.part.display_window),
            ("pixel aspect", source.part.pixel_aspect, first.part.pixel_aspect),
        ):
            if value != usual:
                raise PlateError(
                    f"the {what} is {value} in {source.path}",
                    code="mixed_size",
                    path=source.path,
                    frame=source.taken,
                    expected=f"{usual} as in frame {first.taken}",
                    remedy="a plate has one format: choose frames of one size with --frames",
                )
        canvas = canvas.union(source.part.data_window)
        check_size(canvas, source.path, source.taken)


def check_encoding(source: Source, colorspace: str | None) -> None:
    """Refuse files whose numbers are display or log code values, unless somebody says which.

    Raises:
        PlateError: ``needs_colorspace``.
    """
    part = source.part
    kind = part.kinds[source.group.channels[0]]
    if colorspace is None and part.file_format not in _SCENE_LINEAR_FORMATS and kind not in _FLOAT_KINDS:
        raise PlateError(
            f"{source.path} is {part.file_format} with {kind} values, which are not scene-linear by themselves",
            code="needs_colorspace",
            path=source.path,
            frame=source.taken,
            expected="an OCIO colour space",
            remedy="name it with --colorspace, for example 'sRGB - Texture'",
        )


def notes(sources: Mapping[int, Source], layer: str | None, colorspace: str | None) -> tuple[str, ...]:
    """What a user should know about how the plate is read, one sentence each."""
    first = next(iter(sources.values()))
    part, group, told = first.part, first.group, []
    if len(first.parts) > 1:
        view = f" of view '{part.view}'" if part.view else ""
        told.append(f"colour comes from part {part.index} '{part.name}'{view}, one of {len(first.parts)} parts")
    elif len(part.views) > 1 and group.layer == "":
        told.append(f"colour comes from the view '{default_view(first.parts)}' of {', '.join(part.views)}")
    if group.layer != (layer or "") and group.layer != "":
        told.append(f"colour comes from the layer '{group.layer}'")
    if group.kind == "luminance":
        told.append("luminance only: taken for red, green and blue")
    elif group.kind == "luminance-chroma":
        told.append("luminance-chroma: colour was stored at half resolution")
    prefix = f"{group.layer}." if group.layer and f"{group.layer}.A" in part.channels else ""
    if f"{prefix}A" in part.channels:
        told.append("the alpha of the plate is not used: its colour is taken as it is")
    if part.file_format not in _SCENE_LINEAR_FORMATS and colorspace is None:
        told.append(f"{part.file_format} with float values: taken as scene-linear")
    stand_ins = [source for source in sources.values() if source.taken != source.number]
    if stand_ins:
        how = "black" if stand_ins[0].black else "held over from the nearest earlier frame, else the nearest later one"
        told.append(f"missing frames {format_frames(source.number for source in stand_ins)} are {how}")
    return tuple(told)
