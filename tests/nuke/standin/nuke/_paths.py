"""Names in expressions: `this.a`, `parent.a`, `input1.a`, `Node.a`, `root.a`, `a.r`."""

from __future__ import annotations

import re
from typing import Any

from ._session import S

_INPUT = re.compile(r"input(\d*)$")


class PathError(RuntimeError):
    pass


def _step(node: Any, name: str) -> Any:
    """The node that `name` means, seen from `node`; None where there is none."""
    if name == "this":
        return node
    if name == "parent":
        return node.parent()
    if name == "root":
        return S.root
    match = _INPUT.match(name)
    if match:
        return node.input(int(match[1] or 0))
    return None


def _search(node: Any, name: str) -> Any:
    """A node by name: in the node if it is a group, then beside it, then outwards."""
    group = node
    while group is not None:
        found = group._child(name) if hasattr(group, "_child") else None
        if found is not None:
            return found
        group = group.parent()
    return None


def _walk(path: str, node: Any) -> tuple[Any, list[str]]:
    """As many leading names as mean nodes; the node, and the names left over."""
    parts = path.split(".")
    here = node
    for i, name in enumerate(parts):
        if i == 0 and node is not None and name in node.knobs():
            return here, parts
        found = _step(here, name)
        if found is None and _INPUT.match(name) and here is not None:
            raise PathError(f"nothing is connected: {path}")
        if found is None and i and hasattr(here, "_child"):
            found = here._child(name)
        if found is None and i == 0:
            found = _search(node, name)
        if found is None:
            return here, parts[i:]
        here = found
    return here, []


def find_node(path: str, node: Any) -> Any:
    found, rest = _walk(path, node)
    if rest:
        raise PathError(f"no node: {path}")
    return found


def find_knob(path: str, node: Any) -> tuple[Any, str]:
    """The knob of a path, and the field after it ('r', 'x' or '')."""
    found, rest = _walk(path, node)
    if not rest or len(rest) > 2 or rest[0] not in found.knobs():
        raise PathError(f'Nothing is named "{path}" (seen from {node.fullName() if node is not None else "root"})')
    return found.knobs()[rest[0]], rest[1] if len(rest) == 2 else ""


def exists(path: str, node: Any, knob: Any = None) -> bool:
    try:
        found, rest = _walk(path, node)
    except PathError:
        return False
    return not rest or (len(rest) <= 2 and found is not None and rest[0] in found.knobs())


def _field(knob: Any, field: str) -> int:
    letters = getattr(knob, "suffixes", "")
    if field in letters and len(field) == 1:
        return int(letters.index(field))
    if field.isdigit() and int(field) < knob.width:
        return int(field)
    raise PathError(f"{knob.fullyQualifiedName()} has no field {field}")


def knob_text(path: str, node: Any, knob: Any = None) -> str:
    """What [value path] gives: text evaluated, numbers as they are typed, the word of an enumeration."""
    from ._quoting import number

    if path in ("root.name", "root.filename"):
        return str(S.root.name())
    if path.rpartition(".")[2] == "name" and exists(path.rpartition(".")[0] or "this", node):
        return str(find_node(path.rpartition(".")[0] or "this", node).name())
    found, field = find_knob(path, node)
    if hasattr(found, "getLinkedKnob"):
        found = found._other()
    if field:
        return number(found._number(_field(found, field)))
    value = found.evaluate() if hasattr(found, "evaluate") else found.value()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return " ".join(number(v) for v in value)
    return number(value) if isinstance(value, (int, float)) else str(value)


def knob_number(path: str, node: Any, knob: Any, index: int) -> float:
    """The number a path means in an expression; without a field, the same channel as the asking one."""
    found, field = find_knob(path, node)
    if hasattr(found, "getLinkedKnob"):
        found = found._other()
    if not hasattr(found, "_number"):
        text = found.evaluate()
        try:
            return float(text)
        except ValueError:
            raise PathError(f"{path} holds text, not a number: {text!r}") from None
    return float(found._number(_field(found, field) if field else min(index, found.width - 1)))
