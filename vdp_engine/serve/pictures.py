"""The pictures of layer files: made once, kept as long as there is room, and made ahead while a sequence is played."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import OpenImageIO as oiio
from numpy.typing import NDArray

from vdp_engine.errors import ServeError, VdpError
from vdp_engine.machine import usable_cpus
from vdp_engine.serve.cache import Cache
from vdp_engine.serve.folder import Folder
from vdp_engine.serve.layer_file import Header, read_channels
from vdp_engine.serve.outputs import RECOMPOSITION, Output, as_rgba, recomposed


class View(NamedTuple):
    """How an artist wants an output: the state of its colours, and the knobs of the recomposition."""

    output: str
    alpha: str
    haze: float
    mix: float


class Pictures:
    """All pictures that a host asks for.

    Args:
        cache_bytes: of those that are kept.
    """

    def __init__(self, cache_bytes: int) -> None:
        count = usable_cpus()
        # The decoder's own threads work beside the one that reads; -1 means none of them.
        oiio.attribute("exr_threads", count if count > 1 else -1)
        self._cache = Cache(cache_bytes)
        self._ahead = ThreadPoolExecutor(1, "vdp-ahead")
        self._shown: dict[tuple[Path, str], int] = {}
        self._lock = threading.Lock()

    def picture(self, header: Header, view: View, frame: int) -> NDArray[np.float32]:
        """A picture as float32 (H, W, 4), rows from top to bottom; not to be written to.

        Raises:
            ServeError: ``output``, the layers have no such one; ``damaged``.
        """
        output = require_output(header, view, frame)
        kept = self._kept(header, output, view, frame)
        return _recomposed(header, output, view, kept) if _has_knobs(header, output) else kept

    def look_ahead(self, folder: Folder, frame: int, view: View) -> None:
        """Begin the next picture of a sequence that is being played: the host has other work between two of them."""
        with self._lock:
            before = self._shown.get((folder.path, view.output))
            self._shown[folder.path, view.output] = frame
        if before is not None and abs(frame - before) == 1:
            self._ahead.submit(self._make_ahead, folder, 2 * frame - before, view)

    def forget(self, folder: Path) -> None:
        """Drop what is kept of a shot."""
        self._cache.forget(lambda key: isinstance(key, tuple) and Path(key[0].path).parent == folder)

    def close(self) -> None:
        """Wait for what is made ahead; nothing is any more."""
        self._ahead.shutdown()

    def _make_ahead(self, folder: Folder, frame: int, view: View) -> None:
        with contextlib.suppress(VdpError):  # who asks for this frame is told
            header = folder.header(frame)
            if header is not None:
                self._kept(header, require_output(header, view, frame), view, frame)

    def _kept(self, header: Header, output: Output, view: View, frame: int) -> NDArray[np.float32]:
        """What is kept of a picture: itself, but where knobs move on with each picture the channels that it needs."""

        def channels() -> NDArray[np.float32]:
            return read_channels(header, output.channels, frame)

        if _has_knobs(header, output):
            return self._cache.get((header.key, "channels"), channels)
        if output.name == RECOMPOSITION:
            key = (header.key, output.name, "")
            return self._cache.get(key, lambda: _recomposed(header, output, view, channels()))
        key = (header.key, output.name, view.alpha if output.alpha else "")
        return self._cache.get(key, lambda: as_rgba(output, channels(), view.alpha))


def _has_knobs(header: Header, output: Output) -> bool:
    return output.name == RECOMPOSITION and header.task != "layers"


def require_output(header: Header, view: View, frame: int) -> Output:
    """The output that is wanted; ServeError ``output`` where the layers have none such."""
    output = header.outputs.get(view.output)
    if output is None:
        raise ServeError(
            f"these layers have no {view.output}", code="output", path=header.key.path, frame=frame,
            expected=f"one of {', '.join(header.outputs)}",
        )  # fmt: skip
    return output


def _recomposed(header: Header, output: Output, view: View, channels: NDArray[np.float32]) -> NDArray[np.float32]:
    named = {name: channels[..., index] for index, name in enumerate(output.channels)}
    return recomposed(header.task, named, alpha=header.alpha, gamma=header.gamma or 1.0, haze=view.haze, mix=view.mix)
