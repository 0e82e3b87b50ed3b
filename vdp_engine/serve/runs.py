"""Runs that a host asked for: ``vdp run`` as a child process for each folder, started, heard and stopped."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vdp_engine import files
from vdp_engine.batch.child import Child, Event
from vdp_engine.errors import TryAgainError, VdpError

ENGINE: tuple[str, ...] = (sys.executable, "-I", "-m", "vdp_engine")
"""The command whose arguments follow. ``-I``: neither the folder nor the environment of the host brings modules in."""

GRACE_SECONDS = 10.0


class Claim:
    """A folder's run belongs to one helper: two runs at once would write over each other's checkpoint.

    It is a lock on a file, which the system takes back from a process that is gone.

    Raises:
        TryAgainError: ``busy``, another helper has it; ``disk``, the folder takes no files.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "plates" / "ofx.lock"  # not in ``.vdp``, which ``--fresh`` removes
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise files.disk_error(path, error) from error
        if not _locked(self._descriptor):
            self.give_back()
            raise TryAgainError(
                f"another host is analysing {folder}", code="busy", path=folder,
                remedy="wait until it is done, or cancel it there",
            )  # fmt: skip

    def give_back(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


def _locked(descriptor: int) -> bool:
    """Whether the lock could be taken; true also on file systems that have none."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


class Progress(NamedTuple):
    """How far a run is: ``fraction`` of the whole run, ``eta_s`` to its end where that can be told."""

    fraction: float = 0.0
    stage: str = "start"
    message: str = "starting the engine"
    eta_s: float | None = None


class Run:
    """One ``vdp run``, from its start on.

    Args:
        arguments: of ``vdp``, beginning with ``run``.
        claim: of the folder, given back at the end.
        changed: called from another thread when a frame's layers were written, and at the end.
    """

    def __init__(self, arguments: Sequence[str], claim: Claim, changed: Callable[[], None]) -> None:
        self.progress = Progress()
        self.failure: VdpError | None = None
        self.stopping = False
        self._claim = claim
        self._changed = changed
        self._ended = threading.Event()
        self._paced: tuple[float, float] | None = None
        self._child = Child(0, [*ENGINE, *arguments, "--progress=json"], {}, self._hear)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self._ended.is_set()

    def stop(self) -> None:
        """Ask it to end with its work kept; end it where it does not within ``GRACE_SECONDS``."""
        if self.stopping or not self.running:
            return
        self.stopping = True
        self.progress = self.progress._replace(message="stopping", eta_s=None)
        self._child.stop(signal.SIGTERM)
        threading.Thread(target=self._insist, daemon=True, name="vdp-serve-stop").start()

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has come."""
        return self._ended.wait(seconds)

    def kill(self) -> None:
        """End it now."""
        self._child.kill()

    def _insist(self) -> None:
        if not self.wait(GRACE_SECONDS):
            self.kill()

    def _hear(self, child: Child, event: Event | None) -> None:
        if event is None:
            failure = child.end()
            if failure is not None and not self.stopping:
                self.failure = failure
            self._claim.give_back()
            self._ended.set()
            self._changed()
            return
        child.hear(event)
        if event["event"] == "progress" and not self.stopping:
            self._go_on(event)
        elif event["event"] == "frame":
            self._changed()

    def _go_on(self, event: Event) -> None:
        told = event.get("overall", event.get("fraction"))
        fraction = min(1.0, max(0.0, float(told))) if isinstance(told, (int, float)) else self.progress.fraction
        now = time.monotonic()
        # From the first word on: what earlier runs have done is passed over in no time.
        began, begun = self._paced = self._paced or (now, fraction)
        done = fraction - begun
        eta = (now - began) / done * (1 - fraction) if done > 0.02 and now - began > 1 else None
        self.progress = Progress(fraction, str(event.get("stage", "")), str(event.get("message", "")), eta)


class Runs:
    """The runs of this helper, one for each folder at a time."""

    def __init__(self) -> None:
        self._runs: dict[Path, Run] = {}
        self._lock = threading.Lock()

    def of(self, folder: Path) -> Run | None:
        """The run of a folder that goes on, or was the last one there."""
        with self._lock:
            return self._runs.get(_same(folder))

    def start(self, folder: Path, arguments: Sequence[str], changed: Callable[[], None]) -> Run:
        """Start a run in a folder, or give the one that goes on there.

        Always from the same thread, which lives as long as the process: Linux ends a run with the thread that made it.

        Raises:
            TryAgainError: ``busy``, the helper of another host has a run there; ``disk``, the folder takes no files.
            UsageError: the engine cannot be started.
        """
        with self._lock:
            run = self._runs.get(_same(folder))
            if run is None or not run.running:
                claim = Claim(folder)
                try:
                    run = self._runs[_same(folder)] = Run(arguments, claim, changed)
                except BaseException:
                    claim.give_back()
                    raise
            return run

    def stop_all(self) -> None:
        """Stop every run, and wait for their ends."""
        with self._lock:
            runs = [run for run in self._runs.values() if run.running]
        for run in runs:
            run.stop()
        until = time.monotonic() + GRACE_SECONDS
        for run in runs:
            if not run.wait(max(0.0, until - time.monotonic())):
                run.kill()
                run.wait(1.0)


def _same(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def arguments(
    folder: Path, name: str, plate: Path, frames: str, hint: Path | None, options: Mapping[str, Any]
) -> list[str]:
    """The arguments of ``vdp`` that decompose what a host rendered; ``options`` by the names of ``vdp run``."""
    given = ["run", str(plate), f"--out={folder}", f"--name={name}", f"--frames={frames}"]
    if hint is not None:
        given.append(f"--hint={hint}")
    return [*given, *(f"--{option}={value}" for option, value in options.items())]
