"""File patterns: frame numbers and views put in place."""

from __future__ import annotations

import re

_FRAME = re.compile(r"%0?(\d*)d|(#+)")
_RANGE = re.compile(r"^(.*\S)\s+(-?\d+)\s*-\s*(-?\d+)$")


def in_place(pattern: str, frame: float, view: str) -> str:
    """The file of one frame and view."""
    text = pattern.replace("%V", view).replace("%v", view[:1])
    return _FRAME.sub(lambda m: f"{round(frame):0{int(m[1] or 1) if m[2] is None else len(m[2])}d}", text)


def split_range(text: str) -> tuple[str, int | None, int | None]:
    """'a.####.exr 1-10' to its pattern and range."""
    match = _RANGE.match(text)
    return (match[1], int(match[2]), int(match[3])) if match else (text, None, None)
