"""The pictures that `vdp serve` gives, value by value."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from tests.serve.helper import Helper
from tests.serve.layer_shots import Corners, Planes, planes, set_up, write_layers
from vdp_engine import equations
from vdp_engine.errors import ServeError
from vdp_engine.serve.folder import Folder
from vdp_engine.serve.pictures import Pictures, View

HEIGHT, WIDTH = 11, 17
WINDOW: Corners = (0, 0, WIDTH - 1, HEIGHT - 1)


def a_shot(
    out: Path, task: str = "layers", kind: type = np.float32, window: Corners = WINDOW, display: Corners = WINDOW,
    layers: int = 2, frame: int = 1001, **attributes: object,
) -> Planes:  # fmt: skip
    """A shot of one frame; its channels as float32, rows from bottom to top."""
    shot = set_up(out, (frame,))
    channels = planes(task, window[3] - window[1] + 1, window[2] - window[0] + 1, kind, seed=3, layers=layers)
    write_layers(shot.layer_file(frame), channels, window, display, task=task, **attributes)
    return {name: plane[::-1].astype(np.float32) for name, plane in channels.items()}


def stacked(channels: Planes, *names: str) -> np.ndarray:
    ones = np.ones_like(next(iter(channels.values())))
    return np.stack([ones if name == "1" else channels[name] for name in names], -1)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_outputs_of_layers_bit_for_bit(helper: Helper, tmp_path: Path, kind: type) -> None:
    channels = a_shot(tmp_path, kind=kind, layers=4, alpha="premultiplied")
    expected = {
        "plate": stacked(channels, "R", "G", "B", "1"),
        "clean": stacked(channels, "clean.R", "clean.G", "clean.B", "1"),
        "residual": stacked(channels, "residual.R", "residual.G", "residual.B", "1"),
        "confidence": stacked(channels, *["confidence.A"] * 4),
        "matte": stacked(channels, "R", "G", "B", "1") * channels["A"][..., None],
        **{name: stacked(channels, *(f"{name}.{c}" for c in "RGBA")) for name in ("bg", "fg1", "fg2", "fg3")},
    }
    assert set(helper.status(tmp_path)["outputs"]) == {*expected, "recomposition"}
    for name, picture in expected.items():
        answer, given = helper.picture(tmp_path, 1001, name)
        assert given.tobytes() == picture.tobytes(), name
        assert (answer["frame"], answer["found"]) == (1001, True)


@pytest.mark.parametrize("written", ["premultiplied", "straight"])
@pytest.mark.parametrize("wanted", ["premultiplied", "straight"])
def test_alpha_as_wanted(helper: Helper, tmp_path: Path, written: str, wanted: str) -> None:
    channels = a_shot(tmp_path, alpha=written)
    assert helper.status(tmp_path)["alpha"] == written
    colour, alpha = stacked(channels, "fg1.R", "fg1.G", "fg1.B"), channels["fg1.A"][..., None]
    if written == "straight" and wanted == "premultiplied":
        colour = colour * alpha
    if written == "premultiplied" and wanted == "straight":
        colour = np.where(alpha == 0, colour, colour / np.where(alpha == 0, 1, alpha))
    _, given = helper.picture(tmp_path, 1001, "fg1", alpha=wanted)
    assert np.array_equal(given, np.concatenate([colour, alpha], -1))
    plate = stacked(channels, "R", "G", "B") * (channels["A"][..., None] if wanted == "premultiplied" else 1)
    _, matte = helper.picture(tmp_path, 1001, "matte", alpha=wanted)
    assert np.array_equal(matte, np.concatenate([plate, channels["A"][..., None]], -1))


@pytest.mark.parametrize("alpha", ["premultiplied", "straight"])
def test_recomposition_of_layers(helper: Helper, tmp_path: Path, alpha: str) -> None:
    channels = a_shot(tmp_path, layers=3, alpha=alpha)
    for wanted in ("premultiplied", "straight"):  # nothing to do with the state in which it is shown
        _, given = helper.picture(tmp_path, 1001, "recomposition", alpha=wanted)
        light = equations.recompose("layers", channels, straight=alpha == "straight")
        assert np.array_equal(given[..., :3], light)
        assert (given[..., 3] == 1).all()


@pytest.mark.parametrize("haze", [0.0, 0.35, 1.0, 2.0])
def test_recomposition_of_dehaze(helper: Helper, tmp_path: Path, haze: float) -> None:
    channels = a_shot(tmp_path, "dehaze")
    _, given = helper.picture(tmp_path, 1001, "recomposition", haze=haze, mix=1)
    assert np.array_equal(given[..., :3], equations.recompose("dehaze", channels, haze_amount=haze))
    assert (given[..., 3] == 1).all()


@pytest.mark.parametrize("mix", [0.0, 0.6, 1.0])
def test_recomposition_of_relight(helper: Helper, tmp_path: Path, mix: float) -> None:
    channels = a_shot(tmp_path, "relight", gamma=1.75)
    assert helper.status(tmp_path)["gamma"] == 1.75
    _, given = helper.picture(tmp_path, 1001, "recomposition", mix=mix, haze=0)
    assert np.array_equal(given[..., :3], equations.recompose("relight", channels, gamma=1.75, exposure_mix=mix))


def test_outputs_of_the_other_tasks(helper: Helper, tmp_path: Path) -> None:
    hazy = a_shot(tmp_path / "hazy", "dehaze")
    dark = a_shot(tmp_path / "dark", "relight", gamma=2.0)
    status = helper.status(tmp_path / "hazy")
    outputs = {"plate", "clear", "airlight", "transmission", "residual", "confidence", "recomposition"}
    assert (status["task"], set(status["outputs"])) == ("dehaze", outputs)
    status = helper.status(tmp_path / "dark")
    outputs = {"plate", "relit", "gain", "noise", "residual", "confidence", "recomposition"}
    assert (status["task"], set(status["outputs"])) == ("relight", outputs)
    for alpha in ("premultiplied", "straight"):
        _, given = helper.picture(tmp_path / "hazy", 1001, "transmission", alpha=alpha)
        assert np.array_equal(given, stacked(hazy, *["transmission.A"] * 4))
        for place, channels, name in (("hazy", hazy, "clear"), ("hazy", hazy, "airlight"), ("dark", dark, "gain")):
            _, given = helper.picture(tmp_path / place, 1001, name, alpha=alpha)
            assert np.array_equal(given, stacked(channels, *(f"{name}.{c}" for c in "RGB"), "1"))


def test_transmission_by_colour(helper: Helper, tmp_path: Path) -> None:
    shot = set_up(tmp_path, (1,))
    channels = planes("dehaze", HEIGHT, WIDTH, np.float32, seed=5)
    by_colour = {f"transmission.{c}": channels["transmission.A"] / (2 + i) for i, c in enumerate("RGB")}
    for names in ("RGBA", "RGB"):
        held = channels | by_colour
        if names == "RGB":
            del held["transmission.A"]
        write_layers(shot.layer_file(1), held, WINDOW, WINDOW, task="dehaze")
        up = {name: plane[::-1] for name, plane in held.items()}
        for alpha in ("premultiplied", "straight"):
            _, given = helper.picture(tmp_path, 1, "transmission", alpha=alpha)
            expected = stacked(up, *(f"transmission.{c}" for c in "RGB"), "transmission.A" if "A" in names else "1")
            assert np.array_equal(given, expected)
        if "A" in names:
            _, given = helper.picture(tmp_path, 1, "recomposition", haze=0.5)
            assert np.array_equal(given[..., :3], equations.recompose("dehaze", up, haze_amount=0.5))


@pytest.mark.parametrize(
    ("window", "display", "expected"),
    [
        ((0, 0, 16, 10), (0, 0, 16, 10), [0, 0, 17, 11]),
        ((2, 1, 9, 6), (0, 0, 19, 9), [2, 3, 10, 9]),  # inside: rows 1 to 6 of 10 from the top are 3 to 8 from below
        ((-3, -2, 21, 12), (0, 0, 19, 9), [-3, -3, 22, 12]),  # overscan all around
        ((30, 20, 34, 22), (0, 0, 19, 9), [30, -13, 35, -10]),  # outside altogether
        ((105, 52, 110, 54), (100, 50, 119, 59), [5, 5, 11, 8]),  # a display window that begins elsewhere
        ((-7, -9, -4, -8), (-10, -10, -1, -1), [3, 7, 7, 9]),
    ],
)
def test_windows_in_ofx_pixels(
    helper: Helper, tmp_path: Path, window: Corners, display: Corners, expected: list[int]
) -> None:
    channels = a_shot(tmp_path, window=window, display=display)
    answer, given = helper.picture(tmp_path, 1001, "fg1", alpha="premultiplied")
    assert answer["window"] == expected
    assert answer["display"] == [display[2] - display[0] + 1, display[3] - display[1] + 1]
    assert np.array_equal(given, stacked(channels, "fg1.R", "fg1.G", "fg1.B", "fg1.A"))


def test_window_that_moves(helper: Helper, tmp_path: Path) -> None:
    shot = set_up(tmp_path, (1, 2))
    for frame, window in ((1, (0, 0, 3, 2)), (2, (5, 1, 6, 4))):
        channels = planes("layers", window[3] - window[1] + 1, window[2] - window[0] + 1, np.float32, seed=frame)
        write_layers(shot.layer_file(frame), channels, window, (0, 0, 9, 9))
        answer, given = helper.picture(tmp_path, frame, "plate")
        assert answer["window"] == [window[0], 9 - window[3], window[2] + 1, 10 - window[1]]
        assert np.array_equal(given[0, 0, :3], [channels[c][-1, 0] for c in "RGB"])
    header = helper.done("frame", shot=tmp_path, frame=2, output="plate")
    assert (header["window"], header["display"], header["found"]) == ([5, 5, 7, 9], [10, 10], True)


def test_pixel_aspect(helper: Helper, tmp_path: Path) -> None:
    shot = set_up(tmp_path, (1,))
    channels = planes("layers", 4, 4, np.float16, seed=1)
    write_layers(shot.layer_file(1), channels, (0, 0, 3, 3), (0, 0, 3, 3))
    assert helper.done("frame", shot=tmp_path, frame=1, output="plate")["pixel_aspect"] == 1
    with OpenEXR.File(str(shot.layer_file(1)), separate_channels=True) as file:
        header = dict(file.header()) | {"pixelAspectRatio": 2.0}
        OpenEXR.File(header, {name: one.pixels for name, one in file.channels().items()}).write(str(tmp_path / "x"))
    (tmp_path / "x").rename(shot.layer_file(1))
    assert helper.done("frame", shot=tmp_path, frame=1, output="plate")["pixel_aspect"] == 2


@pytest.mark.parametrize("frame", [-12, 0, 7, 123456])
def test_odd_frame_numbers(helper: Helper, tmp_path: Path, frame: int) -> None:
    channels = a_shot(tmp_path, frame=frame)
    answer, given = helper.picture(tmp_path, frame, "plate")
    assert answer["frame"] == frame
    assert np.array_equal(given[..., 0], channels["R"])
    assert helper.status(tmp_path)["frames"] == [[frame, frame]]


def test_missing_frames(helper: Helper, tmp_path: Path) -> None:
    shot = set_up(tmp_path, tuple(range(10, 21)))
    for frame in (12, 13, 18):
        channels = planes("layers", HEIGHT, WIDTH, np.float32, seed=frame)
        write_layers(shot.layer_file(frame), channels, WINDOW, WINDOW)
    assert helper.status(tmp_path)["frames"] == [[12, 13], [18, 18]]
    code, message = helper.refused("frame", shot=tmp_path, frame=15, output="plate")
    assert code == "ofx.missing"
    assert "frame 15" in message and "12-13,18" in message
    for frame, held in ((15, 13), (17, 13), (99, 18), (3, 12)):
        answer, given = helper.picture(tmp_path, frame, "plate", missing="hold")
        assert (answer["frame"], answer["found"]) == (held, True)
        assert np.array_equal(given[::-1, :, 1], planes("layers", HEIGHT, WIDTH, np.float32, seed=held)["G"])
    answer, given = helper.picture(tmp_path, 15, "plate", missing="black")
    assert (answer["frame"], answer["found"], answer["window"]) == (15, False, [0, 0, WIDTH, HEIGHT])
    assert np.isnan(given).all()  # left as it was


def test_no_shot(helper: Helper, tmp_path: Path) -> None:
    status = helper.status(tmp_path / "none")
    assert (status["state"], status["frames"], status["outputs"]) == ("none", [], [])
    for missing in ("error", "hold"):
        code, message = helper.refused("frame", shot=tmp_path, frame=1, output="bg", missing=missing)
        assert code == "ofx.none"
        assert str(tmp_path) in message and "Analyse" in message
    answer = helper.done("frame", shot=tmp_path, frame=1, output="bg", missing="black")
    assert (answer["found"], answer["window"]) == (False, [0, 0, 0, 0])


def test_no_such_output(helper: Helper, tmp_path: Path) -> None:
    a_shot(tmp_path)
    code, message = helper.refused("frame", shot=tmp_path, frame=1001, output="fg3")
    assert code == "ofx.output"
    assert "fg3" in message and "bg, fg1" in message


def test_damaged_file(helper: Helper, tmp_path: Path) -> None:
    a_shot(tmp_path)
    path = tmp_path / "shot.1001.exr"
    whole = path.read_bytes()
    for part in (len(whole) // 2, 100, 0):
        path.write_bytes(whole[:part])
        code, message = helper.refused("frame", shot=tmp_path, frame=1001, output="bg", buffer=helper.buffer(1 << 16))
        assert code == "ofx.damaged"
        assert str(path) in message and "frame 1001" in message
    path.write_bytes(whole)
    helper.picture(tmp_path, 1001, "bg")


def test_layers_written_anew_are_seen_at_once(helper: Helper, tmp_path: Path) -> None:
    channels = a_shot(tmp_path)
    _, before = helper.picture(tmp_path, 1001, "bg")
    told = helper.status(tmp_path)["revision"]
    assert told == helper.status(tmp_path)["revision"]
    anew = planes("layers", HEIGHT, WIDTH, np.float32, seed=99)
    write_layers(tmp_path / "shot.1001.exr", anew, WINDOW, WINDOW)
    _, after = helper.picture(tmp_path, 1001, "bg")
    assert np.array_equal(before[..., 0], channels["bg.R"])
    assert np.array_equal(after[::-1, :, 0], anew["bg.R"])
    helper.done("forget", shot=tmp_path)
    assert helper.status(tmp_path)["revision"] != told


def test_many_frames_at_once(helper: Helper, tmp_path: Path) -> None:
    shot = set_up(tmp_path, tuple(range(1, 13)))
    made = {frame: planes("layers", HEIGHT, WIDTH, np.float16, seed=frame) for frame in shot.frames}
    for frame, channels in made.items():
        write_layers(shot.layer_file(frame), channels, WINDOW, WINDOW)

    def right(turn: int) -> bool:
        frame, layer = shot.frames[turn % 12], ("bg", "fg1")[turn % 2]
        _, given = helper.picture(tmp_path, frame, layer)
        return np.array_equal(given[::-1, :, 2], made[frame][f"{layer}.B"].astype(np.float32))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, range(96)))


@pytest.mark.parametrize(("shown", "ahead"), [((1, 2), 3), ((4, 3), 2), ((1, 3), None), ((2, 2), None)])
def test_the_next_frame_is_made_ahead(tmp_path: Path, shown: tuple[int, int], ahead: int | None) -> None:
    shot = set_up(tmp_path, (1, 2, 3, 4))
    made = {frame: planes("layers", HEIGHT, WIDTH, np.float32, seed=frame) for frame in shot.frames}
    for frame, channels in made.items():
        write_layers(shot.layer_file(frame), channels, WINDOW, WINDOW)
    pictures, folder, view = Pictures(1 << 20), Folder(tmp_path), View("bg", "premultiplied", 1, 0)
    headers = {frame: folder.header(frame) for frame in shot.frames}
    for frame in shown:
        pictures.look_ahead(folder, frame, view)
    pictures.close()
    for frame, header in headers.items():
        assert header is not None
        status = shot.layer_file(frame).stat()
        with shot.layer_file(frame).open("r+b") as file:
            file.write(bytes(status.st_size))  # nobody can read it any more
        os.utime(shot.layer_file(frame), ns=(status.st_atime_ns, status.st_mtime_ns))
        if frame == ahead:
            assert np.array_equal(pictures.picture(header, view, frame)[..., 0], made[frame]["bg.R"])
        else:
            with pytest.raises(ServeError, match="damaged"):
                pictures.picture(header, view, frame)


def test_cache_smaller_than_a_picture(tmp_path: Path) -> None:
    channels = a_shot(tmp_path / "shot")
    with Helper(tmp_path, VDP_SERVE_CACHE="1K") as helper:
        for _ in range(2):
            _, given = helper.picture(tmp_path / "shot", 1001, "bg")
            assert np.array_equal(given[..., 0], channels["bg.R"])
