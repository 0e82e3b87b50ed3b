"""The stages as a farm runs them: in chunks of any size, twice, by two workers at once, with logs that a farm reads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e import command
from tests.e2e.conftest import FRAMES

Farmed = tuple[Path, list[tuple[str, command.Done]]]


def _plain(*args: str | Path) -> list[str | Path]:
    return [*args, "--progress", "plain"]


@pytest.fixture(scope="module")
def farmed(plate: str, tmp_path_factory: pytest.TempPathFactory) -> Farmed:
    """An output folder made in chunks of three and five frames, some by two workers at once, and what each said."""
    out = tmp_path_factory.mktemp("farmed") / "out"
    steps: list[list[list[str | Path]]] = [
        [_plain("init", plate, "--out", out, "--quality", "draft")],
        [_plain("prep", out, "--frames", "1001-1003")] * 2 + [_plain("prep", out, "--frames", "1004-1008")],
        [_plain("fit", out)],
        [_plain("render", out, "--frames", "1001-1003")] * 2 + [_plain("render", out, "--frames", "1004-1008")],
        [_plain("check", out)],
    ]
    told: list[tuple[str, command.Done]] = []
    for commands in steps:
        told += zip((str(args[0]) for args in commands), command.together(*commands), strict=True)
    return out, told


def test_every_task_of_a_shot_ends_with_0(farmed: Farmed) -> None:
    assert [(stage, done.returncode) for stage, done in farmed[1] if done.returncode] == []


def test_other_chunks_and_two_workers_on_one_give_the_same_files(farmed: Farmed, quick: Path) -> None:
    out, _ = farmed
    assert command.litter(out) == set()
    assert command.same_pixels(out, quick)
    for frame in FRAMES:
        name = f".vdp/flow/demo.{frame}.safetensors"
        assert (out / name).read_bytes() == (quick / name).read_bytes(), name


def test_the_logs_of_success_hold_nothing_a_farm_takes_for_a_failure(farmed: Farmed) -> None:
    out, told = farmed
    logs = [(stage, text) for stage, done in told for text in (done.stdout, done.stderr)]
    logs.append(("log.txt", (out / ".vdp" / "log.txt").read_text(encoding="utf-8")))
    for stage, text in logs:
        # What Deadline, Tractor and wranglers' own scripts look for; and what a web page of a log cannot show.
        assert not re.search(r"Error:|Traceback|FATAL|Segmentation", text), (stage, text)
        assert not re.search(r"[^\n\x20-\x7e\u00a0-\uffff]", text), (stage, text)
    for stage, done in told:
        if stage != "init":
            assert re.findall(r"^Progress: (\d+)%$", done.stdout, re.MULTILINE)[-1] == "100", stage


def test_a_second_run_of_each_stage_changes_no_file(farmed: Farmed, plate: str) -> None:
    out, _ = farmed
    before = command.snapshot(out)
    again = command.together(
        ["init", plate, "--out", out, "--quality", "draft"],
        *([stage, out] for stage in ("prep", "fit", "render", "check")),
    )
    assert [done.returncode for done in again] == [0] * 5
    assert command.snapshot(out) == before


def test_check_always_checks(quick: Path, tmp_path: Path) -> None:
    out = command.copy(quick, tmp_path / "out")
    layers = out / "demo.1004.exr"
    data, stat = bytearray(layers.read_bytes()), layers.stat()
    data[-50] ^= 0xFF
    layers.write_bytes(data)
    os.utime(layers, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    done = command.vdp("check", out)
    assert done.returncode == 1 and "demo.1004.exr" in done.stderr


def test_a_plate_whose_name_could_break_a_log(demo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[31m\nopenjd_fail: b\r"
    folder.mkdir()
    for frame in FRAMES[:2]:
        (folder / f"a.{frame}.exr").write_bytes((demo / "plate" / f"demo.{frame}.exr").read_bytes())
    out = folder / "out"
    assert command.vdp("init", folder, "--out", out, "--quality", "draft").returncode == 0
    for dialect in ("plain", "openjd"):
        done = command.vdp("prep", out, "--progress", dialect)
        assert done.returncode == 0, done.stderr
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]|^openjd_fail", done.stdout + done.stderr, re.MULTILINE)


# Each stage with something in it that takes 2.5 seconds, and silences that are broken after 0.4 in place of 25 seconds.
_SLOW = """
import sys, time
from dataclasses import replace
from importlib import import_module
from vdp_engine import progress
progress._QUIET_SECONDS, progress._BEAT_SECONDS = 0.4, 0.1
where, name = ("model.layers.model", "shot_evidence") if sys.argv[1] == "fit" else ("plate.reader", "read_pixels")
rooms = vars(import_module(f"vdp_engine.{where}"))
work, slept = rooms[name], []
def slow(*args, **rest):
    if not slept:
        slept.append(time.sleep(2.5))
    return work(*args, **rest)
rooms[name] = slow
if sys.argv[1] == "fit":
    from vdp_engine.model.layers.objective import PHASES
    for qualities in PHASES.values():
        qualities["draft"] = tuple(replace(phase, steps=3) for phase in qualities["draft"])
from vdp_engine.cli.main import main
main()
"""


def _longest_silence(stage: str, out: Path) -> float:
    args = [stage, str(out), "--threads", "1", "--device", "cpu", "--progress", "plain"]
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", _SLOW, *args], stdout=subprocess.PIPE, env=command._ENVIRONMENT)
    assert process.stdout is not None
    times = [time.monotonic() for _ in process.stdout]
    assert process.wait() == 0 and time.monotonic() - began > 2.5
    return max(after - before for before, after in pairwise(times))


def test_silence_is_broken_in_every_stage(quick: Path, tmp_path: Path) -> None:
    silences: dict[str, float] = {}

    def work(stages: tuple[str, ...]) -> None:
        for stage in stages:
            out = command.copy(quick, tmp_path / stage)
            gone = {"prep": ".vdp/flow/demo.1001.safetensors", "fit": ".vdp/model.safetensors"}
            gone["render"] = "demo.1001.exr"
            if stage in gone:
                (out / gone[stage]).unlink()
            silences[stage] = 9.0
            silences[stage] = _longest_silence(stage, out)

    workers = [threading.Thread(target=work, args=(stages,)) for stages in (("prep", "fit"), ("render", "check"))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(silences) == 4 and max(silences.values()) < 2.0, silences
