"""One shot at work: ``vdp run`` as a process of its own, and what it tells.

It must not outlive the batch. Stopped, the batch stops it. Killed, Linux sends it SIGTERM; elsewhere it ends when it
next tells how far it is, into a pipe that nobody reads.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vdp_engine.batch import leash
from vdp_engine.batch.entry import ShotSpec
from vdp_engine.errors import EXIT_TRY_AGAIN, TryAgainError, UsageError, VdpError
from vdp_engine.settings import Settings, flag
from vdp_engine.stopping import EXIT_SIGINT, EXIT_SIGTERM

Event = dict[str, Any]

_TAIL_BYTES = 2000


def run_arguments(spec: ShotSpec, *, fresh: bool) -> list[str]:
    """The arguments of ``vdp`` that do this shot."""
    given = [spec.plate, f"--out={spec.out}", f"--name={spec.name}", f"--frames={spec.frames}"]
    return ["run", *given, *settings_arguments(spec.settings), *(["--fresh"] if fresh else [])]


def settings_arguments(settings: Settings) -> list[str]:
    """The options of ``vdp run`` that say the same; what is as by default is not said."""
    said: list[str] = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if value == field.default:
            continue
        # With "=", no value can be taken for an option.
        if value is True:
            said.append(flag(name))
        elif name == "hints":
            said += [f"{flag(name)}={hint}" for hint in value]
        elif isinstance(value, tuple):  # a colour
            said.append(f"{flag(name)}={','.join(map(str, value))}")
        else:
            said.append(f"{flag(name)}={value}")
    return said


class Child:
    """A process that works on a shot. Make it in the main thread: Linux ends it with the thread that made it.

    Args:
        index: place of the shot in the manifest.
        command: the whole argument list; it tells its progress as JSON on stdout.
        environment: what is set in addition to this process's own.
        tell: called from another thread with each event, and ``None`` once there will be no more.

    Attributes:
        heard: when it last told something, by ``time.monotonic``.
        error: the last error that it told of.
    """

    def __init__(
        self, index: int, command: Sequence[str], environment: Mapping[str, str],
        tell: Callable[[Child, Event | None], None],
    ) -> None:  # fmt: skip
        self.index = index
        self.began = self.heard = time.monotonic()
        self.error: VdpError | None = None
        self._silent = False
        self._tell = tell
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in ``end``
        on_leash = sys.platform == "linux"
        held = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid())] if on_leash else []
        try:
            self._process = subprocess.Popen(
                [*held, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._stderr,
                env={**os.environ, **environment},
                # A Ctrl-C at the terminal reaches the batch alone, which stops its children once each.
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._stderr.close()
            raise UsageError(f"cannot start {command[0]}: {error.strerror}", code="engine") from error
        threading.Thread(target=self._listen, daemon=True, name=f"vdp-batch-{index}").start()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    def hear(self, event: Event) -> None:
        """Remember what an event says of the process itself."""
        if event["event"] == "error":
            self.error = _Told(event)

    def stop(self, signum: int) -> None:
        """Ask it to end, its checkpoint safe."""
        self._signal(signum)

    def kill(self, *, silent: bool = False) -> None:
        """End it now. Whole files stay.

        Args:
            silent: that it had told nothing for too long is the reason.
        """
        self._silent |= silent
        if os.name == "nt":
            self._process.kill()
        else:
            self._signal(signal.SIGKILL)

    def ended(self, within: float) -> bool:
        """Wait up to ``within`` seconds for its end; whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, within))
        return self._process.returncode is not None

    def end(self) -> VdpError | None:
        """Wait for its end; what went wrong, ``TryAgainError`` where another try may go well."""
        code = self._process.wait()
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _TAIL_BYTES))
        last = self._stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        self._stderr.close()
        if code == 0:
            return None
        if self._silent:
            return TryAgainError("it told nothing for minutes, and was ended", code="silent")
        if code < 0:
            return _ended_by(-code)
        if self.error is not None:
            self.error.exit_code = code
            return self.error
        if code == EXIT_TRY_AGAIN:
            return TryAgainError(f"it asked to be tried again later{_after(last)}", code="busy")
        if code in (EXIT_SIGINT, EXIT_SIGTERM):
            return _ended_by(code - 128)
        return VdpError(f"it ended with {code}{_after(last)}", code="ended")

    def _signal(self, signum: int) -> None:
        if self._process.poll() is not None:
            return  # its number may be another's by now
        with contextlib.suppress(OSError):
            if os.name == "nt":
                self._process.terminate()
            else:
                # With what it started: the engine's command may be a script.
                os.killpg(self._process.pid, signum)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self.heard = time.monotonic()
                with contextlib.suppress(ValueError):  # a line of some library
                    event = json.loads(line)
                    if isinstance(event, dict) and isinstance(event.get("event"), str):
                        self._tell(self, event)
        self._tell(self, None)


class _Told(VdpError):
    """An error in the words that the process found for it."""

    def __init__(self, event: Event) -> None:
        super().__init__(str(event.get("message", "")), code="told")
        self.code = str(event.get("code", "vdp.unknown"))
        self.frame = event.get("frame")
        self.path = Path(event["path"]) if event.get("path") else None

    @property
    def message(self) -> str:
        """As it was told, frame and file included."""
        return self.happened


def _ended_by(number: int) -> VdpError:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    happened = f"it was ended by {name}"
    if name == "SIGKILL":
        return TryAgainError(happened, code="killed", remedy="the system does that where memory runs out")
    if name in ("SIGTERM", "SIGINT"):
        return TryAgainError(happened, code="stopped")
    return VdpError(happened, code="crashed", remedy="its log tells how far it was")


def _after(last: list[str]) -> str:
    return f": {last[0]}" if last else ""
