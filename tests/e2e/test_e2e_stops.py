"""Stopped or killed at any moment, the same command goes on, and ends where an undisturbed one does."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import command

if os.name == "nt":
    pytest.skip("needs the signals of POSIX", allow_module_level=True)

Event = dict[str, Any]
_EXIT = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}


def _at(stage: str, word: str) -> Callable[[Event], bool]:
    return lambda event: event.get("stage") == stage and word in event["message"]


# Where a run is hit, one after the other; what was finished before is skipped by the next.
_MOMENTS: list[Callable[[Event], bool]] = [
    _at("prep", "frame 1003"), _at("fit", "joint step 1 "), _at("render", "frame 1003"), _at("check", "frame 1004"),
]  # fmt: skip


def _interrupted(plate: str, out: Path, signals: list[signal.Signals], seed: int) -> list[str]:
    """Run, stopped at every moment in turn, then to the end; returns what went wrong."""
    rng = random.Random(seed)
    wrong: list[str] = []
    left: set[str] = set()
    for moment, number in zip(_MOMENTS, signals, strict=True):
        with command.start("run", plate, "--out", out, "--quality", "draft") as process:
            begun = hit = False
            for event in command.events(process):
                if not begun and event["event"] == "progress":
                    begun = True
                    if left & command.litter(out):
                        wrong.append(f"litter is still there: {left}")
                if not hit and moment(event):
                    hit = True
                    time.sleep(rng.uniform(0, 0.2) if event["stage"] != "check" else 0)
                    process.send_signal(number)
                    sent = time.monotonic()
            seconds = time.monotonic() - sent if hit else -1.0
        left = command.litter(out)
        if process.returncode != _EXIT[number] or seconds > 3:
            wrong.append(f"{number.name}: exit {process.returncode} after {seconds:.1f} s")
        if left and number != signal.SIGKILL:
            wrong.append(f"{number.name} left {left}")
        for path in command.layer_files(out):
            command.channels(path)  # raises where it is not whole
    command.run(plate, out)
    return wrong + [f"left at the end: {name}" for name in command.litter(out)]


def test_stopped_or_killed_everywhere_the_result_is_the_same(plate: str, quick: Path, tmp_path: Path) -> None:
    stopped = [signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM]
    chains = {"stopped": stopped, "killed": [signal.SIGKILL] * len(_MOMENTS)}
    with ThreadPoolExecutor(2) as pool:
        wrong = pool.map(lambda name: _interrupted(plate, tmp_path / name, chains[name], seed=len(name)), chains)
        assert list(wrong) == [[], []]
    for name in chains:
        assert command.same_pixels(tmp_path / name, quick), name
        model = ".vdp/model.safetensors"
        assert (tmp_path / name / model).read_bytes() == (quick / model).read_bytes(), name
        assert command.snapshot(tmp_path / name).keys() == command.snapshot(quick).keys()


def test_a_checkpoint_is_taken_up_and_thrown_away(plate: str, quick: Path, tmp_path: Path) -> None:
    out = command.copy(quick, tmp_path / "out")
    (out / ".vdp" / "model.safetensors").unlink()
    with command.start("fit", out) as process:
        for event in command.events(process):
            if _at("fit", "evidence step 1 ")(event):
                process.kill()
    checkpoint = out / ".vdp" / "checkpoint.safetensors"
    assert checkpoint.exists()
    with command.start("fit", out) as process:
        told = [event["message"] for event in command.events(process) if "message" in event]
    assert process.returncode == 0 and any("going on from step" in message for message in told)
    assert not any("evidence step 1 " in message for message in told) and not checkpoint.exists()

    (out / ".vdp" / "model.safetensors").unlink()
    checkpoint.write_bytes((quick / ".vdp" / "model.safetensors").read_bytes()[:5000])
    assert command.vdp("fit", out).returncode == 0, "a damaged checkpoint is no checkpoint"
    assert (out / ".vdp" / "model.safetensors").read_bytes() == (quick / ".vdp" / "model.safetensors").read_bytes()
