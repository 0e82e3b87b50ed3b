"""Stopping on SIGINT and SIGTERM without losing work.

A signal raises ``Stopped`` in the main thread at once, which is safe because every file appears whole or not at
all. Work that must not be cut in the middle (an optimiser step, a checkpoint) runs inside ``held()``: the
signal then takes effect when the block ends.

A library that is called when the signal comes may lose the exception or put one of its own in its place (safetensors
does). So the signal is remembered: ``check()`` raises it again, and ``received()`` tells what an odd error really was.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

EXIT_SIGINT = 130
EXIT_SIGTERM = 143

_held = 0
_pending: int | None = None
_received: int | None = None


class Stopped(BaseException):
    """The user or the farm asked the process to end. Not an ``Exception``, so that no handler swallows it."""

    def __init__(self, signum: int) -> None:
        self.exit_code = EXIT_SIGINT if signum == signal.SIGINT else EXIT_SIGTERM
        super().__init__(f"stopped by {signal.Signals(signum).name}")


def _on_signal(signum: int, _frame: FrameType | None) -> None:
    global _pending, _received
    _received = signum
    if _held:
        _pending = signum
        return
    raise Stopped(signum)


def received() -> Stopped | None:
    """The stop that this process was asked for, however it ended up being told; ``None`` where it was not."""
    return None if _received is None else Stopped(_received)


def check() -> None:
    """Raise the stop that was asked for and got lost on its way. Of no effect inside ``held()`` and other threads."""
    if _received is not None and not _held and threading.current_thread() is threading.main_thread():
        raise Stopped(_received)


def install() -> None:
    """Turn SIGINT and SIGTERM into ``Stopped``. Call once, from the main thread of a command."""
    signal.signal(signal.SIGINT, _on_signal)
    signal.signal(signal.SIGTERM, _on_signal)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Put off a signal that arrives inside the block until the block has ended, in success or failure.

    Signals interrupt the main thread alone, so in other threads there is nothing to put off.
    """
    global _held, _pending
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _held += 1
    try:
        yield
    finally:
        _held -= 1
        if not _held and _pending is not None:
            signum, _pending = _pending, None
            raise Stopped(signum)
