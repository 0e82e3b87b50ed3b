"""Node classes: inputs and knobs. A class or knob that is not here does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import _knobs, _knobs_more, _knobs_number
from ._class_table import CLASSES, COMMON


@dataclass(frozen=True)
class Kind:
    """What the class fixes. `mask` is the index of the mask input, -1 where there is none."""

    max_inputs: int
    min_inputs: int = 1
    mask: int = -1
    no_output: bool = False


_MODULES = (_knobs, _knobs_number, _knobs_more)
_SHORT = {
    "str": "String_Knob", "eval": "EvalString_Knob", "text": "Multiline_Eval_String_Knob", "file": "File_Knob",
    "int": "Int_Knob", "float": "Double_Knob", "bool": "Boolean_Knob", "enum": "Enumeration_Knob",
    "color": "Color_Knob", "acolor": "AColor_Knob", "xy": "XY_Knob", "wh": "WH_Knob", "box": "BBox_Knob",
    "chans": "Channel_Knob", "mask": "ChannelMask_Knob", "chan1": "Channel_Knob", "format": "Format_Knob",
    "py": "PyScript_Knob", "tcl": "Script_Knob", "opaque": "Opaque_Knob", "space": "ColorSpace_Knob",
    "mappings": "Mappings_Knob", "colour_int": "Unsigned_Knob", "help": "Help_Knob",
}  # fmt: skip

EXR_KNOBS = {
    "datatype", "compression", "autocrop", "write_ACES_compliant_EXR", "write_full_layer_names",
    "standard_layer_name_format", "truncateChannelNames", "metadata", "noprefix", "interleave", "heroview",
    "first_part", "dw_compression_level",
}  # fmt: skip
"""Knobs that a Write has for EXR only."""


def knob_class(name: str) -> Any:
    for module in _MODULES:
        found = getattr(module, name, None)
        if found is not None:
            return found
    raise KeyError(name)


def known(class_name: str) -> bool:
    return class_name in CLASSES


def kind(class_name: str) -> Kind:
    """Of a class that is not in the table (a gizmo): that of a group."""
    if class_name not in CLASSES:
        return Kind(0)
    spec = CLASSES[class_name]["inputs"]
    return spec if isinstance(spec, Kind) else Kind(*spec)


def make_knobs(class_name: str) -> list[Any]:
    """Fresh knobs: the class's own, then those of every node."""
    own = CLASSES[class_name if class_name in CLASSES else "Group"]["knobs"]
    lines = [line.strip() for line in (own + COMMON).splitlines() if line.strip()]
    made: dict[str, Any] = {}
    for line in lines:
        knob = _make(line)
        made.setdefault(knob.name(), knob)
    return list(made.values())


def _make(line: str) -> Any:
    """A knob from 'name kind default'; an enumeration from 'name enum default|a|b|c'."""
    name, short, *rest = line.split(" ", 2)
    default = rest[0] if rest else ""
    cls = knob_class(_SHORT[short])
    if short == "enum":
        start, *values = default.split("|")
        knob = cls(name, None, values)
        default = start
    elif short == "chan1":
        knob = cls(name, None, 1)
    else:
        knob = cls(name)
    if default:
        knob._state = knob._parse("" if default == '""' else default.replace("\\n", "\n"))
    knob._mark_default()
    return knob
