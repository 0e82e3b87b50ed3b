import json
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import OpenImageIO as oiio
import pytest

from tests.plate import plate_files as files
from vdp_engine.errors import PlateError
from vdp_engine.plate import Plate, Window


def refused(code: str, text: Any, *told: str, **options: Any) -> PlateError:
    with pytest.raises(PlateError) as caught:
        plate = Plate.open(text, **options)
        for frame in plate.frames:
            plate.read(frame)
    assert caught.value.code == f"plate.{code}"
    for words in told:
        assert words in str(caught.value)
    return caught.value


@pytest.mark.parametrize("compression", files.COMPRESSIONS)
@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_pixels_are_those_openexr_reads(tmp_path: Path, compression: str, tiled: bool, dtype: Any) -> None:
    header: dict[str, Any] = {"compression": files.COMPRESSIONS[compression]}
    if tiled:
        header |= {"type": OpenEXR.tiledimage, "tiles": files.tiles(32)}
    path = files.write(tmp_path / "a.0001.exr", files.colour_channels(70, 90, dtype=dtype), **header)
    plate = Plate.open(path)
    frame = plate.read(1)
    assert np.array_equal(frame.pixels, files.reference(path))
    assert frame.pixels.dtype == np.float32 and frame.pixels.flags.c_contiguous
    assert frame.holes is None and frame.number == 1
    header_read = plate.header(1)
    assert (header_read.compression, header_read.tiled) == (compression, tiled)
    assert header_read.pixel_type == ("half" if dtype is np.float16 else "float")


