"""The functions of the nuke module that work on the script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _callbacks, _constants, _create, _filenames, _tcl
from ._groups import Group, Root
from ._knobs import File_Knob
from ._knobs_more import Format, parse_format
from ._nodes import Node
from ._ranges import FrameRange, FrameRanges
from ._session import S
from ._threads import Guarded


def root() -> Root:
    return S.root


def thisNode() -> Any:
    return S.this_stack[-1][0] if S.this_stack else S.group


def thisKnob() -> Any:
    return S.this_stack[-1][1] if S.this_stack else None


def thisGroup() -> Any:
    return S.group


def thisParent() -> Any:
    return thisNode().parent()


def thisClass() -> str:
    return str(thisNode().Class())


def thisView() -> str:
    return S.view


def thisPane() -> Any:
    return None


def toNode(name: str) -> Node | None:
    """A node by name, seen from the current group; dots go into groups."""
    if not isinstance(name, str):
        raise TypeError(f"toNode takes a name, not {name!r}")
    if name == "root":
        return root()
    if name.startswith("root."):
        return root().node(name[5:])
    found: Node | None = S.group.node(name)
    return found


def allNodes(filter: str | None = None, group: Group | None = None, recurseGroups: bool = False) -> list[Node]:
    home = S.group if group is None else group
    out: list[Node] = []
    for node in home.nodes():
        if filter is None or node.Class() == filter:
            out.append(node)
        if recurseGroups and isinstance(node, Group):
            out += allNodes(filter, node, True)
    return out


def selectedNodes(filter: str | None = None) -> list[Node]:
    return [n for n in S.group.selectedNodes() if filter is None or n.Class() == filter]


def selectedNode() -> Node:
    return S.group.selectedNode()


def exists(name: str) -> bool:
    from ._paths import exists as found

    return found(name, S.group)


def selectAll() -> None:
    for node in S.group.nodes():
        node.setSelected(True)


def invertSelection() -> None:
    for node in S.group.nodes():
        node.setSelected(not node.isSelected())


def delete(node: Node) -> None:
    _create.delete(node)


def modified(status: bool | None = None) -> bool:
    if status is not None:
        S.modified = bool(status)
    return S.modified


def frame(f: float | None = None) -> int:
    if f is not None:
        root().setFrame(f)
    return int(S.now)


def views() -> list[str]:
    text = str(root()["views"].value())
    return [line.split()[0] for line in text.splitlines() if line.split()]


def addView(name: str) -> None:
    if name not in views():
        root()["views"].setValue(f"{root()['views'].value()}\n{name} #")


def deleteView(name: str) -> None:
    left = [f"{view} #" for view in views() if view != name]
    root()["views"].setValue("\n".join(left))


def activeViewer() -> None:
    return None


# Rendering and files.
def execute(
    nameOrNode: Any, start: int | None = None, end: int | None = None, incr: int = 1, views: Any = None,
    continueOnError: bool = False,
) -> None:  # fmt: skip
    """Renders through the hook that a test has set. Nuke renders one thing at a time: not from within a render."""
    node = toNode(nameOrNode) if isinstance(nameOrNode, str) else nameOrNode
    if node is None:
        raise ValueError(f"execute: no node {nameOrNode!r}")
    if isinstance(start, (FrameRange, FrameRanges)):
        raise TypeError("nuke.execute takes first, last, increment")
    if S.rendering:
        raise RuntimeError("I'm already executing something else")
    if bool(node["disable"].value()):
        raise RuntimeError(f"{node.fullName()} is disabled: nothing to execute")
    hook = S.hooks.get("execute")
    if hook is None:
        raise RuntimeError("the stand-in does not render; set the 'execute' hook")
    first = root().firstFrame() if start is None else int(start)
    last = root().lastFrame() if end is None else int(end)
    S.rendering = True
    try:
        _callbacks.run("BeforeRender", node)
        hook(node, first, last, int(incr), list(views) if views else [S.view])
        _callbacks.run("AfterRender", node)
    finally:
        S.rendering = False


def executeMultiple(nodes: Any, ranges: Any, views: Any = None, continueOnError: bool = False) -> None:
    for node in nodes:
        for one in ranges:
            first, last, step = (one.first(), one.last(), one.increment()) if isinstance(one, FrameRange) else one
            execute(node, first, last, step, views)


def executing() -> bool:
    return S.rendering


def cancel() -> None:
    S.log.append(("cancel", ""))


def filename(node: Node | None = None, i: int = 0) -> str | None:
    """The file of a node, its Tcl run; with nuke.REPLACE the current frame's."""
    one = node if node is not None else thisNode()
    if isinstance(i, int) and i not in (0, _constants.REPLACE):
        raise ValueError("nuke.filename: the second argument is nuke.REPLACE")
    knob = one.knob("file")
    if not isinstance(knob, File_Knob) or not knob.value():
        return None
    text = _tcl.expand(knob.value(), one, knob)
    return _callbacks.filter_filename(_filenames.in_place(text, S.now, S.view) if i else text)


