"""A plate that is still being rendered or copied, told from one that lacks a frame or has a damaged one for good."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

from vdp_engine.errors import EXIT_TRY_AGAIN, PlateError
from vdp_engine.plate.sequence import Sequence

YOUNG_SECONDS = 120.0
"""A file that was changed less long ago may belong to a render that goes on."""

_LOOK_SECONDS = 0.5


class GrowingPlate(PlateError):
    """The plate is still being written: what is wrong with it now may be right in a minute."""

    exit_code = EXIT_TRY_AGAIN


def missing(sequence: Sequence, gaps: Iterable[int]) -> GrowingPlate | None:
    """The error for frames that are missing only because their turn comes yet; ``None`` where they are just missing.

    Frames come in their order: all of ``gaps`` are later than the last frame on disk, and that is young.
    """
    first, *further = gaps
    age = _age(sequence.path(number) for number in sequence.frames)
    if first < sequence.frames[-1] or age > YOUNG_SECONDS:
        return None
    more = f" and {len(further)} more" if further else ""
    return _growing(f"frame {first}{more} is not there yet", age, sequence.path(first), first)


def unreadable(sequence: Sequence, frame: int, error: PlateError) -> GrowingPlate | None:
    """The error for a frame that cannot be read because it is not yet whole; ``None`` where it is damaged.

    ``error`` says what is wrong with it. It is young, and the last of several on disk or seen to grow.
    """
    path = sequence.path(frame)
    age = _age([path])
    if age > YOUNG_SECONDS or len(sequence.frames) < 2 or not (frame == sequence.frames[-1] or _grows(path)):
        return None
    return _growing(error.happened, age, path, frame)


def _growing(happened: str, age: float, path: Path, frame: int) -> GrowingPlate:
    return GrowingPlate(
        f"the plate is still being written: {happened}, the newest file is {age:.0f} s old",
        code="growing", path=path, frame=frame,
        remedy=f"try again when it is complete. {YOUNG_SECONDS:.0f} s after the last change the frame counts as "
        "missing or damaged",
    )  # fmt: skip


def _age(paths: Iterable[Path]) -> float:
    """Seconds since the last change of the newest; the clocks of file server and machine may differ a little."""
    changed = [0.0]
    for path in paths:
        with contextlib.suppress(OSError):
            changed.append(path.stat().st_mtime)
    return max(0.0, time.time() - max(changed))


def _grows(path: Path) -> bool:
    with contextlib.suppress(OSError):
        before = path.stat()
        time.sleep(_LOOK_SECONDS)
        after = path.stat()
        return (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    return False
