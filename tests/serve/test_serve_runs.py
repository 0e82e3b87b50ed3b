"""Runs that `vdp serve` starts and watches: states, stops, ends; and one from a host's pixels to its pictures."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.command import channels, write_exr
from tests.serve.helper import PATCHED, QUICK_ENGINE, SLOW_ENGINE, Helper
from tests.serve.layer_shots import planes, set_up, write_layers
from vdp_engine.demo.scene import Scene
from vdp_engine.equations import half_ulps, recompose
from vdp_engine.serve.protocol import Request
from vdp_engine.serve.shots import options_of
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

SETTINGS = {
    "task": "layers", "layers": 2, "flow": "dis", "quality": "draft", "device": "cpu", "alpha": "premultiplied",
    "hint": [],
}  # fmt: skip
WINDOW = (0, 0, 7, 5)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Helper]:
    """A helper whose engine does nothing for a minute."""
    with Helper(tmp_path, PATCHED + SLOW_ENGINE) as helper:
        yield helper


def analyse(helper: Helper, shot: Path, frames: list[list[int]], **settings: Any) -> dict[str, Any]:
    answer = helper.done("analyse", shot=shot, frames=frames, **SETTINGS | settings)
    assert answer["state"] == "running"
    return answer


def seen(shot: Path) -> dict[str, Any]:
    """What the engine has left, once it has."""
    end = time.monotonic() + 20
    while not (shot / "seen.json").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    return json.loads((shot / "seen.json").read_text())


def gone(pid: int, within: float = 15) -> bool:
    """Whether a process ends in time. A zombie that nobody waits for has ended too."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_what_the_engine_is_asked(slow: Helper, tmp_path: Path) -> None:
    shot = tmp_path / "a shot"
    (shot / "plates").mkdir(parents=True)
    for frame in (5, 6, 30):
        (shot / "plates" / f"ofx_hint.{frame:04d}.exr").touch()
        (shot / "plates" / f"ofx_plate.{frame:04d}.exr").touch()
    analyse(slow, shot, [[-3, 7], [12, 12]], layers="auto", hint=[[5, 6]])
    assert seen(shot)["arguments"] == [
        "run", str(shot / "plates" / "ofx_plate.####.exr"), f"--out={shot}", "--name=a shot", "--frames=-3-7,12",
        f"--hint={shot / 'plates' / 'ofx_hint.####.exr'}", "--task=layers", "--flow=dis", "--quality=draft",
        "--device=cpu", "--layers=auto", "--alpha=premultiplied", "--progress=json",
    ]  # fmt: skip
    left = sorted(path.name for path in (shot / "plates").iterdir())
    hints, plates = [f"ofx_hint.{n:04d}.exr" for n in (5, 6)], [f"ofx_plate.{n:04d}.exr" for n in (5, 6, 30)]
    assert left == ["ofx.lock", *hints, *plates]


@pytest.mark.parametrize("task", ["layers", "dehaze", "relight"])
def test_a_task_is_asked_what_it_knows(task: str) -> None:
    options = options_of(Request({"op": "analyse", **SETTINGS, "task": task, "layers": 3, "alpha": "straight"}))
    common = {"task": task, "flow": "dis", "quality": "draft", "device": "cpu"}
    assert options == common | ({"layers": "3", "alpha": "straight"} if task == "layers" else {})


def test_folder_that_was_moved_begins_anew(slow: Helper, tmp_path: Path) -> None:
    set_up(tmp_path / "before", (1, 2))
    moved = (tmp_path / "before").rename(tmp_path / "moved")
    analyse(slow, moved, [[1, 2]])
    told = seen(moved)["arguments"]
    assert "--fresh" in told and "--name=shot" in told
    stays = set_up(tmp_path / "stays", (1, 2))
    analyse(slow, stays.out, [[1, 2]])
    assert "--fresh" not in seen(stays.out)["arguments"]


def test_folder_of_another_plate(slow: Helper, tmp_path: Path) -> None:
    shot = Shot(tmp_path / "shot", "sh010", "/show/plates/sh010.#.exr", (1,), Settings())
    shot.save()
    write_layers(shot.layer_file(1), planes("layers", 6, 8, np.float16, seed=1), WINDOW, WINDOW)
    code, message = slow.refused("analyse", shot=shot.out, frames=[[1, 1]], **SETTINGS)
    assert code == "ofx.other_shot"
    assert "/show/plates/sh010.#.exr" in message and "another shot folder" in message
    assert slow.status(shot.out)["state"] == "ready"
    slow.picture(shot.out, 1, "bg")


