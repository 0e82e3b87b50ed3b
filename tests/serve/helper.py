"""The helper process as a plug-in sees it: requests down a pipe, replies up another, pixels in files."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

VDP = (sys.executable, "-I", "-m", "vdp_engine", "serve")
PATCHED = (sys.executable, str(Path(__file__).with_name("patched_serve.py")))
"""Followed by the engine's command: a helper whose runs are that instead of ``vdp run``."""

QUICK_ENGINE = (sys.executable, str(Path(__file__).with_name("quick_engine.py")))
SLOW_ENGINE = (sys.executable, str(Path(__file__).with_name("slow_engine.py")))

Answer = dict[str, Any]


class Helper:
    """A ``vdp serve`` of its own. A context manager: at its end the helper's stdin ends.

    Args:
        folder: of the buffers.
        command: what is started.
    """

    def __init__(self, folder: Path, command: tuple[str, ...] = VDP, **environment: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )  # fmt: skip
        self._replies: dict[int, queue.Queue[Answer]] = {}
        self._last = 0
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, op: str, **values: Any) -> int:
        """Ask without waiting; the request's id."""
        with self._lock:
            self._last += 1
            self._replies[self._last] = queue.Queue()
            self.write(json.dumps({"id": self._last, "op": op, **values}).encode() + b"\n")
            return self._last

    def receive(self, request_id: int, timeout: float = 30) -> Answer:
        """The reply to a request; id 0 has those to lines that were none."""
        return self._queue(request_id).get(timeout=timeout)

    def ask(self, op: str, **values: Any) -> Answer:
        """Ask and wait for the reply, whatever it is."""
        return self.receive(self.send(op, **{name: _plain(value) for name, value in values.items()}))

    def done(self, op: str, **values: Any) -> Answer:
        """Ask for what has to be done."""
        answer = self.ask(op, **values)
        assert answer["ok"], answer
        return answer

    def refused(self, op: str, **values: Any) -> tuple[str, str]:
        """Ask for what cannot be done; code and message."""
        answer = self.ask(op, **values)
        assert not answer["ok"], answer
        return answer["code"], answer["message"]

    def picture(self, shot: Path, frame: int, output: str, **values: Any) -> tuple[Answer, np.ndarray]:
        """A picture, its rows from bottom to top as they lie in the buffer, and the reply."""
        buffer = self.buffer(1 << 20)
        answer = self.done("frame", shot=shot, frame=frame, output=output, buffer=buffer, **values)
        x1, y1, x2, y2 = answer["window"]
        pixels = np.fromfile(buffer, np.float32, (x2 - x1) * (y2 - y1) * 4).reshape(y2 - y1, x2 - x1, 4)
        buffer.unlink()
        return answer, pixels

    def buffer(self, size: int, pixels: np.ndarray | None = None) -> Path:
        """A new file of so many bytes, with NaN in it, or with these pixels as they are."""
        with self._lock:
            self._last += 1
            path = self.folder / f"buffer.{self._last}"
        data = np.full(size // 4, np.nan, np.float32) if pixels is None else np.ascontiguousarray(pixels, np.float32)
        path.write_bytes(data.tobytes())
        return path

    def status(self, shot: Path) -> Answer:
        """How a shot is."""
        return self.done("status", shot=shot)

    def until(self, shot: Path, *states: str, timeout: float = 60) -> Answer:
        """Wait until the shot is in one of the states."""
        end = time.monotonic() + timeout
        while (answer := self.status(shot))["state"] not in states:
            assert time.monotonic() < end, answer
            time.sleep(0.05)
        return answer

    def write(self, data: bytes) -> None:
        """Bytes as they are."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def close(self, timeout: float = 15) -> int:
        """End its stdin and wait for its end; the exit code."""
        assert self.process.stdin is not None and self.process.stderr is not None
        self.process.stdin.close()
        code = self.process.wait(timeout)
        self.errors = self.process.stderr.read().decode()
        self.process.stderr.close()
        return code

    def _queue(self, request_id: int) -> queue.Queue[Answer]:
        with self._lock:
            return self._replies.setdefault(request_id, queue.Queue())

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as replies:
            for line in replies:
                answer = json.loads(line)
                self._queue(answer["id"]).put(answer)

    def __enter__(self) -> Helper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.close()


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