@pytest.mark.parametrize("compression", files.COMPRESSIONS)
@pytest.mark.parametrize("tiled", [False, True])
def test_files_that_end_early_are_refused_by_name(tmp_path: Path, compression: str, tiled: bool) -> None:
    header: dict[str, Any] = {"compression": files.COMPRESSIONS[compression]}
    if tiled:
        header |= {"type": OpenEXR.tiledimage, "tiles": files.tiles(32)}
    whole = files.write(tmp_path / "whole.exr", files.colour_channels(70, 90), **header).read_bytes()
    cut = tmp_path / "cut.1007.exr"
    size = len(whole)
    for length in (0, 4, 100, 400, size // 4, size // 2, 3 * size // 4, size - 200, size - 1):
        cut.write_bytes(whole[:length])
        error = refused("unreadable", cut, str(cut), "frame 1007")
        assert error.frame == 1007 and error.exit_code == 2


def test_text_that_calls_itself_exr_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.0001.exr").write_text("not an image at all\n" * 50)
    refused("unreadable", tmp_path / "a.0001.exr", "frame 1")


@pytest.mark.parametrize("data, display", [((-8, -4, 40, 30), (0, 0, 24, 20)), ((5, 7, 6, 4), (0, 0, 24, 20))])
def test_windows_and_aspect(tmp_path: Path, data: tuple[int, ...], display: tuple[int, ...]) -> None:
    path = files.write(
        tmp_path / "a.exr",
        files.colour_channels(data[3], data[2]),
        dataWindow=files.box(*data),
        displayWindow=files.box(*display),
        pixelAspectRatio=2.0,
    )
    plate = Plate.open(path)
    assert plate.canvas == Window(*data) == plate.header(1).data_window
    assert plate.display_window == Window(*display) and plate.pixel_aspect == 2.0
    assert np.array_equal(plate.read(1).pixels, files.reference(path))


def test_canvas_is_the_union_of_moving_data_windows(tmp_path: Path) -> None:
    windows = {1: (-4, 2, 10, 8), 2: (3, -1, 6, 12)}
    for frame, window in windows.items():
        channels = files.colour_channels(window[3], window[2])
        where = {"dataWindow": files.box(*window), "displayWindow": files.box(0, 0, 16, 12)}
        files.write(tmp_path / f"a.{frame}.exr", channels, **where)
    plate = Plate.open(tmp_path)
    assert plate.canvas == Window(-4, -1, 13, 12)
    placed = plate.read(2).on(plate.canvas)
    expected = np.zeros((12, 13, 3), np.float32)
    expected[0:12, 7:13] = files.reference(tmp_path / "a.2.exr")
    assert np.array_equal(placed, expected)


def test_uint_colour_is_the_number_itself(tmp_path: Path) -> None:
    channels = {name: np.arange(48, dtype=np.uint32).reshape(6, 8) * 1000 for name in "RGB"}
    path = files.write(tmp_path / "a.exr", channels)
    assert np.array_equal(Plate.open(path).read(1).pixels, files.reference(path))
    assert Plate.open(path).header(1).pixel_type == "uint"


def test_mixed_pixel_types_and_order(tmp_path: Path) -> None:
    channels = {"R": files.ramp(6, 8, 0), "G": files.ramp(6, 8, 1, np.float32), "B": files.ramp(6, 8, 2)}
    path = files.write(tmp_path / "a.exr", {**channels, "id": np.ones((6, 8), np.uint32), "A": files.ramp(6, 8, 3)})
    plate = Plate.open(path)
    assert np.array_equal(plate.read(1).pixels, files.reference(path))
    wanted = ("B", "id", "A", "R")
    assert np.array_equal(plate.read_channels(1, wanted), files.reference(path, wanted))


def test_nan_and_inf_become_holes_and_all_else_is_kept(tmp_path: Path) -> None:
    channels = files.colour_channels(6, 8, dtype=np.float32)
    channels["R"][1, 2], channels["G"][3, 4], channels["B"][5, 6] = np.nan, np.inf, -np.inf
    channels["R"][0, 0], channels["G"][0, 1] = 3e38, 3e38  # finite, though their sum is not
    channels["B"][0, 0] = 3e38
    path = files.write(tmp_path / "a.exr", channels)
    frame = Plate.open(path).read(1)
    expected = np.zeros((6, 8), bool)
    expected[[1, 3, 5], [2, 4, 6]] = True
    assert frame.holes is not None and np.array_equal(frame.holes, expected)
    assert (frame.pixels[expected] == 0).all()
    assert np.array_equal(frame.pixels[~expected], files.reference(path)[~expected])


def test_large_finite_values_are_no_holes(tmp_path: Path) -> None:
    channels = {name: np.full((4, 4), 3e38, np.float32) for name in "RGB"}
    frame = Plate.open(files.write(tmp_path / "a.exr", channels)).read(1)
    assert frame.holes is None and (frame.pixels == np.float32(3e38)).all()


@pytest.mark.parametrize(
    "names",
    [
        ("diffuse.R", "diffuse.G", "diffuse.B"),
        ("diffuse.r", "diffuse.g", "diffuse.b"),
        ("diffuse.red", "diffuse.green", "diffuse.blue"),
    ],
)
def test_a_layer_is_chosen_by_name(tmp_path: Path, names: tuple[str, str, str]) -> None:
    layer = {name: files.ramp(6, 8, 5 + index) for index, name in enumerate(names)}
    path = files.write(tmp_path / "a.exr", {**files.colour_channels(6, 8), **layer, "depth.Z": files.ramp(6, 8)})
    plate = Plate.open(path, layer="diffuse")
    assert np.array_equal(plate.read(1).pixels, files.reference(path, names))
    assert plate.layer_names == ("", "diffuse")
    assert np.array_equal(Plate.open(path, layer="").read(1).pixels, files.reference(path))
    refused("no_layer", path, "diffuse", layer="specular")


def test_without_plain_colour_the_only_layer_is_taken_and_two_are_asked_about(tmp_path: Path) -> None:
    one = files.write(tmp_path / "one.exr", files.colour_channels(6, 8, "key."))
    plate = Plate.open(one)
    assert np.array_equal(plate.read(1).pixels, files.reference(one, ("key.R", "key.G", "key.B")))
    assert any("'key'" in note for note in plate.notes)
    two = files.write(tmp_path / "two.exr", files.colour_channels(6, 8, "key.") | files.colour_channels(6, 8, "fill."))
    refused("no_layer", two, "key", "fill")


def test_luminance_alone_is_replicated(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.exr", {"Y": files.ramp(6, 8), "A": files.ramp(6, 8)})
    plate = Plate.open(path)
    assert np.array_equal(plate.read(1).pixels, np.repeat(files.reference(path, ("Y",)), 3, axis=-1))
    assert any("luminance only" in note for note in plate.notes)


def test_luminance_chroma_gives_back_the_colour(tmp_path: Path) -> None:
    # Colours that change evenly along the rows, so that what lies between two samples is known.
    weights = np.array([0.2126, 0.7152, 0.0722])  # Rec. 709
    luminance = np.random.default_rng(0).random((6, 8)) + 0.1
    columns = np.broadcast_to(np.arange(8) / 8, (6, 8))
    full = {"RY": 0.8 - columns, "BY": columns - 0.3}
    samples = {name: plane[::2, ::2] for name, plane in full.items()}
    path = files.write_luminance_chroma(tmp_path / "a.exr", luminance, samples)

    plate = Plate.open(path)
    pixels = plate.read(1).pixels
    known = slice(None, -1)  # past the last sample of a row nothing is known
    red, blue = ((full[name] + 1) * luminance for name in ("RY", "BY"))
    np.testing.assert_allclose(pixels[:, known, 0], red[:, known], rtol=1e-6)
    np.testing.assert_allclose(pixels[:, known, 2], blue[:, known], rtol=1e-6)
    np.testing.assert_allclose(pixels @ weights, luminance, rtol=2e-4)
    assert plate.header(1).attributes["Copyright"].value == "somebody"
    assert plate.header(1).pixel_type == "float"
    path.write_bytes(path.read_bytes()[:-30])
    refused("unreadable", path, str(path))


def two_views(path: Path) -> Path:
    def part(name: str, view: str, channels: dict[str, np.ndarray]) -> OpenEXR.Part:
        return OpenEXR.Part({"name": name, "view": view, "type": OpenEXR.scanlineimage}, channels)

    brighter = {name: plane + np.float16(1) for name, plane in files.colour_channels(6, 8).items()}
    parts = [
        part("depth", "left", {"Z": files.ramp(6, 8, 9)}),
        part("rgba.right", "right", files.colour_channels(6, 8)),
        part("rgba.left", "left", brighter),
        part("motion.left", "left", {"forward.u": files.ramp(6, 8, 5), "forward.v": files.ramp(6, 8, 6)}),
    ]
    OpenEXR.File(parts).write(str(path))
    return path


def test_multi_part_takes_the_first_colour_of_the_default_view_and_says_so(tmp_path: Path) -> None:
    path = two_views(tmp_path / "a.exr")
    plate = Plate.open(path)
    assert np.array_equal(plate.read(1).pixels, files.reference(path, part=2))
    assert any("rgba.left" in note and "left" in note for note in plate.notes)
    assert np.array_equal(Plate.open(path, layer="rgba.right").read(1).pixels, files.reference(path, part=1))


def test_channels_come_from_other_parts_too(tmp_path: Path) -> None:
    path = two_views(tmp_path / "a.exr")
    plate = Plate.open(path)
    vectors = plate.read_channels(1, ("forward.v", "Z", "forward.u"))
    assert np.array_equal(vectors[..., [0, 2]], files.reference(path, ("forward.v", "forward.u"), part=3))
    assert np.array_equal(vectors[..., 1:2], files.reference(path, ("Z",), part=0))
    assert set(plate.channel_names(1)) == {"R", "G", "B", "Z", "forward.u", "forward.v"}
    with pytest.raises(PlateError, match=r"backward\.u.*forward\.u") as caught:
        plate.read_channels(1, ("backward.u", "forward.u"))
    assert caught.value.code == "plate.no_channels"


def test_mip_maps_are_read_at_full_size(tmp_path: Path) -> None:
    pixels = np.stack([files.ramp(32, 64, index) for index in range(3)], axis=-1)
    image = oiio.ImageBuf(oiio.ImageSpec(64, 32, 3, oiio.HALF))
    image.set_pixels(oiio.ROI(), pixels)
    path = tmp_path / "mip.exr"
    assert oiio.ImageBufAlgo.make_texture(oiio.MakeTxTexture, image, str(path)), oiio.geterror()
    smaller = oiio.ImageInput.open(str(path))
    assert smaller is not None and smaller.seek_subimage(0, 2)
    plate = Plate.open(path)
    assert np.array_equal(plate.read(1).pixels, pixels.astype(np.float32))
    assert plate.header(1).tiled


def test_no_colour_is_refused(tmp_path: Path) -> None:
    vectors = {"N.X": files.ramp(6, 8), "N.Y": files.ramp(6, 8), "N.Z": files.ramp(6, 8), "Z": files.ramp(6, 8)}
    refused("no_colour", files.write(tmp_path / "a.exr", vectors), "N.X", "R G B")


@pytest.mark.parametrize("header, what", [({"pixelAspectRatio": 2.0}, "pixel aspect"), ({}, "display window")])
def test_mixed_sizes_are_refused_by_frame_and_file(tmp_path: Path, header: dict[str, Any], what: str) -> None:
    files.write_sequence(tmp_path, range(1, 6))
    size = (12, 16) if header else (10, 16)
    odd = files.write(tmp_path / "shot.0004.exr", files.colour_channels(*size), **header)
    error = refused("mixed_size", tmp_path, str(odd), what)
    assert error.frame == 4 and error.path == odd


def test_absurd_windows_are_refused_before_anything_is_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.write(tmp_path / "a.exr", files.colour_channels(30, 40))
    monkeypatch.setattr("vdp_engine.plate.header.MAX_PIXELS", 30 * 40)
    Plate.open(path)
    monkeypatch.setattr("vdp_engine.plate.header.MAX_PIXELS", 30 * 40 - 1)
    refused("too_large", path, "40x30", "1199")


def test_a_header_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.exr", files.colour_channels(4, 4))
    data = path.read_bytes()
    box = b"dataWindow\0box2i\0\x10\0\0\0"
    at = data.index(box) + len(box)
    path.write_bytes(data[:at] + np.array([0, 0, 9999, 9999], "<i4").tobytes() + data[at + 16 :])
    refused("unreadable", path, str(path))


def test_data_windows_far_apart_are_refused(tmp_path: Path) -> None:
    for frame, x in ((1, 0), (2, 10_000_000)):
        where = {"dataWindow": files.box(x, x, 4, 4), "displayWindow": files.box(0, 0, 4, 4)}
        files.write(tmp_path / f"a.{frame}.exr", files.colour_channels(4, 4), **where)
    assert refused("too_large", tmp_path).frame == 2


def test_frames_asked_for(tmp_path: Path) -> None:
    files.write_sequence(tmp_path, range(1, 9))
    assert Plate.open(tmp_path).frames == tuple(range(1, 9))
    assert Plate.open(tmp_path, frames="8-2x3").frames == (2, 5, 8)
    assert Plate.open(tmp_path, frames=(7, 3)).frames == (3, 7)
    assert Plate.open(tmp_path / "shot.2-4#.exr").frames == (2, 3, 4)
    assert Plate.open(tmp_path / "shot.2-4#.exr", frames="5").frames == (5,)
    refused("no_frames", tmp_path, "1-8", frames="100-110")


def test_a_sequence_on_twos_has_no_gap(tmp_path: Path) -> None:
    files.write_sequence(tmp_path, range(1001, 1010, 2))
    assert Plate.open(tmp_path).frames == (1001, 1003, 1005, 1007, 1009)


def test_numbers_that_are_dates_are_no_endless_gap(tmp_path: Path) -> None:
    files.write_sequence(tmp_path, [20200101, 20210315, 20250102])
    refused("missing_frame", tmp_path, "3 files", "--frames")
    assert Plate.open(tmp_path, frames="20210315").frames == (20210315,)


def test_missing_frames_are_named(tmp_path: Path) -> None:
    files.write_sequence(tmp_path, [1001, 1002, 1004, 1005, 1008])
    error = refused("missing_frame", tmp_path, "frame 1003", "shot.1003.exr", "2 more: 1006-1007", "--missing")
    assert error.frame == 1003 and error.path == tmp_path / "shot.1003.exr"


def test_held_and_black_frames(tmp_path: Path) -> None:
    for frame in (3, 6):
        channels = {name: plane + np.float16(frame) for name, plane in files.colour_channels(6, 8).items()}
        files.write(tmp_path / f"a.{frame}.exr", channels)
    held = Plate.open(tmp_path, frames="1-6", missing="hold")
    for frame, source in {1: 3, 2: 3, 3: 3, 4: 3, 5: 3, 6: 6}.items():
        assert held.source_path(frame) == tmp_path / f"a.{source}.exr"
        assert np.array_equal(held.read(frame).pixels, files.reference(tmp_path / f"a.{source}.exr"))
        assert held.read(frame).number == frame
    assert any("1-2,4-5" in note for note in held.notes)

    black = Plate.open(tmp_path, frames="1-6", missing="black")
    assert not black.read(4).pixels.any() and black.read(4).pixels.shape == (6, 8, 3)
    assert not black.read_channels(4, ("R",)).any()
    assert black.read(6).pixels.any()
    assert black.stamp(4) != held.stamp(4)


def test_stamps_change_with_the_file(tmp_path: Path) -> None:
    files.write_sequence(tmp_path, [1, 2])
    before = [Plate.open(tmp_path).stamp(frame) for frame in (1, 2)]
    assert before[0] != before[1]
    files.write(tmp_path / "shot.0002.exr", files.colour_channels(12, 16), comments="rendered again")
    after = [Plate.open(tmp_path).stamp(frame) for frame in (1, 2)]
    assert after[0] == before[0] and after[1] != before[1]


def test_a_file_replaced_after_opening_is_refused(tmp_path: Path) -> None:
    files.write_sequence(tmp_path, [1, 2])
    plate = Plate.open(tmp_path)
    files.write(tmp_path / "shot.0002.exr", files.colour_channels(20, 20))
    with pytest.raises(PlateError, match="changed since") as caught:
        plate.read(2)
    assert caught.value.frame == 2
    (tmp_path / "shot.0001.exr").unlink()
    with pytest.raises(PlateError, match=r"shot\.0001\.exr"):
        plate.read(1)


def write_png(path: Path, pixels: np.ndarray) -> Path:
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], oiio.UINT8)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    output = oiio.ImageOutput.create(str(path))
    assert output is not None
    assert output.open(str(path), spec) and output.write_image(pixels) and output.close()
    return path


