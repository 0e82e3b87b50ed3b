"""A stand-in for Nuke's Python module, for tests: strict where a slip would hurt in Nuke."""

from __future__ import annotations

import types as _types
import typing as _typing

from . import (
    _api,
    _callbacks,
    _channels,
    _create,
    _knobs,
    _knobs_more,
    _knobs_number,
    _menu,
    _plugins,
    _script,
    _threads,
)
from ._api import ProgressTask, tprint
from ._channels import Layer
from ._constants import *  # noqa: F403
from ._constants import NUKE_VERSION_MAJOR, NUKE_VERSION_MINOR, NUKE_VERSION_RELEASE, NUKE_VERSION_STRING
from ._groups import Gizmo, Group, Precomp, Root
from ._knobs_more import Format
from ._menu import Menu, MenuItem, ToolBar
from ._nodes import Node
from ._ranges import FrameRange, FrameRanges
from ._script import Undo
from ._threads import executeInMainThread, executeInMainThreadWithResult

GUI = False
_FREE = {"tprint"}


def _environment() -> dict[str, _typing.Any]:
    return {
        "gui": GUI, "interactive": GUI, "nukex": False, "studio": False, "assist": False, "hiero": False,
        "WIN32": False, "MACOS": False, "LINUX": True, "64bit": True, "ple": False, "indie": False,
        "NukeVersionMajor": NUKE_VERSION_MAJOR, "NukeVersionMinor": NUKE_VERSION_MINOR,
        "NukeVersionRelease": NUKE_VERSION_RELEASE, "NukeVersionString": NUKE_VERSION_STRING,
        "ExecutablePath": "/usr/local/Nuke15.1v1/Nuke15.1", "numCPUs": 2, "threads": 2, "PluginExtension": "so",
        "PathToScript": "",
    }  # fmt: skip


env: dict[str, _typing.Any] = _environment()


def _publish() -> None:
    """The functions and knob classes of the parts, each under the name Nuke has for it."""
    names = globals()
    for module in (_api, _script, _plugins, _menu):
        for name, member in vars(module).items():
            if isinstance(member, _types.FunctionType) and member.__module__ == module.__name__ and name[0] != "_":
                names[name] = member if name in _FREE else _threads.guard(member)
    for name in ("warning", "error", "critical", "debug"):
        names[name] = _threads.guard(vars(_api)[name])
    for name, member in _callbacks.FUNCTIONS.items():
        names[name] = _threads.guard(member)
    for name in ("layers", "channels"):
        names[name] = _threads.guard(vars(_channels)[name])
    for module in (_knobs, _knobs_number, _knobs_more):
        for name, member in vars(module).items():
            if isinstance(member, type) and name.endswith("_Knob"):
                names[name] = member
    for name in ("find", "Opaque_Knob", "Mappings_Knob", "ColorSpace_Knob"):
        names.pop(name, None)


_publish()
Knob = _knobs.Knob
createNode = _threads.guard(_create.create_node)
nodes = _create.NodeMaker()

from . import standin  # noqa: E402

__all__ = [
    "GUI",
    "Format",
    "FrameRange",
    "FrameRanges",
    "Gizmo",
    "Group",
    "Knob",
    "Layer",
    "Menu",
    "MenuItem",
    "Node",
    "Precomp",
    "ProgressTask",
    "Root",
    "ToolBar",
    "Undo",
    "createNode",
    "env",
    "executeInMainThread",
    "executeInMainThreadWithResult",
    "nodes",
    "standin",
    "tprint",
]  # fmt: skip

standin.reset()
