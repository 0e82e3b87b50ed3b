"""Pictures that were made once, kept as long as there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]


class Cache:
    """Pictures by key, the least recently used dropped first. Threads that want the same one wait for one maker.

    Args:
        most_bytes: of the pictures kept; one that is larger than all of it is made and not kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held = 0
        self._pictures: OrderedDict[Hashable, Picture] = OrderedDict()
        self._made: dict[Hashable, Future[Picture]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Picture]) -> Picture:
        """The picture of a key; it is shared, so not to be written to. Raises what ``make`` raises."""
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
            others = self._made.get(key)
            if others is None:
                own: Future[Picture] = Future()
                self._made[key] = own
        if others is not None:
            return others.result()
        try:
            picture = make()
            picture.flags.writeable = False
        except BaseException as error:
            own.set_exception(error)
            with self._lock:
                del self._made[key]
            raise
        with self._lock:
            self._keep(key, picture)
            del self._made[key]
        own.set_result(picture)
        return picture

    def has(self, key: Hashable) -> bool:
        """Whether it is there, or being made."""
        with self._lock:
            return key in self._pictures or key in self._made

    def forget(self, wanted: Callable[[Hashable], bool]) -> None:
        """Drop the pictures whose key is ``wanted`` no more."""
        with self._lock:
            for key in [key for key in self._pictures if wanted(key)]:
                self._held -= self._pictures.pop(key).nbytes

    def _keep(self, key: Hashable, picture: Picture) -> None:
        if picture.nbytes > self._most:
            return
        self._pictures[key] = picture
        self._held += picture.nbytes
        while self._held > self._most:
            self._held -= self._pictures.popitem(last=False)[1].nbytes
