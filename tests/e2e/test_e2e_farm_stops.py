"""Stages that a farm stops, kills and starts again, and what they take of the machine meanwhile."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.e2e import command

if os.name == "nt":
    pytest.skip("needs the signals of POSIX", allow_module_level=True)


def _undone(quick: Path, folder: Path, stage: str) -> Path:
    """A copy of the shot in which ``stage`` is still to do."""
    out = command.copy(quick, folder / stage)
    if stage == "prep":
        shutil.rmtree(out / ".vdp" / "flow")
    elif stage == "fit":
        (out / ".vdp" / "model.safetensors").unlink()
    elif stage == "render":
        for path in command.layer_files(out):
            path.unlink()
    return out


def _threads(process: subprocess.Popen[str]) -> int:
    try:
        return len(os.listdir(f"/proc/{process.pid}/task"))
    except OSError:  # it has ended, or this is no Linux
        return 0


def _stopped(stage: str, out: Path) -> tuple[int, float, int, set[str]]:
    """SIGTERM in the middle: exit code, seconds to the end, threads at work before it, and what was left lying."""
    # The command as it is: what makes a fit short for tests loads the libraries before their threads are set.
    with command.start(stage, out, steps=None) as process:
        threads = 0
        for count, _ in enumerate(event for event in command.events(process) if event["event"] == "progress"):
            if count <= 2:
                threads = max(threads, _threads(process))
            if count == 2:
                sent = time.monotonic()
                process.send_signal(signal.SIGTERM)
    return process.returncode, time.monotonic() - sent, threads, command.litter(out)


def test_sigterm_ends_each_stage_in_time_and_one_thread_is_one(quick: Path, tmp_path: Path) -> None:
    stages = ("prep", "fit", "render", "check")
    outs = [_undone(quick, tmp_path, stage) for stage in stages]
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(stages, pool.map(_stopped, stages, outs), strict=True))
    for stage, (code, seconds, threads, left) in found.items():
        assert code == 143 and seconds < 3 and left == set(), (stage, code, seconds, left)
        # The work, the heartbeat, and one that render waits for; the pools of torch, OpenCV and OpenEXR have none.
        assert threads <= 3, (stage, threads)
    assert (tmp_path / "fit" / ".vdp" / "checkpoint.safetensors").exists()


def test_a_stopped_fit_keeps_its_last_step(quick: Path, tmp_path: Path) -> None:
    # Long before the first checkpoint of its own, which comes after five seconds.
    out = _undone(quick, tmp_path, "fit")
    args = ["fit", str(out), "--threads", "1", "--device", "cpu", "--progress", "json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vdp_engine", *args], stdout=subprocess.PIPE, text=True, env=command._ENVIRONMENT
    )
    told = 0
    for event in command.events(process):
        step = re.search(r"step (\d+) of", event.get("message", ""))
        if step and not told:
            told = int(step[1])
            process.send_signal(signal.SIGTERM)
    assert process.wait() == 143 and told
    with safe_open(out / ".vdp" / "checkpoint.safetensors", "pt") as stored:
        phase, step = json.loads(stored.metadata()["facts"])["at"]
    assert phase == 0 and step >= told


def _killed(stage: str, out: Path, seed: int) -> list[str]:
    """Kill the stage again and again, until it once comes to its end; returns what went wrong."""
    rng = random.Random(seed)
    wrong: list[str] = []
    left: set[str] = set()
    for _ in range(3):
        with command.start(stage, out) as process:
            for count, event in enumerate(command.events(process)):
                if count == 0 and left & command.litter(out):
                    wrong.append(f"litter is still there: {left}")
                if event["event"] == "progress" and event["fraction"] < 1:
                    time.sleep(rng.uniform(0, 0.1))
                    process.kill()
        left = command.litter(out)
        for path in command.layer_files(out):
            command.channels(path)  # raises where it is not whole
    done = command.vdp(stage, out)
    return wrong + ([] if done.returncode == 0 else [done.stderr]) + sorted(command.litter(out))


def test_stages_killed_again_and_again_leave_whole_files_and_no_litter(quick: Path, tmp_path: Path) -> None:
    outs = {stage: _undone(quick, tmp_path, stage) for stage in ("prep", "render")}
    with ThreadPoolExecutor(2) as pool:
        wrong = list(pool.map(lambda stage: _killed(stage, outs[stage], seed=len(stage)), outs))
    assert wrong == [[], []]
    assert command.same_pixels(outs["render"], quick)
    flows = sorted(path.name for path in (quick / ".vdp" / "flow").iterdir())
    for name in flows:
        assert (outs["prep"] / ".vdp" / "flow" / name).read_bytes() == (quick / ".vdp" / "flow" / name).read_bytes()
