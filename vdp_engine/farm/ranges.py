"""Frame ranges in the words of the farms' engines, each translated explicitly.

The same text means different frames to different engines:

| text | vdp, Nuke, fileseq | Open Job Description, Slurm | OpenCue | Deadline |
|---|---|---|---|---|
| `1-10x3` | 1 4 7 10 | an error | 1 4 7 10 | 1 4 7 10 |
| `1-10:3` | 1 to 10, every third first | 1 4 7 10 | 1 to 10, every third first | an error |
| `1-10y3` | what 1-10x3 leaves out | an error | what 1-10x3 leaves out | an error |

So nothing is passed on as it came: what an engine is to work on is written here in its own words, in the plainest form
that it has, and what it cannot say is refused or listed frame by frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from vdp_engine.errors import UsageError
from vdp_engine.plate import format_frames

Engine = Literal["openjd", "slurm", "opencue", "deadline", "tractor"]

_NAMES: dict[Engine, str] = {
    "openjd": "Open Job Description", "slurm": "Slurm", "opencue": "OpenCue", "deadline": "Deadline",
    "tractor": "Tractor",
}  # fmt: skip
# How a step is written, the form that is written here first; Tractor has no ranges at all.
_MARKS: dict[Engine, tuple[str, ...]] = {
    "openjd": (":",), "slurm": (":",), "opencue": ("x", "y", ":"), "deadline": ("x", "step", "by", "every"),
    "tractor": (),
}  # fmt: skip
_RUN = re.compile(r"(?P<first>-?\d+)(?:-(?P<last>-?\d+)(?:(?P<mark>[a-z]+|:)(?P<step>-?\d+))?)?")
_AT_ONCE = re.compile(r"%\d+$")


class _Run(NamedTuple):
    first: int
    last: int
    step: int


def write(frames: Iterable[int], engine: Engine) -> str:
    """Frames in the words of an engine; each once, ascending.

    For Slurm these are the indices of an array's tasks, which start at 0.

    Raises:
        UsageError: there are none, or the engine has no way to say them.
    """
    chosen = sorted(set(frames))
    if not chosen:
        raise UsageError("there are no frames to hand to the farm", code="frames")
    if engine == "slurm" and chosen[0] < 0:
        raise UsageError(f"Slurm's arrays have no index {chosen[0]}", code="frames", expected="indices from 0 on")
    return ",".join(_written(run, engine) for run in _runs(chosen))


def slurm_array(count: int, at_once: int = 0) -> str:
    """The ``--array`` of ``count`` tasks, of which at most ``at_once`` run at a time (0: as many as Slurm likes)."""
    return write(range(count), "slurm") + (f"%{at_once}" if at_once else "")


def read(text: str, engine: Engine) -> tuple[int, ...]:
    """The frames that a text means to an engine; each once, ascending.

    Raises:
        UsageError: the engine would not take it, or it would be no frame at all.
    """
    plain = _AT_ONCE.sub("", text) if engine == "slurm" else text
    frames: set[int] = set()
    for part in plain.split(","):
        match = _RUN.fullmatch(part.strip())
        if match is None:
            raise _unreadable(text, engine)
        found = _expanded(match, engine)
        if not found:
            raise _unreadable(text, engine)
        frames |= found
    return tuple(sorted(frames))


def _runs(frames: list[int]) -> list[_Run]:
    runs = []
    for part in format_frames(frames).split(","):
        match = _RUN.fullmatch(part)
        assert match is not None, part
        first = int(match["first"])
        runs.append(_Run(first, int(match["last"] or first), int(match["step"] or 1)))
    return runs


def _written(run: _Run, engine: Engine) -> str:
    frames = range(run.first, run.last + 1, run.step)
    # Deadline's manual does not say how a range with a minus sign on either end is read.
    one_by_one = engine == "tractor" or (engine == "deadline" and run.first < 0)
    if one_by_one or len(frames) < 3:
        return ",".join(str(frame) for frame in frames)
    return f"{run.first}-{run.last}" + (f"{_MARKS[engine][0]}{run.step}" if run.step > 1 else "")


def _expanded(match: re.Match[str], engine: Engine) -> set[int]:
    """The frames of one part of a range; none where the engine would not take it."""
    first = int(match["first"])
    if engine == "slurm" and any((match[name] or "").startswith("-") for name in ("first", "last", "step")):
        return set()
    if match["last"] is None:
        return {first}
    last, mark = int(match["last"]), match["mark"]
    # Open Job Description counts upwards unless a step says otherwise.
    backwards = engine in ("opencue", "deadline") and last < first
    step = int(match["step"]) if mark else -1 if backwards else 1
    direction = 1 if step > 0 else -1
    if not _MARKS[engine] or (mark and mark not in _MARKS[engine]) or step == 0 or (last - first) * direction < 0:
        return set()
    every = set(range(first, last + direction, direction))
    stepped = set(range(first, last + direction, step))
    if engine == "opencue" and mark == "y":
        return every - stepped
    if engine == "opencue" and mark == ":":
        return every  # only their order differs
    return stepped


def _unreadable(text: str, engine: Engine) -> UsageError:
    return UsageError(f"{_NAMES[engine]} cannot read the range {text!r}", code="frames")
