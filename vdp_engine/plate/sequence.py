"""Numbered image files: from what a user types to the frames on disk.

File names are matched by their own rules rather than fileseq's, since artists' names hold spaces, brackets,
minus signs and versions; frame ranges are fileseq's.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fileseq.exceptions import FileSeqException, MaxSizeException
from fileseq.frameset import FrameSet

from vdp_engine.errors import PlateError, UsageError

IMAGE_SUFFIXES = frozenset(
    {".exr", ".sxr", ".mxr", ".dpx", ".cin", ".hdr", ".rgbe", ".pfm", ".tif", ".tiff", ".png", ".jpg", ".jpeg"}
    | {".jp2", ".j2k", ".jxl", ".webp", ".tga", ".bmp", ".psd", ".sgi", ".rgb", ".rgba", ".ppm", ".pgm", ".pnm"}
    | {".pic", ".iff"}
)
MOVIE_SUFFIXES = frozenset(
    {".mov", ".mp4", ".m4v", ".mxf", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".gif"}
    | {".r3d", ".braw", ".ari", ".arx"}
)

# The padding of a pattern, with the frame range that may stand before it: 1001-1100#, ####, @@@, %04d, $F4.
# The last one of the name counts. A minus sign belongs to the range only after a separator: shot-5#, shot.-5#.
_PADDING = re.compile(
    r"(?P<range>(?:(?:(?<=[._ ])|^)-)?\d[\d,xy:-]*)?(?P<padding>#+|@+|%0?\d*d|\$F\d*)(?!.*(?:#|@|%\d*d|\$F))"
)
# The number of one frame: the digits before the suffix, unless they are a version as in plate_v02.exr.
_NUMBER = re.compile(r"^(?P<prefix>.*?)(?P<number>(?:(?:(?<=[._ ])|^)-)?\d+)$")
_VERSION = re.compile(r"(^|[._ -])v$", re.IGNORECASE)
_SIGNED = re.compile(r"-?\d+")


class _Family(NamedTuple):
    """Files that differ in their number only."""

    prefix: str
    suffix: str


def parse_frames(text: str) -> tuple[int, ...]:
    """Frame numbers of a range: ``1001-1100x2``, ``1,5,9-12``, ``-10--1``; each once, in the order given.

    Raises:
        UsageError: ``usage.frames``, not a range of whole frame numbers.
    """
    expected = "a range such as 1001-1100, 1001-1100x2, 1,5,9-12 or -5-5"
    try:
        numbers = list(FrameSet(text))
    except (FileSeqException, MaxSizeException) as error:
        raise UsageError(f"cannot read frames '{text}'", code="frames", expected=expected) from error
    if not numbers:
        raise UsageError("the frame range is empty", code="frames", expected=expected)
    if any(not isinstance(number, int) for number in numbers):
        raise UsageError(f"frames '{text}' are not whole numbers", code="frames", expected=expected)
    return tuple(int(number) for number in numbers)


def format_frames(frames: Iterable[int]) -> str:
    """The shortest text that ``parse_frames`` reads as these frames: ``1001-1009x2,1020``."""
    return FrameSet.framesToFrameRange(list(frames), sort=False)


@dataclass(frozen=True)
class Sequence:
    """The frames of one numbered image sequence that exist on disk.

    ``width`` is the number of digits of the frame number (1: unpadded; None: one image without a number, which
    counts as frame 1). ``frames`` are sorted.
    """

    folder: Path
    prefix: str
    suffix: str
    width: int | None
    frames: tuple[int, ...]
    names: Mapping[int, str] = field(repr=False, compare=False)

    @property
    def pattern(self) -> str:
        """The absolute pattern in fileseq's notation: ``/plates/shot.#.exr`` is four digits, ``@`` is one."""
        if self.width is None:
            return str(self.folder / self.suffix)
        padding = "#" if self.width == 4 else "@" * self.width
        return str(self.folder / f"{self.prefix}{padding}{self.suffix}")

    def path(self, frame: int) -> Path:
        """The file of a frame, by the name it has on disk or, if it is missing, would have."""
        if self.width is None:
            return self.folder / self.suffix
        if frame in self.names:
            return self.folder / self.names[frame]
        return self.folder / f"{self.prefix}{frame:0{self.width or 1}d}{self.suffix}"

    @classmethod
    def find(cls, text: str | Path) -> tuple[Sequence, tuple[int, ...] | None]:
        """The sequence that ``text`` means, and the frames named in it, if any.

        Args:
            text: a pattern (``shot.1001-1100#.exr``, ``shot.####.exr``, ``shot.@@@@.exr``, ``shot.%04d.exr``), a
                folder with exactly one sequence, one frame (which stands for its whole sequence), or an image
                without a number. A single ``#`` takes whatever padding is there.

        Raises:
            PlateError: ``not_found`` (nothing there), ``ambiguous`` (several sequences in a folder), ``movie``.
            UsageError: ``frames``, the range in the pattern makes no sense.
        """
        path = Path(os.path.abspath(os.path.expanduser(text)))
        if path.suffix.lower() in MOVIE_SUFFIXES:
            raise PlateError(
                f"{path.name} is a movie",
                code="movie",
                path=path,
                expected="a sequence of images",
                remedy="write it out as EXR frames first",
            )
        if path.is_dir():
            return _only_sequence(path), None
        if path.is_file():
            return _sequence_of(path), None
        found = _PADDING.search(path.name)
        if found is None:
            raise _not_found(path)
        frames = parse_frames(found["range"]) if found["range"] else None
        family = _Family(path.name[: found.start()], path.name[found.end() :])
        return _sequence_by_pattern(path, family, found["padding"]), frames


