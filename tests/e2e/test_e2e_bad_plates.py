"""Plates with something wrong, and machines without room: what is said, and that nothing half-written is left."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import command

BAD = 1005


def _cut(length: float) -> Callable[[Path], None]:
    """Truncate to a share of the file, or to a number of bytes."""

    def harm(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(length * len(data)) if 0 < length < 1 else int(length)])

    return harm


def _other_size(path: Path) -> None:
    command.write_exr(path, {c: np.full((40, 60), 0.18, np.float16) for c in "RGB"})


HARMS: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink, "empty": _cut(0), "a header": _cut(400), "a fifth": _cut(0.2), "nearly all": _cut(0.995),
    "another size": _other_size, "garbage": lambda path: path.write_bytes(b"\x17" * 9000),
}  # fmt: skip


def _harmed(demo: Path, folder: Path, name: str) -> Path:
    """A copy of the plate's folder in which one frame is harmed."""
    copied = folder / "plate" / name
    shutil.copytree(demo / "plate", copied)
    HARMS[name](copied / f"demo.{BAD}.exr")
    return copied


def _is_told(done: command.Done) -> None:
    assert done.returncode == 2, done.stderr
    assert f"demo.{BAD}.exr" in done.stderr and f"frame {BAD}" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_frame_before_the_start(demo: Path, tmp_path: Path) -> None:
    commands: list[list[str | Path]] = [
        ["run", _harmed(demo, tmp_path, name), "--out", tmp_path / "out" / name, "--quality", "draft"]
        for name in HARMS
    ]
    for name, done in zip(HARMS, command.together(*commands), strict=True):
        _is_told(done)
        out = tmp_path / "out" / name
        assert command.layer_files(out) == [] and command.litter(out) == set(), name


@pytest.mark.parametrize(
    ("stage", "chosen"),
    [("prep", ["a fifth"]), ("render", ["gone", "a fifth"]), ("run", ["gone", "nearly all"])],
    ids=["prep", "render", "run"],
)
def test_a_bad_frame_between_the_stages(
    demo: Path, quick: Path, tmp_path: Path, stage: str, chosen: list[str]
) -> None:
    commands: list[list[str | Path]] = []
    for name in chosen:
        out = command.copy(quick, tmp_path / name, plate=_harmed(demo, tmp_path, name))
        for path in command.layer_files(out):
            path.unlink()
        if stage == "prep":
            shutil.rmtree(out / ".vdp" / "flow")
        elsewhere = str(tmp_path / "plate" / name / "demo.####.exr")
        commands.append(["run", elsewhere, "--out", out, "--quality", "draft"] if stage == "run" else [stage, out])
    for name, done in zip(chosen, command.together(*commands), strict=True):
        _is_told(done)
        assert command.litter(tmp_path / name) == set()
        written = command.frames_of(tmp_path / name)
        # Frames before a damaged one are good frames; a plate that lacks one is refused as a whole.
        assert written == [] or (stage == "render" and name == "a fifth" and max(written) < BAD)
        assert all(command.rebuilds(path, demo / "plate" / path.name) for path in command.layer_files(tmp_path / name))


def test_too_little_memory_is_said_before_any_work(plate: str, quick: Path, tmp_path: Path) -> None:
    out = command.copy(quick, tmp_path / "render")
    (out / "demo.1002.exr").unlink()
    for done in command.together(
        ["run", plate, "--out", tmp_path / "run", "--quality", "draft", "--max-memory", "20M"],
        ["render", out, "--max-memory", "20M"],
    ):
        assert done.returncode == 75
        assert "rendering a frame of 96x64 needs" in done.stderr and "--max-memory" in done.stderr
    assert command.litter(tmp_path / "run") == set() and command.layer_files(tmp_path / "run") == []
    assert not (tmp_path / "run" / ".vdp" / "flow").exists()
    assert command.litter(out) == set() and not (out / "demo.1002.exr").exists()


@pytest.fixture
def small_drive(tmp_path: Path) -> Iterator[Path]:
    """A drive of 12 MB."""
    drive = tmp_path / "drive"
    drive.mkdir()
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(drive)], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip("a small drive can only be mounted by root")
    yield drive
    subprocess.run(["umount", str(drive)], check=True)


def test_a_full_drive(quick: Path, plate: str, small_drive: Path) -> None:
    out = command.copy(quick, small_drive / "out")
    for stage, gone in (("render", command.layer_files(out)), ("prep", list((out / ".vdp" / "flow").iterdir()))):
        for path in gone:
            path.unlink()
        free = shutil.disk_usage(small_drive).free
        (small_drive / "fill").write_bytes(bytes(free - 300_000))
        done = command.vdp(stage, out)
        assert done.returncode == 75, (stage, done.stderr)
        assert f"cannot write {out}" in done.stderr and "Traceback" not in done.stderr, done.stderr
        assert command.litter(out) == set(), stage
        assert all(command.rebuilds(path, Path(plate).parent / path.name) for path in command.layer_files(out))
        (small_drive / "fill").unlink()
    command.run(plate, out)
    assert command.same_pixels(out, quick)


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files as POSIX systems can")
@pytest.mark.parametrize(("stage", "blocks"), [("fit", 500), ("check", 100)])
def test_a_drive_that_takes_no_large_files(quick: Path, tmp_path: Path, stage: str, blocks: int) -> None:
    out = command.copy(quick, tmp_path / "out")
    wanted = out / (".vdp/model.safetensors" if stage == "fit" else "demo.sheet.png")
    wanted.unlink()
    before = command.snapshot(out)
    done = command.vdp(stage, out, blocks=blocks)
    assert done.returncode == 75, done.stderr
    assert f"cannot write {wanted.parent}" in done.stderr and os.strerror(errno.EFBIG) in done.stderr
    assert command.litter(out) == set() and command.snapshot(out) == before


def test_a_wrong_ocio_config_is_said_before_any_work(plate: str, tmp_path: Path) -> None:
    config = str(tmp_path / "gone.ocio")
    done = command.vdp("run", plate, "--out", tmp_path / "out", OCIO=config)
    assert done.returncode == 2 and config in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_errors_reach_a_host_as_json(demo: Path, tmp_path: Path) -> None:
    folder = _harmed(demo, tmp_path, "gone")
    with command.start("run", folder, "--out", tmp_path / "out") as process:
        told = list(command.events(process))
    assert process.returncode == 2
    assert [event["event"] for event in told] == ["error"]
    assert (told[0]["code"], told[0]["frame"]) == ("plate.missing_frame", BAD)
    assert told[0]["path"] == str(folder / f"demo.{BAD}.exr")
