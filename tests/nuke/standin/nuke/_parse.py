"""A .nk or .gizmo as commands: [[word, …], …], where a word keeps its braces or quotes."""

from __future__ import annotations

from collections.abc import Iterator

from ._quoting import ScriptError, braced_end, quoted_end, unescape


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a script or of the body of a node. Comments and blank lines are left out."""
    words: list[str] = []
    i = 0
    while i < len(text):
        ch = text[i]
        if ch in "\n;":
            if words:
                yield words
            words, i = [], i + 1
        elif ch.isspace():
            i += 1
        elif ch == "\\" and text[i + 1 : i + 2] == "\n":
            i += 2
        elif ch == "#" and not words:
            end = text.find("\n", i)
            i = len(text) if end < 0 else end
        else:
            end = _end(text, i)
            words.append(text[i:end])
            i = end
    if words:
        yield words


def _end(text: str, i: int) -> int:
    if text[i] == "{":
        end = braced_end(text, i) + 1
    elif text[i] == '"':
        end = quoted_end(text, i) + 1
    else:
        return _bare_end(text, i)
    if end < len(text) and not (text[end].isspace() or text[end] == ";"):
        raise ScriptError(f"extra characters after a closing brace or quote: {text[i : end + 20]}")
    return end


def _bare_end(text: str, i: int) -> int:
    depth = 0
    while i < len(text) and (depth or not (text[i].isspace() or text[i] == ";")):
        if text[i] == "\\":
            i += 1
        depth += {"[": 1, "]": -1}.get(text[i : i + 1], 0)
        i += 1
    return min(i, len(text))


def plain(word: str) -> str:
    """A word without its braces or quotes."""
    if word.startswith("{"):
        return word[1:-1]
    if word.startswith('"'):
        return unescape(word[1:-1])
    return unescape(word)
