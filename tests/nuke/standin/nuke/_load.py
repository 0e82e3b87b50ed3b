"""Scripts into nodes: Nuke's stack of nodes, addUserKnob lines, groups, gizmos."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from . import _callbacks, _constants, _create
from ._groups import Gizmo, Group, Precomp
from ._knobs import File_Knob, Knob, PyCustom_Knob, PyScript_Knob, Script_Knob, Text_Knob
from ._knobs_more import BeginTabGroup_Knob, Channel_Knob, EndTabGroup_Knob, Link_Knob, Tab_Knob
from ._knobs_number import Array_Knob, Enumeration_Knob
from ._nodes import Node
from ._parse import commands, plain
from ._quoting import ScriptError, split_list
from ._session import S
from ._user_knobs import CLASS_OF_NUMBER

_SKIPPED = {"version", "define_window_layout_xml", "add_layer", "load", "end_gizmo"}


class Loader:
    """Runs the commands of one script inside of a group."""

    def __init__(self, group: Group, stack: list[Node | None], with_root: bool = True) -> None:
        self.group = group
        self.stack = stack
        self.with_root = with_root
        self.variables: dict[str, Node | None] = {}
        self.made: list[Node] = []

    def run(self, text: str) -> None:
        opened: list[tuple[Group, list[Node | None]]] = []
        for words in commands(text):
            verb = words[0]
            if verb == "end_group":
                if not opened:
                    raise ScriptError("end_group without its group")
                self.group, self.stack = opened.pop()
            elif verb in _SKIPPED:
                if verb == "add_layer":
                    _add_layer(plain(words[1]))
            elif verb in ("set", "push"):
                self._stack_command(words)
            elif verb == "Root":
                if self.with_root:
                    _read(S.root, plain(words[1]))
            elif len(words) == 2 and words[1].startswith("{"):
                node = self._node(verb, words[1][1:-1])
                if type(node) is Group and node.Class() == "Group":
                    opened.append((self.group, self.stack))
                    self.group, self.stack = node, []
            else:
                raise RuntimeError(f"{verb}: Unknown command")
        if opened:
            raise ScriptError(f"missing end_group of {self.group.name()}")

    def _stack_command(self, words: list[str]) -> None:
        if words[0] == "push":
            if words[1] != "0" and words[1].lstrip("$") not in self.variables:
                raise ScriptError(f'can\'t read "{words[1]}": no such variable')
            self.stack.append(None if words[1] == "0" else self.variables[words[1].lstrip("$")])
            return
        match = re.fullmatch(r"\[stack (\d+)\]", words[2])
        if match is None:
            raise ScriptError(f"not a script of Nuke: {' '.join(words)}")
        depth = int(match[1]) + 1
        self.variables[words[1]] = self.stack[-depth] if len(self.stack) >= depth else None

    def _node(self, class_name: str, body: str) -> Node:
        node = _create.new_node(class_name, self.group)
        _create.attach(node, self.group, _name(body) or _create.default_name(class_name))
        _read(node, body)
        count = _input_count(node, body)
        inputs = [self.stack.pop() if self.stack else None for _ in range(count)]
        node._inputs = inputs
        while node._inputs and node._inputs[-1] is None:
            node._inputs.pop()
        if not node._kind.no_output:
            self.stack.append(node)
        self.made.append(node)
        return node


def _input_count(node: Node, body: str) -> int:
    """Of an `inputs 2` or `inputs 2+1` line; without one, one."""
    for words in commands(body):
        if words[0] == "inputs":
            return sum(int(part) for part in plain(words[1]).split("+"))
    return 1


def _read(node: Node, body: str) -> None:
    """Sets the knobs of a node from its body. An unknown knob is an error."""
    for words in commands(body):
        name = words[0]
        if name == "inputs":
            continue
        if name == "addUserKnob":
            add_user_knob(node, plain(words[1]))
            continue
        knob = node.knob(name)
        if knob is None:
            raise RuntimeError(f"{node.Class()}: no knob {name!r} (Nuke: '{name}: Unknown command')")
        if len(words) != 2:
            raise ScriptError(f"{node.Class()}.{name}: one value expected: {' '.join(words)}")
        if name != "name" or node is S.root:
            knob._restore(knob._parse(plain(words[1])))


def _name(body: str) -> str:
    for words in commands(body):
        if words[0] == "name" and len(words) == 2:
            return plain(words[1])
    return ""


def read_knobs(node: Node, text: str) -> None:
    """Node.readKnobs: as a script's lines; each change can be undone and calls knobChanged."""
    pieces = [words for line in commands(text) for words in _pairs(line)]
    for words in pieces:
        if words[0] == "addUserKnob":
            add_user_knob(node, plain(words[1]))
        elif words[0] == "name":
            node.setName(plain(words[1]))
        elif words[0] != "inputs":
            knob = node.knob(words[0])
            if knob is None:
                raise RuntimeError(f"{node.Class()}: no knob {words[0]!r}")
            knob.fromScript(plain(words[1]))


def _pairs(words: list[str]) -> list[list[str]]:
    """'a 1 b 2' is two knobs."""
    if len(words) % 2:
        raise ScriptError(f"a knob without a value: {' '.join(words)}")
    return [words[i : i + 2] for i in range(0, len(words), 2)]


