"""``vdp run`` as a process on a real, tiny plate: what it writes, and what it leaves alone."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e import command
from tests.e2e.conftest import FRAMES

COLOURS = ["", "bg.", "fg1.", "clean.", "residual."]
CHANNELS = {f"{layer}{c}" for layer in COLOURS for c in "RGB"} | {"A", "bg.A", "fg1.A", "confidence.A"}


def plate_file(demo: Path, frame: int) -> Path:
    return demo / "plate" / f"demo.{frame}.exr"


def test_the_files_of_a_run_are_those_that_were_promised(finished: Path) -> None:
    found = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    assert found == {
        *(f"demo.{frame}.exr" for frame in FRAMES), "demo.sheet.png", "demo.report.json",
        ".vdp/shot.json", ".vdp/model.safetensors", ".vdp/log.txt",
        *(f".vdp/flow/demo.{frame}.safetensors" for frame in FRAMES),
    }  # fmt: skip
    modes = {path.stat().st_mode & 0o777 for path in finished.rglob("*") if path.is_file()}
    assert len(modes) == 1, "all of them as readable as the user's other files: a farm has other users"


def test_the_channels_and_the_header(finished: Path, demo: Path) -> None:
    path, source = finished / "demo.1004.exr", command.header(plate_file(demo, 1004))
    written, head = command.channels(path), command.header(path)
    assert set(written) == CHANNELS
    assert {plane.dtype for plane in written.values()} == {np.dtype(np.float16)}
    for name in ("dataWindow", "displayWindow", "pixelAspectRatio", "timeCode", "framesPerSecond"):
        assert str(head[name]) == str(source[name]), name
    told = {name.removeprefix("vdp/"): value for name, value in head.items() if name.startswith("vdp/")}
    known = {"task": "layers", "alpha": "premultiplied", "seed": 0, "layers": 2, "holes": 0, "clamped": 0}
    assert {name: told[name] for name in known} == known
    assert len(told["settings"]) == len(told["model"]) == 16 and told["version"] and "=" in told["equation"]
    np.testing.assert_array_equal(written["A"], written["fg1.A"])
    np.testing.assert_allclose(written["bg.A"].astype(float) + written["fg1.A"], 1, atol=1e-3)


def test_every_frame_rebuilds_the_plate(finished: Path, demo: Path) -> None:
    for frame in FRAMES:
        assert command.rebuilds(finished / f"demo.{frame}.exr", plate_file(demo, frame)), frame
    report = json.loads((finished / "demo.report.json").read_text(encoding="utf-8"))
    assert report["passed"] and len(report["per_frame"]) == len(FRAMES)


def test_the_creature_is_found(finished: Path, demo: Path) -> None:
    overlaps = []
    for frame in FRAMES:
        found = command.channels(finished / f"demo.{frame}.exr")["A"] > 0.5
        known = command.channels(demo / "truth" / f"demo.{frame}.exr")["fg1.A"] > 0.5
        overlaps.append((found & known).sum() / (found | known).sum())
    assert np.mean(overlaps) > 0.6


def test_a_second_run_changes_nothing(finished: Path, plate: str) -> None:
    before, began = command.snapshot(finished), time.monotonic()
    done = command.run(plate, finished, steps=None)
    assert command.snapshot(finished) == before
    assert time.monotonic() - began < 20
    assert "rebuild     passed" in done.stdout


ODD_NAME, ODD_FRAMES = "naïve plate", (1001, 1003, 1005, 1007)
VECTORS = {"forward.u", "forward.v", "backward.u", "backward.v"}

# What is asked for, and what that does again in a folder where the shot is finished with default settings.
VARIANTS: dict[str, tuple[list[str], set[str]]] = {
    "straight": (["--alpha", "straight"], {"layers"}),
    "float": (["--bit-depth", "float", "--compression", "piz", "--vectors"], {"layers"}),
    "three": (["--seed", "3", "--layers", "3"], {"layers", "model"}),
    "paper": (["--frames", "1003-1006", "--objective", "paper"], {"layers", "model", "flow"}),
}


@dataclass(frozen=True)
class Variant:
    """A second run in a copy of a finished folder: the folder and its files before."""

    out: Path
    before: dict[str, tuple[int, int, int]]

    def redone(self, frames: list[int]) -> set[str]:
        """Which groups of files were written again: all of them or none."""
        after = command.snapshot(self.out)
        groups = {
            "flow": [f".vdp/flow/demo.{frame}.safetensors" for frame in frames], "model": [".vdp/model.safetensors"],
            "layers": [f"demo.{frame}.exr" for frame in frames],
        }  # fmt: skip
        changed = {group: {after[name] != self.before[name] for name in names} for group, names in groups.items()}
        assert all(len(answers) == 1 for answers in changed.values()), changed
        return {group for group, answers in changed.items() if True in answers}


@pytest.fixture(scope="module")
def variants(quick: Path, plate: str, demo: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Variant]:
    """All the variants, and ``odd``: some frames of a plate with an odd name."""
    folder = tmp_path_factory.mktemp("variants")
    odd_plate = folder / "Größe 1 (alt)"
    odd_plate.mkdir()
    for frame in FRAMES:
        (odd_plate / f"żółw plate_v2.{frame}.exr").write_bytes(plate_file(demo, frame).read_bytes())
    made = {name: Variant(command.copy(quick, folder / name), command.snapshot(folder / name)) for name in VARIANTS}
    made["odd"] = Variant(folder / "das Ergebnis", {})
    commands = [[plate, made[name].out, *options] for name, (options, _) in VARIANTS.items()]
    commands += [[odd_plate, made["odd"].out, "--frames", "1001-1007x2", "--layers", "auto", "--name", ODD_NAME]]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda args: command.run(*args), commands))
    return made


@pytest.mark.parametrize("name", VARIANTS)
def test_a_changed_setting_redoes_what_it_touches_and_no_more(
    variants: dict[str, Variant], demo: Path, name: str
) -> None:
    options, redone = VARIANTS[name]
    frames = list(range(1003, 1007)) if "--frames" in options else FRAMES
    variant = variants[name]
    assert variant.redone(frames) == redone
    assert command.litter(variant.out) == set()
    for frame in frames:
        assert command.rebuilds(variant.out / f"demo.{frame}.exr", plate_file(demo, frame)), frame


def test_what_was_asked_for_is_in_the_files(variants: dict[str, Variant]) -> None:
    straight, full, three = (variants[name].out / "demo.1004.exr" for name in ("straight", "float", "three"))
    assert command.header(straight)["vdp/alpha"] == "straight" and set(command.channels(straight)) == CHANNELS
    head, written = command.header(full), command.channels(full)
    assert head["vdp/alpha"] == "premultiplied" and "PIZ" in str(head["compression"])
    assert set(written) == CHANNELS | VECTORS and {plane.dtype for plane in written.values()} == {np.dtype(np.float32)}
    head = command.header(three)
    assert (head["vdp/seed"], head["vdp/layers"]) == (3, 3)
    assert set(command.channels(three)) == CHANNELS | {f"fg2.{c}" for c in "RGBA"}


def test_vectors_are_those_of_the_scene(variants: dict[str, Variant], demo: Path) -> None:
    creature = []
    for frame in FRAMES[1:-1]:
        found, known = (
            {name: plane.astype(np.float32)[6:-6, 6:-6] for name, plane in command.channels(path).items()}
            for path in (variants["float"].out / f"demo.{frame}.exr", demo / "truth" / f"demo.{frame}.exr")
        )
        town, solid = known["fg1.A"] == 0, known["fg1.A"] > 0.95
        for name in VECTORS:
            assert np.median(np.abs(found[name] - known[name])[town]) < 0.15, (frame, name)
            creature.append(np.abs(np.median(found[name][solid]) - np.median(known[name][solid])))
    assert np.median(creature) < 1.0, "the creature moves by some 4 pixels a frame"
    first, last = (command.channels(variants["float"].out / f"demo.{frame}.exr") for frame in (FRAMES[0], FRAMES[-1]))
    assert not first["backward.u"].any() and not last["forward.v"].any()


def test_layers_with_vectors_serve_as_a_plate_with_vectors(
    variants: dict[str, Variant], plate: str, demo: Path, tmp_path: Path
) -> None:
    layers = str(variants["float"].out / "demo.####.exr")
    command.run(layers, tmp_path / "out", "--flow", "vectors", "--frames", "1001-1004")
    for frame in FRAMES[:4]:
        assert command.rebuilds(tmp_path / "out" / f"demo.{frame}.exr", plate_file(demo, frame))
    lacking = command.vdp("run", plate, "--flow", "vectors", "--out", tmp_path / "lacking")
    assert lacking.returncode == 2 and "forward.u" in lacking.stderr


def test_some_frames_of_a_plate_with_an_odd_name(variants: dict[str, Variant], demo: Path) -> None:
    out = variants["odd"].out
    assert [path.name for path in command.layer_files(out)] == [f"{ODD_NAME}.{frame}.exr" for frame in ODD_FRAMES]
    assert command.litter(out) == set()
    assert all(command.rebuilds(out / f"{ODD_NAME}.{frame}.exr", plate_file(demo, frame)) for frame in ODD_FRAMES)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(quick: Path, plate: str) -> None:
    before = command.snapshot(quick)
    again, finer = command.together(
        ["run", plate, "--out", quick, "--quality", "draft", "--dry-run"],
        ["run", plate, "--out", quick, "--quality", "standard", "--dry-run"],
    )
    assert again.stdout.count("nothing to do") == 3 and "the report is there" in again.stdout
    assert finer.stdout.count("8 of 8 frames to do") == 2
    assert command.snapshot(quick) == before


def test_json_progress_tells_a_host_what_it_needs(quick: Path, plate: str, tmp_path: Path) -> None:
    out = command.copy(quick, tmp_path / "out")
    (out / "demo.1002.exr").unlink()
    with command.start("run", plate, "--out", out, "--quality", "draft") as process:
        told: dict[str, list[dict[str, Any]]] = {}
        for event in command.events(process):
            told.setdefault(event["event"], []).append(event)
            if event["event"] == "frame":
                assert Path(event["path"]).exists(), "a frame is told of when its file is there"
    assert process.returncode == 0
    assert [(event["frame"], event["path"]) for event in told["frame"]] == [(1002, str(out / "demo.1002.exr"))]
    assert told["result"][0]["report"] == str(out / "demo.report.json")
    fractions = [event["overall"] for event in told["progress"]]
    assert fractions == sorted(fractions) and fractions[-1] == 1
