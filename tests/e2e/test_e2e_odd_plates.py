"""Plates as they come: gaps, holes, other formats, windows that move, one channel, one frame, real footage."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest

from tests.e2e import command
from tests.e2e.conftest import FRAMES

CLIPS = Path(os.environ.get("VDP_TEST_CLIPS") or Path(__file__).parents[3] / "shared" / "clips")
SRGB_TO_ACESCG = np.array(
    [[0.613097, 0.339523, 0.047379], [0.070194, 0.916354, 0.013452], [0.020616, 0.109570, 0.869815]]
)
SOME = FRAMES[:5]
Planes = dict[str, np.ndarray]


def _gap(planes: Planes, frame: int, folder: Path) -> None:
    if frame != 1003:
        command.write_exr(folder / f"a.{frame}.exr", planes)


def _gap_and_holes(planes: Planes, frame: int, folder: Path) -> None:
    _gap(spoiled(planes, np.nan, np.inf) if frame == 1002 else planes, frame, folder)


def spoiled(planes: Planes, *values: float) -> Planes:
    """Two patches of the picture with other values, the second in one channel only."""
    changed = {name: plane.copy() for name, plane in planes.items()}
    for plane in changed.values():
        plane[10:14, 20:30] = values[0]
    changed["G"][40:44, 50:52] = values[-1]
    return changed


def window_of(frame: int) -> tuple[int, int, int, int]:
    """A data window that wanders, partly outside of the display window."""
    step = frame - FRAMES[0]
    return (-9 + 2 * step, -6 + step, 70 + 2 * step, 49 + step)


def _luminance_in_a_moving_window(planes: Planes, frame: int, folder: Path) -> None:
    x, y, x_end, y_end = window_of(frame)
    luminance = {"Y": planes["G"][y + 10 : y_end + 11, x + 10 : x_end + 11]}
    command.write_exr(folder / f"a.{frame}.exr", luminance, (x, y, x_end, y_end), (0, 0, 74, 47))


def code_values(planes: Planes) -> np.ndarray:
    """The plate as 8-bit sRGB code values (H, W, 3)."""
    light = np.clip(np.dstack([planes[c].astype(np.float64) for c in "RGB"]), 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray((encoded * 255).round().astype(np.uint8))


def _display(planes: Planes, frame: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / f"a.{frame}.png"), code_values(planes)[..., ::-1])


Case = tuple[Callable[[Planes, int, Path], None], list[str]]
CASES: dict[str, Case] = {
    "hold": (_gap, ["--missing", "hold"]),
    "black": (_gap_and_holes, ["--missing", "black"]),
    "window": (_luminance_in_a_moving_window, ["--alpha", "straight"]),
    "display": (_display, ["--colorspace", "sRGB - Texture"]),
    "single": (_gap, ["--frames", "1002"]),
}


@pytest.fixture(scope="module")
def plates(demo: Path) -> dict[int, Planes]:
    return {frame: command.channels(demo / "plate" / f"demo.{frame}.exr") for frame in SOME}


@pytest.fixture(scope="module")
def runs_of(plates: dict[int, Planes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """The output folder of each case, and what was said on stderr."""
    base = tmp_path_factory.mktemp("odd")
    for name, (write, _) in CASES.items():
        for frame, planes in plates.items():
            write(planes, frame, base / name / "plate")

    def run(name: str) -> str:
        return command.run(base / name / "plate", base / name / "out", *CASES[name][1]).stderr

    with ThreadPoolExecutor(2) as pool:
        said = dict(zip(CASES, pool.map(run, CASES), strict=True))
    return {name: (base / name / "out", said[name]) for name in CASES}


def test_a_gap_is_held_or_black_as_asked_for(
    runs_of: dict[str, tuple[Path, str]], plates: dict[int, Planes]
) -> None:
    black = {c: np.zeros_like(plates[1002][c]) for c in "RGB"}
    for name, stand_in in (("hold", plates[1002]), ("black", black)):
        out, said = runs_of[name]
        assert command.frames_of(out) == SOME and said.count("missing frames 1003 are") == 1
        for frame in (1001, 1003, 1005):
            assert command.rebuilds(out / f"a.{frame}.exr", stand_in if frame == 1003 else plates[frame]), frame


def test_holes_are_told_of_and_stay_where_they_are(
    runs_of: dict[str, tuple[Path, str]], plates: dict[int, Planes]
) -> None:
    out, said = runs_of["black"]
    whole = spoiled(plates[1002], 0.0)
    for plane in whole.values():
        plane[40:44, 50:52] = 0
    for frame in (1001, 1002, 1004):
        written = command.channels(out / f"a.{frame}.exr")
        assert all(np.isfinite(plane).all() for plane in written.values())
        assert command.rebuilds(out / f"a.{frame}.exr", whole if frame == 1002 else plates[frame]), frame
    assert not command.channels(out / "a.1002.exr")["confidence.A"][10:14, 20:30].any()
    assert "plate.holes" in said and "48 " in said
    assert command.header(out / "a.1002.exr")["vdp/holes"] == 48


def test_luminance_in_a_data_window_that_moves(runs_of: dict[str, tuple[Path, str]]) -> None:
    out, said = runs_of["window"]
    assert said.count("luminance only") == 1
    for frame in SOME:
        source, head = out.parent / "plate" / f"a.{frame}.exr", command.header(out / f"a.{frame}.exr")
        assert np.concatenate(head["dataWindow"]).tolist() == list(window_of(frame))
        assert np.concatenate(head["displayWindow"]).tolist() == [0, 0, 74, 47]
        truth = dict.fromkeys("RGB", command.channels(source)["Y"])
        assert command.rebuilds(out / f"a.{frame}.exr", truth), frame


def test_a_display_referred_plate_becomes_scene_linear(
    runs_of: dict[str, tuple[Path, str]], plates: dict[int, Planes]
) -> None:
    out, _ = runs_of["display"]
    for frame in SOME:
        written = command.channels(out / f"a.{frame}.exr")
        code = code_values(plates[frame]) / 255.0
        linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
        expected = linear @ SRGB_TO_ACESCG.T
        np.testing.assert_allclose(np.dstack([written[c] for c in "RGB"]), expected, rtol=2e-3, atol=2e-4)
        assert command.rebuilds(out / f"a.{frame}.exr", {c: written[c] for c in "RGB"})


def test_one_frame_is_no_shot_but_no_reason_to_fail(
    runs_of: dict[str, tuple[Path, str]], plates: dict[int, Planes]
) -> None:
    out, said = runs_of["single"]
    assert command.frames_of(out) == [1002] and "motion.too_little" in said
    assert command.rebuilds(out / "a.1002.exr", plates[1002])
    written = command.channels(out / "a.1002.exr")
    assert not written["A"].any() and not written["fg1.A"].any()
    report = json.loads((out / "a.report.json").read_text(encoding="utf-8"))
    assert "motion.too_little" in {warning["code"] for warning in report["warnings"]}


def test_other_formats_need_a_colour_space(plates: dict[int, Planes], tmp_path: Path) -> None:
    for frame in SOME:
        for suffix, kind in (("jpg", "uint8"), ("dpx", "uint16")):
            image = oiio.ImageBuf(oiio.ImageSpec(96, 64, 3, kind))
            image.set_pixels(oiio.ROI(), code_values(plates[frame]).astype(np.float32) / 255)
            (tmp_path / suffix).mkdir(exist_ok=True)
            assert image.write(str(tmp_path / suffix / f"a.{frame}.{suffix}"))
    lacking, unknown, good = command.together(
        ["run", tmp_path / "jpg", "--out", tmp_path / "out"],
        ["run", tmp_path / "dpx", "--out", tmp_path / "out", "--colorspace", "sRGB - Textur"],
        ["inspect", tmp_path / "dpx", "--colorspace", "sRGB - Texture"],
    )
    assert lacking.returncode == 2 and "--colorspace" in lacking.stderr and "a.1001.jpg" in lacking.stderr
    assert unknown.returncode == 2 and "sRGB - Texture" in unknown.stderr
    assert good.returncode == 0 and "1001-1005" in good.stdout
    assert not (tmp_path / "out").exists()


def test_real_footage_whose_data_window_leaves_the_display_window(tmp_path: Path) -> None:
    source = CLIPS / "exr" / "beachball"
    if not source.is_dir():
        pytest.skip(f"the footage is not at {source}")
    names = [f"singlepart.000{frame}.exr" for frame in (1, 2, 3)]
    for name in names:
        shutil.copy2(source / name, tmp_path / name)
    out = tmp_path / "out"
    command.run(tmp_path, out)
    for name in names:
        plate, layers = command.header(tmp_path / name), command.header(out / name)
        for attribute in ("dataWindow", "displayWindow"):
            assert str(layers[attribute]) == str(plate[attribute])
        assert command.rebuilds(out / name, tmp_path / name)
