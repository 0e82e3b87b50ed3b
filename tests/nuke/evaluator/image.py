"""A picture as it travels between nodes: channels by name over a data window, inside a format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

RGB = ("rgba.red", "rgba.green", "rgba.blue")
RGBA = (*RGB, "rgba.alpha")


@dataclass(frozen=True)
class Window:
    """Pixels from (left, top) up to but not including (right, bottom), y down as in OpenEXR."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def empty(self) -> bool:
        return self.right <= self.left or self.bottom <= self.top

    def union(self, other: Window) -> Window:
        if self.empty or other.empty:
            return other if self.empty else self
        low = min(self.left, other.left), min(self.top, other.top)
        return Window(*low, max(self.right, other.right), max(self.bottom, other.bottom))

    def intersection(self, other: Window) -> Window:
        left, top = max(self.left, other.left), max(self.top, other.top)
        return Window(left, top, max(left, min(self.right, other.right)), max(top, min(self.bottom, other.bottom)))


@dataclass(frozen=True)
class Image:
    """Float32 planes (H, W) over ``data``; black outside of it and in channels that are not there."""

    channels: Mapping[str, np.ndarray] = field(default_factory=dict)
    data: Window = Window()
    format: Window = Window()

    def plane(self, name: str, window: Window | None = None) -> np.ndarray:
        """One channel over a window (the image's own if none is named)."""
        window = self.data if window is None else window
        own = self.channels.get(name)
        if own is not None and window == self.data:
            return own
        plane = np.zeros(window.shape, np.float32)
        both = self.data.intersection(window)
        if own is not None and not both.empty:
            plane[_part(both, window)] = own[_part(both, self.data)]
        return plane

    def over(self, window: Window) -> Image:
        """The same picture on another data window."""
        return replace(self, channels={name: self.plane(name, window) for name in self.channels}, data=window)

    def having(self, channels: Mapping[str, np.ndarray]) -> Image:
        """With these channels, over the same data window, in place of its own."""
        return replace(self, channels={**self.channels, **channels})

    def colour(self, layer: str = "rgba") -> np.ndarray:
        """Red, green and blue of a layer as (H, W, 3)."""
        return np.stack([self.plane(f"{layer}.{name}") for name in ("red", "green", "blue")], axis=-1)


def _part(inner: Window, outer: Window) -> tuple[slice, slice]:
    rows = slice(inner.top - outer.top, inner.bottom - outer.top)
    return rows, slice(inner.left - outer.left, inner.right - outer.left)


def chosen(text: str, available: Iterable[str]) -> list[str]:
    """The channels that a channel knob names: ``rgb``, ``all``, ``fg1``, ``{rgba.red -rgba.green none}``, …"""
    names: list[str] = []
    for word in text.replace("{", " ").replace("}", " ").split():
        if word in ("none", "false") or word.startswith("-"):
            continue
        if word == "all":
            names += list(available)
        elif word in ("rgb", "rgba"):
            names += RGB if word == "rgb" else RGBA
        elif word == "alpha":
            names.append("rgba.alpha")
        elif "." in word:
            names.append(word)
        else:
            names += [name for name in available if name.split(".")[0] == word]
    return list(dict.fromkeys(names))
