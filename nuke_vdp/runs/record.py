"""What a run leaves on disk beside its layers, so that any Nuke on any machine finds it again.

- OUT/.vdp/nuke/run.json       the run: see ``Record``
- OUT/.vdp/nuke/events.jsonl   what the engine prints, one JSON object a line
- OUT/.vdp/nuke/stderr.txt     what it, or its set-up, says besides
- OUT/.vdp/nuke/stop.json      somebody asked for a stop: see ``Stop``
- OUT/.vdp/nuke/starting       held for the moment in which a run is started (``tokens.Token``)
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nuke_vdp import files
from nuke_vdp.engine import Request
from nuke_vdp.runs.process import Process

log = logging.getLogger("nuke_vdp")


@dataclass(frozen=True)
class Place:
    """The files of the run in one output folder."""

    out: Path

    @property
    def folder(self) -> Path:
        return self.out / ".vdp" / "nuke"

    @property
    def record(self) -> Path:
        return self.folder / "run.json"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def stderr(self) -> Path:
        return self.folder / "stderr.txt"

    @property
    def stop(self) -> Path:
        return self.folder / "stop.json"

    @property
    def starting(self) -> Path:
        return self.folder / "starting"


@dataclass(frozen=True)
class Record:
    """One run: asked for, waiting or going on. What became of it, the engine's events tell.

    ``pid`` and ``identity`` are those of the engine, or, while ``state`` is ``queued``, of the Nuke that will start
    it. ``token`` tells this run from others in the same folder. ``problem`` says why a queued run could not start.
    """

    token: str
    state: str
    request: Request
    digest: str
    command: tuple[str, ...]
    host: str
    pid: int
    identity: str
    device: str
    started: float
    problem: str = ""

    @property
    def process(self) -> Process:
        """The engine, or the Nuke that will start it."""
        return Process(self.pid, self.identity)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "request": self.request.as_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Record:
        """ValueError, TypeError or KeyError where it is none."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        known["request"] = Request.from_dict(values["request"])
        known["command"] = tuple(values["command"])
        if known["state"] not in ("queued", "running"):
            raise ValueError(f"unknown state {known['state']!r}")
        return cls(**{**known, "pid": int(known["pid"]), "started": float(known["started"])})


@dataclass(frozen=True)
class Stop:
    """A stop asked for: of which run, and when the engine was told (0 while only its own machine can do that)."""

    token: str
    told: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Stop:
        """KeyError or ValueError where it is none."""
        return cls(str(values["token"]), float(values["told"]))


class Stamped:
    """A small JSON file that is parsed again only when it changed."""

    def __init__(self, path: Path, kind: type[Record] | type[Stop]) -> None:
        self.path = path
        self.kind = kind
        self._stamp: tuple[int, int, int] | None = None
        self._value: Any = None

    def read(self) -> Any:
        """What it holds; none where it is missing or damaged (the log then says why)."""
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return self._value
            self._stamp, self._value = None, None
            text = self.path.read_bytes()
        except OSError:
            self._stamp, self._value = None, None
            return None
        self._stamp = stamp
        try:
            self._value = self.kind.from_dict(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged and left out: %s: %s", self.path, type(error).__name__, error)
        return self._value


def write(path: Path, value: Any) -> None:
    """Write a ``Record`` or ``Stop`` in one step; OSError where it cannot be."""
    files.write_text(path, json.dumps(value.as_dict(), indent=1))
