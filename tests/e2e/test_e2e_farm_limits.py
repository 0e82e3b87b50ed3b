"""What a worker may lack: a device, memory, room, a drive, the rest of the plate. Each is told apart by its code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import command

if os.name == "nt":
    pytest.skip("limits processes and drives as POSIX systems can", allow_module_level=True)

Ending = tuple[int, str, str]


def _ending(args: Sequence[str | Path], *, limit: int = 0, quick: bool = False, **environment: str) -> Ending:
    """Exit code, error code and message of ``vdp ARGS``.

    Args:
        limit: its address space in units of 1024 bytes.
        quick: with a fit of a few steps and a checkpoint after each.
    """
    engine = [*command._QUICK, "3"] if quick else [sys.executable, "-m", "vdp_engine"]
    limited = ["bash", "-c", f'ulimit -v {limit}; exec "$@"', "vdp"] if limit else []
    done = subprocess.run(
        [*limited, *engine, *map(str, args), "--progress", "json"],
        capture_output=True, text=True, timeout=200, env=command._ENVIRONMENT | environment,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    errors = [event for event in map(json.loads, done.stdout.splitlines()) if event["event"] == "error"]
    return (done.returncode, errors[-1]["code"], errors[-1]["message"]) if errors else (done.returncode, "", "")


def _endings(*commands: Sequence[str | Path], **how: Any) -> list[Ending]:
    """Two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda args: _ending(args, **how), commands))


def _undone(quick: Path, to: Path) -> Path:
    """A copy of the shot in which each of the stages but check has something to do, and what it needs for it."""
    out = command.copy(quick, to)
    for name in (".vdp/flow/demo.1001.safetensors", ".vdp/model.safetensors", "demo.1002.exr"):
        (out / name).unlink()
    return out


def test_a_device_that_is_not_there_is_no_reason_to_take_the_cpu(quick: Path, plate: str, tmp_path: Path) -> None:
    out = _undone(quick, tmp_path / "out")
    before = command.snapshot(out)
    cuda = ("--device", "cuda")
    told = _endings(
        ["prep", out, *cuda], ["fit", out, *cuda], ["run", plate, "--out", tmp_path / "run", *cuda],
        CUDA_VISIBLE_DEVICES="",
    )  # fmt: skip
    for code, error, message in told:
        assert (code, error) == (2, "usage.device") and "no CUDA device" in message
    assert command.snapshot(out) == before and not (tmp_path / "run").exists()


def test_too_little_address_space(quick: Path, tmp_path: Path) -> None:
    out = _undone(quick, tmp_path / "out")
    before = command.snapshot(out)
    for code, error, message in _endings(*([stage, out] for stage in ("prep", "fit", "check")), limit=1_000_000):
        assert (code, error) == (75, "machine.memory") and "ulimit -v" in message
    assert command.snapshot(out) == before


