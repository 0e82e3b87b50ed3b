"""The error tree: the story it tells, and the exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from vdp_engine import errors


@pytest.mark.parametrize(
    ("kind", "code", "exit_code"),
    [
        (errors.VdpError, "vdp.x", 1),
        (errors.UsageError, "usage.x", 2),
        (errors.PlateError, "plate.x", 2),
        (errors.MotionError, "motion.x", 2),
        (errors.ShotError, "shot.x", 2),
        (errors.FitError, "fit.x", 1),
        (errors.CheckError, "check.x", 1),
        (errors.TryAgainError, "machine.x", 75),
    ],
)
def test_codes(kind: type[errors.VdpError], code: str, exit_code: int) -> None:
    error = kind("it broke", code="x")
    assert (error.code, error.exit_code) == (code, exit_code)


def test_the_whole_story_in_one_line() -> None:
    error = errors.PlateError(
        "the file is truncated", code="truncated", path="/p/shot.1006.exr", frame=1006,
        expected="1080 scan lines", remedy="write it again.",
    )  # fmt: skip
    assert str(error) == (
        "frame 1006: the file is truncated (/p/shot.1006.exr). expected 1080 scan lines. write it again"
    )
    assert error.path == Path("/p/shot.1006.exr")


def test_a_file_named_in_the_sentence_is_not_named_twice() -> None:
    error = errors.PlateError("cannot read /p/a.exr", code="x", path="/p/a.exr")
    assert str(error) == "cannot read /p/a.exr"