def _sequence_by_pattern(path: Path, family: _Family, padding: str) -> Sequence:
    numbers = _family_numbers(path.parent, family)
    width = _padding_width(padding)
    members = _members(numbers, width)
    if not members and padding == "#" and numbers:
        members = max((_members(numbers, other) for other in {len(number) for number in numbers}), key=len)
        width = min(len(number.lstrip("-")) for number in members.values())
    if not members:
        raise _not_found(path)
    return _build(path.parent, family, width, members)


def _padding_width(padding: str) -> int:
    if padding == "#":
        return 4
    if padding[0] in "#@":
        return len(padding)
    return int(re.sub(r"\D", "", padding) or 1)


def _members(numbers: Iterable[str], width: int) -> dict[int, str]:
    """Those number texts that a counter of this width would write, by frame.

    Negative numbers are seen with the sign counted (C's %04d: -005) and not (-0005).
    """
    members = {}
    for text in numbers:
        digits = text.lstrip("-")
        signed = len(digits) != len(text)
        exact = len(digits) == width or (signed and len(text) == width)
        if exact or (len(digits) > width and digits[0] != "0") or (width == 1 and digits == "0"):
            members[int(text)] = text
    return members


def _family_numbers(folder: Path, family: _Family) -> list[str]:
    """The numbers, as written, of the files in ``folder`` that differ from the family's name in the number only."""
    prefix, suffix = family
    if not folder.is_dir():
        return []
    numbers = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if not name.startswith(prefix) or not name.endswith(suffix):
                continue
            number = name[len(prefix) : len(name) - len(suffix)]
            if _SIGNED.fullmatch(number) and _sign_is_a_sign(prefix, number):
                numbers.append(number)
    return numbers


def _sign_is_a_sign(prefix: str, number: str) -> bool:
    return not number.startswith("-") or not prefix or prefix[-1] in "._ "


def _split(name: str) -> tuple[_Family, str] | None:
    """A file name as its family and its number, or None where it has no frame number."""
    stem, suffix = os.path.splitext(name)
    found = _NUMBER.match(stem)
    if found is None or _VERSION.search(found["prefix"]):
        return None
    return _Family(found["prefix"], suffix), found["number"]


def _sequence_of(path: Path) -> Sequence:
    """The whole sequence that one existing file belongs to."""
    split = _split(path.name)
    if split is None:
        return Sequence(path.parent, "", path.name, None, (1,), {1: path.name})
    family, number = split
    numbers = _family_numbers(path.parent, family)
    width = _width_for(number, numbers)
    return _build(path.parent, family, width, _members(numbers, width))


def _width_for(number: str, numbers: Iterable[str]) -> int:
    """The padding width of the sequence that ``number`` belongs to.

    A leading zero says it. Without one, the number may be padded (1001 after 0999) or not (10 after 9): the
    widest padding seen among its neighbours that allows it, else the fewest digits among the unpadded ones.
    """
    digits = number.lstrip("-")
    unsigned = {len(other) for other in numbers if re.match(r"0\d", other)}
    if digits[0] == "0" and len(digits) > 1:
        return len(number) if len(number) in unsigned else len(digits)
    padded = unsigned or {len(other.lstrip("-")) for other in numbers if re.match(r"-0\d", other)}
    allowed = [width for width in padded if width <= len(number)]
    if allowed:
        return max(allowed)
    return min(len(other.lstrip("-")) for other in numbers if not re.match(r"-?0\d", other))


def _only_sequence(folder: Path) -> Sequence:
    families: dict[_Family, list[str]] = defaultdict(list)
    singles: list[str] = []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))
    for name in names:
        if os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
            continue
        split = _split(name)
        if split is None:
            singles.append(name)
        else:
            families[split[0]].append(split[1])

    sequences = [_sequence_of(folder / name) for name in singles]
    for family, numbers in families.items():
        remaining = set(numbers)
        while remaining:
            # Padded numbers first: they alone say which width they have.
            number = max(remaining, key=lambda text: (text.lstrip("-")[0] == "0", len(text), text))
            width = _width_for(number, remaining)
            members = _members(remaining, width)
            sequences.append(_build(folder, family, width, members))
            remaining -= set(members.values())

    if len(sequences) == 1:
        return sequences[0]
    if not sequences:
        movies = [name for name in names if os.path.splitext(name)[1].lower() in MOVIE_SUFFIXES]
        found = f"it holds movies ({', '.join(movies[:3])}), which have to become EXR frames first" if movies else ""
        raise PlateError(f"no images in {folder}", code="not_found", path=folder, remedy=found)
    listing = [f"{Path(one.pattern).name} ({format_frames(one.frames)})" for one in sequences]
    more = f" and {len(listing) - 10} more" if len(listing) > 10 else ""
    raise PlateError(
        f"{folder} holds {len(sequences)} sequences: {', '.join(listing[:10])}{more}",
        code="ambiguous",
        path=folder,
        expected="exactly one",
        remedy="name one of them, or one of its frames",
    )


def _build(folder: Path, family: _Family, width: int, members: Mapping[int, str]) -> Sequence:
    names = {frame: f"{family.prefix}{number}{family.suffix}" for frame, number in members.items()}
    return Sequence(folder, family.prefix, family.suffix, width, tuple(sorted(names)), names)


def _not_found(path: Path) -> PlateError:
    remedy = f"the folder {path.parent} does not exist" if not path.parent.is_dir() else _neighbours(path)
    return PlateError(f"no such plate: {path}", code="not_found", path=path, remedy=remedy)


def _neighbours(path: Path) -> str:
    names = sorted(name for name in os.listdir(path.parent) if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES)
    if not names:
        return f"{path.parent} holds no images"
    return f"{path.parent} holds {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
