"""Making and deleting nodes."""

from __future__ import annotations

import re
from typing import Any

from . import _callbacks, _classes, _plugins
from ._groups import Gizmo, Group, Precomp
from ._nodes import Node
from ._session import S


def new_node(class_name: str, parent: Any) -> Node:
    """A bare node of a class; a gizmo comes with its inside. It has no name and is in no group yet."""
    if class_name == "Group":
        return Group(class_name, parent)
    if class_name in ("Precomp", "LiveGroup"):
        return Precomp(class_name, parent)
    if _classes.known(class_name) and class_name not in ("Root", "Gizmo"):
        return Node(class_name, parent)
    stem = re.sub(r"\.gizmo$", "", class_name)
    found = _plugins.find(stem + ".gizmo")
    if found is None:
        raise RuntimeError(f"{class_name}: Unknown command")
    from ._load import load_gizmo

    gizmo = Gizmo(stem, parent, found)
    load_gizmo(gizmo, found)
    return gizmo


def attach(node: Node, parent: Any, name: str) -> None:
    """Puts a node into a group under a free name."""
    node._parent = parent
    node._knobs["name"]._restore(parent._free_name(name))
    parent._children.append(node)
    S.undo.record(lambda: _uncreate(node), f"create {name}")
    S.touch()


def default_name(class_name: str) -> str:
    """Shuffle2, Merge2 and CheckerBoard2 are named without their 2."""
    stem = class_name[:-1] if class_name in ("Shuffle2", "Merge2", "CheckerBoard2") else class_name
    return re.sub(r"\W", "_", stem) + "1"


def _uncreate(node: Node) -> None:
    """Undo of making a node; onDestroy runs then too."""
    _callbacks.run("OnDestroy", node)
    detach(node)


def detach(node: Node) -> None:
    """Takes a node out of its group and off the inputs of others."""
    parent = node._parent
    for other in parent._children:
        other._inputs = [None if one is node else one for one in other._inputs]
        while other._inputs and other._inputs[-1] is None:
            other._inputs.pop()
    parent._children.remove(node)
    if node in S.panels_open:
        S.panels_open.remove(node)
    node._deleted = True


def reattach(node: Node, index: int, users: list[tuple[Node, int]]) -> None:
    node._deleted = False
    node._parent._children.insert(index, node)
    for other, position in users:
        other._inputs += [None] * (position + 1 - len(other._inputs))
        other._inputs[position] = node
    _callbacks.run("OnCreate", node)


def delete(node: Node) -> None:
    """nuke.delete: onDestroy runs first; what hung on the node hangs on its first input afterwards."""
    if not isinstance(node, Node):
        raise TypeError(f"nuke.delete takes a node, not {node!r}")
    node._alive()
    parent = node._parent
    if parent is None:
        raise ValueError("the root cannot be deleted")
    if any(this is node for this, _ in S.this_stack):
        raise RuntimeError(f"{node.fullName()} deleted from within its own callback: this crashes Nuke")
    _callbacks.run("OnDestroy", node)
    index = parent._children.index(node)
    users = [(n, i) for n in parent._children for i, one in enumerate(n._inputs) if one is node]
    above = node._inputs[0] if node._inputs else None
    detach(node)
    for other, position in users:
        if above is not None:
            other._inputs += [None] * (position + 1 - len(other._inputs))
            other._inputs[position] = above
    S.undo.record(lambda: reattach(node, index, users), "delete")
    S.touch()


def set_knobs(node: Node, values: dict[str, Any]) -> None:
    """Keyword knobs of nuke.nodes.X(…): text is read as in a script where the knob does not take text."""
    for name, value in values.items():
        if name == "inputs":
            for i, one in enumerate(value):
                node.setInput(i, one)
        elif name == "name":
            node.setName(value)
        elif isinstance(value, str) and not isinstance(node[name]._state, str):
            node[name].fromScript(value)
        else:
            node[name].setValue(value)


def make(class_name: str, **values: Any) -> Node:
    """nuke.nodes.X: made in the current group, neither connected nor selected."""
    with S.undo.one(f"create {class_name}"):
        node = new_node(class_name, S.group)
        attach(node, S.group, default_name(class_name))
        S.in_knob_changed += 1
        try:
            set_knobs(node, values)
        finally:
            S.in_knob_changed -= 1
    _callbacks.run("OnCreate", node)
    if isinstance(node, Precomp):
        node.reload()
    return node


def create_node(node: str, knobs: str = "", inpanel: bool = True) -> Node:
    """nuke.createNode: connected to the selection, then selected alone; its panel opens where there is a GUI."""
    if not isinstance(node, str):
        raise TypeError("createNode takes the name of a class")
    with S.undo.one(f"create {node}"):
        made = _create_node(node, knobs)
    _callbacks.run("OnUserCreate", made)
    _callbacks.run("OnCreate", made)
    if inpanel and S.gui:
        made.showControlPanel()
    return made


def _create_node(node: str, knobs: str) -> Node:
    group = S.group
    chosen = [n for n in group._children if n.isSelected()]
    made = new_node(node, group)
    attach(made, group, default_name(made.Class()))
    if knobs:
        made.readKnobs(knobs)
    for i, one in enumerate(chosen[: max(made.maxInputs(), 0)]):
        made.setInput(i, one)
    for one in chosen:
        one.setSelected(False)
    made.setSelected(True)
    made.autoplace()
    return made


class NodeMaker:
    """nuke.nodes: an attribute for each class."""

    def __getattr__(self, class_name: str) -> Any:
        if class_name.startswith("_"):
            raise AttributeError(class_name)
        from ._threads import guard

        if not _classes.known(class_name) and _plugins.find(class_name + ".gizmo") is None:
            raise AttributeError(f"nuke.nodes has no {class_name}: Unknown command")
        return guard(lambda **values: make(class_name, **values))
