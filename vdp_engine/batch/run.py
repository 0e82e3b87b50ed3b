"""Works through the shots of a batch, a few at once, each in a process of its own.

What comes out of a shot depends on the shot alone, so neither order nor number of jobs changes it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from vdp_engine.batch.child import Child, Event, run_arguments
from vdp_engine.batch.entry import ShotSpec
from vdp_engine.batch.lanes import Lane
from vdp_engine.batch.results import Result, own_report, readable_seconds
from vdp_engine.errors import EXIT_TRY_AGAIN, VdpError
from vdp_engine.progress import Reporter, TerminalReporter
from vdp_engine.shot import Shot
from vdp_engine.stopping import EXIT_SIGINT, Stopped, held

# A stopped shot keeps its checkpoint within two seconds or three; the batch itself is to end in about three.
_GRACE_SECONDS = 2.8
_LISTEN_SECONDS = 0.2
# The engine tells something every 25 seconds, but for the time that it takes to be loaded.
_SILENT_SECONDS = 900.0
_MORE_TRIES = 2
_PAUSE_SECONDS = 20.0


class Batch:
    """The work on many shots. ``results`` are in their order, and up to date at any time.

    Args:
        engine: argument list that starts ``vdp``.
        lanes: what each job may use; there are as many jobs at once.
        alone: what a shot may use that is tried again, by itself.
        fresh: whether to remove what earlier runs left of the shots.
        changed: called whenever the work on a shot has ended.
        silent, pause: seconds after which a job that tells nothing is ended, and before shots are tried again.
    """

    def __init__(
        self, specs: Sequence[ShotSpec], engine: Sequence[str], lanes: Sequence[Lane], alone: Lane, reporter: Reporter,
        *, fresh: bool = False, changed: Callable[[], None] = lambda: None, silent: float = _SILENT_SECONDS,
        pause: float = _PAUSE_SECONDS,
    ) -> None:  # fmt: skip
        self.results = [Result(spec) for spec in specs]
        self._engine, self._lanes, self._alone = tuple(engine), tuple(lanes), alone
        self._reporter, self._fresh, self._changed = reporter, fresh, changed
        self._silent, self._pause = silent, pause
        self._fractions = [0.0] * len(self.results)
        self._working: dict[int, Child] = {}  # by lane
        self._events: queue.SimpleQueue[tuple[Child, Event | None]] = queue.SimpleQueue()

    def run(self) -> None:
        """Do all that is left to do. A shot that fails stops no other; one that asks for it is tried again at the end.

        Raises:
            Stopped: a stop was asked for; the shots under way have been stopped, their checkpoints safe.
        """
        try:
            self._pass(range(len(self.results)), self._lanes)
            for _ in range(_MORE_TRIES):
                again = [index for index, result in enumerate(self.results) if result.state == "waiting"]
                if again:
                    names = ", ".join(self.results[index].spec.name for index in again)
                    self._reporter.note(f"trying again, one by one: {names}")
                    self._wait(self._pause)
                    self._pass(again, (self._alone,))
        except BaseException as error:
            self._stop(error)
            raise

    def _pass(self, indices: Iterable[int], lanes: Sequence[Lane]) -> None:
        waiting = deque(indices)
        while waiting or self._working:
            free = [lane for lane in range(len(lanes)) if lane not in self._working]
            if waiting and free:
                self._begin(waiting.popleft(), free[0], lanes[free[0]])
            else:
                self._listen()

    def _begin(self, index: int, lane: int, uses: Lane) -> None:
        result = self.results[index]
        fresh = self._fresh and not result.tries
        report = None if fresh or result.tries else finished(result.spec)
        if report is not None:
            result.state, result.report = "there already", report
            self._fractions[index] = 1.0
            self._reporter.note(f"{result.spec.name}: there already")
            self._show_all(f"{result.spec.name}: there already")
            return
        arguments = run_arguments(result.spec, fresh=fresh)
        command = [*self._engine, *arguments, "--progress", "json", *uses.options]
        result.state, result.error = "running", None
        result.tries += 1
        with held():  # a stop between start and note would leave it running
            try:
                self._working[lane] = Child(index, command, uses.environment, lambda *told: self._events.put(told))
            except VdpError as error:
                result.state, result.error = "failed", error
                self._ended(index, f"{result.spec.name}: failed: {error.message}")

    def _listen(self) -> None:
        with contextlib.suppress(queue.Empty):
            child, event = self._events.get(timeout=_LISTEN_SECONDS)
            if event is None:
                self._end(child)
            else:
                self._hear(child, event)
        for child in self._working.values():
            if time.monotonic() - child.heard > self._silent:
                child.kill(silent=True)

    def _hear(self, child: Child, event: Event) -> None:
        child.hear(event)
        spec = self.results[child.index].spec
        if event["event"] == "progress":
            fraction = float(event.get("overall", 0.0))
            self._fractions[child.index] = fraction
            told = f"{spec.name}: {event.get('stage')}, {event.get('message')}"
            self._show_row(child, told)
            self._show_all(told)
        elif event["event"] == "warning":
            told = f"{spec.name}: {event.get('message')}"
            self._reporter.warning(str(event.get("code")), told, event.get("frame"))

    def _show_row(self, child: Child, message: str) -> None:
        if isinstance(self._reporter, TerminalReporter):
            # A bar that has been full counts as done for good, and each job has many shots.
            row = f"job {self._lane(child) + 1}"
            self._reporter.progress(row, min(self._fractions[child.index], 0.999), message)

    def _show_all(self, message: str) -> None:
        ended = sum(result.state not in ("waiting", "running") for result in self.results)
        frames = [result.spec.count for result in self.results]
        done = sum(count * fraction for count, fraction in zip(frames, self._fractions, strict=True)) / sum(frames)
        told = f"{ended} of {len(self.results)} shots"
        rows = isinstance(self._reporter, TerminalReporter)  # the jobs' own rows tell the rest
        self._reporter.progress("batch", done, told if rows else f"{told}; {message}")

    def _end(self, child: Child) -> None:
        result, name = self.results[child.index], self.results[child.index].spec.name
        result.error = child.end()
        result.seconds += child.seconds
        if result.error is None:
            result.state, result.report = "done", own_report(result)
            told = f"{name}: done, {result.spec.count} frames in {readable_seconds(child.seconds)}"
        else:
            again = result.error.exit_code == EXIT_TRY_AGAIN and result.tries <= _MORE_TRIES
            result.state = "waiting" if again else "failed"
            word = "is to be tried again" if again else "failed"
            told = f"{name}: {word}: {result.error.message} [{result.error.code}]"
        self._show_row(child, told)
        del self._working[self._lane(child)]
        self._ended(child.index, told)

    def _ended(self, index: int, told: str) -> None:
        self._fractions[index] = float(self.results[index].state != "waiting")
        self._reporter.note(told)
        self._show_all(told)
        self._changed()

    def _lane(self, child: Child) -> int:
        return next(lane for lane, one in self._working.items() if one is child)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(min(_LISTEN_SECONDS, seconds))

    def _stop(self, error: BaseException) -> None:
        """End the children, whatever comes: a second signal ends them at once."""
        asked = isinstance(error, Stopped) and error.exit_code == EXIT_SIGINT
        children = list(self._working.values())
        try:
            for child in children:
                child.stop(signal.SIGINT if asked else signal.SIGTERM)
            until = time.monotonic() + _GRACE_SECONDS
            for child in children:
                child.ended(until - time.monotonic())
        finally:
            for child in children:
                child.kill()
                result = self.results[child.index]
                result.state, result.seconds = "stopped", result.seconds + child.seconds
            self._changed()


def finished(spec: ShotSpec) -> dict[str, object] | None:
    """The shot's own report where nothing is left to do for it, as its own files and the engine's own rules tell.

    Where there is any doubt, ``None``: then the engine finds out.
    """
    try:
        # The engine's rooms take seconds to load, and a shot without a report is not done.
        if not json.loads((spec.out / f"{spec.name}.report.json").read_text(encoding="utf-8"))["passed"]:
            return None
        stored = Shot.load(spec.out)
        shot = spec.create()
        if stored.as_dict() != shot.as_dict():
            return None
        from vdp_engine import check, model, motion, render

        if motion.pending(shot, shot.frames) or model.pending(shot) or render.pending(shot, shot.frames):
            return None
        return check.current_report(shot)
    except Exception:  # whatever is odd about it, the engine has words for it
        return None
