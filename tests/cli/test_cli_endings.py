"""How commands end: one message, one exit code, whatever went wrong."""

from __future__ import annotations

import errno
import json
import os
import runpy
import signal
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from vdp_engine.cli.commands import vdp
from vdp_engine.cli.endings import end, explained
from vdp_engine.cli.session import Session
from vdp_engine.errors import CheckError, FitError, PlateError
from vdp_engine.stopping import Stopped

fakes = runpy.run_path(str(Path(__file__).with_name("fake_stages.py")))


class OutOfMemoryError(RuntimeError):
    """Named as torch's own, which is not imported for this."""


def os_error(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))


_LINUX = (
    "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "9 bytes. Error code 12 (Cannot allocate memory)"
)
_WINDOWS = "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9"
_ENDS: list[tuple[BaseException, int, str]] = [
    (PlateError("gone", code="missing_frame", frame=1006), 2, "plate.missing_frame"),
    (FitError("no", code="diverged"), 1, "fit.diverged"),
    (CheckError("no", code="rebuild"), 1, "check.rebuild"),
    (MemoryError(), 75, "machine.memory"),
    (OutOfMemoryError("CUDA ran out. Tried to allocate 2.00 GiB\nmore"), 75, "machine.memory"),
    (RuntimeError(_LINUX), 75, "machine.memory"),
    (RuntimeError(_WINDOWS), 75, "machine.memory"),
    (os_error(errno.ENOMEM), 75, "machine.memory"),
    (RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nhint"), 75, "machine.device"),
    (os_error(errno.ENOSPC, "/o/a.exr"), 75, "machine.disk"),
    (os_error(errno.ENOSPC), 75, "machine.disk"),
    (os_error(errno.EDQUOT, "/o/a.exr"), 75, "machine.disk"),
    (os_error(errno.EIO, "/o/a.exr"), 75, "machine.disk"),
    (os_error(errno.EACCES, "/p/a.exr"), 2, "usage.file"),
    (os_error(errno.ENOTDIR, "/o/a.exr"), 2, "usage.file"),
]


@pytest.mark.parametrize(("error", "exit_code", "code"), _ENDS, ids=lambda value: repr(value)[:40])
def test_what_can_be_explained(error: BaseException, exit_code: int, code: str) -> None:
    known = explained(error)
    assert known is not None
    assert (known.exit_code, known.code) == (exit_code, code)
    assert "\n" not in str(known)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("shape mismatch"), OSError("odd"), EOFError("short")])
def test_what_is_a_fault_of_the_program(error: BaseException) -> None:
    assert explained(error) is None


def test_memory_says_what_helps() -> None:
    known = explained(MemoryError())
    assert known is not None and "--max-memory" in str(known) and "--quality draft" in str(known)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def run_into(out: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, *args: str) -> Result:
    def fall() -> None:
        raise error

    fakes["install"](monkeypatch.setattr, monkeypatch.setitem, {"fit": fall})
    plate = fakes["write_plate"](out.parent / "plate")
    return CliRunner().invoke(vdp, ["run", plate, "--out", str(out), *args])


@pytest.mark.parametrize(("error", "exit_code", "code"), _ENDS, ids=lambda value: repr(value)[:40])
def test_a_stage_that_falls_ends_the_command(
    error: BaseException, exit_code: int, code: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_into(out, monkeypatch, error, "--progress", "json")
    assert result.exit_code == exit_code
    assert result.stderr == ""
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["event"], last["code"]) == ("error", code)
    assert f"error {code}" in (out / ".vdp" / "log.txt").read_text()


