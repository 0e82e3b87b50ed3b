"""The queue of a session: one run per device at a time, and one thread that watches all of them."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import AbstractContextManager
from typing import Callable, Protocol

from nuke_vdp.errors import HostError
from nuke_vdp.runs import process
from nuke_vdp.runs.events import Snapshot
from nuke_vdp.runs.tokens import Token, device_token

log = logging.getLogger("nuke_vdp")

_LIFE_SECONDS = 50.0  # how often other machines are told that a waiting run has somebody


class Watchable(Protocol):
    """What the queue needs of a ``Run``."""

    @property
    def out(self) -> str: ...

    @property
    def device(self) -> str: ...

    def snapshot(self) -> Snapshot: ...

    def is_queued(self) -> bool: ...

    def launch(self, device: Token) -> None: ...

    def fail(self, problem: str) -> None: ...

    def enforce(self, grace: float) -> None: ...

    def show_life(self) -> None: ...


Listener = Callable[..., None]


class _Watched:
    def __init__(self, run: Watchable) -> None:
        self.run = run
        self.listeners: list[Listener] = []
        self.told: dict[int, Snapshot] = {}  # by the place of the listener in the list
        self.life_shown = time.monotonic()


class Queue:
    """Runs of this session, in the order they came.

    Args:
        grace: seconds that an engine has to obey a stop before it is ended.
        interval: seconds between two looks.
    """

    def __init__(self, grace: float = 10.0, interval: float = 0.3) -> None:
        self.grace = grace
        self.interval = interval
        self._watched: list[_Watched] = []
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()

    def held(self) -> AbstractContextManager[object]:
        """While the block runs, no other thread gives a run its turn."""
        return self._lock

    def add(self, run: Watchable, listener: Listener | None = None) -> None:
        """Start a new run now, or when its device is free.

        Raises:
            HostError: it could not be started.
        """
        with self._lock:
            problem = self._give_turn(run)
        if problem is not None:
            raise problem
        self.watch(run, listener)

    def watch(self, run: Watchable, listener: Listener | None = None) -> None:
        """Call ``listener(run, snapshot)`` from another thread, once soon and whenever something changed.

        For runs that were found again; the listener is dropped when the run has ended.
        """
        with self._lock:
            watched = self._of(run.out)
            if watched is None:
                watched = _Watched(run)
                self._watched.append(watched)
            if listener is not None and listener not in watched.listeners:
                watched.listeners.append(listener)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look_after, name="vdp-runs", daemon=True)
                self._thread.start()

    def find(self, out: str) -> Watchable | None:
        """The run of an output folder, if it is watched here."""
        with self._lock:
            watched = self._of(out)
            return None if watched is None else watched.run

    def _of(self, out: str) -> _Watched | None:
        return next((watched for watched in self._watched if watched.run.out == out), None)

    def _look_after(self) -> None:
        while True:
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                everyone = list(self._watched)
            for watched in everyone:
                try:
                    self._tend(watched)
                except Exception:  # one run that cannot be looked at must not leave the others alone
                    log.exception("trouble with the run in %s", watched.run.out)
            time.sleep(self.interval)

    def _tend(self, watched: _Watched) -> None:
        run = watched.run
        with self._lock:
            self._give_turn(run)
            listeners = list(watched.listeners)
        snapshot = run.snapshot()
        if snapshot.ended:
            with self._lock:
                # Somebody may have started the next run in the folder since: that one is watched on.
                if run.snapshot().ended:
                    self._watched.remove(watched)
        else:
            self._keep(watched)
        for index, listener in enumerate(listeners):
            if watched.told.get(index) != snapshot:
                watched.told[index] = snapshot
                try:
                    listener(run, snapshot)
                except Exception:
                    log.exception("a listener to the run in %s failed", run.out)

    def _keep(self, watched: _Watched) -> None:
        try:
            watched.run.enforce(self.grace)
        except HostError as error:
            log.warning("%s", error)
        now = time.monotonic()
        if now - watched.life_shown > _LIFE_SECONDS and watched.run.is_queued():
            watched.life_shown = now
            watched.run.show_life()

    def _give_turn(self, run: Watchable) -> HostError | None:
        """Start a run that waits, if its device is free and no other run came before it; the error if that fails."""
        if not run.is_queued():
            return None
        device = device_token(run.device)
        for earlier in (watched.run for watched in self._watched):
            if earlier.out == run.out:
                break
            if device_token(earlier.device).path == device.path and earlier.is_queued():
                return None
        try:
            if not device.take(process.this_process(), run.out):
                return None
            run.launch(device)
        except (HostError, OSError) as error:
            device.give_back()
            problem = error if isinstance(error, HostError) else HostError(f"The engine could not be queued: {error}")
            run.fail(str(problem))
            return problem
        return None
