"""Nodes: their knobs, inputs, place and parent."""

from __future__ import annotations

import operator
import re
from typing import Any

from . import _callbacks, _classes, _constants
from ._knobs import Knob
from ._knobs_more import Format, Tab_Knob
from ._session import S
from ._threads import Guarded


class Node(Guarded):
    """One node. Made by nuke.nodes, nuke.createNode or a script; never by calling this class."""

    def __init__(self, class_name: str, parent: Any = None) -> None:
        self._class = class_name
        self._kind = _classes.kind(class_name)
        self._parent = parent
        self._inputs: list[Any] = []
        self._knobs: dict[str, Knob] = {}
        self._panel = False
        self._deleted = False
        for knob in _classes.make_knobs(class_name):
            self._take(knob)

    def _take(self, knob: Knob) -> None:
        knob._node = self
        self._knobs[knob.name() or f"_unnamed{len(self._knobs)}"] = knob

    def _attached(self) -> bool:
        return not self._deleted and (self._parent is None or self in self._parent._children)

    def _alive(self) -> None:
        if self._deleted:
            raise ValueError("A PythonObject is not attached to a node")

    def __repr__(self) -> str:
        return f"<{self._class} {'(deleted)' if self._deleted else self.fullName()}>"

    def __bool__(self) -> bool:
        return True

    # Names.
    def Class(self) -> str:
        self._alive()
        return self._class

    def name(self) -> str:
        self._alive()
        return str(self._knobs["name"].value())

    def fullName(self) -> str:
        self._alive()
        above = self._parent.fullName() if self._parent is not None and self._parent is not S.root else ""
        return f"{above}.{self.name()}" if above and above != "root" else self.name()

    def setName(self, name: str, uncollide: bool = True, updateExpressions: bool = False) -> None:
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ValueError(f"'{name}' is not a legal node name")
        if self._parent is not None:
            taken = self._parent._child(name)
            if taken is not None and taken is not self:
                if not uncollide:
                    raise ValueError(f"there is already a node called {name}")
                name = self._parent._free_name(name)
        knob = self._knobs["name"]
        knob._assign(name)

    # Knobs.
    def knobs(self) -> dict[str, Knob]:
        self._alive()
        return {name: knob for name, knob in self._knobs.items() if self._has(name)}

    def allKnobs(self) -> list[Knob]:
        return list(self._knobs.values())

    def knob(self, name: str, follow_link: bool = False) -> Knob | None:
        self._alive()
        if not isinstance(name, str):
            raise TypeError(f"knob() takes a name, not {name!r}")
        return self._knobs.get(name) if self._has(name) else None

    def _has(self, name: str) -> bool:
        """A Write has the knobs of a file type only while it writes that type."""
        if self._class != "Write" or name not in _classes.EXR_KNOBS:
            return True
        kind, file = str(self._knobs["file_type"].value()).strip(), str(self._knobs["file"].value())
        return kind == "exr" or (not kind and file.endswith(".exr"))

    def __getitem__(self, name: str) -> Knob:
        knob = self.knob(name)
        if knob is None:
            raise NameError(f"knob {name} does not exist")
        return knob

    def numKnobs(self) -> int:
        return len(self._knobs)

    def addKnob(self, knob: Knob) -> None:
        if not isinstance(knob, Knob):
            raise TypeError(f"addKnob takes a knob, not {knob!r}")
        if knob.name() and knob.name() in self._knobs:
            raise ValueError(f"{self.name()} has a knob {knob.name()} already")
        if not re.fullmatch(r"([A-Za-z_]\w*)?", knob.name()):
            raise ValueError(f"'{knob.name()}' is not a legal knob name")
        user_tab = any(isinstance(k, Tab_Knob) and k._user for k in self._knobs.values())
        if not user_tab and not isinstance(knob, Tab_Knob) and "User" not in self._knobs:
            tab = Tab_Knob("User", "User")
            tab._user = True
            self._take(tab)
        knob._user = True
        self._take(knob)
        S.undo.record(lambda: self._drop(knob))
        S.touch()

    def removeKnob(self, knob: Knob) -> None:
        if not knob._user or knob not in self._knobs.values():
            raise ValueError(f"{knob.name()} is not a user knob of {self.name()}")
        self._drop(knob)
        S.undo.record(lambda: self._take(knob))
        S.touch()

    def _drop(self, knob: Knob) -> None:
        self._knobs = {name: one for name, one in self._knobs.items() if one is not knob}

    def writeKnobs(self, flags: int = 0) -> str:
        """Names of the knobs, or with TO_SCRIPT/TO_VALUE one 'name value' a line."""
        chosen = [k for k in self._knobs.values() if k.holds_value and not k.getFlag(_constants.DO_NOT_WRITE)]
        if flags & _constants.WRITE_NON_DEFAULT_ONLY:
            chosen = [k for k in chosen if not k.isDefault()]
        if flags & (_constants.TO_SCRIPT | _constants.TO_VALUE):
            return "\n".join(f"{k.name()} {k._word()}" for k in chosen)
        return " ".join(k.name() for k in chosen)

    def readKnobs(self, text: str) -> None:
        from ._load import read_knobs

        read_knobs(self, text)

    # Inputs.
    def maxInputs(self) -> int:
        return self._kind.max_inputs

    def minInputs(self) -> int:
        return self._kind.min_inputs

    def minimumInputs(self) -> int:
        return self.minInputs()

    def maximumInputs(self) -> int:
        return self.maxInputs()

    def optionalInput(self) -> int:
        return self._kind.mask

    def inputs(self) -> int:
        """One more than the highest connected input."""
        self._alive()
        return len(self._inputs)

    def input(self, index: int) -> Any:
        self._alive()
        if not isinstance(index, int):
            raise TypeError("input() takes a number")
        return self._inputs[index] if 0 <= index < len(self._inputs) else None

    def setInput(self, index: int, node: Any) -> bool:
        self._alive()
        if not (node is None or isinstance(node, Node)):
            raise TypeError(f"setInput takes a node or None, not {node!r}")
        if not 0 <= index < self.maxInputs():
            return False
        if node is not None and (node._parent is not self._parent or _depends(node, self) or node._kind.no_output):
            return False
        before = list(self._inputs)
        self._inputs += [None] * (index + 1 - len(self._inputs))
        self._inputs[index] = node
        while self._inputs and self._inputs[-1] is None:
            self._inputs.pop()
        S.undo.record(lambda: setattr(self, "_inputs", before))
        S.touch()
        self._input_changed()
        return True

    def _input_changed(self) -> None:
        knob = Knob("inputChange")
        knob._node = self
        _callbacks.knob_changed(self, knob)

    def connectInput(self, index: int, node: Any) -> bool:
        """Connects to the input if it is free, else to the next free one."""
        for i in range(index, self.maxInputs()):
            if self.input(i) is None:
                return self.setInput(i, node)
        return False

    def canSetInput(self, index: int, node: Any) -> bool:
        return 0 <= index < self.maxInputs() and not _depends(node, self)

    def dependencies(self, what: int = 3) -> list[Any]:
        return [n for n in dict.fromkeys(self._inputs) if n is not None]

    def dependent(self, what: int = 3, forceEvaluate: bool = True) -> list[Any]:
        return [n for n in self._parent._children if self in n._inputs] if self._parent is not None else []

    def clones(self) -> int:
        return 0

    def parent(self) -> Any:
        self._alive()
        return self._parent

    # Place and look.
    def xpos(self) -> int:
        return int(self._knobs["xpos"].value())

    def ypos(self) -> int:
        return int(self._knobs["ypos"].value())

    def setXpos(self, x: int) -> None:
        self._knobs["xpos"].setValue(operator.index(x))

    def setYpos(self, y: int) -> None:
        self._knobs["ypos"].setValue(operator.index(y))

    def setXYpos(self, x: int, y: int) -> None:
        self.setXpos(x)
        self.setYpos(y)

    def screenWidth(self) -> int:
        if self._class == "BackdropNode":
            return int(self._knobs["bdwidth"].value())
        return 12 if self._class == "Dot" else 80

    def screenHeight(self) -> int:
        if self._class == "BackdropNode":
            return int(self._knobs["bdheight"].value())
        if self._class == "Dot":
            return 12
        thumbnail = "postage_stamp" in self._knobs and self._knobs["postage_stamp"].value()
        return (74 if thumbnail else 18) + 10 * str(self._knobs["label"].value()).count("\n")

    def autoplace(self) -> None:
        above = [n for n in self._inputs if n is not None]
        x, y = (above[0].xpos(), above[0].ypos() + above[0].screenHeight() + 20) if above else (0, 0)
        self.setXYpos(x, y)

    def setSelected(self, selected: bool) -> None:
        self._knobs["selected"].setValue(bool(selected))

    def isSelected(self) -> bool:
        return bool(self._knobs["selected"].value())

    def showControlPanel(self, forceFloat: bool = False) -> None:
        if not S.gui:
            raise RuntimeError("showControlPanel: there is no GUI")
        if self not in S.panels_open:
            S.panels_open.append(self)
            knob = Knob("showPanel")
            knob._node = self
            _callbacks.knob_changed(self, knob)

    def hideControlPanel(self) -> None:
        if self in S.panels_open:
            S.panels_open.remove(self)

    def shown(self) -> bool:
        return self in S.panels_open

    def help(self) -> str:
        return str(self._knobs["help"].value())

    # What flows through; the tests' hooks answer, else the first input does.
    def _ask(self, question: str, default: Any, *args: Any) -> Any:
        hook = S.hooks.get(question)
        answer = hook(self, *args) if hook else None
        if answer is not None:
            return answer
        above = self.input(0)
        return above._ask(question, default, *args) if above is not None else default

    def metadata(self, key: str | None = None, time: float | None = None, view: str | None = None) -> Any:
        found = self._ask("metadata", {})
        return found.get(key) if key is not None else dict(found)

    def channels(self) -> list[str]:
        return list(self._ask("channels", []))

    def firstFrame(self) -> int:
        return int(self.frameRange().first())

    def lastFrame(self) -> int:
        return int(self.frameRange().last())

    def frameRange(self) -> Any:
        from ._ranges import FrameRange

        if self._class == "Read":
            return FrameRange(int(self._knobs["first"].value()), int(self._knobs["last"].value()), 1)
        root = S.root.knobs()
        default = (int(root["first_frame"].value()), int(root["last_frame"].value()))
        hook = S.hooks.get("range")
        given = hook(self) if hook else None
        above = self.input(0)
        if given is None and above is not None:
            return above.frameRange()
        return FrameRange(*(given or default), 1)

    def format(self) -> Format:
        for name in ("format",):
            if name in self._knobs and self._class in ("Read", "Constant", "CheckerBoard2", "Root", "Reformat"):
                return self._knobs[name].value()
        above = self.input(0)
        return above.format() if above is not None else S.root["format"].value()

    def width(self) -> int:
        return self.format().width()

    def height(self) -> int:
        return self.format().height()

    def proxy(self) -> bool:
        return bool(S.root["proxy"].value())

    def pixelAspect(self) -> float:
        return self.format().pixelAspect()

    def hasError(self) -> bool:
        return bool(self._ask("error", ""))

    def error(self) -> bool:
        return self.hasError()

    def treeHasError(self) -> bool:
        return self.hasError()

    def sample(self, channel: str, x: float, y: float, dx: float = 1, dy: float = 1, frame: float = -1) -> float:
        hook = S.hooks.get("sample")
        if hook is None:
            raise RuntimeError("the stand-in has no pixels; set the 'sample' hook")
        return float(hook(self, channel, x, y, frame))

    def forceValidate(self) -> None:
        """There is nothing to work out here."""

    def redraw(self) -> None:
        """There is nothing to draw here."""


def _depends(node: Any, on: Any) -> bool:
    """Whether `node` is `on` or gets its image from it."""
    seen: set[int] = set()
    todo = [node]
    while todo:
        one = todo.pop()
        if one is on:
            return True
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            todo.extend(one._inputs)
    return False