def test_progress_and_cancel(slow: Helper, tmp_path: Path) -> None:
    shot = tmp_path / "shot"
    analyse(slow, shot, [[1, 2]])
    pid = seen(shot)["pid"]
    first = slow.status(shot)
    assert first["state"] == "running"
    end = time.monotonic() + 20
    while not (status := slow.status(shot))["message"].startswith("step"):
        assert time.monotonic() < end
    assert status["stage"] == "fit" and 0.1 <= status["fraction"] < 1 and "eta_s" in status
    # A second one where one runs is answered by the first.
    analyse(slow, shot, [[1, 2]], quality="final")
    assert seen(shot)["pid"] == pid
    assert slow.done("cancel", shot=shot)["state"] in ("running", "none")  # it may have obeyed already
    status = slow.until(shot, "none")
    assert "stopped" in status["message"] and "kept" in status["message"]
    assert gone(pid)
    assert slow.done("cancel", shot=shot)["state"] == "none"


def test_failed_run(slow: Helper, tmp_path: Path) -> None:
    shot = tmp_path / "shot"
    analyse(slow, shot, [[1, 2]], quality="final")
    status = slow.until(shot, "failed")
    assert status["message"] == "frame 7: the plate has no file x.0007.exr"
    analyse(slow, shot, [[1, 2]])
    slow.until(shot, "running")


def test_killed_run_and_another_one(slow: Helper, tmp_path: Path) -> None:
    shot = tmp_path / "shot"
    analyse(slow, shot, [[1, 2]])
    os.kill(seen(shot)["pid"], signal.SIGKILL)
    status = slow.until(shot, "failed")
    assert "SIGKILL" in status["message"]
    (shot / "seen.json").unlink()
    analyse(slow, shot, [[1, 2]])
    assert slow.status(shot)["state"] == "running"
    seen(shot)


