"""The main-thread rule: Nuke's API is called on one thread; another thread hands its calls over."""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ._session import S

F = TypeVar("F", bound=Callable[..., Any])
_SPECIAL = {"__init__", "__getitem__", "__enter__", "__exit__"}
_calls: queue.Queue[Callable[[], None]] = queue.Queue()


def on_main_thread() -> bool:
    return threading.get_ident() == S.main_thread


def guard(function: F) -> F:
    """The same function, which raises RuntimeError off the main thread."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != S.main_thread:
            raise RuntimeError(
                f"nuke: {function.__qualname__} was called off the main thread (this hangs or crashes Nuke); "
                "use nuke.executeInMainThread"
            )
        return function(*args, **kwargs)

    return guarded  # type: ignore[return-value]


class Guarded:
    """A class whose public methods keep the main-thread rule, those of its subclasses too."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in list(vars(cls).items()):
            if callable(member) and not isinstance(member, type) and (not name.startswith("_") or name in _SPECIAL):
                setattr(cls, name, guard(member))


def executeInMainThread(call: Callable[..., Any], args: Any = (), kwargs: dict[str, Any] | None = None) -> None:
    """Queues the call; the stand-in's `pump` runs it."""
    _from_elsewhere("executeInMainThread")
    _calls.put(lambda: call(*_tuple(args), **(kwargs or {})))


def executeInMainThreadWithResult(
    call: Callable[..., Any], args: Any = (), kwargs: dict[str, Any] | None = None
) -> Any:
    """Queues the call and waits for its result. Waits for ever where nobody pumps, as Nuke does when it is busy."""
    _from_elsewhere("executeInMainThreadWithResult")
    answer: queue.Queue[Any] = queue.Queue()

    def run() -> None:
        result = None
        try:
            result = call(*_tuple(args), **(kwargs or {}))
        finally:
            answer.put(result)

    _calls.put(run)
    return answer.get()


def _from_elsewhere(name: str) -> None:
    if on_main_thread():
        raise RuntimeError(f"nuke.{name} was called on the main thread (this can hang Nuke)")


def _tuple(args: Any) -> tuple[Any, ...]:
    return args if isinstance(args, tuple) else (args,)


def pump(seconds: float = 0.0, until: Callable[[], Any] | None = None) -> int:
    """Runs what other threads asked for, on this (the main) thread; the number of calls run.

    Goes on for `seconds`, or until `until()` is true. An exception in a call is raised here.
    """
    if not on_main_thread():
        raise RuntimeError("pump is for the main thread")
    count, end = 0, time.monotonic() + seconds
    while True:
        try:
            call = _calls.get(timeout=min(0.02, max(0.0, end - time.monotonic())))
        except queue.Empty:
            call = None
        if call is not None:
            count += 1
            call()
        if until is not None and until():
            return count
        if call is None and time.monotonic() >= end:
            return count


def forget_calls() -> None:
    while not _calls.empty():
        _calls.get_nowait()
