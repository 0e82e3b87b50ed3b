"""The stage `prep`: flow, camera motion and motion evidence of every frame, each in a file of its own.

A frame's file follows from the frame and its neighbours in the shot alone, never from what else is prepared in the
same run, so chunks can be prepared anywhere and give the same bytes as the whole shot in one go.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from vdp_engine import files
from vdp_engine.machine import require, threads, workers
from vdp_engine.motion.cache import FORMAT, MotionFrame, stamp_of
from vdp_engine.motion.estimator import FlowEstimator, make_estimator
from vdp_engine.motion.measure import Flow, Neighbour, measure_motion
from vdp_engine.motion.proxy import Proxy, read_proxies, shrink_flow
from vdp_engine.motion.sizes import GAPS, WorkingSizes, working_sizes
from vdp_engine.progress import Reporter
from vdp_engine.settings import Machine, short_digest
from vdp_engine.shot import Shot

# Measured peaks: of a frame on its way to flow size, and of a pair of frames in the estimator.
_BYTES_A_PLATE_PIXEL = 56
_BYTES_A_FLOW_PIXEL = {"dis": 128, "vdp": 1024}
_BYTES_A_REFINED_PIXEL = 512  # while a pair is refined, which is after the estimator's own peak


def shot_sizes(shot: Shot) -> WorkingSizes:
    """The working sizes of a shot."""
    return working_sizes(shot.plate.canvas.shape, shot.plate.pixel_aspect, shot.settings.quality)


def shot_motion(shot: Shot, position: int) -> MotionFrame:
    """The motion of the frame at a position of a shot, from its file; ShotError where it has not been prepared."""
    return MotionFrame.load(shot.motion_file(shot.frames[position]), shot.frames[position])


def prep(shot: Shot, machine: Machine, reporter: Reporter, frames: Sequence[int] | None = None) -> None:
    """Write the motion files of ``frames`` (none: all of the shot); files that are up to date stay untouched.

    Raises:
        PlateError: a frame, or a neighbour that it needs, cannot be read.
        MotionError: the estimator lacks its weights or its channels.
        TryAgainError: a file cannot be written, or there is not enough memory.
    """
    files.sweep(shot.motion_file(shot.frames[0]).parent)
    for note in shot.plate.notes:
        reporter.note(note)
    work = _Work.of(shot, machine)
    asked = shot.frames if frames is None else frames
    todo = work.stale(asked)
    if not todo:
        reporter.progress("prep", 1.0, "motion is up to date")
        return
    files.require_writable(shot.work)
    _require_memory(work, machine)
    done = len(asked) - len(todo)
    with _workers(machine) as pool:
        for position in _Walk(work, pool, ahead=threads(machine)).run(todo):
            done += 1
            reporter.progress("prep", done / len(asked), f"motion of frame {shot.frames[position]}")


def _require_memory(work: _Work, machine: Machine) -> None:
    height, width = work.shot.plate.canvas.shape
    flow = work.sizes.flow[0] * work.sizes.flow[1]
    settings = work.shot.settings
    a_pixel = _BYTES_A_FLOW_PIXEL.get(settings.flow, _BYTES_A_FLOW_PIXEL["dis"])
    if settings.flow_refine:
        a_pixel = max(a_pixel, _BYTES_A_REFINED_PIXEL)
    needed = height * width * _BYTES_A_PLATE_PIXEL + threads(machine) * flow * a_pixel
    require(needed, f"measuring the motion of a frame of {width}x{height}", machine)


def pending(shot: Shot, frames: Sequence[int]) -> tuple[int, ...]:
    """Those of ``frames`` whose motion file is missing, damaged or made from something else; writes nothing.

    Raises:
        MotionError: the estimator lacks its weights or its channels.
    """
    work = _Work.of(shot, Machine.parse(device="cpu"))
    return tuple(shot.frames[position] for position in work.stale(frames))


@dataclass(frozen=True)
class _Work:
    """What is to be done to each frame; frames go by their position in the shot, which makes neighbours."""

    shot: Shot
    sizes: WorkingSizes
    estimator: FlowEstimator
    gaps: tuple[int, ...]
    plate_stamp: Callable[[int], str]

    @classmethod
    def of(cls, shot: Shot, machine: Machine) -> _Work:
        sizes = shot_sizes(shot)
        estimator = make_estimator(shot.settings, shot.plate, sizes, machine)
        limit = estimator.max_gap
        gaps = tuple(gap for gap in GAPS[shot.settings.quality] if limit is None or gap <= limit)
        return cls(shot, sizes, estimator, gaps, cache(shot.plate.stamp))

    @property
    def asked(self) -> tuple[FlowEstimator, ...]:
        """The estimator, and its witness where it has one."""
        witness = self.estimator.witness
        return (self.estimator,) if witness is None else (self.estimator, witness)

    @property
    def reach(self) -> int:
        return max(self.gaps)

    @property
    def signed_gaps(self) -> tuple[int, ...]:
        return tuple(sign * gap for gap in self.gaps for sign in (1, -1))

    def file(self, position: int) -> Path:
        return self.shot.motion_file(self.shot.frames[position])

    def stamp(self, position: int) -> str:
        """Digest of all that the motion file at ``position`` follows from."""
        near = range(max(0, position - self.reach), min(len(self.shot.frames), position + self.reach + 1))
        plates = [(other - position, self.plate_stamp(self.shot.frames[other])) for other in near]
        asked = (one.name for one in self.asked)
        made_by = (self.shot.settings.digest("prep"), *asked, self.sizes.flow, self.sizes.motion)
        return short_digest([FORMAT, *made_by, self.gaps, str(self.shot.plate.canvas), plates])

    def stale(self, frames: Sequence[int]) -> list[int]:
        """The ascending positions of those of ``frames`` whose motion file is not what it would be now."""
        chosen = set(frames)
        positions = [position for position, frame in enumerate(self.shot.frames) if frame in chosen]
        return [position for position in positions if stamp_of(self.file(position)) != self.stamp(position)]

    def flows(self, source: Proxy, target: Proxy) -> tuple[Flow, ...]:
        """Flow at motion size as each of those has it that are asked."""
        return tuple(shrink_flow(one.flow(source, target), self.sizes.motion) for one in self.asked)


@contextlib.contextmanager
def _workers(machine: Machine) -> Iterator[Executor]:
    """A pool whose tasks each use one thread: sums then do not depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = workers(threads(machine), "prep", machine)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)


