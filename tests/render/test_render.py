"""The stage on a tiny shot: what lies on the disk afterwards, read back with the OpenEXR module."""

import shutil
from dataclasses import replace

import numpy as np
import OpenEXR
import pytest
import torch
from torch.nn.functional import interpolate

from tests.model import tiny_shot
from tests.model.tiny_shot import CPU, FIRST, HEIGHT, WIDTH, Recorder, shot_of, small
from tests.plate import plate_files
from vdp_engine.errors import ShotError
from vdp_engine.model import LayersDecomposition, NetLayers, fit
from vdp_engine.motion import prep, shot_sizes
from vdp_engine.plate import log_encode
from vdp_engine.render import pending, render
from vdp_engine.settings import Machine

FRAMES = 6


@pytest.fixture(scope="module", autouse=True)
def small_sizes():
    with small():
        yield


def wild_plate(folder):
    """Float32 frames with holes, the largest and smallest values, and a data window that moves in the display."""
    for index in range(FRAMES):
        image = tiny_shot.picture(index, 2)
        rng = np.random.default_rng(index)
        at = rng.random((HEIGHT, WIDTH)) < 0.05
        image[at] = rng.choice(np.float32([65504, -65504, 0, 2**-24, -3e-6, -0.5, 900, 1e-4]), (int(at.sum()), 3))
        image[2, 4 + index], image[30, 40] = 1e6, -1e6
        if index % 2:
            image[10:14, 20:30, 1] = np.nan
            image[40, 50] = [np.inf, 0.5, 0.5]
        channels = {name: np.ascontiguousarray(image[..., c]) for c, name in enumerate("RGB")}
        windows = {
            "dataWindow": plate_files.box(2 * index - 4, index - 3, WIDTH, HEIGHT),
            "displayWindow": plate_files.box(0, 0, WIDTH, HEIGHT),
        }
        plate_files.write(folder / f"shot.{FIRST + index}.exr", channels, owner="somebody", **windows)
    return str(folder / "shot.####.exr")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Fitted shots by plate and number of layers, made when first asked for; each call gives a folder of its own."""
    made = {}

    def of(kind, layers=2, **settings):
        if (kind, layers) not in made:
            folder = tmp_path_factory.mktemp(f"{kind}{layers}")
            write = wild_plate if kind == "wild" else tiny_shot.write_plate
            shot = shot_of(write(folder / "plate"), folder / "out", layers=layers)
            shot.save()
            prep(shot, CPU, Recorder())
            fit(shot, CPU, Recorder())
            made[kind, layers] = shot
        shot = made[kind, layers]
        out = tmp_path_factory.mktemp("out")
        shutil.copytree(shot.work, out / ".vdp")
        return replace(shot, out=out, settings=shot.settings.model_copy(update=settings))

    return of


@pytest.fixture(scope="module")
def whole(fitted):
    """The plain shot rendered in one go."""
    shot = fitted("plain")
    render(shot, CPU, Recorder())
    return shot


def read(path):
    """Header and channels, float32 (H, W) by name."""
    file = OpenEXR.File(str(path), separate_channels=True)
    return file.header(), {name: channel.pixels.astype(np.float32) for name, channel in file.channels(0).items()}


def plate_pixels(shot, frame):
    """(H, W, 3) as it lies in the file, and where it is a hole."""
    pixels = plate_files.reference(shot.plate.source_path(frame))
    return pixels, ~np.isfinite(pixels).all(-1)


def rebuilt(channels, layers, straight):
    """The equation and the residual, in float64."""
    total = np.stack([channels[f"residual.{c}"].astype(np.float64) for c in "RGB"], -1)
    for name in ("bg", "fg1", "fg2", "fg3")[:layers]:
        colour = np.stack([channels[f"{name}.{c}"].astype(np.float64) for c in "RGB"], -1)
        total += colour * channels[f"{name}.A"][..., None] if straight else colour
    return total


def pretend(monkeypatch, shot, mattes, colour):
    """Put known foreground mattes (F, T, h, w) at net size in place of what a model would say."""
    background = 1 - mattes.sum(0)

    def at(position):
        both = torch.cat([background[position][None], mattes[:, position]])
        return NetLayers(both, colour.expand(len(both), 3, *both.shape[1:]), torch.ones(both.shape[1:]))

    foreground = ((1 - background) * 255).numpy().astype(np.uint8)
    kept = {"foreground": torch.from_numpy(foreground)}
    model = LayersDecomposition("known", {"layers": 1 + len(mattes)}, kept, at)
    monkeypatch.setattr("vdp_engine.render.stage.load_decomposition", lambda shot, device: model)


def blobs(count, size):
    """Soft mattes (count, FRAMES, *size) that cover each other and fade into the background."""
    noise = torch.rand(count, FRAMES, size[0] // 4, size[1] // 4, generator=torch.Generator().manual_seed(0))
    large = interpolate(noise, size, mode="bilinear") * 2 - 0.5
    return large.clamp(0, 1) / large.clamp(0, 1).sum(0).clamp_min(1)


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("alpha", ["premultiplied", "straight"])
@pytest.mark.parametrize("bit_depth", ["half", "float"])
def test_the_layers_rebuild_the_wildest_plate(fitted, monkeypatch, layers, alpha, bit_depth):
    shot = fitted("wild", alpha=alpha, bit_depth=bit_depth)
    pretend(monkeypatch, shot, blobs(layers - 1, shot_sizes(shot).net), torch.tensor(0.6))
    chosen = (FIRST, FIRST + 3)
    recorder = Recorder()
    render(shot, CPU, recorder, chosen)
    assert recorder.frames == list(chosen)
    for frame in chosen:
        header, channels = read(shot.layer_file(frame))
        assert header["dataWindow"][0].tolist() == shot_window(frame)
        assert all(np.isfinite(plane).all() for plane in channels.values())
        pixels, holes = plate_pixels(shot, frame)
        expected = np.where(holes[..., None], 0, pixels)
        if bit_depth == "half":
            expected = expected.clip(-65504, 65504).astype(np.float16).astype(np.float32)
        np.testing.assert_array_equal(np.stack([channels[c] for c in "RGB"], -1), expected)
        spacing = np.spacing(np.abs(expected).clip(0, 65472).astype(np.float16)).astype(np.float64)
        assert (np.abs(rebuilt(channels, layers, alpha == "straight") - expected) / spacing).max() <= 2.0
        np.testing.assert_array_equal(channels["confidence.A"][holes], 0.0)

        mattes = np.stack([channels[f"{name}.A"] for name in ("bg", "fg1", "fg2")[:layers]])
        np.testing.assert_allclose(mattes.sum(0), 1.0, atol=2e-3)
        np.testing.assert_allclose(channels["A"], mattes[1:].sum(0), atol=2e-3)
        assert all(((matte > 0.05) & (matte < 0.95)).mean() > 0.05 for matte in mattes)
    told = {(code, frame) for code, frame in recorder.warnings}
    assert ("plate.holes", FIRST + 3) in told
    assert ("plate.holes", FIRST) not in told
    assert (("plate.clamped", FIRST) in told) == (bit_depth == "half")


@pytest.mark.parametrize("layers", [2, 3])
def test_a_wild_plate_goes_all_the_way(fitted, layers):
    shot = fitted("wild", layers)
    render(shot, CPU, Recorder(), (FIRST + 1,))
    _, channels = read(shot.layer_file(FIRST + 1))
    assert {name.partition(".")[0] for name in channels if name.startswith("fg")} == {"fg1", "fg2"} - {f"fg{layers}"}


def shot_window(frame):
    index = frame - FIRST
    return [2 * index - 4, index - 3]


def test_the_file_says_what_it_is(fitted):
    shot = fitted("wild")
    render(shot, CPU, Recorder(), (FIRST + 1,))
    header, channels = read(shot.layer_file(FIRST + 1))
    assert header["owner"] == "somebody"
    assert header["compression"] == OpenEXR.ZIPS_COMPRESSION
    expected = {
        "vdp/task": "layers", "vdp/alpha": "premultiplied", "vdp/layers": 2, "vdp/seed": 0, "vdp/holes": 41,
        "vdp/clamped": 6, "vdp/settings": shot.settings.digest("render"),
    }  # fmt: skip
    assert {name: header[name] for name in expected} == expected
    assert {"vdp/version", "vdp/model", "vdp/equation", "vdp/invented"} <= set(header)
    assert header["displayWindow"][1].tolist() == [WIDTH - 1, HEIGHT - 1]
    groups = {name.rpartition(".")[0] for name in channels}
    assert groups == {"", "bg", "fg1", "clean", "residual", "confidence"}


@pytest.mark.parametrize("threads", [1, 2])
def test_chunks_in_any_order_give_the_same_files(fitted, whole, threads):
    shot = fitted("plain")
    for chunk in ((FIRST + 4,), (FIRST + 5, FIRST + 1), (FIRST, FIRST + 2, FIRST + 3)):
        # Each as on a machine of its own, which knows nothing of the others.
        render(replace(shot), Machine(device="cpu", threads=threads), Recorder(), chunk)
    for frame in shot.frames:
        (_, channels), (_, expected) = read(shot.layer_file(frame)), read(whole.layer_file(frame))
        assert set(channels) == set(expected)
        for name, plane in channels.items():
            np.testing.assert_array_equal(plane, expected[name], err_msg=f"{frame} {name}")
        assert shot.layer_file(frame).read_bytes() == whole.layer_file(frame).read_bytes()


def test_what_is_up_to_date_is_left_alone(whole):
    before = [whole.layer_file(frame).stat().st_mtime_ns for frame in whole.frames]
    assert pending(whole, whole.frames) == ()
    recorder = Recorder()
    render(whole, CPU, recorder)
    assert recorder.frames == []
    assert [whole.layer_file(frame).stat().st_mtime_ns for frame in whole.frames] == before


@pytest.mark.parametrize("damage", ["empty", "cut", "gone", "other"])
def test_a_damaged_file_is_rendered_again_and_no_other(whole, fitted, damage):
    shot = fitted("plain")
    for frame in shot.frames:
        shutil.copy2(whole.layer_file(frame), shot.layer_file(frame))
    path = shot.layer_file(FIRST + 2)
    good = path.read_bytes()
    path.unlink()
    if damage in ("empty", "cut"):
        path.write_bytes(good[: 0 if damage == "empty" else 300])
    elif damage == "other":
        plate_files.write(path, plate_files.colour_channels(8, 8))
    assert pending(shot, shot.frames) == (FIRST + 2,)
    recorder = Recorder()
    render(shot, CPU, recorder)
    assert recorder.frames == [FIRST + 2]
    assert path.read_bytes() == good


def test_other_settings_make_all_layers_stale(whole):
    for change in ({"alpha": "straight"}, {"bit_depth": "float"}, {"compression": "zip"}):
        other = replace(whole, settings=whole.settings.model_copy(update=change))
        assert pending(other, other.frames) == other.frames


def test_without_a_model_there_are_no_layers(fitted):
    shot = fitted("plain")
    shot.model_file.unlink()
    with pytest.raises(ShotError, match="vdp fit"):
        render(shot, CPU, Recorder())
    assert list(shot.out.glob("*.exr")) == []


def test_vectors_are_written_on_request(fitted):
    shot = fitted("plain", vectors=True)
    render(shot, CPU, Recorder(), (FIRST + 2,))
    _, channels = read(shot.layer_file(FIRST + 2))
    ground = np.s_[40:60, 10:85]
    assert np.median(channels["forward.u"][ground]) == pytest.approx(-1.0, abs=0.15)
    assert np.median(channels["backward.u"][ground]) == pytest.approx(1.0, abs=0.15)
    assert np.median(channels["forward.v"][ground]) == pytest.approx(0.0, abs=0.15)


# With mattes that are known: what render makes of them


def square_at(index):
    """Matte (H, W) of the square of ``tiny_shot``."""
    matte = np.zeros((HEIGHT, WIDTH), np.float32)
    matte[6:26, 20 + 3 * index : 40 + 3 * index] = 1.0
    return matte


def test_a_known_square_is_cut_out_and_what_it_hides_is_found(fitted, monkeypatch):
    known = fitted("plain")
    squares = torch.from_numpy(np.stack([square_at(index) for index in range(FRAMES)]))
    grey = torch.tensor(float(log_encode(np.float32(0.4))))
    pretend(monkeypatch, known, interpolate(squares[None], shot_sizes(known).net, mode="area"), grey)
    render(known, CPU, Recorder(), (FIRST, FIRST + 5))
    for index in (0, 5):
        _, channels = read(known.layer_file(FIRST + index))
        truth = square_at(index)
        found = channels["fg1.A"]
        overlap = np.minimum(found, truth).sum() / np.maximum(found, truth).sum()
        assert overlap > 0.85
        ground = tiny_shot.picture(index, 0)
        clean = np.stack([channels[f"clean.{c}"] for c in "RGB"], -1)
        far = np.zeros((HEIGHT, WIDTH), bool)
        far[36:] = True
        np.testing.assert_array_equal(clean[far], ground[far].astype(np.float16).astype(np.float32))
        error = np.abs(clean - ground)[truth > 0].mean()
        plain = np.abs(tiny_shot.picture(index) - ground)[truth > 0].mean()
        assert error < 0.2 * plain
