"""The tasks dehaze and relight as a user runs them: what is written, what is redone, how they go on after a stop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import command
from vdp_engine.equations import half_ulps, recompose

RGB = tuple("RGB")
CHANNELS = {
    "dehaze": {*RGB, "A", *(f"{layer}.{c}" for layer in ("clear", "airlight", "residual") for c in RGB),
               "transmission.A", "confidence.A"},
    "relight": {*RGB, "A", *(f"{layer}.{c}" for layer in ("relit", "gain", "noise", "residual") for c in RGB),
                "confidence.A"},
}  # fmt: skip
STRENGTH = ("--strength", "0.5")


@pytest.fixture(scope="module", params=sorted(CHANNELS))
def made(request: pytest.FixtureRequest, plate: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A task and the folder of a finished run; not to be changed."""
    out = tmp_path_factory.mktemp(request.param) / "out"
    command.run(plate, out, "--task", request.param)
    return request.param, out


def test_the_written_layers_give_the_plate_back(made: tuple[str, Path]) -> None:
    task, out = made
    files = command.layer_files(out)
    assert len(files) == 8
    for file in files:
        layers = {name: plane.astype(np.float32) for name, plane in command.channels(file).items()}
        assert set(layers) == CHANNELS[task]
        header = command.header(file)
        assert header["vdp/task"] == task
        controls = {"gamma": float(header["vdp/gamma"])} if task == "relight" else {}
        plate = np.stack([layers[c] for c in RGB], axis=-1)
        assert half_ulps(recompose(task, layers, **controls), plate).max() <= 2
    report = json.loads((out / "demo.report.json").read_text(encoding="utf-8"))
    assert report["passed"] and report["shot"]["task"] == task and task in report


def test_a_control_of_the_rendering_renders_again_and_fits_nothing(
    made: tuple[str, Path], plate: str, tmp_path: Path
) -> None:
    task, first = made
    out = command.copy(first, tmp_path / "out")
    model = (out / ".vdp" / "model.safetensors").stat().st_mtime_ns
    command.run(plate, out, "--task", task, *STRENGTH)
    assert (out / ".vdp" / "model.safetensors").stat().st_mtime_ns == model
    changed, before = (command.channels(command.layer_files(folder)[0]) for folder in (out, first))
    name = "clear.R" if task == "dehaze" else "relit.R"
    assert not np.array_equal(changed[name], before[name])
    np.testing.assert_array_equal(changed["R"], before["R"])


def test_killed_in_the_fit_it_goes_on_to_the_same(made: tuple[str, Path], plate: str, tmp_path: Path) -> None:
    task, undisturbed = made
    out = tmp_path / "out"
    with command.start("run", plate, "--out", out, "--quality", "draft", "--task", task) as process:
        for event in command.events(process):
            if event.get("stage") == "fit" and "step 1 " in event.get("message", ""):
                process.kill()
    assert (out / ".vdp" / "checkpoint.safetensors").exists()
    command.run(plate, out, "--task", task)
    assert command.same_pixels(out, undisturbed)
    model = ".vdp/model.safetensors"
    assert (out / model).read_bytes() == (undisturbed / model).read_bytes()


def test_frames_rendered_alone_are_those_of_the_whole_run(made: tuple[str, Path], tmp_path: Path) -> None:
    _, whole = made
    out = command.copy(whole, tmp_path / "out")
    for frame in (1003, 1006):
        (out / f"demo.{frame}.exr").unlink()
    done = command.vdp("render", out, "--frames", "1006,1003")
    assert done.returncode == 0, done.stderr
    assert command.same_pixels(out, whole)


def test_an_option_of_another_task_is_refused(made: tuple[str, Path], plate: str, tmp_path: Path) -> None:
    task, _ = made
    done = command.vdp("run", plate, "--out", tmp_path / "out", "--task", task, "--layers", "3")
    assert done.returncode == 2 and f"--layers belongs to the task layers, this is {task}" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("task", "options"),
    [("dehaze", ("--airlight", "0.8,0.82,0.9", "--transmission", "rgb")), ("relight", ("--gamma", "1.3"))],
)
def test_locks_are_held(plate: str, tmp_path: Path, task: str, options: tuple[str, ...]) -> None:
    command.run(plate, tmp_path / "out", "--task", task, *options, "--frames", "1001-1002")
    file = command.layer_files(tmp_path / "out")[0]
    if task == "relight":
        assert float(command.header(file)["vdp/gamma"]) == pytest.approx(1.3)
        return
    layers = command.channels(file)
    for name, value in zip(RGB, (0.8, 0.82, 0.9), strict=True):
        np.testing.assert_allclose(layers[f"airlight.{name}"].astype(np.float32), value, rtol=1e-3)
        assert f"transmission.{name}" in layers
