"""Twenty shots over night, two of them broken, and the machine goes down in between.

The batch runs the real engine, with a fit of a few steps, in a process a shot. It costs about 90 seconds of processor
time, 50 seconds on two quiet cores.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import command
from vdp_engine.batch import ShotSpec, load
from vdp_engine.batch.run import finished
from vdp_engine.demo import make_demo

if sys.platform != "linux":
    pytest.skip("looks for processes in /proc", allow_module_level=True)

_ROOT = Path(__file__).parents[2]
_QUICK = [sys.executable, str(_ROOT / "tests" / "batch" / "quick_engine.py"), "1"]
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_ROOT), "VDP_FARM_ENGINE": shlex.join(_QUICK)}
_SHOTS = [f"sh{number:02d}0" for number in range(1, 21)]
_BROKEN = {"sh040": 1002, "sh130": 1003}
_GOOD = [name for name in _SHOTS if name not in _BROKEN]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Plates of three kinds in a folder for each shot, and a manifest of them."""
    for seed in range(3):
        make_demo(tmp_path / "demo" / str(seed), width=64, height=48, frames=3, seed=seed)
    for index, name in enumerate(_SHOTS):
        shutil.copytree(tmp_path / "demo" / str(index % 3) / "plate", tmp_path / "plates" / name)
    for name, frame in _BROKEN.items():
        path = tmp_path / "plates" / name / f"demo.{frame}.exr"
        os.truncate(path, path.stat().st_size // 3)  # its header can be read
        os.utime(path, (time.time() - 3600,) * 2)  # and it is not still being written
    shots = [
        f"  - {{plate: plates/{name}/demo.####.exr, name: '{{folder}}', seed: {index}}}\n"
        for index, name in enumerate(_SHOTS)
    ]
    (tmp_path / "night.yaml").write_text(
        "defaults: {out: 'layers/{name}', quality: draft}\nshots:\n" + "".join(shots), encoding="utf-8"
    )
    return tmp_path


@contextlib.contextmanager
def undisturbed(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The good shots one after the other in one process, into ``alone``."""
    lines = [
        ["run", str(folder / "plates" / name), "--out", str(folder / "alone" / name), "--name", name, "--quality",
         "draft", "--seed", str(_SHOTS.index(name)), "--device", "cpu", "--threads", "1"]
        for name in _GOOD
    ]  # fmt: skip
    (folder / "alone.json").write_text(json.dumps(lines))
    with (folder / "alone.txt").open("w") as told:
        process = subprocess.Popen(
            [*_QUICK, f"@{folder / 'alone.json'}"], stdout=told, stderr=subprocess.STDOUT, text=True, env=_ENVIRONMENT
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vdp_engine", "batch", "night.yaml", "--jobs", "2", "--device", "cpu", "--threads", "2",
         "--progress", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_ENVIRONMENT, cwd=folder,
    )  # fmt: skip


def at_work(folder: Path) -> list[int]:
    """Processes that write into the layers."""
    found = []
    for place in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if f"--out={folder / 'layers'}" in (place / "cmdline").read_text():
                found.append(int(place.name))
    return found


def killed_in_between(folder: Path) -> list[str]:
    """Run until some shots are done and two others are at work, then kill; returns those that are done."""
    done: list[str] = []
    with start(folder) as process:
        for event in command.events(process):
            message = event.get("message", "")
            if event["event"] == "note" and ": done, " in message:
                done.append(message.split(":")[0])
            if len(done) >= 8 and event["event"] == "progress" and ": fit, " in message:
                break
        assert at_work(folder)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    end = time.monotonic() + 20
    while at_work(folder):
        assert time.monotonic() < end, "the jobs outlive the batch"
        time.sleep(0.1)
    return done


@pytest.mark.timeout(900)
def test_twenty_shots_killed_in_between_come_out_as_undisturbed(folder: Path) -> None:
    with undisturbed(folder) as alone:
        done = killed_in_between(folder)
        before = {name: command.snapshot(folder / "layers" / name) for name in done}
        with start(folder) as again:
            events = list(command.events(again))
        assert again.returncode == 1 and not at_work(folder)
        assert alone.wait() == 0

    report: dict[str, Any] = json.loads((folder / "batch.report.json").read_text(encoding="utf-8"))
    shots = {shot["name"]: shot for shot in report["shots"]}
    assert list(shots) == _SHOTS and report["state"] == "failed"
    states = {name: shot["state"] for name, shot in shots.items()}
    assert {name for name, state in states.items() if state == "failed"} == set(_BROKEN)
    assert {name for name, state in states.items() if state == "there already"} >= set(done)
    for name, frame in _BROKEN.items():
        error = shots[name]["error"]
        assert (error["code"], error["frame"]) == ("plate.unreadable", frame)
        assert f"frame {frame}: cannot read" in error["message"] and f"demo.{frame}.exr" in error["message"]
    (ended,) = [event["message"] for event in events if event["event"] == "error"]
    assert "2 of 20 shots failed: sh040, sh130" in ended

    for name in _GOOD:
        out = folder / "layers" / name
        assert command.frames_of(out) == [1001, 1002, 1003] and command.litter(out) == set(), name
        assert command.same_pixels(out, folder / "alone" / name), name
    assert {name: command.snapshot(folder / "layers" / name) for name in done} == before, "done is done"
    assert (folder / "batch.report.html").read_text(encoding="utf-8").count("<img ") == len(_GOOD)
    for wrong in doubts(folder):
        assert finished(wrong) is None, wrong.name


def doubts(folder: Path) -> Iterator[ShotSpec]:
    """Finished shots, each as it is no longer finished after one change."""
    shots = {spec.name: spec for spec in load(folder / "night.yaml").shots}
    assert finished(shots["sh010"]) is not None
    other = shots["sh010"].settings.model_copy(update={"seed": 99})
    yield replace(shots["sh010"], settings=other)
    yield replace(shots["sh010"], frames="1001-1002", count=2)
    (folder / "layers" / "sh020" / "sh020.1002.exr").unlink()
    yield shots["sh020"]
    os.utime(folder / "layers" / "sh030" / "sh030.1002.exr")
    yield shots["sh030"]
    os.utime(folder / "plates" / "sh050" / "demo.1001.exr")
    yield shots["sh050"]
    (folder / "layers" / "sh060" / "sh060.sheet.png").unlink()
    yield shots["sh060"]
    (folder / "layers" / "sh070" / ".vdp" / "model.safetensors").unlink()
    yield shots["sh070"]