@pytest.mark.parametrize("quality", ["draft", "standard"])
def test_end_of_the_host_ends_its_runs(tmp_path: Path, quality: str) -> None:
    """Also those that do not obey, after a grace of two seconds."""
    shot = tmp_path / "shot"
    with Helper(tmp_path, PATCHED + SLOW_ENGINE) as helper:
        analyse(helper, shot, [[1, 2]], quality=quality)
        pid = seen(shot)["pid"]
        began = time.monotonic()
        assert helper.close() == 0
        assert time.monotonic() - began < (2 if quality == "draft" else 6)
        assert gone(pid, 0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a run notices at its next word")
def test_killed_helper_takes_its_run_along(tmp_path: Path) -> None:
    shot = tmp_path / "shot"
    with Helper(tmp_path, PATCHED + SLOW_ENGINE) as helper:
        analyse(helper, shot, [[1, 2]])
        pid = seen(shot)["pid"]
        helper.process.kill()
        assert gone(pid)
    with Helper(tmp_path, PATCHED + SLOW_ENGINE) as helper:  # the folder is free again
        analyse(helper, shot, [[1, 2]])


def test_another_host_at_work_in_the_folder(slow: Helper, tmp_path: Path) -> None:
    shot = tmp_path / "shot"
    analyse(slow, shot, [[1, 2]])
    with Helper(tmp_path, PATCHED + SLOW_ENGINE) as other:
        code, message = other.refused("analyse", shot=shot, frames=[[1, 2]], **SETTINGS)
        assert code == "machine.busy"
        assert str(shot) in message
        slow.done("cancel", shot=shot)
        slow.until(shot, "none")
        analyse(other, shot, [[1, 2]])


def test_pictures_do_not_wait_for_runs(slow: Helper, tmp_path: Path) -> None:
    shot = set_up(tmp_path / "shot", (1, 2))
    made = planes("layers", 6, 8, np.float16, seed=1)
    write_layers(shot.layer_file(1), made, WINDOW, WINDOW)
    analyse(slow, shot.out, [[1, 2]])
    for _ in range(5):
        _, given = slow.picture(shot.out, 1, "bg")
        assert np.array_equal(given[::-1, :, 0], made["bg.R"].astype(np.float32))
    status = slow.until(shot.out, "running")
    assert (status["frames"], "bg" in status["outputs"]) == ([[1, 1]], True)


def test_partial_ready_and_stale(helper: Helper, tmp_path: Path) -> None:
    shot = set_up(tmp_path, (1, 2))
    plates = tmp_path / "plates"
    plates.mkdir()
    for frame in (1, 2):
        (plates / f"ofx_plate.{frame:04d}.exr").touch()
    made = planes("layers", 6, 8, np.float16, seed=1)
    digest = shot.settings.digest("render")
    write_layers(shot.layer_file(1), made, WINDOW, WINDOW, settings=digest)
    helper.done("forget", shot=tmp_path)
    assert helper.status(tmp_path)["state"] == "partial"
    write_layers(shot.layer_file(2), made, WINDOW, WINDOW, settings=digest)
    assert helper.until(tmp_path, "ready")["message"] == "ready"
    later = time.time_ns() + 10**9
    os.utime(plates / "ofx_plate.0002.exr", ns=(later, later))
    assert "frame 2" in helper.until(tmp_path, "stale")["message"]
    write_layers(shot.layer_file(2), made, WINDOW, WINDOW, settings=digest)
    os.utime(shot.layer_file(2), ns=(later, later))
    helper.until(tmp_path, "ready")
    set_up(tmp_path, (1, 2), alpha="straight")
    assert "settings" in helper.until(tmp_path, "stale")["message"]
    set_up(tmp_path, (1, 2, 3))
    assert "frames 3" in helper.until(tmp_path, "partial")["message"]


def test_shot_of_another_version(helper: Helper, tmp_path: Path) -> None:
    shot = set_up(tmp_path, (1,))
    shot.file.write_text(shot.file.read_text().replace('"format": 1', '"format": 99'))
    status = helper.status(tmp_path)
    assert status["state"] == "failed"
    assert "format 99" in status["message"]
    shot.save()
    shot.file.write_text(shot.file.read_text().replace('"standard"', '"best"'))
    status = helper.until(tmp_path, "failed")
    assert "best" in status["message"] and "\n" not in status["message"]


def test_from_a_hosts_pixels_to_its_pictures(tmp_path: Path) -> None:
    """A small plate through the engine itself, the fit shortened: overscan, another frame range after the first."""
    shot, frames = tmp_path / "shot", range(1001, 1005)
    scene = Scene(width=72, height=48, frames=8)
    lights = {frame: scene.render(frame - 1001).plate.astype(np.float32) for frame in frames}
    window, display = [-4, -6, 68, 42], [64, 36]
    with Helper(tmp_path, PATCHED + QUICK_ENGINE) as helper:

        def hand_over(frame: int, light: np.ndarray) -> None:
            helper.done(
                "plate", shot=shot, kind="plate", frame=frame, window=window, display=display, pixel_aspect=1,
                frame_rate=25, components=3, buffer=helper.buffer(0, light[::-1]),
            )  # fmt: skip

        for frame, light in lights.items():
            hand_over(frame, light)
        hand_over(1005, np.zeros((8, 8, 3), np.float32).repeat(6, 0).repeat(9, 1))  # lies there, and is not asked for
        analyse(helper, shot, [[1001, 1004]])
        told = set()
        while (status := helper.status(shot))["state"] == "running":
            told.add(status["stage"])
            time.sleep(0.05)
        assert (status["state"], status["frames"]) == ("ready", [[1001, 1004]]), status
        assert "fit" in told

        for frame, light in lights.items():
            answer, given = helper.picture(shot, frame, "recomposition")
            assert (answer["window"], answer["display"]) == (window, display)
            assert half_ulps(given[::-1, :, :3], light).max() <= 2
        written = channels(shot / "shot.1002.exr")
        _, given = helper.picture(shot, 1002, "fg1")
        assert np.array_equal(given[::-1, :, 3], written["fg1.A"].astype(np.float32))
        as_floats = {name: plane.astype(np.float32) for name, plane in written.items()}
        _, given = helper.picture(shot, 1002, "recomposition")
        assert np.array_equal(given[::-1, :, :3], recompose("layers", as_floats))

        # The same again is done at once; another plate makes the layers stale.
        kept = {path: path.stat().st_mtime_ns for path in shot.glob("*.exr")}
        for frame, light in lights.items():
            hand_over(frame, light)
        analyse(helper, shot, [[1001, 1004]])
        helper.until(shot, "ready")
        assert kept == {path: path.stat().st_mtime_ns for path in shot.glob("*.exr")}
        hand_over(1003, lights[1003] * 2)
        assert "1003" in helper.until(shot, "stale")["message"]
        assert helper.close() == 0
    assert helper.errors == ""


def test_plate_that_the_engine_refuses(tmp_path: Path) -> None:
    shot = tmp_path / "shot"
    write_exr(shot / "plates" / "ofx_plate.0001.exr", dict.fromkeys("RGB", np.ones((48, 64), np.float32)))
    with Helper(tmp_path, PATCHED + QUICK_ENGINE) as helper:
        analyse(helper, shot, [[1, 3]])
        message = helper.until(shot, "failed")["message"]
        assert "ofx_plate.0002.exr" in message
