"""Requests and replies: one JSON object a line, with values that are checked before anything is done with them."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeGuard

from vdp_engine.errors import ServeError

VERSION = 1

_LONGEST_LINE = 1 << 20
_LONGEST_SHOWN = 80
_LARGEST_WHOLE = 2**31 - 1

Ranges = tuple[tuple[int, int], ...]


def refused(why: str) -> ServeError:
    """The error for a request that is not as the protocol has it."""
    error = ServeError(why, code="protocol")
    error.code = "protocol"
    return error


class Request:
    """One request. Each method gives a value of the kind it is named after, or raises ServeError ``protocol``."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        given = values.get("id")
        self.id = given if _is_whole(given) else 0
        op = values.get("op")
        self.op = op if isinstance(op, str) else ""

    @classmethod
    def parse(cls, line: bytes) -> Request:
        """The request of a line; ServeError ``protocol`` where it is none."""
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise refused(f"this line is no JSON: {_shown(line)} ({error})") from None
        if not isinstance(values, dict):
            raise refused(f"this line is no JSON object: {_shown(line)}")
        return cls(values)

    def has(self, name: str) -> bool:
        """Whether a value was given."""
        return self._values.get(name) is not None

    def setting(self, name: str) -> str:
        """A text or a whole number, as a command line takes it."""
        value = self._values.get(name)
        return str(value) if _is_whole(value) else self.text(name)

    def text(self, name: str) -> str:
        """A text that is not empty."""
        value = self._values.get(name)
        if not isinstance(value, str) or not value or "\0" in value:
            raise self._wrong(name, "a text")
        return value

    def path(self, name: str) -> Path:
        """An absolute path: relative ones would mean other files here than in the host."""
        path = Path(self.text(name))
        if not path.is_absolute():
            raise self._wrong(name, "an absolute path")
        return path

    def choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of some texts."""
        value = self._values.get(name, default)
        if value not in choices:
            raise self._wrong(name, " or ".join(choices))
        return str(value)

    def whole(self, name: str) -> int:
        """A whole number of 32 bits."""
        value = self._values.get(name)
        if not _is_whole(value):
            raise self._wrong(name, "a whole number")
        return value

    def number(self, name: str, least: float, most: float, default: float | None = None) -> float:
        """A number, both limits included."""
        value = self._values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise self._wrong(name, f"a number from {least:g} to {most:g}")
        return float(value)

    def wholes(self, name: str, count: int) -> tuple[int, ...]:
        """So many whole numbers."""
        value = self._values.get(name)
        if not isinstance(value, list) or len(value) != count or not all(map(_is_whole, value)):
            raise self._wrong(name, f"{count} whole numbers")
        return tuple(value)

    def ranges(self, name: str) -> Ranges:
        """Frames as a list of [first, last]."""
        value = self._values.get(name)
        if not isinstance(value, list) or not all(_is_range(one) for one in value):
            raise self._wrong(name, "a list of [first, last]")
        return tuple((first, last) for first, last in value)

    def _wrong(self, name: str, expected: str) -> ServeError:
        given = _shown(json.dumps(self._values[name]).encode()) if name in self._values else "nothing"
        return refused(f"`{self.op}` needs {name} to be {expected}, not {given}")


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_WHOLE


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_whole, value)) and value[0] <= value[1]


def _shown(text: bytes) -> str:
    told = text.decode("utf-8", "replace").strip()
    return told if len(told) <= _LONGEST_SHOWN else f"{told[:_LONGEST_SHOWN]}…"


def lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream to its end, empty ones left out.

    Of a line longer than any request only the beginning comes, which is no JSON.
    """
    while line := stream.readline(_LONGEST_LINE):
        beginning = line
        while not line.endswith(b"\n") and (line := stream.readline(_LONGEST_LINE)):
            pass
        if beginning.strip():
            yield beginning


class Replies:
    """Writes replies, from any thread, each as one line.

    Attributes:
        broken: whether nobody reads them any more.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.broken = False

    def done(self, request_id: int, values: Mapping[str, Any]) -> None:
        """What was asked for is done."""
        self._write({"id": request_id, "ok": True, **values})

    def failed(self, request_id: int, code: str, message: str, **values: Any) -> None:
        """What was asked for cannot be done."""
        self._write({"id": request_id, "ok": False, "code": code, "message": one_line(message), **values})

    def _write(self, reply: Mapping[str, Any]) -> None:
        # ASCII: no file name, however odd, can break a line.
        line = json.dumps({name: _plain(value) for name, value in reply.items()}).encode("ascii") + b"\n"
        with self._lock:
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):
                self.broken = True


def one_line(text: str) -> str:
    """A message as a host can show it in a line."""
    return " ".join(line.strip() for line in text.splitlines())


def _plain(value: Any) -> Any:
    # JSON knows no NaN or infinity.
    return None if isinstance(value, float) and not math.isfinite(value) else value
