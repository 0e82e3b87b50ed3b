"""What tests use of the stand-in, and Nuke does not have."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from . import _callbacks, _channels, _create, _load, _write
from ._api import allNodes
from ._groups import Gizmo
from ._parse import commands, plain
from ._script import scriptClear
from ._session import S
from ._threads import forget_calls, pump

__all__ = [
    "Gizmo", "answers", "at_frame", "autolabel", "commands", "gizmo", "hook", "idle", "log", "messages",
    "panel_needed", "plain", "pump", "reset", "script", "set_gui", "set_view", "touch_knob",
]  # fmt: skip


def reset(gui: bool = False) -> None:
    """A session as after the start of Nuke, on the calling thread: no script, callbacks, plug-in folders, menus."""
    import nuke

    for folder in S.sys_path_added:
        if folder in sys.path:
            sys.path.remove(folder)
    S.main_thread = threading.get_ident()
    forget_calls()
    S.clear()
    S.layers = _channels.built_in()
    set_gui(gui)
    nuke.env.clear()
    nuke.env.update(nuke._environment())
    scriptClear()


def set_gui(gui: bool) -> None:
    import nuke

    S.gui = gui
    nuke.GUI = gui
    nuke.env["gui"] = gui


def hook(name: str, call: Callable[..., Any] | None) -> None:
    """Answers for what the stand-in cannot know: execute(node, first, last, incr, views), metadata(node) -> dict,
    channels(node) -> list, range(node) -> (first, last), sample(node, channel, x, y, frame), error(node) -> str.
    A hook that gives None passes the question on to the node's first input.
    """
    if name not in ("execute", "metadata", "channels", "range", "sample", "error"):
        raise ValueError(f"no hook is called {name}")
    S.hooks.pop(name, None)
    if call is not None:
        S.hooks[name] = call


def messages() -> list[tuple[str, str]]:
    """(kind, text) of each message box."""
    return S.messages


def answers(*given: Any) -> None:
    """What the next questions are answered with."""
    S.answers.extend(given)


def log() -> list[tuple[str, str]]:
    """(kind, text) of tprint, warning, error, …"""
    return S.log


def touch_knob(knob: Any) -> None:
    """knobChanged, as if the artist had used the knob."""
    _callbacks.knob_changed(knob.node(), knob)


def idle() -> None:
    """Nuke has nothing to do: updateUI runs for every node where there is a GUI."""
    if S.gui:
        for node in allNodes(None, S.root, True):
            _callbacks.run("UpdateUI", node)


def panel_needed(needed: bool = True) -> None:
    """Whether knobChanged runs only for open panels (and knobs with KNOB_CHANGED_ALWAYS), as in a GUI."""
    S.knob_changed_needs_panel = needed


def autolabel(node: Any) -> str | None:
    return _callbacks.autolabel(node)


def set_view(view: str) -> None:
    S.view = view


def at_frame(frame: float) -> AbstractContextManager[None]:
    """Expressions inside see this frame."""
    return S.at_frame(frame)


def script() -> str:
    """The script as it would be saved."""
    return _write.script()


def gizmo(path: str | os.PathLike[str]) -> Gizmo:
    """A node of a gizmo file, without the plug-in path."""
    file = os.fspath(path).replace(os.sep, "/")
    stem = os.path.splitext(os.path.basename(file))[0]
    node = Gizmo(stem, S.root, file)
    _load.load_gizmo(node, file)
    _create.attach(node, S.root, _create.default_name(stem))
    _callbacks.run("OnCreate", node)
    return node
