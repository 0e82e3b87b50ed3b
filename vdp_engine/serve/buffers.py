"""The files through which pixels pass: made by the plug-in, mapped here."""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vdp_engine.errors import ServeError

_MOST_KEPT = 64


class _File(NamedTuple):
    path: Path
    device: int
    inode: int
    size: int


class TooSmall(ServeError):
    """A buffer does not hold what was asked for; ``needed`` bytes would."""

    def __init__(self, path: Path, size: int, needed: int) -> None:
        super().__init__(f"the buffer has {size} bytes, and {needed} are needed", code="buffer", path=path)
        self.code = "buffer"
        self.needed = needed


class Buffers:
    """Mapped files. Mappings are kept: to make one costs more than to fill it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_File, mmap.mmap] = OrderedDict()
        self._lock = threading.Lock()

    def picture(self, path: Path, height: int, width: int, components: int) -> NDArray[np.float32]:
        """The beginning of a file as float32 (height, width, components), a view, its rows from top to bottom.

        In the file they lie from bottom to top, as OFX has them.

        Raises:
            TooSmall: the file is.
            ServeError: ``buffer``, it is not there, or the drive has no room for what it claims to hold.
        """
        needed = height * width * components * 4
        flat = np.frombuffer(self._mapped(path, needed), np.float32, needed // 4)
        return flat.reshape(height, width, components)[::-1]

    def _mapped(self, path: Path, needed: int) -> mmap.mmap:
        try:
            with open(path, "r+b") as file:
                status = os.fstat(file.fileno())
                if status.st_size < max(needed, 1):
                    raise TooSmall(path, status.st_size, max(needed, 1))
                known = _File(path, status.st_dev, status.st_ino, status.st_size)
                with self._lock:
                    if known in self._kept:
                        self._kept.move_to_end(known)
                        return self._kept[known]
                if hasattr(os, "posix_fallocate"):
                    # A hole in the file that finds no room when it is filled ends the process (SIGBUS); this raises.
                    os.posix_fallocate(file.fileno(), 0, status.st_size)
                mapped = mmap.mmap(file.fileno(), status.st_size)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            failed = ServeError(f"cannot use the buffer {path}: {reason}", code="buffer", path=path)
            failed.code = "buffer"
            raise failed from error
        if sys.platform != "win32":  # there a file that is mapped cannot be removed
            self._keep(known, mapped)
        return mapped

    def _keep(self, file: _File, mapped: mmap.mmap) -> None:
        """Dropped mappings are closed by the last picture that uses them."""
        with self._lock:
            # A file that was removed keeps its room on the drive as long as it is mapped.
            for other in [other for other in self._kept if other.path == file.path or not other.path.exists()]:
                del self._kept[other]
            self._kept[file] = mapped
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
