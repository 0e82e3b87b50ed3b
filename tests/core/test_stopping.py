"""Signals: they stop at once, but never in the middle of what must not be cut."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from vdp_engine import stopping
from vdp_engine.progress import SilentReporter
from vdp_engine.stopping import Stopped, held


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stopping.install()
    yield
    stopping._received = None
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_at_once(number: int, exit_code: int) -> None:
    with pytest.raises(Stopped) as caught:
        send(number)
        pytest.fail("went on after the signal")
    assert caught.value.exit_code == exit_code
    assert signal.Signals(number).name in str(caught.value)


def test_no_handler_of_exceptions_swallows_it() -> None:
    assert not issubclass(Stopped, Exception)


def test_what_is_held_is_finished_first() -> None:
    done = []
    with pytest.raises(Stopped), held():
        with held():
            send(signal.SIGTERM)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


def test_a_signal_is_not_lost_where_the_held_block_fails() -> None:
    with pytest.raises(Stopped) as caught, held():
        send(signal.SIGTERM)
        raise ValueError("lost step")
    assert isinstance(caught.value.__context__, ValueError)


def test_a_stop_is_told_once() -> None:
    with pytest.raises(Stopped), held():
        send(signal.SIGINT)
    with held():
        pass


def test_a_stop_that_a_library_swallowed_is_told_again() -> None:
    assert stopping.received() is None
    stopping.check()
    with contextlib.suppress(BaseException):
        send(signal.SIGTERM)
    with held():
        stopping.check()
    with pytest.raises(Stopped):
        stopping.check()
    with pytest.raises(Stopped):
        SilentReporter().progress("prep", 0.5, "frame 1")
    stopped = stopping.received()
    assert stopped is not None and stopped.exit_code == 143


def test_other_threads_hold_nothing_back() -> None:
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with held():
            inside.set()
            leave.wait(10)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        inside.wait(10)
        with pytest.raises(Stopped):
            send(signal.SIGTERM)
    finally:
        leave.set()
        worker.join()
