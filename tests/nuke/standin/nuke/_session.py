"""What a running Nuke remembers: the script, what is being evaluated, undo, plug-in folders, callbacks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Step = Callable[[], None]
Entry = tuple[str, Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]
"""A registered callback: node class, function, arguments, keyword arguments, the only node or None."""


class UndoStack:
    """Steps that take a change back, gathered into groups. A change outside of any group is a group of its own."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, list[Step]]] = []
        self.depth = 0
        self.off = 0
        self.replaying = False

    def record(self, step: Step, name: str = "") -> None:
        if self.off or self.replaying:
            return
        if self.depth:
            self.groups[-1][1].append(step)
        else:
            self.groups.append((name, [step]))

    def begin(self, name: str = "") -> None:
        if self.depth == 0:
            self.groups.append((name, []))
        self.depth += 1

    def end(self) -> None:
        if self.depth == 0:
            raise RuntimeError("Undo.end() without Undo.begin()")
        self.depth -= 1
        if self.depth == 0 and not self.groups[-1][1]:
            self.groups.pop()

    @contextmanager
    def one(self, name: str) -> Iterator[None]:
        """What is done inside is one step of undo."""
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    def undo(self) -> bool:
        """Takes the last group back; False where there is none."""
        if self.depth:
            raise RuntimeError("undo inside of an open undo group")
        if not self.groups:
            return False
        _, steps = self.groups.pop()
        self.replaying = True
        try:
            for step in reversed(steps):
                step()
        finally:
            self.replaying = False
        return True


class Session:
    """One Nuke session. There is one object for the process; `reset` empties it, so that modules that hold it go on."""

    def __init__(self) -> None:
        self.main_thread = threading.get_ident()
        self.clear()

    def clear(self) -> None:
        self.root: Any = None
        self.gui = False
        self.frame_stack: list[float] = []
        self.view = "main"
        self.modified = False
        self.loading = 0
        self.group_stack: list[Any] = []
        self.this_stack: list[tuple[Any, Any]] = []
        self.in_knob_changed = 0
        self.undo = UndoStack()
        self.callbacks: dict[str, list[Entry]] = {}
        self.plugin_path: list[str] = []
        self.clipboard = ""
        self.messages: list[tuple[str, str]] = []
        self.answers: list[Any] = []
        self.log: list[tuple[str, str]] = []
        self.menus: dict[str, Any] = {}
        self.panels_open: list[Any] = []
        self.panels: dict[str, Any] = {}
        self.knob_changed_needs_panel = False
        self.hooks: dict[str, Callable[..., Any]] = {}
        self.globals: dict[str, Any] = {}
        self.evaluating = 0
        self.rendering = False
        self.layers: dict[str, list[str]] = {}
        self.sys_path_added: list[str] = []

    @property
    def now(self) -> float:
        """The frame expressions see."""
        return self.frame_stack[-1] if self.frame_stack else float(self.root._knobs["frame"]._state[0].value)

    @contextmanager
    def at_frame(self, frame: float | None) -> Iterator[None]:
        if frame is None:
            yield
            return
        self.frame_stack.append(float(frame))
        try:
            yield
        finally:
            self.frame_stack.pop()

    @contextmanager
    def this(self, node: Any, knob: Any = None) -> Iterator[None]:
        """What nuke.thisNode and nuke.thisKnob give meanwhile. Scripts of a group's knobs run inside of that group."""
        self.this_stack.append((node, knob))
        group = node if hasattr(node, "nodes") else node.parent()
        self.group_stack.append(group or self.root)
        try:
            yield
        finally:
            self.group_stack.pop()
            self.this_stack.pop()

    @contextmanager
    def undo_off(self) -> Iterator[None]:
        self.undo.off += 1
        try:
            yield
        finally:
            self.undo.off -= 1

    @property
    def group(self) -> Any:
        return self.group_stack[-1] if self.group_stack else self.root

    def touch(self) -> None:
        if not self.loading:
            self.modified = True


S = Session()
