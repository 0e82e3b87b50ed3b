"""Nodes into scripts, in the order Nuke writes them: a node after its inputs, shared nodes by `set` and `push`."""

from __future__ import annotations

from . import _constants
from ._groups import Gizmo, Group
from ._knobs import Knob, PyCustom_Knob, PyScript_Knob, Script_Knob, Text_Knob
from ._knobs_more import Link_Knob, Tab_Knob
from ._knobs_number import Array_Knob, Enumeration_Knob
from ._nodes import Node
from ._quoting import number, quote
from ._session import S

VERSION = "version 15.1 v1"


def script() -> str:
    """The whole script."""
    root = "\n".join(["Root {", " inputs 0", *_knob_lines(S.root), "}"])
    return f"#! {_constants.EXE_PATH} -nx\n{VERSION}\n{root}\n" + insides(S.root)


def insides(group: Group) -> str:
    """All nodes of a group."""
    return Writer(list(group._children), 0).text()


def selection(nodes: list[Node]) -> str:
    """What nodeCopy puts on the clipboard."""
    head = f"set cut_paste_input [stack 0]\n{VERSION}\npush $cut_paste_input\n"
    return head + Writer(nodes, 0, paste=True).text()


class Writer:
    def __init__(self, nodes: list[Node], indent: int, paste: bool = False) -> None:
        self.nodes = nodes
        self.pad = " " * indent
        self.paste = paste
        self.done: set[int] = set()
        self.lines: list[str] = []
        self.uses = {id(n): 0 for n in nodes}
        for node in nodes:
            for one in node._inputs:
                if id(one) in self.uses:
                    self.uses[id(one)] += 1

    def text(self) -> str:
        backdrops = [n for n in self.nodes if n.Class() == "BackdropNode"]
        ends = [n for n in self.nodes if self.uses[id(n)] == 0 and n not in backdrops]
        for node in [*backdrops, *ends]:
            self.emit(node)
        return "\n".join(self.lines) + ("\n" if self.lines else "")

    def emit(self, node: Node) -> None:
        """The node with all it needs; it is left on top of the stack."""
        for one in reversed(node._inputs):
            if id(one) not in self.uses:
                outside = self.paste and one is not None and one is node._inputs[0]
                self.lines.append(f"{self.pad}push " + ("$cut_paste_input" if outside else "0"))
            elif id(one) in self.done:
                self.lines.append(f"{self.pad}push ${self.variable(one)}")
            else:
                self.emit(one)
        self.done.add(id(node))
        self.lines += [self.pad + line for line in _node_lines(node)]
        if self.uses[id(node)] > 1:
            self.lines.append(f"{self.pad}set {self.variable(node)} [stack 0]")

    def variable(self, node: Node) -> str:
        return f"N{self.nodes.index(node) + 1:x}"


def _node_lines(node: Node) -> list[str]:
    lines = [f"{node.Class()} {{", *_input_line(node), *_knob_lines(node), "}"]
    if isinstance(node, Group) and not isinstance(node, Gizmo) and node.Class() == "Group":
        lines += [" " + line for line in insides(node).splitlines()] + ["end_group"]
    return lines


def _input_line(node: Node) -> list[str]:
    count, mask = len(node._inputs), node.optionalInput()
    if 0 <= mask < count and node._inputs[mask] is not None:
        return [f" inputs {count - 1}+1"]
    return [] if count == 1 else [f" inputs {count}"]


def user_knob_lines(node: Node) -> list[str]:
    """addUserKnob lines and the values of the user knobs."""
    lines = []
    for knob in node._knobs.values():
        if knob._user:
            lines.append(f"addUserKnob {{{_definition(knob)}}}")
            if _written(knob):
                lines.append(f"{knob.name()} {knob._word()}")
    return lines


def _written(knob: Knob) -> bool:
    return knob.holds_value and not knob.getFlag(_constants.DO_NOT_WRITE) and not knob.isDefault()


def _knob_lines(node: Node) -> list[str]:
    """Changed knobs, `name` and the place last, as Nuke has them; then the user knobs a gizmo does not bring itself."""
    own = [k for k in node._knobs.values() if not k._user and _written(k)]
    last = ("name", "selected", "xpos", "ypos")
    own.sort(key=lambda k: last.index(k.name()) if k.name() in last else -1)
    lines = [f" {k.name()} {k._word()}" for k in own]
    if isinstance(node, Gizmo):
        return lines + [f" {k.name()} {k._word()}" for k in node._knobs.values() if k._user and _written(k)]
    return lines + [" " + line for line in user_knob_lines(node)]


def _definition(knob: Knob) -> str:
    name = knob.name()
    words = [str(knob.user_type), quote(name) if name else '""']
    if knob._label is not None and knob._label != name:
        words += ["l", quote(knob._label) if knob._label else '""']
    if knob._tooltip:
        words += ["t", quote(knob._tooltip)]
    if isinstance(knob, Tab_Knob) and knob._kind:
        words += ["n", str(knob._kind)]
    if not knob._startline:
        words.append("-STARTLINE")
    for flag in ("DISABLED", "INVISIBLE", "HIDDEN", "STARTLINE"):
        if knob.getFlag(_constants._WRITABLE_FLAGS[flag]):
            words.append(f"+{flag}")
    if isinstance(knob, (PyScript_Knob, PyCustom_Knob, Script_Knob, Text_Knob)) and knob._state:
        words += ["T", quote(knob._state)]
    if isinstance(knob, Link_Knob):
        words += ["T", quote(knob._target)]
    if isinstance(knob, Enumeration_Knob):
        words += ["M", "{" + " ".join(quote(v) if v else '""' for v in knob._values) + "}"]
    elif isinstance(knob, Array_Knob) and knob._range != (0.0, 1.0):
        words += ["R", *(number(v) for v in knob._range)]
    return " ".join(words)