class _Walk:
    """One walk along the shot, with the proxies and flows in memory that unfinished frames still need.

    The plate is read in the caller's thread, one frame at a time. Flows and measurements are the pool's work, queued
    in such an order that a measurement never waits for a flow queued after it.
    """

    def __init__(self, work: _Work, pool: Executor, ahead: int) -> None:
        self._work = work
        self._count = len(work.shot.frames)
        self._pool = pool
        self._ahead = ahead  # measurements that may be under way while the walk goes on
        self._proxies: dict[int, tuple[Proxy, Proxy]] = {}
        self._flows: dict[tuple[int, int], Future[tuple[Flow, ...]]] = {}

    def run(self, todo: Sequence[int]) -> Iterator[int]:
        """Measure and write the frames at the ascending positions ``todo``; yields each when it is on disk."""
        wanted = set(todo)
        unmeasured = deque(todo)
        unwritten: deque[tuple[int, Future[None]]] = deque()
        reach, last = self._work.reach, self._count - 1
        for position in range(max(0, todo[0] - reach), min(last, todo[-1] + reach) + 1):
            near = [position + gap for gap in (0, *self._work.signed_gaps)]
            if not wanted.isdisjoint(near):
                self._arrive(position, wanted)
            while unmeasured and min(unmeasured[0] + reach, last) <= position:
                unwritten.append((unmeasured[0], self._measure(unmeasured.popleft())))
            self._forget(unmeasured[0] if unmeasured else self._count, position)
            while len(unwritten) > self._ahead:
                yield self._written(*unwritten.popleft())
        while unwritten:
            yield self._written(*unwritten.popleft())

    def _arrive(self, position: int, wanted: set[int]) -> None:
        """Read the frame and queue the flows, both ways, between it and the earlier ones that it has to do with."""
        work = self._work
        self._proxies[position] = read_proxies(work.shot.plate, work.shot.frames[position], work.sizes)
        linked = [
            position - gap
            for gap in work.gaps
            if position - gap in self._proxies and not wanted.isdisjoint((position - gap, position))
        ]
        # One way of every pair first: an estimator that works out both ways together then has different pairs in hand.
        ways = [*((earlier, position) for earlier in linked), *((position, earlier) for earlier in linked)]
        for pair in ways:
            source, target = (self._proxies[one][0] for one in pair)
            self._flows[pair] = self._pool.submit(work.flows, source, target)

    def _measure(self, position: int) -> Future[None]:
        """Queue the measurement of a frame whose neighbours have all arrived."""
        work, proxy = self._work, self._proxies[position][1]
        others = {gap: position + gap for gap in work.signed_gaps if 0 <= position + gap < self._count}
        pairs = {
            gap: (self._flows[position, other], self._flows[other, position], self._proxies[other][1].coverage)
            for gap, other in others.items()
        }

        def measure() -> None:
            near = {}
            for gap, (to, back, coverage) in pairs.items():
                own, *witness = zip(to.result(), back.result(), strict=True)
                near[gap] = Neighbour(*own, coverage, *witness)
            measure_motion(proxy, work.signed_gaps, near).save(work.file(position), work.stamp(position))

        return self._pool.submit(measure)

    def _forget(self, next_position: int, position: int) -> None:
        """Drop what no frame from ``next_position`` on, and no pair beyond ``position``, will ask for."""
        first = min(next_position, position + 1) - self._work.reach
        self._proxies = {one: proxies for one, proxies in self._proxies.items() if one >= first}
        self._flows = {pair: flow for pair, flow in self._flows.items() if max(pair) >= next_position}

    def _written(self, position: int, writing: Future[None]) -> int:
        writing.result()
        return position
