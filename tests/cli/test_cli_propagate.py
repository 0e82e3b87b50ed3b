"""``vdp propagate``: what it asks the engine for, what it says, how it ends."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vdp_engine.cli.commands import vdp
from vdp_engine.render import propagate as carrying
from vdp_engine.render.propagate import Edit

fakes = runpy.run_path(str(Path(__file__).with_name("fake_stages.py")))
Asked = list[tuple[Edit, tuple[int, ...]]]


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(vdp, [str(arg) for arg in args])


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shot of frames 1001 to 1003, set up and no more."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(variable, "1")  # set by every command; put back after the test
    plate = fakes["write_plate"](tmp_path / "plate")
    folder = tmp_path / "out"
    assert call("init", plate, "--out", folder).exit_code == 0
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the engine was asked for, in place of doing it."""
    calls: Asked = []

    def record(shot: Any, machine: Any, reporter: Any, edit: Edit, frames: tuple[int, ...]) -> None:
        reporter.progress("propagate", 1.0, "done")
        calls.append((edit, frames))

    monkeypatch.setattr(carrying, "propagate", record)
    monkeypatch.setattr(carrying, "pending", lambda shot, edit, frames: frames[1:])
    return calls


@pytest.mark.parametrize(
    ("args", "edit", "frames"),
    [
        (["logo.exr", "--layer", "fg1", "--frame", "1002"],
         Edit(Path("logo.exr"), "fg1", 1002, "logo"), (1001, 1002, 1003)),
        (["wall.v2.1002.png", "--layer", "bg", "--frame", "1002", "--frames", "1001-1003x2", "--over"],
         Edit(Path("wall.v2.1002.png"), "bg", 1002, "wall.v2", over=True), (1001, 1003)),
        (["a/wall_0007.png", "--layer", "bg", "--frame", "1001", "--name", "paint", "--threads", "1"],
         Edit(Path("a/wall_0007.png"), "bg", 1001, "paint"), (1001, 1002, 1003)),
        (["0007.png", "--layer", "bg", "--frame", "1001"],
         Edit(Path("0007.png"), "bg", 1001, "0007"), (1001, 1002, 1003)),
    ],
)  # fmt: skip
def test_it_asks_for(args: list[str], edit: Edit, frames: tuple[int, ...], out: Path, asked: Asked) -> None:
    result = call("propagate", out, *args)
    assert result.exit_code == 0, result.output
    assert asked == [(edit, frames)]


def test_a_program_is_told_where_the_results_lie(out: Path, asked: Asked) -> None:
    args = ("logo.exr", "--layer", "fg1", "--frame", "1002", "--progress", "json")
    events = [json.loads(line) for line in call("propagate", out, *args).stdout.splitlines()]
    assert events[0]["stage"] == "propagate"
    assert events[-1] == {
        "event": "result", "shot": str(out / ".vdp" / "shot.json"),
        "edit": str(out / "edits" / "logo.fg1.####.exr"),
    }  # fmt: skip


def test_a_dry_run_does_nothing(out: Path, asked: Asked) -> None:
    log = (out / ".vdp" / "log.txt").read_text()
    result = call("propagate", out, "logo.exr", "--layer", "fg1", "--frame", "1002", "--dry-run")
    assert "2 of 3 frames to do: 1002-1003" in result.stdout
    assert asked == []
    assert (out / ".vdp" / "log.txt").read_text() == log


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--layer", "fg1"], "--frame"),
        (["--frame", "1002"], "--layer"),
        (["--layer", "fg1", "--frame", "1002", "--frames", "1002-1009"], "1004-1009 are not in the shot"),
        (["--layer", "fg1", "--frame", "1002", "--name", "a/b"], "cannot be part of a file name"),
        (["--layer", "fg1", "--frame", "1002", "--name", ".a"], "cannot be part of a file name"),
    ],
)
def test_what_makes_no_sense_is_refused(args: list[str], said: str, out: Path, asked: Asked) -> None:
    result = call("propagate", out, "logo.exr", *args)
    assert result.exit_code == 2
    assert said in result.output
    assert asked == []


def test_a_shot_that_was_never_rendered_is_refused(out: Path, tmp_path: Path) -> None:
    (tmp_path / "logo.exr").touch()
    result = call("propagate", out, tmp_path / "logo.exr", "--layer", "fg1", "--frame", "1002")
    assert result.exit_code == 2
    assert "vdp prep" in result.output
    assert not (out / "edits").exists()
