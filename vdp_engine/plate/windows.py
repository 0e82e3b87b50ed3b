"""Pixel windows: where a frame's pixels lie, and moving pixels between windows.

Coordinates are those of OpenEXR: whole pixels, x to the right, y down, any origin. A plate's data window is
where it has pixels; its display window is the format a viewer shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Window:
    """A box of pixels: ``x, y`` is its upper-left pixel, ``width, height`` its size, both at least 1."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a window needs at least one pixel, got {self.width}x{self.height}")

    @classmethod
    def from_exr(cls, xmin: int, ymin: int, xmax: int, ymax: int) -> Window:
        """From OpenEXR's inclusive box: ``from_exr(0, 0, 1919, 1079)`` is 1920 by 1080 pixels."""
        return cls(xmin, ymin, xmax - xmin + 1, ymax - ymin + 1)

    @property
    def x_end(self) -> int:
        """One past the last column."""
        return self.x + self.width

    @property
    def y_end(self) -> int:
        """One past the last row."""
        return self.y + self.height

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``, as arrays want it."""
        return self.height, self.width

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}{self.x:+d}{self.y:+d}"

    def union(self, other: Window) -> Window:
        """The smallest window that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Window(x, y, max(self.x_end, other.x_end) - x, max(self.y_end, other.y_end) - y)

    def intersect(self, other: Window) -> Window | None:
        """The pixels in both windows, or None where they do not meet."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        x_end, y_end = min(self.x_end, other.x_end), min(self.y_end, other.y_end)
        if x_end <= x or y_end <= y:
            return None
        return Window(x, y, x_end - x, y_end - y)

    def contains(self, other: Window) -> bool:
        """Whether every pixel of ``other`` lies in this window."""
        return self.intersect(other) == other

    def slices_in(self, canvas: Window) -> tuple[slice, slice]:
        """Rows and columns of this window in an array that covers ``canvas``, which must contain it."""
        if not canvas.contains(self):
            raise ValueError(f"window {self} is not inside {canvas}")
        x, y = self.x - canvas.x, self.y - canvas.y
        return slice(y, y + self.height), slice(x, x + self.width)


def place(pixels: npt.NDArray[Any], window: Window, canvas: Window, fill: float = 0) -> npt.NDArray[Any]:
    """Pixels of one window as an array over another.

    Args:
        pixels: ``(H, W)`` or ``(H, W, C)`` over ``window``.
        canvas: where the result lies; pixels of ``window`` outside of it are dropped.
        fill: value of the pixels of ``canvas`` that ``window`` does not cover.

    Returns:
        Array over ``canvas``, same dtype; ``pixels`` itself, not a copy, where both windows are the same.
    """
    if pixels.shape[:2] != window.shape:
        raise ValueError(f"pixels of shape {pixels.shape} do not cover window {window}")
    if window == canvas:
        return pixels
    placed = np.full((*canvas.shape, *pixels.shape[2:]), fill, dtype=pixels.dtype)
    shared = window.intersect(canvas)
    if shared is not None:
        placed[shared.slices_in(canvas)] = pixels[shared.slices_in(window)]
    return placed


def cut(pixels: npt.NDArray[Any], canvas: Window, window: Window) -> npt.NDArray[Any]:
    """The part of ``pixels`` (over ``canvas``) that lies in ``window``, as a view.

    Raises:
        ValueError: ``window`` reaches out of ``canvas``, or ``pixels`` do not cover ``canvas``.
    """
    if pixels.shape[:2] != canvas.shape:
        raise ValueError(f"pixels of shape {pixels.shape} do not cover window {canvas}")
    return pixels[window.slices_in(canvas)]
