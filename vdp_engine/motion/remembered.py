"""What was worked out of the pairs asked for last: a pair is wanted both ways, and often by several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from vdp_engine.motion.proxy import Proxy

Found = TypeVar("Found")

_MOST = 8


class Remembered(Generic[Found]):
    """A function of a pair of proxies that is not worked out twice for the same two objects in the same order.

    Args:
        work: the function; several threads may be in it at the same time, on different pairs.
    """

    def __init__(self, work: Callable[[Proxy, Proxy], Found]) -> None:
        self._work = work
        self._lock = threading.Lock()
        # The proxies are kept with it, so that no other one can get their identity.
        self._found: dict[tuple[int, int], tuple[Proxy, Proxy, Future[Found]]] = {}

    def __call__(self, source: Proxy, target: Proxy) -> Found:
        """As the function; a thread that asks for what another one is working out waits for it."""
        key = id(source), id(target)
        with self._lock:
            known = self._found.get(key)
            if known is None:
                mine: Future[Found] = Future()
                self._found[key] = (source, target, mine)
                while len(self._found) > _MOST:
                    del self._found[next(iter(self._found))]
        if known is not None:
            return known[2].result()
        try:
            mine.set_result(self._work(source, target))
        except BaseException as error:
            mine.set_exception(error)
            with self._lock:
                self._found.pop(key, None)
        return mine.result()
