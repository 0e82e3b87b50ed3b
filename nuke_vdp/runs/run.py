"""Runs: one decomposition into one output folder, found again by that folder from any Nuke.

The engine is a process of its own, which outlives Nuke; its output goes straight into files. A ``Run`` holds nothing
that is not on disk: what became of it is read from there, whoever started it (``record.py`` says what lies where).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import threading
import time
import uuid
from pathlib import Path

from nuke_vdp import engine, files
from nuke_vdp.engine import Request
from nuke_vdp.errors import HostError
from nuke_vdp.runs import outcome, process, record, tokens
from nuke_vdp.runs.events import Reader, Snapshot
from nuke_vdp.runs.record import Place, Record, Stamped, Stop
from nuke_vdp.runs.tokens import Token
from nuke_vdp.runs.waiting import Listener, Queue

# The engine speaks at least once a minute; file servers tell of it late.
_SILENCE_SECONDS = 150.0
_POLL_SECONDS = 0.05

_queue = Queue()


class Run:
    """The run of one output folder. Safe to use from several threads.

    Where somebody starts another run in the same folder, this is that run from then on.
    """

    def __init__(self, place: Place, known: Record) -> None:
        self._place = place
        self._record = known
        self._record_file = Stamped(place.record, Record)
        self._stop_file = Stamped(place.stop, Stop)
        self._asked: Stop | None = None
        self._reader = Reader(place.events, place.stderr)
        self._final: Snapshot | None = None
        self._last_sign = 0.0
        self._sign_seen = 0.0
        self._lock = threading.RLock()

    @property
    def out(self) -> str:
        """The folder of the layers, with forward slashes."""
        return self._place.out.as_posix()

    @property
    def request(self) -> Request:
        """What was asked for."""
        return self._record.request

    @property
    def started(self) -> float:
        """When Decompose was pressed, in seconds since 1970."""
        return self._record.started

    @property
    def device(self) -> str:
        """The device asked for."""
        return self._record.device

    def snapshot(self) -> Snapshot:
        """The run now. Cheap: reads only what is new."""
        with self._lock:
            known = self._refresh()
            if self._final is not None:
                return self._final
            stop = self._stop_asked()
            if known.state == "queued":
                owner_is_there = self._is_alive()
                if not owner_is_there:
                    known = self._refresh()  # it may have started the engine just before it went
            if known.state == "queued":
                return outcome.queued(known, stop, owner_is_there=owner_is_there, waits_for=self._waits_for())
            goes_on = self._is_alive()  # before the last look into the files, so that nothing is missed
            story = self._reader.update(last=not goes_on)
            if goes_on and (self._is_here() or (story.result is None and story.error is None)):
                return outcome.running(known, story, stop)
            code = process.exit_code(known.process) if self._is_here() else None
            silent = "" if self._is_here() else known.host
            snapshot = outcome.ended(story, stop, exit_code=code, silent_host=silent)
            if snapshot.state != "lost" or self._is_here():
                self._final = snapshot
            return snapshot

    def cancel(self) -> None:
        """Ask the run to stop; its checkpoint is kept. An engine that does not obey is ended after a grace.

        A run of another machine is stopped by the Nuke there, if that is still open.

        Raises:
            HostError: the run belongs to another user.
        """
        with self._lock:
            if self.snapshot().ended or self._stop_asked() is not None:
                return
            known = self._record
            here = known.state == "running" and self._is_here()
            self._ask(Stop(known.token, time.time() if here else 0.0))
            if here:
                try:
                    process.stop(known.process)
                except HostError:
                    self._asked = None
                    with contextlib.suppress(OSError):
                        self._place.stop.unlink()
                    raise
        _queue.watch(self)

    def wait(self, timeout: float | None = None) -> Snapshot:
        """Block until the run has ended, or for ``timeout`` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            snapshot = self.snapshot()
            if snapshot.ended or (end is not None and time.monotonic() >= end):
                return snapshot
            time.sleep(_POLL_SECONDS)

    # What the queue calls

    def is_queued(self) -> bool:
        """Whether it is still to be started, by this Nuke."""
        with self._lock:
            known = self._refresh()
            mine = known.process == process.this_process() and self._is_here()
            return known.state == "queued" and not known.problem and mine and self._stop_asked() is None

    def launch(self, device: Token) -> None:
        """Start the engine; this process holds the token of the device, which then goes to the engine.

        Raises:
            HostError: it could not be started.
        """
        with self._lock:
            known = self._record
            child = None
            try:
                child = self._spawn(known)
                device.hand_over(child, _about(known.request))
                going = dataclasses.replace(known, state="running", pid=child.pid, identity=child.identity)
                record.write(self._place.record, going)
            except OSError as error:
                if child is not None:
                    process.kill(child)
                what = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
                raise HostError(f"The engine could not be started: {what}") from None
            self._begin(going)

    def fail(self, problem: str) -> None:
        """It could not be started, for this reason."""
        with self._lock:
            self._record = dataclasses.replace(self._record, problem=problem)
            with contextlib.suppress(OSError):
                record.write(self._place.record, self._record)

    def enforce(self, grace: float) -> None:
        """Carry out a stop that was asked for elsewhere; end an engine that has not obeyed for ``grace`` seconds."""
        with self._lock:
            known, stop = self._refresh(), self._stop_asked()
            if stop is None or known.state != "running" or not self._is_here():
                return
            if not stop.told:
                self._ask(Stop(known.token, time.time()))
                process.stop(known.process)
            elif time.time() - stop.told > grace:
                process.kill(known.process)

    def show_life(self) -> None:
        """Tell other machines that this Nuke, which is to start the run, is still there."""
        with contextlib.suppress(OSError):
            os.utime(self._place.record)

    # Its own

    def _spawn(self, known: Record) -> process.Process:
        """Start the engine. What the run before left is lost only once that has worked."""
        before = {file: file.with_name(f"{file.name}.before") for file in (self._place.events, self._place.stderr)}
        for file, aside in before.items():
            if file.exists():
                files.replace(file, aside)
        try:
            child = process.start(
                known.command, self._place.events, self._place.stderr, engine.environment(), self._place.out
            )
        except OSError:
            for file, aside in before.items():
                if aside.exists():
                    files.replace(aside, file)
            raise
        for aside in before.values():
            with contextlib.suppress(OSError):
                aside.unlink()
        return child

    def _begin(self, known: Record) -> None:
        self._record = known
        self._reader = Reader(self._place.events, self._place.stderr)
        self._final = None

    def _refresh(self) -> Record:
        """The record as it is on disk now; the last one known where that cannot be read."""
        known = self._record_file.read()
        if known is not None and (known.token, known.state) != (self._record.token, self._record.state):
            self._begin(known)
        elif known is not None:
            self._record = known
        return self._record

    def _is_here(self) -> bool:
        return self._record.host == socket.gethostname()

    def _is_alive(self) -> bool:
        """Whether the engine (of a queued run: the Nuke that is to start it) is there."""
        if self._is_here():
            return process.alive(self._record.process)
        newest = max(_modified(path) for path in (self._place.record, self._place.events, self._place.stderr))
        if newest > self._last_sign:
            # A sign that comes while we look is fresh, whatever the clocks of the machines say.
            self._sign_seen = time.time() if self._last_sign else newest
            self._last_sign = newest
        return time.time() - self._sign_seen < _SILENCE_SECONDS

    def _stop_asked(self) -> Stop | None:
        for stop in (self._stop_file.read(), self._asked):
            if stop is not None and stop.token == self._record.token:
                return stop
        return None

    def _ask(self, stop: Stop) -> None:
        self._asked = stop
        try:
            record.write(self._place.stop, stop)
        except OSError as error:
            record.log.warning("%s cannot be written: %s", self._place.stop, error)

    def _waits_for(self) -> str:
        if not self._is_here():
            return f"its turn on {self._record.host}"
        about = tokens.device_token(self.device).about()
        name = tokens.device_name(self.device)
        return f"{name}: VDP works on {about} there" if about else f"its turn on {name}"


