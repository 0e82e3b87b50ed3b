"""The Tcl that artists write into text: [value …], [file …], [python …], [getenv …] and a few more.

What it does not know raises with the text.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from typing import Any

from . import _callbacks, _paths
from ._quoting import ScriptError, braced_end, quote, quoted_end
from ._session import S


class TclError(RuntimeError):
    pass


def expand(text: str, node: Any, knob: Any = None) -> str:
    """Text with each [command] replaced by its result, and backslashes taken out."""
    if "[" not in text and "\\" not in text:
        return text
    out: list[str] = []
    i = 0
    while i < len(text):
        if text[i] == "\\" and i + 1 < len(text):
            out.append({"n": "\n", "t": "\t"}.get(text[i + 1], text[i + 1]))
            i += 2
        elif text[i] == "[":
            end = _bracket_end(text, i)
            out.append(run(text[i + 1 : end], node, knob))
            i = end + 1
        else:
            out.append(text[i])
            i += 1
    return "".join(out)


def run(script: str, node: Any, knob: Any = None) -> str:
    """One or several commands; the result of the last."""
    result = ""
    for words in _commands(script, node, knob):
        result = call(words, node, knob)
    return result


def call(words: list[str], node: Any, knob: Any = None) -> str:
    command = _COMMANDS.get(words[0])
    if command is None:
        raise TclError(f"Tcl that the stand-in does not know: {' '.join(words)}")
    try:
        return command(words[1:], node, knob)
    except IndexError:
        raise TclError(f"Tcl with too few arguments: {' '.join(words)}") from None


def _bracket_end(text: str, start: int) -> int:
    depth, i = 0, start
    while i < len(text):
        if text[i] == "\\":
            i += 1
        elif text[i] == "{" and depth:
            i = braced_end(text, i)
        elif text[i] == "[":
            depth += 1
        elif text[i] == "]":
            depth -= 1
            if depth == 0:
                return i
        i += 1
    raise TclError(f"missing close-bracket: {text[start:]}")


def _commands(script: str, node: Any, knob: Any) -> list[list[str]]:
    commands: list[list[str]] = [[]]
    i = 0
    while i < len(script):
        ch = script[i]
        if ch in ";\n":
            commands.append([])
            i += 1
        elif ch.isspace():
            i += 1
        elif ch == "{":
            end = braced_end(script, i)
            commands[-1].append(script[i + 1 : end])
            i = end + 1
        elif ch == '"':
            end = quoted_end(script, i)
            commands[-1].append(expand(script[i + 1 : end], node, knob))
            i = end + 1
        else:
            end = _bare_end(script, i)
            word = script[i:end]
            if re.search(r"(?<!\\)\$", word):
                raise TclError(f"Tcl variables are not known to the stand-in: {script}")
            commands[-1].append(expand(word, node, knob))
            i = end
    return [words for words in commands if words]


def _bare_end(script: str, i: int) -> int:
    while i < len(script) and not script[i].isspace() and script[i] != ";":
        if script[i] == "[":
            i = _bracket_end(script, i)
        elif script[i] == "\\":
            i += 1
        i += 1
    return min(i, len(script))


# The commands: (arguments, node, knob) -> text.
def _value(args: list[str], node: Any, knob: Any) -> str:
    return _paths.knob_text(args[0], node, knob)


def _file(args: list[str], node: Any, knob: Any) -> str:
    verb, paths = args[0], args[1:]
    if verb == "join":
        return posixpath.join(*paths)
    path = paths[0]
    simple: dict[str, Callable[[str], str]] = {
        "dirname": lambda p: posixpath.dirname(p) or ".",
        "tail": posixpath.basename,
        "rootname": lambda p: posixpath.splitext(p)[0],
        "extension": lambda p: posixpath.splitext(p)[1],
        "exists": lambda p: str(int(os.path.exists(p))),
        "isdirectory": lambda p: str(int(os.path.isdir(p))),
        "normalize": posixpath.normpath,
    }
    if verb not in simple:
        raise TclError(f"Tcl that the stand-in does not know: file {' '.join(args)}")
    return simple[verb](path)


def _python(args: list[str], node: Any, knob: Any) -> str:
    local = args[0] == "-execlocal"
    code = " ".join(args[1:] if local else args)
    with S.this(node, knob):
        result = _callbacks.execute_local(code) if local else _callbacks.evaluate(code)
    if isinstance(result, bool):
        return str(int(result))
    return str(result)


def _getenv(args: list[str], node: Any, knob: Any) -> str:
    if args[0] in os.environ:
        return os.environ[args[0]]
    if len(args) > 1:
        return args[1]
    raise TclError(f"no such variable: {args[0]}")


def _metadata(args: list[str], node: Any, knob: Any) -> str:
    found = node.metadata(args[-1])
    return "" if found is None else str(found)


def _exists(args: list[str], node: Any, knob: Any) -> str:
    return str(int(_paths.exists(args[0], node, knob)))


def _position(word: str, count: int) -> int:
    match = re.fullmatch(r"end(?:-(\d+))?", word)
    return count - 1 - int(match[1] or 0) if match else int(word)


def _words(text: str) -> list[str]:
    from ._quoting import split_list

    return split_list(text)


def _split(args: list[str], node: Any, knob: Any) -> str:
    separators = args[1] if len(args) > 1 else " \t\n"
    return " ".join(quote(p) if p else "{}" for p in re.split("[" + re.escape(separators) + "]", args[0]))


def _lindex(args: list[str], node: Any, knob: Any) -> str:
    words = _words(args[0])
    position = _position(args[1], len(words))
    return words[position] if 0 <= position < len(words) else ""


def _lrange(args: list[str], node: Any, knob: Any) -> str:
    words = _words(args[0])
    first, last = _position(args[1], len(words)), _position(args[2], len(words))
    return " ".join(quote(w) if w else "{}" for w in words[max(first, 0) : last + 1])


def _string(args: list[str], node: Any, knob: Any) -> str:
    verb, rest = args[0], args[1:]
    if verb == "length":
        return str(len(rest[0]))
    if verb in ("tolower", "toupper", "trim"):
        text = rest[0]
        return text.strip() if verb == "trim" else text.lower() if verb == "tolower" else text.upper()
    if verb == "equal":
        return str(int(rest[0] == rest[1]))
    if verb == "range":
        first, last = _position(rest[1], len(rest[0])), _position(rest[2], len(rest[0]))
        return rest[0][max(first, 0) : last + 1]
    if verb == "map":
        pairs, text = _words(rest[0]), rest[1]
        table = {pairs[i]: pairs[i + 1] for i in range(0, len(pairs), 2)}
        return re.sub("|".join(map(re.escape, table)), lambda m: table[m[0]], text)
    raise TclError(f"Tcl that the stand-in does not know: string {' '.join(args)}")


def _expr(args: list[str], node: Any, knob: Any) -> str:
    from ._expressions import evaluate
    from ._quoting import number

    return number(evaluate(" ".join(args), node, knob, 0))


def _if(args: list[str], node: Any, knob: Any) -> str:
    if float(_expr([args[0]], node, knob)):
        return run(args[1], node, knob)
    rest = [a for a in args[2:] if a != "else"]
    return run(rest[0], node, knob) if rest else ""


def _format(args: list[str], node: Any, knob: Any) -> str:
    values = [float(a) if re.fullmatch(r"-?\d+(\.\d+)?", a) else a for a in args[1:]]
    ints = [int(v) if isinstance(v, float) and v == int(v) else v for v in values]
    return args[0] % tuple(ints)


def _join(args: list[str], node: Any, knob: Any) -> str:
    return (args[1] if len(args) > 1 else " ").join(_words(args[0]))


_COMMANDS: dict[str, Callable[[list[str], Any, Any], str]] = {
    "value": _value, "knob": _value, "numvalue": _value, "file": _file, "python": _python, "getenv": _getenv,
    "metadata": _metadata, "exists": _exists, "split": _split, "lindex": _lindex, "lrange": _lrange,
    "join": _join, "string": _string, "expr": _expr, "if": _if, "format": _format,
    "frame": lambda args, node, knob: f"{S.now:g}",
    "return": lambda args, node, knob: args[0] if args else "",
    "class": lambda args, node, knob: str((_paths.find_node(args[0], node) if args else node).Class()),
    "basename": lambda args, node, knob: posixpath.splitext(posixpath.basename(args[0]))[0],
    "dirname": lambda args, node, knob: posixpath.dirname(args[0]),
    "llength": lambda args, node, knob: str(len(_words(args[0]))),
}  # fmt: skip

__all__ = ["ScriptError", "TclError", "call", "expand", "run"]
