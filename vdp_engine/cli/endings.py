"""How a command ends when it does not end well: one message, one exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

import click

from vdp_engine import files
from vdp_engine.cli.session import MACHINE_DIALECTS, Session
from vdp_engine.errors import EXIT_BAD_INPUT, EXIT_FAILED, TryAgainError, UsageError, VdpError
from vdp_engine.stopping import EXIT_SIGINT, Stopped, received

_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip
# What torch's CPU allocator (Linux, Windows) and OpenCV say; neither has an exception of its own for it.
# The last three come with a limit on the address space: from the loader of libraries, Python's threads, and C++.
_OUT_OF_MEMORY = (
    "can't allocate memory", "not enough memory", "Insufficient memory", "CUDA out of memory",
    "failed to map segment from shared object", "can't start new thread", "std::bad_alloc",
)  # fmt: skip
_DEVICE_BUSY = "busy or unavailable"


def end(error: BaseException, session: Session) -> int:
    """Tell the user of the error in the dialect of the session; returns the exit code."""
    try:
        return _told(error, session)
    except BrokenPipeError:
        silence()
        return EXIT_FAILED


def silence() -> None:
    """Send what is still buffered for a closed pipe nowhere, so that Python's exit does not stumble over it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())


def _told(error: BaseException, session: Session) -> int:
    if isinstance(error, BrokenPipeError):
        silence()
        return EXIT_FAILED
    # Whatever came up after the user asked to stop, the stop is what ended the work.
    error = received() or error
    if isinstance(error, click.Abort) and isinstance(error.__cause__, EOFError):
        error = error.__cause__  # click takes any EOFError for a closed terminal; here no command asks questions
    if isinstance(error, (Stopped, KeyboardInterrupt, click.Abort)):
        reason = error if isinstance(error, Stopped) else "stopped"
        session.reporter.note(f"{reason}: finished work is kept, the same command goes on from here")
        return error.exit_code if isinstance(error, Stopped) else EXIT_SIGINT
    if isinstance(error, click.ClickException):
        return _usage(error, session)

    known = explained(error)
    if known is None or known is not error:
        log = session.log_traceback(error)
        known = known or _bug(error, log)
    session.reporter.error(known)
    return known.exit_code


def _usage(error: click.ClickException, session: Session) -> int:
    if session.dialect in MACHINE_DIALECTS:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "vdp"
        session.reporter.error(UsageError(error.format_message(), code="command", remedy=f"see `{command} --help`"))
    else:
        error.show(sys.stderr)
    return EXIT_BAD_INPUT


def _bug(error: BaseException, log: Path | None) -> VdpError:
    where = f"the whole story is in {log}" if log is not None else "the whole story is above"
    return VdpError(
        f"this is a fault of vdp itself: {type(error).__name__}: {error}", code="bug",
        remedy=f"{where}: please report it with that",
    )  # fmt: skip


def explained(error: BaseException) -> VdpError | None:
    """The error as one that a person can act on; ``None`` where it is a fault of the program."""
    if isinstance(error, VdpError):
        return error
    text = str(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or "OutOfMemoryError" in names or any(said in text for said in _OUT_OF_MEMORY):
        return _memory(text)
    if isinstance(error, RuntimeError) and _DEVICE_BUSY in text:
        return TryAgainError(
            f"the device cannot be used now: {text.splitlines()[0]}", code="device",
            remedy="wait until it is free, or choose another --device",
        )  # fmt: skip
    if isinstance(error, OSError):
        return _os_error(error)
    return None


def _os_error(error: OSError) -> VdpError | None:
    if error.errno == errno.ENOMEM:
        return _memory(str(error))
    if error.errno in _DISK:
        return files.disk_error(Path(error.filename or "."), error)
    if error.filename is not None:
        return UsageError(
            f"cannot use {error.filename}: {error.strerror}", code="file",
            remedy="check that it is there, of the right kind, and yours to use",
        )  # fmt: skip
    return None


def _memory(text: str) -> TryAgainError:
    first = text.strip().splitlines()[0] if text.strip() else ""
    return TryAgainError(
        "memory ran out" + (f": {first}" if first else ""), code="memory",
        remedy="close other programs, raise the limit of the process (ulimit -v) if it has one, lower --max-memory so "
        "that less is held at once, or use --quality draft; "
        "finished work is kept",
    )  # fmt: skip
