"""``--hint``: what reaches the shot, what is said of it, and what a changed hint redoes."""

from __future__ import annotations

import json
import os
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest
from click.testing import CliRunner, Result

from tests.model import tiny_shot
from vdp_engine.cli.commands import vdp
from vdp_engine.shot import Shot

fakes = runpy.run_path(str(Path(__file__).with_name("fake_stages.py")))


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set by every command; put back after the test."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(variable, "1")


@pytest.fixture
def plate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three frames of four by three pixels, and stages that do next to nothing."""
    fakes["install"](monkeypatch.setattr, monkeypatch.setitem)
    return str(fakes["write_plate"](tmp_path / "plate"))


def paint(path: Path, size: tuple[int, int] = (3, 4), white: float = 1.0) -> Path:
    """A PNG whose left half is ``white``, its right half black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    matte = np.zeros((*size, 1), np.float32)
    matte[:, : size[1] // 2] = white
    image = oiio.ImageBuf(oiio.ImageSpec(size[1], size[0], 1, "uint8"))
    image.set_pixels(oiio.ROI(), matte)
    assert image.write(str(path))
    return path


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(vdp, [str(arg) for arg in args])


def done(*args: str | Path) -> Result:
    result = call(*args)
    assert result.exit_code == 0, result.output
    return result


def refused(told: tuple[Any, ...], *args: str | Path) -> None:
    result = call(*args)
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    for words in told:
        assert str(words) in said
    assert "Traceback" not in result.output


def test_hints_reach_the_shot_and_are_found_from_any_folder(
    plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dog", "man"):
        paint(tmp_path / "hints" / f"{name}.1002.png")
    monkeypatch.chdir(tmp_path)
    done("init", plate, "--out", "out", "--layers", "3", "--hint", "hints/dog.1002.png", "--hint=hints/man.####.png")
    monkeypatch.chdir("/")
    shot = Shot.load(tmp_path / "out")
    assert [hint.path(1002) for hint in shot.hints] == [
        tmp_path / "hints" / "dog.1002.png", tmp_path / "hints" / "man.1002.png",
    ]  # fmt: skip
    assert all(os.path.isabs(pattern) for pattern in shot.settings.hints)
    assert json.loads(shot.file.read_text())["settings"]["hints"] == list(shot.settings.hints)
    before = shot.file.stat().st_mtime_ns
    done("run", plate, "--out", shot.out, "--layers", "3", *(f"--hint={text}" for text in shot.settings.hints))
    assert shot.file.stat().st_mtime_ns == before, "the pattern in the shot means the same hint"


def test_numbers_outside_the_shot_are_told(plate: str, tmp_path: Path) -> None:
    for frame in (1002, 1003, 1099):
        paint(tmp_path / "hints" / f"dog.{frame}.png")
    args = ("run", plate, "--out", tmp_path / "out", "--hint", tmp_path / "hints", "--progress", "json")
    events = [json.loads(line) for line in done(*args).stdout.splitlines()]
    (warning,) = [event for event in events if event["event"] == "warning"]
    assert warning["code"] == "hint.frames" and "1099" in warning["message"]
    assert Shot.load(tmp_path / "out").hints[0].frames == (1002, 1003)


def test_what_cannot_be_a_hint_is_refused_before_any_work(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    good = paint(tmp_path / "good" / "dog.1002.png")
    grey = paint(tmp_path / "grey" / "dog.1002.png", white=0.0)
    late = paint(tmp_path / "late" / "dog.1005.png")
    square = paint(tmp_path / "square" / "dog.1002.png", (4, 4))
    unnumbered = paint(tmp_path / "unnumbered" / "dog.png")
    missing = tmp_path / "good" / "cat.1002.png"
    for told, *hints in (
        (("no such hint", missing, "dog.1002.png"), missing),
        (("nothing is inside", grey.parent), grey),
        (("1005", "1001-1003"), late),
        (("4x4", "4x3", square), square),
        ((unnumbered, "dog.1002.png"), unnumbered),
        (("2 hint", "--layers 3"), good, good),
    ):
        for command in ("run", "init"):
            refused(told, command, plate, "--out", out, *(f"--hint={hint}" for hint in hints))
    refused(("4 hints",), "run", plate, "--out", out, "--layers", "auto", *[f"--hint={good}"] * 4)
    assert not out.exists()


def test_the_results_do_not_overwrite_a_hint(plate: str, tmp_path: Path) -> None:
    layers = paint(tmp_path / "out" / "shot.1002.exr")
    refused((layers, "another folder"), "run", plate, "--out", tmp_path / "out", "--hint", layers)
    assert layers.exists()


# With the stages as they are


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_shot.write_plate(tmp_path_factory.mktemp("scene"), frames=4)


@pytest.fixture
def small() -> Iterator[None]:
    with tiny_shot.small():
        yield


def left(plan: Result) -> set[str]:
    """The stages that a plan finds something to do for."""
    return {line.split()[0] for line in plan.stdout.splitlines() if "to do" in line and "nothing" not in line}


def test_a_changed_hint_redoes_fit_and_render_and_nothing_before(scene: str, small: None, tmp_path: Path) -> None:
    size = (tiny_shot.HEIGHT, tiny_shot.WIDTH)
    out, hint = tmp_path / "out", tmp_path / "hints" / "square.1002.png"
    paint(hint, size)
    shot = (scene, "--out", out, "--quality", "draft")
    without, run = ("run", *shot, "--device", "cpu"), ("run", *shot, "--device", "cpu", "--hint", hint)
    redone = {"fit", "render", "check"}

    done(*without)
    written = {path: path.stat().st_mtime_ns for path in (*out.glob(".vdp/flow/*"), *out.glob("*.exr"))}
    assert left(done(*run, "--dry-run")) == redone, "a hint is new"
    done(*run)
    assert {path.suffix for path, time in written.items() if path.stat().st_mtime_ns != time} == {".exr"}
    assert left(done(*run, "--dry-run")) == set()
    assert left(done(*without, "--dry-run")) == redone, "there is no hint any more"

    second = paint(hint.with_name("square.1003.png"), size)
    assert left(done(*run, "--dry-run")) == redone, "there is a picture more"
    assert left(done("fit", out, "--dry-run")) == set(), "the shot has the pictures it was given"
    done("init", *shot, "--hint", hint)
    second.unlink()
    for stage in ("fit", "render", "check"):
        refused(("frame 1003", second, "put it back", "vdp run"), stage, out)
    assert left(done(*run, "--dry-run")) == set(), "as it was before the second picture"

    done("init", *shot, "--hint", hint)
    paint(hint, size, white=0.9)
    os.utime(hint, (1, 1))
    assert left(done(*run, "--dry-run")) == redone, "the picture is another"
    refused(("vdp fit",), "render", out)
    hint.unlink()
    refused(("no such hint", hint.parent, "put it back"), "render", out)
