"""The host as Python sees it: a process that gets commands and answers each."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

DTYPES = {"OfxBitDepthFloat": np.float32, "OfxBitDepthShort": np.uint16, "OfxBitDepthByte": np.uint8}
CHANNELS = {"OfxImageComponentRGBA": 4, "OfxImageComponentRGB": 3, "OfxImageComponentAlpha": 1}
STATUS = (
    "OK", "Failed", "ErrFatal", "ErrUnknown", "ErrMissingHostFeature", "ErrUnsupported", "ErrExists", "ErrFormat",
    "ErrMemory", "ErrBadHandle", "ErrBadIndex", "ErrValue", "ReplyYes", "ReplyNo", "ReplyDefault",
)  # fmt: skip
OK, FAILED, DEFAULT = 0, 1, 14

# What the sanitizers say about themselves when they find something; the exit code is theirs alone.
_SANITIZED = {
    "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=99",
}


class HostError(Exception):
    """The host refused a command: the test is wrong."""


@dataclass(frozen=True)
class Answer:
    """What a command came to.

    Attributes:
        result: of the command itself.
        messages: told by the message suite: ``kind`` (message, persistent, clear), ``type``, ``identifier``, ``text``.
        progress: runs of the progress suite: ``labels``, ``updates``, ``last``.
        persistent: the messages that stay on a node, by instance.
        children: ids of the processes that the host has started and that live.
        files, threads: how many the host's process has.
        crimes: what the plug-in must not have done.
    """

    result: Any
    messages: list[dict[str, str]] = field(default_factory=list)
    progress: list[dict[str, Any]] = field(default_factory=list)
    persistent: dict[str, str] = field(default_factory=dict)
    children: list[int] = field(default_factory=list)
    files: int = 0
    threads: int = 0
    crimes: list[str] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """The texts of all messages but those that were taken away."""
        return [message["text"] for message in self.messages if message["kind"] != "clear"]


@dataclass(frozen=True)
class Picture:
    """A rendered window: ``pixels`` (H, W, C) of the bounds, row 0 at the bottom, in the depth that was rendered."""

    answer: Answer
    pixels: np.ndarray

    @property
    def status(self) -> int:
        return self.answer.result["status"]


class Host:
    """A running host. Any crime of the plug-in fails the test, unless the command says that it is expected."""

    def __init__(self, binary: Path, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.log = folder / "host.stderr"
        self._renders = 0
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
                env={**os.environ, **_SANITIZED, **(environment or {})}, cwd=folder,
            )  # fmt: skip

    def send(self, verb: str, **arguments: Any) -> None:
        """A command without waiting for its answer. ``value_x`` becomes ``value.x``, ``host_x`` ``host.x``."""
        assert self.process.stdin is not None
        self.process.stdin.write(line(verb, **arguments) + "\n")
        self.process.stdin.flush()

    def receive(self, crimes: bool = False, timeout: float = 60) -> Answer:
        """The next answer.

        Args:
            crimes: the plug-in may have done what it must not; else that fails.
        """
        assert self.process.stdout is not None
        watchdog = threading.Timer(timeout, self.process.kill)
        watchdog.start()
        answered = self.process.stdout.readline()
        watchdog.cancel()
        if not answered:
            raise AssertionError(f"the host ended with {self.process.wait()}:\n{self.log.read_text(errors='replace')}")
        told = json.loads(answered)
        if not told.pop("ok"):
            raise HostError(told["error"])
        answer = Answer(**told)
        assert crimes or not answer.crimes, "\n".join(answer.crimes)
        return answer

    def do(self, verb: str, crimes: bool = False, timeout: float = 60, **arguments: Any) -> Answer:
        self.send(verb, **arguments)
        return self.receive(crimes, timeout)

    def render(self, crimes: bool = False, timeout: float = 60, **arguments: Any) -> Picture:
        """Renders a frame into bounds (default: all of it); the pixels are empty where IsIdentity answered."""
        self._renders += 1
        out = self.folder / f"render{self._renders}.raw"
        answer = self.do("render", crimes, timeout, out=out, **arguments)
        if "status" not in answer.result:
            return Picture(answer, np.empty((0, 0, 4), np.float32))
        pixels = packed(out, answer.result)
        out.unlink()
        return Picture(answer, pixels)

    def close(self) -> None:
        """Ends the host; fails where a sanitizer found something on the way."""
        if self.process.poll() is None:
            self.send("quit")
            try:
                self.process.wait(60)
            finally:
                self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        assert self.process.wait() == 0, self.log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL, as when a host crashes."""
        self.process.kill()
        self.process.wait()


def line(verb: str, **arguments: Any) -> str:
    """A command as the host reads it."""
    words = [verb]
    for key, value in arguments.items():
        name = key.replace("_", ".", 1) if key.startswith(("value_", "host_")) else key
        if isinstance(value, bool):
            value = int(value)
        elif isinstance(value, (tuple, list)):
            value = ",".join(str(one) for one in value)
        words.append(f"{name}={quote(str(value), safe='/,:.#@+-')}")
    return " ".join(words)


def packed(path: Path, result: Mapping[str, Any]) -> np.ndarray:
    """The pixels that a render wrote to a file: (H, W, C), row 0 at the bottom."""
    x1, y1, x2, y2 = (int(corner) for corner in result["bounds"])
    values = np.fromfile(path, DTYPES[result["depth"]])
    return values.reshape(y2 - y1, x2 - x1, CHANNELS[result["components"]])


def formula(region: tuple[int, int, int, int], frame: int) -> np.ndarray:
    """What a clip of kind ``formula`` holds: (H, W, 4) float32, exact."""
    x1, y1, x2, y2 = region
    y, x, c = np.mgrid[y1:y2, x1:x2, 0:4]
    return (((x * 7 + y * 13 + frame * 3 + c * 29) % 97) / 64).astype(np.float32)


def quantised(pixels: np.ndarray, dtype: type) -> np.ndarray:
    """Float values as integers of a depth: clamped to 0 to 1 and rounded to the nearest."""
    most = np.iinfo(dtype).max
    return np.floor(np.clip(pixels.astype(np.float64), 0, 1) * most + 0.5).astype(dtype)