def test_people_read_one_line_on_stderr(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_into(out, monkeypatch, PlateError("gone", code="missing_frame", frame=1006), "--progress", "plain")
    assert result.stderr.splitlines()[-1] == "Error: frame 1006: gone [plate.missing_frame]"
    assert "Traceback" not in result.output
    assert "Traceback" not in (out / ".vdp" / "log.txt").read_text()


def test_a_bug_has_its_story_in_the_log_and_one_line_on_stderr(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_into(out, monkeypatch, KeyError("width"), "--progress", "plain")
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if "fault" in line]
    log = out / ".vdp" / "log.txt"
    assert "KeyError: 'width'" in line and str(log) in line
    assert "Traceback" not in result.output
    assert "Traceback (most recent call last)" in log.read_text()
    assert "in fall" in log.read_text()


def test_a_bug_before_there_is_a_shot_has_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any, **_rest: Any) -> None:
        raise ZeroDivisionError("early")

    monkeypatch.setattr("vdp_engine.shot.Shot.load", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = CliRunner().invoke(vdp, ["fit", str(tmp_path / "out")])
    assert result.exit_code == 1
    (log,) = tmp_path.glob("vdp-*.log")
    assert str(log) in result.stderr and "ZeroDivisionError: early" in log.read_text()


def test_a_short_read_is_not_taken_for_a_closed_terminal(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_into(out, monkeypatch, EOFError("truncated stream"))
    assert result.exit_code == 1 and "EOFError: truncated stream" in result.stderr


@pytest.mark.parametrize(("error", "exit_code"), [(Stopped(2), 130), (Stopped(15), 143), (KeyboardInterrupt(), 130)])
def test_a_stop_says_that_work_is_kept(
    error: BaseException, exit_code: int, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_into(out, monkeypatch, error, "--progress", "json")
    assert result.exit_code == exit_code
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["event"] == "note" and "the same command goes on from here" in last["message"]


@pytest.mark.parametrize(
    "args",
    [
        ["rnu"], ["run"], ["run", "a.####.exr"], ["run", "a.####.exr", "--out", "o", "--quality", "best"],
        ["run", "a.####.exr", "--out", "o", "--colour"], ["run", "a.####.exr", "--out"], ["fit", "o", "--frames", "1"],
        ["run", "a.####.exr", "--out", "o", "--max-memory", "lots"],
        ["run", "a.####.exr", "--out", "o", "--threads", "many"],
        ["run", "a.####.exr", "--out", "o", "--threads", "-3"],
        ["run", "a.####.exr", "--out", "o", "--seed", "-3"],
        ["run", "a.####.exr", "--out", "o", "--device", "gpu"],
        ["run", "a.####.exr", "--out", "o", "--flow-layer", "motion"],
        ["run", "no such plate.####.exr", "--out", "o"], ["fit", "no such shot"], ["inspect", "no such plate.exr"],
        ["prep", "no such shot", "--frames", "a-b"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_2_and_writes_nothing(args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(vdp, args)
    assert told.exit_code == 2
    assert told.stdout == "" and "Error: " in told.stderr and "Traceback" not in told.stderr

    if args[0] not in ("rnu", "inspect"):
        machine = CliRunner().invoke(vdp, [args[0], "--progress", "json", *args[1:]])
        assert machine.exit_code == 2 and machine.stderr == ""
        (event,) = [json.loads(line) for line in machine.stdout.splitlines()]
        assert event["event"] == "error" and event["code"].split(".")[0] in ("usage", "plate", "shot")
    assert list(tmp_path.iterdir()) == []


def test_no_command_shows_the_help() -> None:
    result = CliRunner().invoke(vdp, [])
    assert result.exit_code == 2 and "First steps" in result.stderr


def test_out_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").touch()
    result = run_into(tmp_path / "out", monkeypatch, ValueError())
    assert result.exit_code == 2 and str(tmp_path / "out") in result.stderr


def test_frames_outside_the_shot(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_into(out, monkeypatch, FitError("no", code="x"))
    result = CliRunner().invoke(vdp, ["render", str(out), "--frames", "1003-1010"])
    assert result.exit_code == 2 and "1004-1010" in result.stderr and "1001-1003" in result.stderr


def test_an_option_means_the_same_everywhere() -> None:
    seen: dict[str, str | None] = {}
    of_many_shots = {"batch", "farm"}  # these say what it means for each of them
    for name, command in vdp.commands.items():
        exempt = {"--layer", "--colorspace", *({"--out", "--fresh", "--to"} if name in of_many_shots else ())}
        for one in command.params:
            if isinstance(one, click.Option) and one.opts[0] not in exempt:
                assert seen.setdefault(one.opts[0], one.help) == one.help


def test_an_odd_error_after_a_stop_is_the_stop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    session = Session(["run", "--progress", "plain"])
    assert end(ValueError("swallowed by a library"), session) == 1
    monkeypatch.setattr("vdp_engine.stopping._received", signal.SIGTERM)
    assert end(ValueError("swallowed by a library"), session) == 143
    assert "stopped by SIGTERM: finished work is kept" in capsys.readouterr().err