def test_integer_formats_need_a_colour_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)
    code = np.full((4, 5, 4), 128, np.uint8)
    code[..., 3] = 64  # a straight alpha must not darken the colour
    path = write_png(tmp_path / "a.0001.png", code)
    refused("needs_colorspace", path, "uint8", "--colorspace")
    refused("colorspace", path, "sRGB - Texture", colorspace="srgb texture")
    linear = Plate.open(path, colorspace="sRGB - Texture").read(1).pixels
    np.testing.assert_allclose(linear, ((128 / 255 + 0.055) / 1.055) ** 2.4, rtol=1e-4)
    as_is = Plate.open(path, colorspace="ACEScg").read(1).pixels
    np.testing.assert_allclose(as_is, 128 / 255, rtol=1e-6)


def test_encoded_holes_stay_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)
    channels = {name: plane / 12 for name, plane in files.colour_channels(4, 5, dtype=np.float32).items()}
    channels["G"][2, 3] = np.nan
    frame = Plate.open(files.write(tmp_path / "a.exr", channels), colorspace="ACEScct").read(1)
    assert frame.holes is not None and np.argwhere(frame.holes).tolist() == [[2, 3]]
    assert (frame.pixels[2, 3] == 0).all() and np.isfinite(frame.pixels).all()


def test_description_is_plain_json(tmp_path: Path) -> None:
    code = OpenEXR.TimeCode()
    code.hours = 1
    files.write_sequence(
        tmp_path, [1, 2, 4], timeCode=code, chromaticities=(0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.31, 0.33)
    )
    told = json.loads(json.dumps(Plate.open(tmp_path, missing="hold").describe()))
    assert told["frames"] == "1-4" and told["on_disk"] == "1-2,4" and told["missing"] == "3"
    assert told["display_window"] == {"x": 0, "y": 0, "width": 16, "height": 12}
    assert told["channels"] == ["R", "G", "B"] and told["compression"] == "zip"
