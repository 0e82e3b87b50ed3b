"""Plates and hints that a host hands over, and the EXRs that become of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from tests.serve.helper import Helper
from vdp_engine.plate import Plate, Window

PLATE = {"kind": "plate", "display": [20, 10], "pixel_aspect": 1.0, "frame_rate": 24.0, "components": 3}


def handed_over(
    helper: Helper, shot: Path, frame: int, window: list[int], seed: int = 0, **values: object
) -> tuple[Path, np.ndarray]:
    """Hand a random picture over; the file it became, and the picture, rows from bottom to top."""
    asked = PLATE | values
    shape = (window[3] - window[1], window[2] - window[0], int(str(asked["components"])))
    pixels = (np.random.default_rng(seed).standard_normal(shape) * 100).astype(np.float32)
    pixels[0, 0, 0], pixels[-1, -1, -1] = 1e-42, -3e38  # a subnormal, and more than half can hold
    buffer = helper.buffer(0, pixels)
    answer = helper.done("plate", shot=shot, frame=frame, window=window, buffer=buffer, **asked)
    return Path(answer["path"]), pixels


@pytest.mark.parametrize(
    ("window", "corners"),
    [
        ([0, 0, 20, 10], (0, 0, 19, 9)),
        ([2, 3, 10, 9], (2, 1, 9, 6)),
        ([-3, -3, 22, 12], (-3, -2, 21, 12)),
        ([30, -13, 35, -10], (30, 20, 34, 22)),
    ],
)
def test_pixels_and_windows(
    helper: Helper, tmp_path: Path, window: list[int], corners: tuple[int, int, int, int]
) -> None:
    path, pixels = handed_over(helper, tmp_path, 1001, window, pixel_aspect=2.0, frame_rate=23.976)
    assert path == tmp_path / "plates" / "ofx_plate.1001.exr"
    with OpenEXR.File(str(path), separate_channels=True) as file:
        header, channels = dict(file.header()), file.channels()
        for index, name in enumerate("RGB"):
            assert channels[name].pixels.dtype == np.float32
            assert channels[name].pixels.tobytes() == pixels[::-1, :, index].tobytes()
        assert len(channels) == 3
    assert (*header["dataWindow"][0], *header["dataWindow"][1]) == corners
    assert (*header["displayWindow"][0], *header["displayWindow"][1]) == (0, 0, 19, 9)
    assert header["pixelAspectRatio"] == 2
    assert header["compression"] == OpenEXR.ZIP_COMPRESSION
    assert header["framesPerSecond"] == Fraction(24000, 1001)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (24.0, Fraction(24)), (25.0, Fraction(25)), (23.98, Fraction(24000, 1001)), (29.97, Fraction(30000, 1001)),
        (59.94005994005994, Fraction(60000, 1001)), (12.5, Fraction(25, 2)), (0.5, Fraction(1, 2)), (0, None),
    ],
)  # fmt: skip
def test_frame_rates(helper: Helper, tmp_path: Path, told: float, meant: Fraction | None) -> None:
    path, _ = handed_over(helper, tmp_path, 1, [0, 0, 20, 10], frame_rate=told)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        assert file.header().get("framesPerSecond") == meant


def test_the_engine_reads_it_as_a_plate(helper: Helper, tmp_path: Path) -> None:
    made = {frame: handed_over(helper, tmp_path, frame, [2, 3, 10, 9], seed=9 + frame)[1] for frame in (-1, 0, 1)}
    plate = Plate.open(str(tmp_path / "plates" / "ofx_plate.####.exr"))
    assert plate.frames == (-1, 0, 1)
    for frame, pixels in made.items():
        read = plate.read(frame)
        assert read.header.data_window == Window(2, 1, 8, 6)
        assert np.array_equal(read.pixels, pixels[::-1])


def test_hint_is_one_channel(helper: Helper, tmp_path: Path) -> None:
    path, pixels = handed_over(helper, tmp_path, 7, [0, 0, 20, 10], kind="hint", components=1)
    assert path.name == "ofx_hint.0007.exr"
    with OpenEXR.File(str(path), separate_channels=True) as file:
        assert list(file.channels()) == ["A"]
        assert np.array_equal(file.channels()["A"].pixels, pixels[::-1, :, 0])


def test_holes_stay_holes(helper: Helper, tmp_path: Path) -> None:
    pixels = np.ones((10, 20, 3), np.float32)
    pixels[2, 3] = np.nan, np.inf, -np.inf
    answer = helper.done(
        "plate", shot=tmp_path, frame=1, window=[0, 0, 20, 10], buffer=helper.buffer(0, pixels), **PLATE
    )
    with OpenEXR.File(answer["path"], separate_channels=True) as file:
        red, green, blue = (file.channels()[name].pixels[7, 3] for name in "RGB")
    assert np.isnan(red) and np.isposinf(green) and np.isneginf(blue)


def test_the_same_picture_again_keeps_its_time(helper: Helper, tmp_path: Path) -> None:
    path, _ = handed_over(helper, tmp_path, 1, [0, 0, 20, 10], seed=1)
    before = path.stat()
    handed_over(helper, tmp_path, 1, [0, 0, 20, 10], seed=1)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    handed_over(helper, tmp_path, 1, [0, 0, 20, 10], seed=2)
    assert path.stat().st_mtime_ns > before.st_mtime_ns


def test_buffer_that_is_too_small(helper: Helper, tmp_path: Path) -> None:
    buffer = helper.buffer(20 * 10 * 12 - 4)
    answer = helper.ask("plate", shot=tmp_path, frame=1, window=[0, 0, 20, 10], buffer=buffer, **PLATE)
    assert (answer["code"], answer["needed"]) == ("buffer", 20 * 10 * 12)
    assert not (tmp_path / "plates").exists()


def test_folder_that_cannot_be_written(helper: Helper, tmp_path: Path) -> None:
    (tmp_path / "shot").write_text("a file, not a folder")
    buffer = helper.buffer(20 * 10 * 12)
    code, message = helper.refused(
        "plate", shot=tmp_path / "shot", frame=1, window=[0, 0, 20, 10], buffer=buffer, **PLATE
    )
    assert code in ("machine.disk", "usage.file")
    assert str(tmp_path / "shot") in message
