"""Words of a .nk script: Tcl's rules for braces, quotes and backslashes, both ways."""

from __future__ import annotations

import re

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_BARE = re.compile(r"^[^\s\"{}\[\]$;\\#]+$")


class ScriptError(RuntimeError):
    """Text that Nuke would refuse."""


def unescape(text: str) -> str:
    """Takes backslashes out of a bare or quoted word. A bare [ or $ would run as Tcl: that is an error in a .nk."""
    out: list[str] = []
    i = 0
    while i < len(text):
        ch = text[i]
        if ch == "\\" and i + 1 < len(text):
            i += 1
            if text[i] == "u" and re.match(r"[0-9a-fA-F]{4}", text[i + 1 :]):
                out.append(chr(int(text[i + 1 : i + 5], 16)))
                i += 4
            elif text[i] != "\n":
                out.append(_ESCAPES.get(text[i], text[i]))
        elif ch == "[" or (ch == "$" and re.match(r"[A-Za-z_{]", text[i + 1 :])):
            raise ScriptError(f"unescaped {ch} would run as Tcl in: {text[:80]}")
        else:
            out.append(ch)
        i += 1
    return "".join(out)


def braced_end(text: str, start: int) -> int:
    """Index of the brace that closes the one at `start`. A backslash hides the character after it."""
    depth, i = 0, start
    while i < len(text):
        if text[i] == "\\":
            i += 1
        elif text[i] == "{":
            depth += 1
        elif text[i] == "}":
            depth -= 1
            if depth == 0:
                return i
        i += 1
    raise ScriptError(f"missing close-brace for: {text[start : start + 60]}")


def quoted_end(text: str, start: int) -> int:
    i = start + 1
    while i < len(text):
        if text[i] == "\\":
            i += 1
        elif text[i] == '"':
            return i
        i += 1
    raise ScriptError(f'missing " for: {text[start : start + 60]}')


def word_end(text: str, start: int) -> int:
    i = start
    while i < len(text) and not text[i].isspace():
        i += 2 if text[i] == "\\" else 1
    return min(i, len(text))


def split_list(text: str, raw: bool = False) -> list[str]:
    """A Tcl list to its words; `raw` keeps the words' own braces and quotes."""
    words: list[str] = []
    i = 0
    while True:
        while i < len(text) and text[i].isspace():
            i += 1
        if i >= len(text):
            return words
        if text[i] == "{":
            end = braced_end(text, i)
            words.append(text[i : end + 1] if raw else text[i + 1 : end])
            i = end + 1
        elif text[i] == '"':
            end = quoted_end(text, i)
            words.append(text[i : end + 1] if raw else _list_unescape(text[i + 1 : end]))
            i = end + 1
        else:
            end = word_end(text, i)
            words.append(text[i:end] if raw else _list_unescape(text[i:end]))
            i = end


def _list_unescape(text: str) -> str:
    """As `unescape`; Tcl's list commands run nothing, so [ and $ stand for themselves."""
    return unescape(re.sub(r"(\\.)|([\[$])", lambda m: m[1] or "\\" + m[2], text, flags=re.S))


def quote(text: str) -> str:
    """Text as one word of a .nk, as plainly as it can be said."""
    if _BARE.match(text):
        return text
    escaped = re.sub(r"([\\\"\[\]{}$])", r"\\\1", text).replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    # A closing bracket needs no escape, and Nuke writes none.
    return '"' + escaped.replace("\\]", "]") + '"'


def number(value: float) -> str:
    """A number as Nuke writes it."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.10g}"
