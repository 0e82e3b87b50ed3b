"""The shots that lie in a folder and below it, and a first manifest of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdp_engine import files
from vdp_engine.errors import UsageError, VdpError
from vdp_engine.plate import Sequence as Frames
from vdp_engine.plate import format_frames
from vdp_engine.plate.sequence import IMAGE_SUFFIXES
from vdp_engine.shot import default_name

_HEAD = """\
# One entry under `shots:` is one shot; what stands in `defaults:` holds for all that do not say otherwise.
# Any setting of `vdp run --help` can stand in both, by its name with _ for -, and: name, out, frames.
# {name} is the shot's name, {folder} the folder its plate lies in. Paths are relative to this file.
defaults:
  out: "layers/{name}"
  # quality: final
  # layers: auto

shots:
"""


@dataclass(frozen=True)
class Found:
    """A sequence, a name for its shot that no other of the same search has, and how to write its plate."""

    frames: Frames
    name: str
    plate: str


def find_shots(folder: Path) -> tuple[Found, ...]:
    """All sequences of two frames or more in ``folder`` and below, by their path.

    Folders that VDP wrote layers into, and hidden ones, are passed over.

    Raises:
        UsageError: it is no folder, or there is no sequence in it.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", code="folder", expected="a folder with sequences in it or below")
    root = Path(os.path.abspath(folder))
    found = [frames for place in _folders(root) for frames in _sequences(place)]
    if not found:
        raise UsageError(
            f"there are no sequences in {folder} or below it", code="folder",
            expected="numbered frames, such as shot.1001.exr, shot.1002.exr",
        )  # fmt: skip
    names = _names(root, found)
    return tuple(Found(frames, name, _plate(frames)) for frames, name in zip(found, names, strict=True))


def write_manifest(folder: Path, path: Path) -> int:
    """Write a manifest of what ``find_shots`` finds; returns how many shots it has.

    Raises:
        UsageError: as ``find_shots``, or ``path`` exists.
        TryAgainError: it cannot be written.
    """
    if path.exists():
        raise UsageError(
            f"{path} is there already, and is left as it is", code="exists", remedy="name another file with --to"
        )
    found = find_shots(folder)
    entries = "".join(_entry(one, Path(os.path.abspath(path)).parent) for one in found)
    files.write_text(path, _HEAD + entries)
    return len(found)


def _entry(found: Found, base: Path) -> str:
    numbers = found.frames.frames
    lines = [f"  # {len(numbers)} frames: {format_frames(numbers)}"]
    try:
        plate = Path(os.path.relpath(found.plate, base)).as_posix()
    except ValueError:  # another drive of Windows
        plate = found.plate
    lines.append(f"  - plate: {_quoted(plate)}")
    if found.name != default_name(found.frames.pattern):
        lines.append(f"    name: {_quoted(found.name.replace('{', '{{'))}")
    if not _writable(plate):
        lines = [f"  # left out, since its name is not UTF-8: {plate!a}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # A JSON string is a YAML string.
    return json.dumps(text, ensure_ascii=False)


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _folders(root: Path) -> Iterator[Path]:
    """``root`` and all folders below, each once, links followed."""
    seen: set[str] = set()
    for place, below, _ in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen or ".vdp" in below:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(place)


def _sequences(folder: Path) -> Iterator[Frames]:
    left = sorted(
        entry.name for entry in os.scandir(folder)
        if entry.is_file() and not entry.name.startswith(".")
        and os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES
    )  # fmt: skip
    while left:
        frames, _ = Frames.find(folder / left[0])
        left = [name for name in left[1:] if name not in set(frames.names.values())]
        if frames.width is not None and len(frames.frames) > 1:
            yield frames


def _plate(frames: Frames) -> str:
    """The sequence's pattern, or, where that would be read as another one, its first frame."""
    try:
        if Frames.find(frames.pattern) == (frames, None):
            return frames.pattern
    except VdpError:
        pass
    return str(frames.path(frames.frames[0]))


def _names(root: Path, found: Sequence[Frames]) -> list[str]:
    """The plainest rule that gives each sequence a name of its own: its stem, its folder, both, its whole path."""

    def stem(frames: Frames) -> str:
        return files.plain_stem(default_name(frames.pattern)) or "shot"

    rules: tuple[Callable[[Frames], str], ...] = (
        stem,
        lambda frames: frames.folder.name,
        lambda frames: f"{frames.folder.name}_{stem(frames)}",
        lambda frames: "_".join((*frames.folder.relative_to(root).parts, stem(frames))),
    )
    for rule in rules:
        names = [rule(frames) for frames in found]
        if len({name.casefold() for name in names}) == len(names):
            return names
    # One stem in one folder with two suffixes or paddings.
    counted: Counter[str] = Counter()
    numbered = []
    for name in names:
        counted[name.casefold()] += 1
        numbered.append(f"{name}_{counted[name.casefold()]}")
    return numbered
