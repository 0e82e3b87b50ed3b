"""The helper process of a host: hears requests on stdin, answers on stdout, ends when the host does."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vdp_engine import __version__
from vdp_engine.errors import VdpError
from vdp_engine.serve.protocol import VERSION, Replies, Request, lines, refused

if TYPE_CHECKING:
    from vdp_engine.serve.shots import Shots

_FOLDER_BEGINS = "vdp-ofx-"
# Pictures wait for nothing but pictures. All runs are started by one thread, see ``Runs.start``.
_LANES = {"pictures": 4, "files": 4, "runs": 1}
_LANE_OF = {
    "frame": "pictures", "status": "files", "plate": "files", "forget": "files", "analyse": "runs", "cancel": "runs",
}  # fmt: skip


class Server:
    """Answers requests until their stream ends.

    Args:
        requests, replies: byte streams of lines.
        cache_bytes: of the pictures that are kept.
    """

    def __init__(self, requests: IO[bytes], replies: IO[bytes], cache_bytes: int) -> None:
        self._requests = requests
        self._replies = Replies(replies)
        self._lanes = {name: ThreadPoolExecutor(count, f"vdp-{name}") for name, count in _LANES.items()}
        self._folder: Path | None = None
        self._cache_bytes = cache_bytes
        self._shots: Future[Shots] = Future()
        self._loading = threading.Thread(target=self._load, daemon=True, name="vdp-load")

    def run(self) -> None:
        """Answer until the host is gone, then stop the runs and clear up."""
        try:
            for line in lines(self._requests):
                self._take(line)
                if self._loading.ident is None:
                    # Libraries take longer to load than the host should wait for the first word.
                    self._loading.start()
                if self._replies.broken:
                    break
        finally:
            self._end()

    def _take(self, line: bytes) -> None:
        request_id = 0
        try:
            request = Request.parse(line)
            request_id = request.id
            if request.op == "hello":
                self._replies.done(request_id, self._hello(request))
            elif request.op in _LANE_OF:
                self._lanes[_LANE_OF[request.op]].submit(self._answer, request)
            else:
                raise refused(f"there is no `{request.op}`")
        except VdpError as error:
            self._replies.failed(request_id, error.code, error.message)

    def _hello(self, request: Request) -> dict[str, Any]:
        spoken = request.whole("protocol")
        if spoken != VERSION:
            raise refused(
                f"the plug-in speaks version {spoken} of the protocol, and this engine ({__version__}) {VERSION}: "
                "install the plug-in of this engine, `install/vdp ofx --install`"
            )
        if request.has("folder"):
            folder = request.path("folder")
            if not folder.name.startswith(_FOLDER_BEGINS):
                raise refused(f"`hello` needs the name of folder to begin with {_FOLDER_BEGINS}, not {folder}")
            self._folder = folder
        return {"version": __version__, "protocol": VERSION, "pid": os.getpid()}

    def _answer(self, request: Request) -> None:
        try:
            shots = self._shots.result()
            answer = getattr(shots, request.op)(request)
        except VdpError as error:
            more = {"needed": error.needed} if hasattr(error, "needed") else {}
            self._replies.failed(request.id, error.code, error.message, **more)
        except Exception as error:
            self._replies.failed(request.id, *_explained(error))
        else:
            self._replies.done(request.id, answer)

    def _load(self) -> None:
        try:
            from vdp_engine.serve.shots import Shots

            self._shots.set_result(Shots(self._cache_bytes))
        except BaseException as error:
            self._shots.set_exception(error)

    def _end(self) -> None:
        for lane in self._lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)
        if self._loading.ident is not None:
            with contextlib.suppress(Exception):
                self._shots.result().runs.stop_all()
        if self._folder is not None and not self._folder.is_symlink():
            shutil.rmtree(self._folder, ignore_errors=True)


def _explained(error: Exception) -> tuple[str, str]:
    """Code and message of an error that was not foreseen; its story goes to stderr, which is the helper's log."""
    from vdp_engine.cli.endings import explained

    known = explained(error)
    if known is not None:
        return known.code, known.message
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {''.join(traceback.format_exception(error))}")
    return "vdp.bug", f"this is a fault of vdp itself: {type(error).__name__}: {error}. Please report it with the log"


def serve(cache_bytes: int) -> None:
    """Be the helper of a host until it ends.

    stdout belongs to the protocol alone: what libraries print goes to stderr. A Ctrl-C at the host's terminal is the
    host's affair; its end is seen by the end of stdin.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    Server(sys.stdin.buffer, replies, cache_bytes).run()