def add_user_knob(node: Node, text: str) -> Knob:
    """One addUserKnob line."""
    words = split_list(text)
    number = int(words[0])
    if number not in CLASS_OF_NUMBER:
        raise ScriptError(f"addUserKnob: a knob type {number} is not in the stand-in: {text}")
    options, flags = _options(words[2:], text)
    knob = _user_knob(number, words[1] if len(words) > 1 else "", options)
    knob._user = True
    knob._label = options.get("l", knob._label)
    knob._tooltip = options.get("t", "")
    for name, on in flags:
        knob._flags = knob._flags | _constants._WRITABLE_FLAGS[name] if on else knob._flags
        if name == "STARTLINE" and not on:
            knob._startline = False
    if "R" in options and isinstance(knob, Array_Knob):
        low, high = options["R"].split()
        knob._range = (float(low), float(high))
    if knob.name() in node._knobs:
        if not node._knobs[knob.name()]._user:
            raise ScriptError(f"{node.Class()}: addUserKnob {knob.name()} hides a knob of the class")
        return _redefine(node, knob)
    node._take(knob)
    return knob


def _redefine(node: Node, knob: Knob) -> Knob:
    """A saved node defines its user knobs again; those a gizmo brought keep their defaults."""
    knob._default_state = node._knobs[knob.name()]._default_state
    knob._state = node._knobs[knob.name()]._state
    node._take(knob)
    return knob


def _options(words: list[str], text: str) -> tuple[dict[str, str], list[tuple[str, bool]]]:
    options: dict[str, str] = {}
    flags: list[tuple[str, bool]] = []
    i = 0
    while i < len(words):
        word = words[i]
        if word[:1] in "+-" and word[1:] in _constants._WRITABLE_FLAGS:
            flags.append((word[1:], word[0] == "+"))
            i += 1
        elif word == "R":
            options["R"] = f"{words[i + 1]} {words[i + 2]}"
            i += 3
        elif word in ("l", "t", "T", "M", "n") and i + 1 < len(words):
            options[word] = words[i + 1]
            i += 2
        else:
            raise ScriptError(f"addUserKnob: unknown option {word!r} in: {text[:100]}")
    return options, flags


def _user_knob(number: int, name: str, options: dict[str, str]) -> Knob:
    cls: Any = CLASS_OF_NUMBER[number]
    if cls is Tab_Knob:
        kind = int(options.get("n", "0"))
        made = EndTabGroup_Knob if kind == -1 else (BeginTabGroup_Knob if kind else Tab_Knob)
        return made(name, None, kind)
    knob: Knob = cls(name)
    given = options.get("T", "")
    if isinstance(knob, Enumeration_Knob):
        items = split_list(options.get("M", ""))
        while items and items[-1] == "":
            items.pop()
        if not items:
            raise ScriptError(f"addUserKnob: an enumeration without M: {name}")
        knob._values = items
    elif "M" in options:
        raise ScriptError(f"addUserKnob: only an enumeration has M: {name}")
    elif given and isinstance(knob, (PyScript_Knob, PyCustom_Knob, Script_Knob, Text_Knob)):
        knob._state = given
        knob._mark_default()
    elif given and isinstance(knob, Link_Knob):
        knob._target = given
    elif given and not isinstance(knob, (File_Knob, Channel_Knob)):
        raise ScriptError(f"addUserKnob: T is for buttons, text and links: {name}")
    return knob


def _add_layer(text: str) -> None:
    from ._channels import Layer

    words = split_list(text)
    Layer(words[0], words[1:])


def load_text(text: str, group: Group, stack: list[Node | None] | None = None) -> list[Node]:
    """Reads a script into a group; the nodes made at its top level and below. onCreate runs at the end."""
    loader = Loader(group, list(stack or []))
    S.loading += 1
    try:
        loader.run(text)
    finally:
        S.loading -= 1
    for node in loader.made:
        _callbacks.run("OnCreate", node)
        if isinstance(node, Precomp):
            node.reload()
    return loader.made


def load_inside(group: Group, path: str) -> None:
    """The script of a Precomp or LiveGroup; its Root says nothing here."""
    loader = Loader(group, [], with_root=False)
    with S.undo_off():
        S.loading += 1
        try:
            loader.run(Path(path).read_text(encoding="utf-8"))
        finally:
            S.loading -= 1
    for node in loader.made:
        _callbacks.run("OnCreate", node)


def load_gizmo(gizmo: Gizmo, path: str) -> None:
    """Fills a new gizmo from its file; the values given there become its defaults."""
    text = Path(path).read_text(encoding="utf-8")
    head, rest = _split_gizmo(text, path)
    with S.undo_off():
        S.loading += 1
        try:
            _read(gizmo, head)
            for knob in gizmo._knobs.values():
                knob._mark_default()
            Loader(gizmo, []).run(rest)
        finally:
            S.loading -= 1
    for child in gizmo._children:
        _callbacks.run("OnCreate", child)


def _split_gizmo(text: str, path: str) -> tuple[str, str]:
    """Body of the `Gizmo { … }` command, and the script after it without its closing end_group."""
    match = re.search(r"^Gizmo\s+\{", text, re.M)
    if match is None:
        raise ScriptError(f"{path}: no Gizmo command")
    from ._quoting import braced_end

    end = braced_end(text, match.end() - 1)
    rest = text[end + 1 :].rstrip()
    closing = re.search(r"\nend_(group|gizmo)\s*$", rest)
    if closing is None:
        raise ScriptError(f"{path}: no end_group at the end")
    return text[match.end() : end], rest[: closing.start()]
