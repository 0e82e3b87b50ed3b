"""Opening, saving, clearing, copying, pasting, undoing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import _callbacks, _load, _write
from ._api import allNodes, ask, root, selectedNodes
from ._groups import Group, Root
from ._nodes import Node
from ._session import S


def scriptName() -> str:
    name = root().knobs()["name"].value()
    if not name:
        raise RuntimeError("no script is open")
    return str(name)


def scriptSaveAs(filename: str | None = None, overwrite: int = -1) -> bool:
    if not filename:
        raise RuntimeError("scriptSaveAs: the stand-in has no file browser")
    if os.path.exists(filename) and overwrite != 1:
        asked = overwrite == -1 and S.gui and ask(f"{filename} exists. Overwrite it?")
        if not asked:
            raise RuntimeError(f"{filename} exists, and may not be overwritten (overwrite=1)")
    root().knobs()["name"]._restore(str(filename))
    return scriptSave(filename)


def scriptSave(filename: str | None = None) -> bool:
    path = filename or scriptName()
    _callbacks.run("OnScriptSave", root())
    Path(path).write_text(_write.script(), encoding="utf-8")
    S.modified = False
    return True


def scriptOpen(path: str) -> None:
    """Closes what is there and reads the file."""
    scriptClear()
    root().knobs()["name"]._restore(str(path))
    with S.undo_off():
        _read_script(Path(path).read_text(encoding="utf-8"), root(), path)
    S.modified = False


def _read_script(text: str, group: Group, path: str) -> None:
    name = str(root().knobs()["name"].value())
    _load.load_text(text, group)
    root().knobs()["name"]._restore(name or str(path))
    _callbacks.run("OnScriptLoad", root())


def scriptReadFile(path: str) -> None:
    """Adds the nodes of a file to the script."""
    _load.load_text(Path(path).read_text(encoding="utf-8"), S.group)
    S.touch()


def scriptReadText(text: str) -> None:
    _load.load_text(text, S.group)
    S.touch()


def scriptSource(path: str) -> None:
    scriptReadFile(path)


def scriptClear(force: bool = False) -> None:
    """An empty script: onScriptClose of the root, then onDestroy of every node. Registered callbacks stay."""
    if S.root is not None:
        _callbacks.run("OnScriptClose", root())
        nodes = allNodes(None, root(), True)
        for node in nodes:
            _callbacks.run("OnDestroy", node)
        for node in nodes:
            node._deleted = True
    S.group_stack.clear()
    S.panels_open.clear()
    S.root = Root()
    S.modified = False
    S.undo.__init__()  # type: ignore[misc]
    with S.undo_off():
        _callbacks.run("OnCreate", S.root)
    S.modified = False


def scriptClose() -> bool:
    scriptClear()
    return True


def nodeCopy(filename: str = "%clipboard%") -> bool:
    """The selected nodes of the current group, as a script."""
    chosen = list(reversed(selectedNodes()))
    if not chosen:
        return False
    text = _write.selection(chosen)
    if filename == "%clipboard%":
        S.clipboard = text
    else:
        Path(filename).write_text(text, encoding="utf-8")
    return True


def nodePaste(filename: str = "%clipboard%") -> Node | None:
    """Reads nodes into the current group; they are selected afterwards, the last one is returned."""
    text = S.clipboard if filename == "%clipboard%" else Path(filename).read_text(encoding="utf-8")
    chosen = selectedNodes()
    for node in chosen:
        node.setSelected(False)
    group = S.group
    before = set(map(id, group._children))
    with S.undo.one("paste"):
        _load.load_text(text, group, list(chosen[:1]))
    made = [n for n in group._children if id(n) not in before]
    for node in made:
        node.knobs()["selected"]._restore(node.knobs()["selected"]._coerce(True))
    S.touch()
    return made[-1] if made else None


def undo() -> None:
    S.undo.undo()


def redo() -> None:
    raise RuntimeError("redo is not in the stand-in")


class Undo:
    """nuke.Undo: all static, and a context."""

    def __init__(self, name: str = "") -> None:
        self._name = name

    def __enter__(self) -> Undo:
        S.undo.begin(self._name)
        return self

    def __exit__(self, *_: Any) -> None:
        S.undo.end()

    @staticmethod
    def begin(name: str = "") -> None:
        S.undo.begin(name)

    @staticmethod
    def end() -> None:
        S.undo.end()

    @staticmethod
    def name(name: str = "") -> None:
        if S.undo.groups and S.undo.depth:
            S.undo.groups[-1] = (name, S.undo.groups[-1][1])

    @staticmethod
    def disable() -> None:
        S.undo.off += 1

    @staticmethod
    def enable() -> None:
        S.undo.off = max(0, S.undo.off - 1)

    @staticmethod
    def disabled() -> bool:
        return S.undo.off > 0

    @staticmethod
    def undo() -> None:
        S.undo.undo()

    @staticmethod
    def new(name: str = "") -> None:
        S.undo.begin(name)
