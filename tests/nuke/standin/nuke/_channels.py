"""Layers of channels that a session knows."""

from __future__ import annotations

from typing import Any

from ._session import S

_BUILT_IN = {
    "rgb": ["red", "green", "blue"], "rgba": ["red", "green", "blue", "alpha"], "alpha": ["alpha"],
    "depth": ["Z"], "motion": ["u", "v"], "forward": ["u", "v"], "backward": ["u", "v"], "mask": ["a"],
}  # fmt: skip


class Layer:
    """A layer by name; with channels it is made."""

    def __init__(self, name: str, channels: list[str] | None = None) -> None:
        self._name = name
        if channels is not None:
            full = [c if "." in c else f"{name}.{c}" for c in channels]
            S.layers.setdefault(name, [])
            S.layers[name] += [c for c in full if c not in S.layers[name]]

    def name(self) -> str:
        return self._name

    def channels(self) -> list[str]:
        return list(S.layers.get(self._name, []))

    def visible(self) -> bool:
        return True


def built_in() -> dict[str, list[str]]:
    out = {name: [f"{'rgba' if name in ('rgb', 'alpha') else name}.{c}" for c in cs] for name, cs in _BUILT_IN.items()}
    return out


def layers(node: Any = None) -> list[str]:
    """Names of all layers, or of those in a node's image."""
    if node is None:
        return list(S.layers)
    found = dict.fromkeys(channel.split(".")[0] for channel in node.channels())
    return list(found)


def channels(node: Any = None) -> list[str]:
    if node is None:
        return list(dict.fromkeys(c for one in S.layers.values() for c in one))
    return list(node.channels())