def filenameFilter(path: str) -> str:
    return _callbacks.filter_filename(path)


def tcl(command: str, *args: Any) -> str:
    """Runs Tcl; a word with more arguments is a command with those."""
    if args:
        return _tcl.call([command, *map(str, args)], thisNode())
    return _tcl.run(command, thisNode())


def expression(text: str) -> float:
    from ._expressions import evaluate

    return evaluate(text, thisNode(), thisKnob())


def knob(name: str, value: str | None = None, getType: bool = False, getClass: bool = False) -> Any:
    from ._paths import find_knob

    found, _ = find_knob(name, S.group)
    if getClass:
        return found.Class()
    if getType:
        return found.user_type
    if value is not None:
        found.fromScript(value)
    return found.toScript()


def value(name: str, default: str | None = None) -> str:
    from ._paths import knob_text

    try:
        return knob_text(name, thisNode())
    except RuntimeError:
        if default is not None:
            return default
        raise


# Talking.
def message(text: str) -> None:
    _talk("message", text)


def ask(text: str) -> bool:
    return bool(_talk("ask", text))


def askWithCancel(text: str) -> bool:
    return bool(_talk("ask", text))


def getFilename(text: str, *_: Any, **__: Any) -> Any:
    return _talk("getFilename", text)


def getInput(text: str, default: str = "") -> Any:
    return _talk("getInput", text)


def _talk(kind: str, text: str) -> Any:
    if not isinstance(text, str):
        raise TypeError(f"nuke.{kind} takes text, not {text!r}")
    if not S.gui:
        raise RuntimeError(f"nuke.{kind}: there is no GUI: {text}")
    S.messages.append((kind, text))
    return S.answers.pop(0) if S.answers and kind != "message" else None


def _logger(kind: str) -> Callable[[str], None]:
    def log(text: str) -> None:
        S.log.append((kind, str(text)))

    log.__name__ = log.__qualname__ = kind
    return log


warning, error, critical, debug = map(_logger, ("warning", "error", "critical", "debug"))


def tprint(*args: Any, sep: str = " ", end: str = "\n", file: Any = None) -> None:
    """To the terminal; allowed on any thread."""
    S.log.append(("tprint", sep.join(map(str, args))))


def addFormat(text: str) -> Format:
    from ._knobs_more import FORMATS

    made = parse_format(text)
    if made not in FORMATS:
        FORMATS.append(made)
    return made


def formats() -> list[Format]:
    from ._knobs_more import FORMATS

    return list(FORMATS)


def getPaneFor(name: str) -> Any:
    """The pane that a panel is in; the stand-in has one pane."""
    if not S.gui:
        raise RuntimeError("nuke.getPaneFor: there is no GUI")
    return name


def show(node: Node | None = None, forceFloat: bool = False) -> None:
    (node or selectedNode()).showControlPanel()


def clone(node: Node) -> Node:
    raise RuntimeError("clones are not in the stand-in")


def autoplace(node: Node) -> None:
    node.autoplace()


def connectNodes(input: int, node: Node, other: Node) -> None:
    node.setInput(input, other)


def zoom(scale: float = 0, center: Any = None, group: Any = None) -> None:
    if not S.gui:
        raise RuntimeError("nuke.zoom: there is no GUI")


def memory(*_: Any) -> int:
    return 0


class ProgressTask(Guarded):
    """A progress bar; tests can cancel it through its `cancelled`."""

    def __init__(self, name: str = "") -> None:
        self.task, self.message, self.progress, self.cancelled = name, "", 0, False

    def setProgress(self, percent: int) -> None:
        self.progress = int(percent)

    def setMessage(self, text: str) -> None:
        self.message = str(text)

    def isCancelled(self) -> bool:
        return self.cancelled
