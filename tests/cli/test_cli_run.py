"""``vdp run`` and the stages: what they call, what they write, what they say."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vdp_engine.cli.commands import vdp
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

fakes = runpy.run_path(str(Path(__file__).with_name("fake_stages.py")))
Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts fakes in place of the rooms; deeds by the name of a stage."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(variable, "1")  # set by every command; put back after the test

    def put(**deeds: Any) -> None:
        fakes["install"](monkeypatch.setattr, monkeypatch.setitem, deeds)

    put()
    return put


@pytest.fixture
def plate(tmp_path: Path, install: Install) -> str:
    return str(fakes["write_plate"](tmp_path / "plate"))


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(vdp, [str(arg) for arg in args])


def done(*args: str | Path) -> Result:
    result = call(*args)
    assert result.exit_code == 0, result.output
    return result


def events(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


WHOLE = [
    ".vdp/flow/shot.1001.safetensors", ".vdp/flow/shot.1002.safetensors", ".vdp/flow/shot.1003.safetensors",
    ".vdp/log.txt", ".vdp/model.safetensors", ".vdp/shot.json",
    "shot.1001.exr", "shot.1002.exr", "shot.1003.exr", "shot.report.json", "shot.sheet.png",
]  # fmt: skip


def test_run_does_everything(plate: str, tmp_path: Path) -> None:
    result = done("run", plate, "--out", tmp_path / "out", "--progress", "json")
    assert tree(tmp_path / "out") == WHOLE
    stages = [event["stage"] for event in events(result) if event["event"] == "progress"]
    assert list(dict.fromkeys(stages)) == ["prep", "fit", "render", "check"]
    overall = [event["overall"] for event in events(result) if event["event"] == "progress"]
    assert overall == sorted(overall)
    (told,) = [event for event in events(result) if event["event"] == "result"]
    out = tmp_path / "out"
    assert told == {
        "event": "result", "shot": str(out / ".vdp" / "shot.json"), "report": str(out / "shot.report.json"),
        "sheet": str(out / "shot.sheet.png"),
    }  # fmt: skip
    assert result.stderr == ""


def test_the_stages_one_by_one_make_the_same(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done("init", plate, "--out", out)
    assert tree(out) == [".vdp/log.txt", ".vdp/shot.json"]
    done("prep", out, "--frames", "1001")
    assert [name for name in tree(out) if "flow" in name] == WHOLE[:1]
    done("prep", out / ".vdp" / "shot.json", "--frames", "1002-1003")
    done("fit", out)
    done("render", out, "--frames", "1001-1003x2")
    assert [name for name in tree(out) if name.endswith(".exr")] == ["shot.1001.exr", "shot.1003.exr"]
    done("render", out)
    result = done("check", out)
    assert tree(out) == WHOLE
    assert "rebuild     passed" in result.stdout


def test_the_settings_reach_the_shot(plate: str, tmp_path: Path) -> None:
    args = [
        "--task", "layers", "--layers", "3", "--quality", "draft", "--flow", "vectors", "--flow-layer", "motion",
        "--seed", "7", "--missing", "hold", "--vectors", "--bit-depth", "float", "--compression", "zip",
        "--alpha", "straight", "--objective", "paper", "--frames", "1001-1002", "--name", "other",
    ]  # fmt: skip
    done("init", plate, "--out", tmp_path / "out", *args)
    shot = Shot.load(tmp_path / "out")
    assert shot.name == "other" and shot.frames == (1001, 1002)
    assert shot.settings == Settings(
        layers=3, quality="draft", flow="vectors", flow_layer="motion", seed=7, missing="hold", vectors=True,
        bit_depth="float", compression="zip", alpha="straight", objective="paper",
    )  # fmt: skip


def test_weights_are_found_from_any_folder(plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done("init", plate, "--out", "out", "--flow", "raft", "--flow-weights", "raft.pth")
    assert Shot.load(tmp_path / "out").settings.flow_weights == str(tmp_path / "raft.pth")


@pytest.mark.parametrize("frames", [["--frames", "-2-1"], ["--frames=-2-1"]])
def test_negative_frames(frames: list[str], tmp_path: Path, install: Install) -> None:
    plate = fakes["write_plate"](tmp_path / "plate", frames=range(-2, 3))
    done("run", plate, "--out", tmp_path / "out", *frames)
    assert Shot.load(tmp_path / "out").frames == (-2, -1, 0, 1)
    done("render", tmp_path / "out", "--frames", "-2--1")


@pytest.mark.parametrize(
    ("folder", "name", "pattern"),
    [
        ("my plates", "my shot", "my shot.####.exr"),
        ("plates", "shot", "shot.%04d.exr"),
        ("plates", "shot", "shot.1001-1003#.exr"),
        ("plates [old]", "shot[1]", "shot[1].#.exr"),
        ("plates", "Größe_日本", "Größe_日本.1002.exr"),
        ("plates", "shot", ""),
    ],
)
def test_plates_pass_untouched(folder: str, name: str, pattern: str, tmp_path: Path, install: Install) -> None:
    fakes["write_plate"](tmp_path / folder, name)
    done("run", tmp_path / folder / pattern, "--out", tmp_path / "out put")
    shot = Shot.load(tmp_path / "out put")
    assert shot.frames == (1001, 1002, 1003)
    assert (tmp_path / "out put" / f"{name}.1001.exr").exists()


def test_a_dry_run_says_what_is_left_and_writes_nothing(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = done("run", plate, "--out", out, "--dry-run")
    assert result.stdout.splitlines() == [
        "prep    3 of 3 frames to do: 1001-1003", "fit     to do", "render  3 of 3 frames to do: 1001-1003",
        "check   to do",
    ]  # fmt: skip
    assert not out.exists()

    done("run", plate, "--out", out)
    (out / "shot.1002.exr").unlink()
    (out / f".a.{'x'}-1-0123abcd.tmp.exr").touch()
    before = {name: os.stat(out / name).st_mtime_ns for name in tree(out)}
    assert "render  1 of 3 frames to do: 1002" in done("run", plate, "--out", out, "--dry-run").stdout
    assert "prep    3 of 3" in done("run", plate, "--out", out, "--dry-run", "--fresh").stdout
    assert done("render", out, "--dry-run").stdout == "render  1 of 3 frames to do: 1002\n"
    assert done("render", out, "--dry-run", "--frames", "1001").stdout == "render  nothing to do, 1 frames are there\n"
    assert done("fit", out, "--dry-run").stdout == "fit     nothing to do\n"
    assert {name: os.stat(out / name).st_mtime_ns for name in tree(out)} == before


def test_a_dry_run_in_json_is_json(plate: str, tmp_path: Path) -> None:
    result = done("run", plate, "--out", tmp_path / "out", "--dry-run", "--progress", "json")
    assert [event["event"] for event in events(result)] == ["note"] * 4


def test_a_dry_run_refuses_what_a_run_would_refuse(plate: str, tmp_path: Path) -> None:
    done("run", plate, "--out", tmp_path / "out")
    assert call("run", plate, "--out", tmp_path / "out", "--name", "other", "--dry-run").exit_code == 2


def test_fresh_starts_over(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done("run", plate, "--out", out, "--name", "old")
    (out / "notes.txt").touch()
    assert call("run", plate, "--out", out).exit_code == 2, "the folder belongs to another shot"
    assert "old.1001.exr" in tree(out)
    done("run", plate, "--out", out, "--fresh")
    assert tree(out) == sorted(["notes.txt", *WHOLE])


def test_litter_of_killed_processes_goes(plate: str, tmp_path: Path) -> None:
    from vdp_engine import files

    out = tmp_path / "out"
    done("run", plate, "--out", out)
    (out / f".shot.1001.{files._HOST}-{2**22 + 1}-0123abcd.tmp.exr").touch()
    done("check", out)
    assert tree(out) == WHOLE


def test_the_machine_is_held_to_before_work_begins(plate: str, tmp_path: Path, install: Install) -> None:
    import cv2

    seen = []
    before = cv2.getNumThreads()
    install(prep=lambda: seen.append((os.environ["OMP_NUM_THREADS"], cv2.getNumThreads())))
    try:
        done("run", plate, "--out", tmp_path / "out", "--threads", "1", "--max-memory", "2G", "--device", "cpu")
    finally:
        cv2.setNumThreads(before)
    assert seen == [("1", 1)]


def test_the_log_begins_with_the_call(plate: str, tmp_path: Path) -> None:
    done("run", plate, "--out", tmp_path / "out", "--seed", "5")
    first = (tmp_path / "out" / ".vdp" / "log.txt").read_text().splitlines()[0]
    assert f"call vdp run '{plate}' --out" in first and "--seed 5" in first
