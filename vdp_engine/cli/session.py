"""What a command has opened: its reporter and its log, known also to the place that tells of its end."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vdp_engine import __version__

if TYPE_CHECKING:
    from vdp_engine.progress import Dialect, Reporter
    from vdp_engine.settings import Machine
    from vdp_engine.shot import Shot

MACHINE_DIALECTS = ("json", "openjd")


class Session:
    """One call of the command line.

    Args:
        args: the arguments after ``vdp``.
    """

    def __init__(self, args: list[str]) -> None:
        self.args = args
        self.dialect: Dialect = _asked_dialect(args)
        self._reporter: Reporter | None = None
        self._log: Path | None = None

    @property
    def reporter(self) -> Reporter:
        """The reporter of the command, or one in the dialect asked for where the command has opened none yet."""
        from vdp_engine.progress import make_reporter

        if self._reporter is None:
            self._reporter = make_reporter(self.dialect)
        return self._reporter

    @contextlib.contextmanager
    def working(self, machine: Machine, dialect: Dialect, *, whole_run: bool = False) -> Iterator[Reporter]:
        """Open the reporter while the block runs, and hold all libraries to the machine's threads."""
        from vdp_engine import machine as this_machine
        from vdp_engine.progress import make_reporter

        self.dialect = dialect
        self._reporter = make_reporter(dialect, whole_run=whole_run)
        with self._reporter.open():
            this_machine.apply(machine)
            if machine.device.startswith("cuda"):
                # Before hours of work that needs no device, not after them; and in every stage alike.
                this_machine.torch_device(machine)
            yield self._reporter

    def begin(self, shot: Shot) -> None:
        """Begin to write into the shot's folder: log there from now on, and clear what killed processes left."""
        from vdp_engine import stages

        stages.tidy(shot)
        self._log = shot.log_file
        self.reporter.log_to(shot.log_file)
        versions = f"vdp {__version__}, Python {platform.python_version()}, {platform.node()}, process {os.getpid()}"
        with contextlib.suppress(OSError):
            _append(self._log, f"{time.strftime('%Y-%m-%d %H:%M:%S')} call vdp {shlex.join(self.args)} ({versions})\n")

    def log_traceback(self, error: BaseException) -> Path | None:
        """Write the traceback to the shot's log, or to a file of its own where there is none; returns which."""
        story = "".join(traceback.format_exception(error))
        with contextlib.suppress(OSError):
            if self._log is None:
                handle, name = tempfile.mkstemp(prefix="vdp-", suffix=".log", text=True)
                os.close(handle)
                self._log = Path(name)
            _append(self._log, story)
            return self._log
        sys.stderr.write(story)
        return None

    def tell(self, lines: Iterable[str]) -> None:
        """Results for a person, on stdout; where stdout belongs to a program, as notes of its dialect."""
        from vdp_engine.progress import one_line

        for line in lines:
            if self.dialect in MACHINE_DIALECTS:
                self.reporter.note(line)
            else:
                click.echo(one_line(line))


def _asked_dialect(args: list[str]) -> Dialect:
    # Not from the parsed options: this is needed most where parsing them failed.
    for index, arg in enumerate(args):
        name, _, value = arg.partition("=")
        if name == "--progress":
            value = value or next(iter(args[index + 1 :]), "")
            if value in ("json", "plain", "openjd"):
                return value  # type: ignore[return-value]
        if name == "--json":
            return "json"
    return "auto"


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
        log.write(text)