def start(request: Request, listener: Listener | None = None) -> Run:
    """Start a decomposition, or queue it where its device is taken.

    Args:
        listener: called with the run and a snapshot, from another thread, whenever something changed, until it ends.

    Raises:
        HostError: a run is going on in that folder, or it cannot be started; EngineMissing: there is no engine.
    """
    place = Place(Path(request.out))
    if not place.out.is_absolute():
        raise HostError(f"The output folder must be a full path, not {request.out!r}")
    command = engine.command(request)
    me = process.this_process()
    queued = Record(
        token=uuid.uuid4().hex, state="queued", request=request, digest=request.digest(), command=command,
        host=socket.gethostname(), pid=me.pid, identity=me.identity, device=request.device, started=time.time(),
    )  # fmt: skip
    # The watcher may still look after the run before in this folder: it must not start this one, and keep its error.
    with _queue.held():
        try:
            place.folder.mkdir(parents=True, exist_ok=True)
            _claim(place, queued)
        except OSError as error:
            raise HostError(f"The output folder {request.out} cannot be written: {error.strerror or error}") from None
        run = Run(place, queued)
        _queue.add(run, listener)
    return run


def find(out: str) -> Run | None:
    """The run of an output folder, whoever started it; none where there never was one."""
    place = Place(Path(out))
    watched = _queue.find(place.out.as_posix())
    if isinstance(watched, Run):
        return watched
    known = Stamped(place.record, Record).read()
    return None if known is None else Run(place, known)


def queue() -> Queue:
    """The queue of this session."""
    return _queue


def _claim(place: Place, queued: Record) -> None:
    """Make the folder that of a new run, unless one is going on there."""
    starting = Token(place.starting)
    if not starting.take(queued.process):
        raise HostError(f"VDP is already working on {place.out.as_posix()}: it is being started just now")
    try:
        known = Stamped(place.record, Record).read()
        snapshot = None if known is None else Run(place, known).snapshot()
        if snapshot is not None and not snapshot.ended:
            raise HostError(
                f"VDP is already working on {place.out.as_posix()} ({snapshot.message}). "
                "Wait for it, cancel it, or choose another output folder"
            )
        record.write(place.record, queued)
    finally:
        starting.give_back()


def _about(request: Request) -> str:
    return f"{request.name} ({request.out})" if request.name else request.out


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
