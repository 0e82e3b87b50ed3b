"""Groups, gizmos and the root: nodes that hold nodes."""

from __future__ import annotations

import re
from typing import Any

from ._nodes import Node
from ._session import S


class Group(Node):
    def __init__(self, class_name: str = "Group", parent: Any = None) -> None:
        self._children: list[Node] = []
        super().__init__(class_name, parent)

    # What is inside.
    def nodes(self) -> list[Node]:
        self._alive()
        return list(reversed(self._children))

    def node(self, name: str) -> Node | None:
        here: Any = self
        for part in name.split("."):
            here = here._child(part) if isinstance(here, Group) else None
            if here is None:
                return None
        return here

    def _child(self, name: str) -> Node | None:
        for child in self._children:
            if child.knobs()["name"].value() == name:
                return child
        return None

    def _free_name(self, wanted: str) -> str:
        if self._child(wanted) is None:
            return wanted
        stem = re.sub(r"\d+$", "", wanted)
        number = 1
        while self._child(f"{stem}{number}") is not None:
            number += 1
        return f"{stem}{number}"

    def numNodes(self) -> int:
        return len(self._children)

    def selectedNodes(self) -> list[Node]:
        return [n for n in self.nodes() if n.isSelected()]

    def selectedNode(self) -> Node:
        chosen = self.selectedNodes()
        if not chosen:
            raise ValueError("no node selected")
        return chosen[0]

    def output(self) -> Node | None:
        for child in self._children:
            if child.Class() == "Output":
                return child
        return None

    def inputNodes(self) -> list[Node]:
        """The Input nodes in the order of their `number`s; nodes without one that says so keep their order."""
        found = [n for n in self._children if n.Class() == "Input"]
        return sorted(found, key=lambda n: int(n["number"].value()))

    # As the outside sees it.
    def maxInputs(self) -> int:
        return len(self.inputNodes())

    def minInputs(self) -> int:
        return len(self.inputNodes())

    def optionalInput(self) -> int:
        return -1

    # The current group.
    def begin(self) -> Group:
        S.group_stack.append(self)
        return self

    def end(self) -> None:
        if S.group is not self:
            raise RuntimeError(f"{self.name()}.end() without its begin()")
        S.group_stack.pop()

    def run(self, call: Any) -> Any:
        with self:
            return call()

    def __enter__(self) -> Group:
        return self.begin()

    def __exit__(self, *_: Any) -> None:
        S.group_stack.pop()


class Gizmo(Group):
    """A group whose inside comes from a file and is not saved. Its knobs' values in the file are their defaults."""

    def __init__(self, class_name: str, parent: Any = None, filename: str = "") -> None:
        self._filename = filename
        super().__init__(class_name, parent)

    def filename(self) -> str:
        return self._filename

    def makeGroup(self) -> Group:
        """A copy as a plain group."""
        from ._create import attach
        from ._load import load_text
        from ._write import insides, user_knob_lines

        group = Group("Group", self._parent)
        attach(group, self._parent, "Group1")
        group.readKnobs("\n".join(user_knob_lines(self)))
        with S.undo_off():
            load_text(insides(self), group)
        return group

    def command(self) -> str:
        return self._class


class Precomp(Group):
    """A group whose inside is a script on disk (Precomp and LiveGroup). It is read by `reload`, never saved."""

    def reload(self) -> None:
        from ._load import load_inside

        for child in self._children:
            child._deleted = True
        self._children.clear()
        path = self._knobs["file"].evaluate()
        if path:
            load_inside(self, path)


class Root(Group):
    def __init__(self) -> None:
        super().__init__("Root", None)

    def name(self) -> str:
        """The file of the script; 'Root' until it has one."""
        return str(self._knobs["name"].value()) or "Root"

    def fullName(self) -> str:
        return "root"

    def setName(self, name: str, *_: Any, **__: Any) -> None:
        self._knobs["name"].setValue(name)

    def _attached(self) -> bool:
        return True

    def modified(self) -> bool:
        return S.modified

    def setModified(self, modified: bool) -> None:
        S.modified = bool(modified)

    def firstFrame(self) -> int:
        return int(self._knobs["first_frame"].value())

    def lastFrame(self) -> int:
        return int(self._knobs["last_frame"].value())

    def setFrame(self, frame: float) -> None:
        self._knobs["frame"]._restore(self._knobs["frame"]._coerce(frame))

    def fps(self) -> float:
        return float(self._knobs["fps"].value())

    def maxInputs(self) -> int:
        return 0