def test_too_little_memory_for_each_stage(quick: Path, tmp_path: Path) -> None:
    no_flow, no_model = command.copy(quick, tmp_path / "no_flow"), command.copy(quick, tmp_path / "no_model")
    shutil.rmtree(no_flow / ".vdp" / "flow")
    (no_model / ".vdp" / "model.safetensors").unlink()
    little = ("--max-memory", "20M")
    for code, error, message in _endings(["prep", no_flow, *little], ["fit", no_model, *little]):
        assert (code, error) == (75, "machine.memory") and "--max-memory" in message
    assert not (no_flow / ".vdp" / "flow").exists() and not (no_model / ".vdp" / "model.safetensors").exists()


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Path]:
    """A drive of 12 MB that can be filled and made read-only."""
    folder = tmp_path / "drive"
    folder.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip("a small drive can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_drive_and_a_read_only_one(quick: Path, plate: str, drive: Path) -> None:
    out = _undone(quick, drive / "out")
    shutil.copy2(quick / ".vdp" / "flow" / "demo.1001.safetensors", out / ".vdp" / "flow")  # prep is done
    (drive / "fill").write_bytes(bytes(shutil.disk_usage(drive).free))
    before = command.snapshot(out)
    for code, error, message in _endings(["fit", out], ["init", plate, "--out", drive / "new"], quick=True):
        assert (code, error) == (75, "machine.disk") and f"cannot write {drive}" in message
    assert command.snapshot(out) == before and command.litter(out) == set()
    (drive / "fill").unlink()

    subprocess.run(["mount", "-o", "remount,ro", str(drive)], check=True)
    for code, error, message in _endings(["fit", out], ["init", plate, "--out", drive / "newer"]):
        assert (code, error) == (75, "machine.read_only") and str(drive) in message
    assert command.snapshot(out) == before


def test_a_drive_that_is_not_mounted_is_no_wrong_name(quick: Path, demo: Path, tmp_path: Path) -> None:
    plates = tmp_path / "plates"
    shutil.copytree(demo / "plate", plates)
    out = command.copy(quick, tmp_path / "out", plate=plates)
    shutil.rmtree(plates)
    no_plate, no_out, wrong = _endings(["render", out], ["fit", tmp_path / "gone" / "out"], ["fit", tmp_path / "wrong"])
    assert no_plate[:2] == (75, "machine.drive") and str(plates) in no_plate[2]
    assert no_out[:2] == (75, "machine.drive") and str(tmp_path / "gone") in no_out[2]
    assert wrong[:2] == (2, "shot.not_found")


def _aged(folder: Path, seconds: float) -> None:
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_plate_that_is_still_being_written(demo: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        shutil.copytree(demo / "plate", folder)
    last = cut / "demo.1008.exr"
    last.write_bytes(last.read_bytes()[:300])
    longer = ["init", whole, "--frames", "1001-1010", "--out", tmp_path / "out"]
    for age, code, missing, damaged in (
        (5, 75, "plate.growing", "plate.growing"), (900, 2, "plate.missing_frame", "plate.unreadable"),
    ):  # fmt: skip
        for folder in (whole, cut):
            _aged(folder, age)
        no_frame, no_pixels = _endings(longer, ["init", cut, "--out", tmp_path / "out"])
        assert no_frame[:2] == (code, missing) and "demo.1009.exr" in no_frame[2], no_frame
        assert no_pixels[:2] == (code, damaged) and "demo.1008.exr" in no_pixels[2], no_pixels
        assert ("still being written" in no_frame[2]) == (code == 75)
    assert not (tmp_path / "out").exists()


def test_a_frame_that_was_cut_after_the_shot_was_set_up(demo: Path, quick: Path, tmp_path: Path) -> None:
    plates = tmp_path / "plates"
    shutil.copytree(demo / "plate", plates)
    last = plates / "demo.1008.exr"
    last.write_bytes(last.read_bytes()[:-2000])  # its header is whole
    out = command.copy(quick, tmp_path / "out", plate=plates)
    code, error, message = _ending(["prep", out])
    assert (code, error) == (75, "plate.growing") and "demo.1008.exr" in message
    _aged(plates, 900)
    assert _ending(["prep", out])[:2] == (2, "plate.unreadable")
    assert command.litter(out) == set()


def test_a_frame_that_grows_while_it_is_looked_at(demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo / "plate", tmp_path / "plate")
    frame = tmp_path / "plate" / "demo.1003.exr"
    data = frame.read_bytes()
    frame.write_bytes(data[:100])
    done = threading.Event()

    def render() -> None:
        for at in range(100, 200):
            if done.wait(0.1):
                break
            with frame.open("ab") as file:
                file.write(data[at : at + 1])

    writer = threading.Thread(target=render)
    writer.start()
    try:
        code, error, message = _ending(["init", tmp_path / "plate", "--out", tmp_path / "out"])
    finally:
        done.set()
        writer.join()
    assert (code, error) == (75, "plate.growing") and "frame 1003" in message
