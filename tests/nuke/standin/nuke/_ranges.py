"""Frame ranges."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any


class FrameRange:
    def __init__(self, *args: Any) -> None:
        if len(args) == 1 and isinstance(args[0], str):
            match = re.fullmatch(r"\s*(-?\d+)(?:-(-?\d+)(?:x(\d+))?)?\s*", args[0])
            if match is None:
                raise ValueError(f"not a frame range: {args[0]!r}")
            first = int(match[1])
            args = (first, int(match[2] or first), int(match[3] or 1))
        self._first, self._last, self._increment = int(args[0]), int(args[1]), int(args[2] if len(args) > 2 else 1)

    def first(self) -> int:
        return self._first

    def last(self) -> int:
        return self._last

    def increment(self) -> int:
        return self._increment

    def frames(self) -> int:
        return len(range(self._first, self._last + 1, self._increment))

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._first, self._last + 1, self._increment))

    def __str__(self) -> str:
        return f"{self._first}-{self._last}" + (f"x{self._increment}" if self._increment != 1 else "")


class FrameRanges:
    """Several ranges: from '1-10 20-30' or a list."""

    def __init__(self, given: Any = ()) -> None:
        if isinstance(given, str):
            given = [FrameRange(part) for part in re.split(r"[\s,]+", given.strip()) if part]
        elif given and isinstance(given[0], int):
            given = [FrameRange(n, n, 1) for n in given]
        self._ranges = list(given)

    def toFrameList(self) -> list[int]:
        return [frame for one in self._ranges for frame in one]

    def minFrame(self) -> int:
        return min(self.toFrameList())

    def maxFrame(self) -> int:
        return max(self.toFrameList())

    def __iter__(self) -> Iterator[FrameRange]:
        return iter(self._ranges)

    def __str__(self) -> str:
        return " ".join(str(one) for one in self._ranges)
