"""The error tree: what happened, what was expected, what to do, and the exit code it ends a command with.

A room raises the error of its own name (``PlateError`` in ``plate/``); ``code`` tells apart the cases that
a host or a farm may want to act on. Programs read ``code``, people read ``str(error)``.
"""

from __future__ import annotations

from pathlib import Path

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h, which farms map to "requeue"


class VdpError(Exception):
    """Something went wrong that a person can understand and act on.

    Args:
        happened: one sentence without a full stop, naming the thing that failed.
        code: the case within the room, in snake_case; the full code is ``room.code``.
        expected: what would have been right, where that is not obvious.
        remedy: what the user can do about it.
        path: the file it is about.
        frame: the frame it is about.
    """

    room = "vdp"
    exit_code = EXIT_FAILED

    def __init__(
        self,
        happened: str,
        *,
        code: str,
        expected: str = "",
        remedy: str = "",
        path: str | Path | None = None,
        frame: int | None = None,
    ) -> None:
        self.happened = happened
        self.code = f"{self.room}.{code}"
        self.expected = expected
        self.remedy = remedy
        self.path = None if path is None else Path(path)
        self.frame = frame
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The whole story in one line: frame, what happened, file, what was expected, what to do."""
        where = f"frame {self.frame}: " if self.frame is not None else ""
        file = f" ({self.path})" if self.path is not None and str(self.path) not in self.happened else ""
        parts = [f"{where}{self.happened}{file}"]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.remedy:
            parts.append(self.remedy)
        return ". ".join(part.rstrip(".") for part in parts)


class UsageError(VdpError):
    """The command or a setting does not make sense."""

    room = "usage"
    exit_code = EXIT_BAD_INPUT


class PlateError(VdpError):
    """The plate cannot be read as a sequence of colour frames."""

    room = "plate"
    exit_code = EXIT_BAD_INPUT


class MotionError(VdpError):
    """An optical-flow source lacks what it needs (weights, motion-vector channels)."""

    room = "motion"
    exit_code = EXIT_BAD_INPUT


class ShotError(VdpError):
    """The shot on disk is missing, of another version, or lacks what a stage needs from an earlier one."""

    room = "shot"
    exit_code = EXIT_BAD_INPUT


class FitError(VdpError):
    """The optimisation gave no usable model."""

    room = "fit"


class CheckError(VdpError):
    """The written layers do not rebuild the plate."""

    room = "check"


class ServeError(VdpError):
    """A host asked `vdp serve` for what it cannot give."""

    room = "ofx"
    exit_code = EXIT_BAD_INPUT


class TryAgainError(VdpError):
    """The machine, not the work, is in the way: memory, disk or device. The same command may succeed later."""

    room = "machine"
    exit_code = EXIT_TRY_AGAIN
