"""Tokens: small files of which only one of several processes can be the holder.

One per device, in the user's temporary folder, is held by the engine that works there; one per output folder is held
while a run is being started. A token whose holder is gone is taken over.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from nuke_vdp import files
from nuke_vdp.runs import process
from nuke_vdp.runs.process import WINDOWS, Process

# A holder elsewhere cannot be looked at, and one that died in the act left no name: by their age.
_FOREIGN_SECONDS = 60.0
_NAMELESS_SECONDS = 5.0


class Token:
    """A file that is there while somebody holds it, and says who."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def take(self, holder: Process, about: str = "") -> bool:
        """Take the token for a process of this machine, unless another one has it.

        Raises:
            OSError: the folder cannot be written.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(3):
            try:
                descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                if self._is_held() or not self._clear():
                    return False
                continue
            except PermissionError:
                if self.path.exists():  # Windows: somebody has it open
                    return False
                raise
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(_text(holder, about))
            return True
        return False

    def hand_over(self, holder: Process, about: str) -> None:
        """Whoever holds the token makes another process its holder."""
        files.write_text(self.path, _text(holder, about))

    def give_back(self) -> None:
        """Whoever holds the token lets it go."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def about(self) -> str:
        """What its holder does; empty where nobody holds it."""
        return str((self._read() or {}).get("about", "")) if self._is_held() else ""

    def _is_held(self) -> bool:
        try:
            age = time.time() - self.path.stat().st_mtime
        except OSError:
            return False
        values = self._read()
        if values is None:
            return age < _NAMELESS_SECONDS
        if values.get("host") != socket.gethostname():
            return age < _FOREIGN_SECONDS
        try:
            return process.alive(Process(int(values["pid"]), str(values["identity"])))
        except (KeyError, TypeError, ValueError):
            return False

    def _read(self) -> dict[str, Any] | None:
        try:
            values = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return values if isinstance(values, dict) else None

    def _clear(self) -> bool:
        """Remove a token that nobody holds any more; false where somebody was quicker."""
        aside = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}")
        try:
            os.rename(self.path, aside)
        except OSError:
            return False
        left = Token(aside)
        if left._is_held():  # taken anew between the look and the move: give it back
            with contextlib.suppress(OSError):
                os.link(aside, self.path)
            left.give_back()
            return False
        left.give_back()
        return True


def device_token(device: str) -> Token:
    """The token of the device that a request's ``device`` means: one for the GPU that CUDA counts first."""
    first = "cuda:0" if device in ("auto", "cuda") else device
    return Token(_user_folder() / (re.sub(r"\W", "", first) + ".json"))


def device_name(device: str) -> str:
    """What an artist calls it."""
    if device in ("auto", "cuda", "cuda:0"):
        return "the GPU"
    return "the CPU" if device == "cpu" else f"GPU {device[5:]}"


def _user_folder() -> Path:
    user = os.environ.get("USERNAME", "") if WINDOWS else str(os.getuid())
    return Path(tempfile.gettempdir()) / f"vdp-{user}"


def _text(holder: Process, about: str) -> str:
    values = {"pid": holder.pid, "identity": holder.identity, "host": socket.gethostname(), "about": about}
    return json.dumps(values)
