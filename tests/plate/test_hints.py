"""Hints: which files, which frames, where they lie on the plate, and what their pixels say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
import pytest

from tests.plate import plate_files as files
from vdp_engine.errors import PlateError
from vdp_engine.plate import Plate, Window
from vdp_engine.plate.hints import Hint, open_hints

HEIGHT, WIDTH = 12, 16
CANVAS = Window(0, 0, WIDTH, HEIGHT)
FRAMES = (1001, 1002, 1003)


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    return Plate.open(files.write_sequence(tmp_path / "plate", FRAMES))


def png(path: Path, matte: Any, alpha: Any = None) -> Path:
    """A grey PNG (H, W), or one with colours (H, W, 3) in RGB, values 0 to 1; written by OpenCV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    matte = np.asarray(matte, np.float64)
    if alpha is not None:
        matte = np.concatenate([np.repeat(matte[..., None], 3, -1), np.asarray(alpha)[..., None]], -1)
    elif matte.ndim == 3:
        matte = matte[..., ::-1]
    assert cv2.imwrite(str(path), np.round(matte * 255).astype(np.uint8))
    return path


def rough(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """White left of the middle, a grey column, black to the right."""
    matte = np.zeros((height, width))
    matte[:, : width // 2] = 1
    matte[:, width // 2 : width // 2 + width // 8] = 0.5
    return matte


def one(text: Any, plate: Plate, frames: tuple[int, ...] = FRAMES) -> Hint:
    (hint,) = open_hints([str(text)], plate, frames)
    return hint


def said(hint: Hint, frame: int, size: tuple[int, int] = (HEIGHT, WIDTH), canvas: Window = CANVAS) -> np.ndarray:
    shares = hint.read(frame, canvas, size)
    assert shares.shape == (2, *size) and shares.dtype == np.float32
    assert shares.min() >= 0 and shares.sum(0).max() <= 1 + 1e-6
    return shares


def refused(code: str, text: Any, plate: Plate, *told: Any, frames: tuple[int, ...] = FRAMES) -> PlateError:
    with pytest.raises(PlateError) as caught:
        hint = one(text, plate, frames)
        hint.check()
    assert caught.value.code == f"plate.{code}" and caught.value.exit_code == 2
    for words in told:
        assert str(words) in str(caught.value)
    return caught.value


# Which files


@pytest.mark.parametrize("name", ["rough.####.png", "rough.%04d.png", "rough.#.png", "rough.1002.png", ""])
def test_all_pictures_of_the_sequence(tmp_path: Path, plate: Plate, name: str) -> None:
    for frame in (1001, 1003):
        png(tmp_path / "h" / f"rough.{frame}.png", rough())
    if name == "rough.1002.png":
        name = "rough.1003.png"
    hint = one(tmp_path / "h" / name, plate)
    assert hint.frames == (1001, 1003) and hint.ignored == ()
    assert hint.path(1003) == tmp_path / "h" / "rough.1003.png"
    assert one(hint.pattern, plate) == hint and os.path.isabs(hint.pattern)


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("rough.1002.png", 1002), ("rough_v03.1002.png", 1002), ("mask_v2-1002.png", 1002), ("1002.png", 1002),
        ("a b [x]1002.png", 1002), ("rough.7.png", 7), ("rough.-005.png", -5), ("take-2x0007.png", 7),
    ],
)  # fmt: skip
def test_the_number_is_the_last_of_the_name(tmp_path: Path, name: str, frame: int) -> None:
    plate = Plate.open(files.write_sequence(tmp_path / "plate", (frame,)))
    png(tmp_path / "h" / name, rough())
    hint = one(tmp_path / "h" / name, plate, (frame, frame + 1))
    assert hint.frames == (frame,)
    assert one(hint.pattern, plate, (frame, frame + 1)) == hint


def test_numbers_outside_the_shot_are_left_out_and_told(tmp_path: Path, plate: Plate) -> None:
    for frame in (990, 1002, 1050):
        png(tmp_path / "h" / f"rough.{frame:04d}.png", rough())
    hint = one(tmp_path / "h", plate)
    assert hint.frames == (1002,) and hint.ignored == (990, 1050)
    assert one(hint.pattern, plate).ignored == (), "the pattern is of those that are used"
    assert one(tmp_path / "h" / "rough.1002,1050#.png", plate).ignored == (1050,)
    refused("hint_frames", tmp_path / "h" / "rough.0990,1050#.png", plate, "990,1050", "1001-1003")


def test_a_picture_without_a_number_needs_a_shot_of_one_frame(tmp_path: Path, plate: Plate) -> None:
    for name in ("rough.png", "rough_v02.png", "rough.1002_final.png"):
        path = png(tmp_path / "h" / name, rough())
        refused("hint_frames", path, plate, path, f"{path.stem}.1002.png")
        hint = one(path, plate, frames=(1003,))
        assert hint.frames == (1003,) and said(hint, 1003)[0].mean() == 0.5
        assert one(hint.pattern, plate, frames=(1003,)) == hint


def test_a_picture_that_went_away_is_missed(tmp_path: Path, plate: Plate) -> None:
    for frame in (1001, 1002):
        png(tmp_path / "h" / f"rough.{frame}.png", rough())
    hint = one(tmp_path / "h" / "rough.####.png", plate)
    hint.path(1002).unlink()
    refused("hint_missing", hint.pattern, plate, "frame 1002", hint.path(1002))
    with pytest.raises(PlateError, match="1002"):
        hint.stamp()
    hint.path(1001).unlink()
    refused("hint_missing", hint.pattern, plate, "no such hint")
    refused("hint_missing", tmp_path / "nowhere" / "a.####.png", plate, "does not exist")


def test_several_hints_keep_their_order(tmp_path: Path, plate: Plate) -> None:
    texts = [str(png(tmp_path / "h" / f"{name}.1001.png", rough())) for name in "ba"]
    assert [hint.path(1001).name for hint in open_hints(texts, plate, FRAMES)] == ["b.1001.png", "a.1001.png"]
    assert open_hints([], plate, FRAMES) == ()


def test_the_stamp_changes_with_the_pictures_and_only_with_them(tmp_path: Path, plate: Plate) -> None:
    path = png(tmp_path / "h" / "rough.1001.png", rough())
    first = one(path, plate).stamp()
    assert one(path, plate).stamp() == first and len(first) == 16
    png(path, rough()[:, ::-1])
    os.utime(path, (1, 1))
    painted = one(path, plate).stamp()
    png(tmp_path / "h" / "rough.1002.png", rough())
    assert len({first, painted, one(path, plate).stamp()}) == 3


# What the pixels say


@pytest.mark.parametrize("size", [(12, 16), (6, 8), (3, 4), (24, 32), (5, 7)])
@pytest.mark.parametrize("picture", [(12, 16), (48, 64), (6, 8), (36, 48)])
def test_shares_are_means_over_areas(
    tmp_path: Path, plate: Plate, size: tuple[int, int], picture: tuple[int, int]
) -> None:
    values = np.random.default_rng(3).choice([0.0, 0.2, 0.5, 0.8, 1.0], picture)
    path = png(tmp_path / "h" / "rough.1001.png", values)
    shares = said(one(path, plate), 1001, size)
    for share, mask in zip(shares, (values > 0.75, values < 0.25), strict=True):
        # Every pixel of both divided into whole ones of a common grid.
        fine = np.repeat(np.repeat(mask, size[0], 0), size[1], 1).astype(np.float64)
        expected = fine.reshape(size[0], picture[0], size[1], picture[1]).mean((1, 3))
        assert np.abs(share - expected).max() < 1e-6


def test_thresholds(tmp_path: Path, plate: Plate) -> None:
    values = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    values[0, :8] = [0.75, 0.7499, 0.25, 0.2501, np.nan, np.inf, -3, 2]
    path = files.write(tmp_path / "h" / "rough.1001.exr", {"A": values})
    inside, outside = said(one(path, plate), 1001)
    assert list(inside[0, :8]) == [1, 0, 0, 0, 0, 1, 0, 1] and inside.sum() == 3
    assert list(outside[0, :8]) == [0, 0, 1, 0, 0, 0, 1, 0] and outside.sum() == 2


@pytest.mark.parametrize(
    ("names", "matte"),
    [("RGBA", "A"), ("A", "A"), ("Y", "Y"), ("M", "M"), ("YZ", "Y"), ("RGB", "RGB"), ("rgba", "a"), ("RGBZ", "RGB")],
)
def test_which_channels_of_an_exr_are_the_matte(tmp_path: Path, plate: Plate, names: str, matte: str) -> None:
    other = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    channels = {name: rough().astype(np.float32) if name in matte else other for name in names}
    inside, outside = said(one(files.write(tmp_path / "h" / "rough.1001.exr", channels), plate), 1001)
    assert np.array_equal(inside, rough() == 1) and np.array_equal(outside, rough() == 0)


def test_an_exr_with_other_channels_is_refused(tmp_path: Path, plate: Plate) -> None:
    other = np.ones((HEIGHT, WIDTH), np.float32)
    path = files.write(tmp_path / "h" / "rough.1001.exr", {"forward.u": other, "forward.v": other})
    refused("hint_channels", path, plate, path, "frame 1001", "forward.u", "R G B")


def test_colours_of_a_png_are_averaged_and_transparency_is_not_known(tmp_path: Path, plate: Plate) -> None:
    colours = np.zeros((HEIGHT, WIDTH, 3))
    colours[0, :4] = [[1, 1, 1], [1, 1, 0.3], [1, 0.5, 0], [0.6, 0.1, 0]]  # mean 1, 0.77, 0.5, 0.23
    inside, outside = said(one(png(tmp_path / "c" / "rough.1001.png", colours), plate), 1001)
    assert list(inside[0, :5]) == [1, 1, 0, 0, 0] and list(outside[0, :5]) == [0, 0, 0, 1, 1]

    alpha = np.ones((HEIGHT, WIDTH))
    alpha[:, ::2] = 0.4
    path = png(tmp_path / "a" / "rough.1001.png", rough(), alpha)
    inside, outside = said(one(path, plate), 1001)
    assert np.array_equal(inside, (rough() == 1) & (alpha == 1))
    assert np.array_equal(outside, (rough() == 0) & (alpha == 1))


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
def test_values_are_those_stored(tmp_path: Path, plate: Plate, suffix: str) -> None:
    matte = np.full((HEIGHT, WIDTH), 0.5)
    matte[:6] = 0.8
    matte[6:] = 0.3  # a display transform, undone, would make it 0.07
    inside, outside = said(one(png(tmp_path / "h" / f"rough.1001.{suffix}", matte), plate), 1001)
    assert inside[:5].all() and not inside[7:].any() and not outside[7:].any()


# Where they lie


def test_a_png_covers_the_display_window_of_a_plate_with_overscan(tmp_path: Path) -> None:
    data, display = (-4, -3, 24, 18), (0, 0, 16, 12)
    header = {"dataWindow": files.box(*data), "displayWindow": files.box(*display)}
    files.write(tmp_path / "plate" / "shot.1001.exr", files.colour_channels(18, 24), **header)
    plate = Plate.open(tmp_path / "plate")
    assert plate.canvas == Window(*data)
    hint = one(png(tmp_path / "h" / "rough.1001.png", rough(24, 32)), plate)
    inside, outside = said(hint, 1001, (18, 24), plate.canvas)
    assert np.array_equal(inside[3:15, 4:20], rough() == 1) and inside.sum() == (rough() == 1).sum()
    assert np.array_equal(outside[3:15, 4:20], rough() == 0), "what no hint covers is not known"
    assert outside.sum() == (rough() == 0).sum()


def test_a_png_on_a_plate_with_a_smaller_data_window(tmp_path: Path) -> None:
    header = {"dataWindow": files.box(6, 2, 8, 4), "displayWindow": files.box(0, 0, 16, 12)}
    files.write(tmp_path / "plate" / "shot.1001.exr", files.colour_channels(4, 8), **header)
    plate = Plate.open(tmp_path / "plate")
    hint = one(png(tmp_path / "h" / "rough.1001.png", rough()), plate)
    inside, outside = said(hint, 1001, (4, 8), plate.canvas)
    assert np.array_equal(inside, (rough() == 1)[2:6, 6:14]) and np.array_equal(outside, (rough() == 0)[2:6, 6:14])


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("origin", [(0, 0), (100, -50)])
def test_an_exr_lies_where_its_windows_say(
    tmp_path: Path, plate: Plate, times: int, origin: tuple[int, int]
) -> None:
    """A cropped EXR of the plate's size or twice that, its display window at the origin or somewhere else."""
    x, y = origin
    matte = np.repeat(np.repeat(rough()[3:9, 5:13], times, 0), times, 1).astype(np.float32)
    path = files.write(
        tmp_path / "h" / "rough.1001.exr", {"A": matte},
        dataWindow=files.box(x + 5 * times, y + 3 * times, 8 * times, 6 * times),
        displayWindow=files.box(x, y, WIDTH * times, HEIGHT * times),
    )  # fmt: skip
    known = np.zeros((HEIGHT, WIDTH), bool)
    known[3:9, 5:13] = True
    inside, outside = said(one(path, plate), 1001)
    assert np.array_equal(inside, (rough() == 1) & known) and np.array_equal(outside, (rough() == 0) & known)


@pytest.mark.parametrize("size", [(12, 16), (11, 15), (1080, 1430), (270, 365)])
def test_shapes_that_are_the_plates_own(tmp_path: Path, plate: Plate, size: tuple[int, int]) -> None:
    close = abs(size[1] / size[0] / (WIDTH / HEIGHT) - 1) <= 0.015
    path = png(tmp_path / "h" / "rough.1001.png", rough(*size))
    if close:
        assert said(one(path, plate), 1001)[0].mean() == pytest.approx(0.5, abs=0.04)
    else:
        refused("hint_shape", path, plate, path, "frame 1001", f"{size[1]}x{size[0]}", "16x12")


@pytest.mark.parametrize(("size", "fits"), [((12, 16), True), ((12, 32), True), ((12, 24), False)])
def test_an_anamorphic_plate_takes_its_own_pixels_and_square_ones(
    tmp_path: Path, size: tuple[int, int], fits: bool
) -> None:
    files.write_sequence(tmp_path / "plate", FRAMES, pixelAspectRatio=2.0)
    plate = Plate.open(tmp_path / "plate")
    path = png(tmp_path / "h" / "rough.1001.png", rough(*size))
    if fits:
        assert np.array_equal(said(one(path, plate), 1001)[0], rough() == 1)
    else:
        refused("hint_shape", path, plate)


# What cannot be used


def test_pictures_that_say_nothing_are_refused(tmp_path: Path, plate: Plate) -> None:
    path = png(tmp_path / "grey" / "rough.1001.png", np.full((HEIGHT, WIDTH), 0.5))
    refused("hint_empty", path, plate, path, "frame 1001", "grey")
    path = png(tmp_path / "clear" / "rough.1001.png", rough(), np.zeros((HEIGHT, WIDTH)))
    refused("hint_empty", path, plate, path, "transparent")
    with pytest.raises(PlateError, match=r"rough\.1001"):
        one(path, plate).read(1001, CANVAS, (3, 4))


@pytest.mark.parametrize(("value", "told"), [(1.0, "everything is inside"), (0.0, "nothing is inside")])
def test_an_alpha_that_is_no_matte_is_refused(tmp_path: Path, plate: Plate, value: float, told: str) -> None:
    """A matte painted into R G B, under an alpha that nobody looked at."""
    channels = {name: rough().astype(np.float32) for name in "RGB"} | {"A": np.full((HEIGHT, WIDTH), value, np.float32)}
    path = files.write(tmp_path / "h" / "rough.1001.exr", channels)
    refused("hint_empty", path, plate, told, path, "channel A")
    # Beside a picture that tells more, the layer may fill a frame, or be out of it.
    files.write(tmp_path / "h" / "rough.1002.exr", {"A": rough().astype(np.float32)})
    one(path, plate).check()


def test_a_cropped_exr_may_be_white_all_over(tmp_path: Path, plate: Plate) -> None:
    path = files.write(
        tmp_path / "h" / "rough.1001.exr", {"A": np.ones((4, 4), np.float32)},
        dataWindow=files.box(2, 2, 4, 4), displayWindow=files.box(0, 0, WIDTH, HEIGHT),
    )  # fmt: skip
    one(path, plate).check()


def test_files_that_are_no_pictures(tmp_path: Path, plate: Plate) -> None:
    folder = tmp_path / "h"
    folder.mkdir()
    (folder / "text.1001.png").write_text("not a picture\n" * 40)
    refused("unreadable", folder / "text.1001.png", plate, "text.1001.png", "frame 1001")
    whole = png(folder / "whole.1001.png", np.random.default_rng(0).random((120, 160))).read_bytes()
    (folder / "cut.1001.png").write_bytes(whole[: len(whole) // 2])
    refused("unreadable", folder / "cut.1001.png", plate, "cut.1001.png", "frame 1001")
    (folder / "movie.mov").touch()
    refused("movie", folder / "movie.mov", plate, "movie.mov")
    refused("ambiguous", folder, plate, str(folder))


def test_a_deep_picture_is_refused(tmp_path: Path, plate: Plate) -> None:
    samples = np.empty((HEIGHT, WIDTH), dtype=object)
    for place in np.ndindex(samples.shape):
        samples[place] = np.array([1.0], np.float32)
    path = tmp_path / "h" / "rough.1001.exr"
    files.write(path, {"A": samples, "Z": samples}, type=OpenEXR.deepscanline, compression=OpenEXR.ZIPS_COMPRESSION)
    refused("hint_channels", path, plate, path, "deep")


def test_a_map_gives_its_values_and_where_they_are_known(plate: Plate, tmp_path: Path) -> None:
    values = np.linspace(-0.5, 1.5, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    values[0, 0] = np.nan
    files.write(tmp_path / "map.1002.exr", {"Y": values})
    hint = one(tmp_path / "map.1002.exr", plate)
    hint.check(matte=False)
    found, known = hint.read_map(1002, CANVAS, (HEIGHT, WIDTH))
    assert known[0, 0] == 0 and known.sum() == HEIGHT * WIDTH - 1
    np.testing.assert_allclose(found[known > 0], np.clip(values, 0, 1)[np.isfinite(values)], atol=1e-6)
    # Of a pixel that is known in part, the mean of that part.
    coarse, share = hint.read_map(1002, CANVAS, (HEIGHT // 2, WIDTH // 2))
    assert share[0, 0] == pytest.approx(0.75)
    assert coarse[-1, -1] == pytest.approx(np.clip(values[-2:, -2:], 0, 1).mean(), abs=1e-6)


def test_a_map_without_a_value_is_refused_by_name(plate: Plate, tmp_path: Path) -> None:
    files.write(tmp_path / "map.1002.exr", {"Y": np.full((HEIGHT, WIDTH), np.nan, np.float32)})
    hint = one(tmp_path / "map.1002.exr", plate)
    with pytest.raises(PlateError, match=r"map\.1002\.exr says nothing") as fault:
        hint.check(matte=False)
    assert fault.value.code == "plate.hint_empty"
