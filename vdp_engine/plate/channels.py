"""Which channels of a file are its colour: groups of R G B (or luminance) by layer, over parts and views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vdp_engine.errors import PlateError
from vdp_engine.plate.header import Part

_COMPONENTS = {"r": "R", "red": "R", "g": "G", "green": "G", "b": "B", "blue": "B"}
_MAIN_NAMES = ("rgba", "rgb", "beauty")


@dataclass(frozen=True, slots=True)
class ColourGroup:
    """Channels of one part that make a colour image.

    ``layer`` is what the user calls it; "" is the plate itself. ``channels`` are indices into the part's
    channels: R, G, B; or Y alone; or Y, RY, BY.
    """

    layer: str
    part: int
    kind: Literal["rgb", "luminance", "luminance-chroma"]
    channels: tuple[int, ...]


def colour_groups(parts: Sequence[Part]) -> tuple[ColourGroup, ...]:
    """All colour groups of a file that are not deep, the plate itself first, each layer name once.

    ``diffuse.R``, ``diffuse.r`` and ``diffuse.red`` name the same component. Where several parts hold a plain
    R G B, the plate itself is the first one of the default view; the others go by their part's name or view.
    """
    flat = [part for part in parts if not part.deep]
    default = default_view(parts)
    found = [(part, group) for part in flat for group in _groups_of(part)]
    plain = [part.index for part, group in found if group.layer == ""]
    in_view = [index for index in plain if parts[index].view in ("", default)]
    main = (in_view or plain or [-1])[0]

    groups: dict[str, ColourGroup] = {}
    for part, group in sorted(found, key=lambda item: (item[0].index != main, item[0].index)):
        layer = group.layer
        if layer == "" and part.index != main:
            layer = part.name or part.view or f"part{part.index}"
        elif layer in groups and part.view:
            layer = f"{layer}.{part.view}"
        groups.setdefault(layer, ColourGroup(layer, group.part, group.kind, group.channels))
    return tuple(sorted(groups.values(), key=lambda group: group.layer != ""))


def default_view(parts: Sequence[Part]) -> str:
    """The view a file shows first: the first one it lists, else that of its first part; "" where it has none."""
    first = parts[0]
    return first.views[0] if first.views else first.view


def choose(parts: Sequence[Part], layer: str | None, path: Path, frame: int | None) -> ColourGroup:
    """The colour group that ``layer`` names; None or "" is the plate itself.

    Raises:
        PlateError: ``deep``, ``no_colour``, or ``no_layer`` with the layers there are.
    """
    groups = colour_groups(parts)
    if not groups:
        raise _without_colour(parts, path, frame)
    by_name = {group.layer: group for group in groups}
    by_lower = {group.layer.lower(): group for group in reversed(groups)}
    if not layer or (layer == default_view(parts) and layer not in by_name):
        if "" in by_name:
            return by_name[""]
        usual = [by_lower[name] for name in _MAIN_NAMES if name in by_lower]
        if usual or len(groups) == 1:
            return (usual or list(groups))[0]
        happened = "there is no plain R G B"
    else:
        if layer in by_name or layer.lower() in by_lower:
            return by_name.get(layer) or by_lower[layer.lower()]
        happened = f"there is no layer '{layer}' with colour"
    names = ", ".join(group.layer or "the plain R G B" for group in groups)
    raise PlateError(
        f"{happened} in {path}",
        code="no_layer",
        path=path,
        frame=frame,
        expected=f"one of: {names}",
        remedy="choose it with --layer",
    )


def _groups_of(part: Part) -> list[ColourGroup]:
    layers: dict[str, dict[str, int]] = {}
    for index, name in enumerate(part.channels):
        layer, _, component = name.rpartition(".")
        members = layers.setdefault(layer, {})
        members.setdefault(_COMPONENTS.get(component.lower(), component), index)

    groups = []
    for layer, members in layers.items():
        if {"R", "G", "B"} <= members.keys():
            groups.append(ColourGroup(layer, part.index, "rgb", (members["R"], members["G"], members["B"])))
        elif {"Y", "RY", "BY"} <= members.keys():
            indices = (members["Y"], members["RY"], members["BY"])
            groups.append(ColourGroup(layer, part.index, "luminance-chroma", indices))
        elif "Y" in members and "X" not in members and not (layer and "Z" in members):
            # With X, or Z in the same layer, it is a vector; a Z without a layer is depth.
            groups.append(ColourGroup(layer, part.index, "luminance", (members["Y"],)))
    return groups


def _without_colour(parts: Sequence[Part], path: Path, frame: int | None) -> PlateError:
    if any(part.deep for part in parts):
        return PlateError(
            f"{path} is a deep image",
            code="deep",
            path=path,
            frame=frame,
            expected="flat colour",
            remedy="flatten it first (DeepToImage in Nuke)",
        )
    names = [name for part in parts for name in part.channels]
    return PlateError(
        f"{path} has no colour: its channels are {', '.join(names[:12])}{' …' if len(names) > 12 else ''}",
        code="no_colour",
        path=path,
        frame=frame,
        expected="R G B, or luminance Y",
    )
