"""Haze undone at full size: against the equation in float64, and as the file holds it."""

import numpy as np
import pytest

from tests.model import tiny_shot
from tests.model.tiny_shot import CPU, Recorder, shot_of, small
from vdp_engine.check.layers_file import LayerFile
from vdp_engine.equations import colour, half_ulps, recompose
from vdp_engine.model import fit
from vdp_engine.model.dehaze import objective
from vdp_engine.model.dehaze.haze import DISPLAY, LEAST, LINEAR, NONE
from vdp_engine.model.task import Phase
from vdp_engine.motion import prep
from vdp_engine.render import render
from vdp_engine.render.dehaze import undone

AIR = np.array([0.7, 0.8, 0.9], np.float32)


@pytest.fixture(scope="module", autouse=True)
def small_sizes():
    with small(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(objective.PHASES["vdp"], "draft", (Phase("haze", 4, 5e-3),))
        yield


def hazed(exponent, channels=1):
    rng = np.random.default_rng(0)
    clear = (rng.random((500, 3)) * AIR).astype(np.float64)
    through = rng.uniform(0.2, 1, (500, channels))
    ratio = (clear / AIR) ** (1 / exponent)
    return clear, through, AIR * (through * ratio + 1 - through) ** exponent


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("exponent", [LINEAR, DISPLAY])
def test_the_clear_picture_comes_back(exponent, channels):
    clear, through, plate = hazed(exponent, channels)
    found, linear = undone(plate.astype(np.float32), through.astype(np.float32), AIR, exponent)
    np.testing.assert_allclose(found, clear, atol=2e-4)
    if exponent == LINEAR:
        np.testing.assert_allclose(linear, through, atol=1e-4)
    if exponent == LINEAR or channels == 3:
        np.testing.assert_allclose(linear * found + (1 - linear) * AIR, plate, atol=1e-5)
    # A single T of display haze explains all but a share of the plate.
    assert (np.abs(linear * found + (1 - linear) * AIR - plate) <= plate + 1e-6).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("exponent", [LINEAR, DISPLAY])
def test_nothing_is_blown_up(exponent, channels):
    rng = np.random.default_rng(1)
    values = np.float32([65504, -65504, 0, 2**-24, -3e-6, -0.5, 900, 1e-4, 0.7, 0.9, 0.3])
    plate = rng.choice(values, (2000, 3))
    through = rng.uniform(LEAST, 1, (2000, channels)).astype(np.float32)
    clear, linear = undone(plate, through, AIR, exponent)
    assert np.abs(clear).max() <= 65504
    assert (np.sign(clear) * np.sign(plate) >= 0).all()
    assert linear.min() >= 0
    assert linear.max() <= 1
    bright = plate > AIR
    assert (np.abs(clear - AIR)[bright] <= np.abs(plate - AIR)[bright] / LEAST * 1.001 + 1).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("exponent", [LINEAR, DISPLAY])
def test_a_colour_that_haze_has_none_of_is_only_dimmed(exponent, channels):
    air = np.array([NONE, 0.8, 0.9], np.float32)
    rng = np.random.default_rng(2)
    clear = np.float32([0.3, 0.5, 0.4]) * rng.random((500, 3), np.float32)
    through = np.full((500, channels), 0.4, np.float32)
    inside = 0.4 * (clear / air) ** (1 / exponent) + 0.6
    plate = np.asarray(air * inside**exponent, np.float32)
    plate[:, 0] = 0.4 * clear[:, 0]
    plate[:50, 0] = 0  # an 8-bit picture's darkest red
    found, linear = undone(plate, through, air, exponent)
    np.testing.assert_allclose(found[:, 1:], clear[:, 1:], atol=1e-4)
    if exponent == LINEAR or channels == 3:
        np.testing.assert_allclose(found[50:, 0], clear[50:, 0], atol=4 * NONE)
    np.testing.assert_array_equal(found[:50, 0], 0)
    assert linear[:50].max() < 0.95, "nothing turned to T = 1 for want of red"


def wild(index, image):
    rng = np.random.default_rng(index)
    at = rng.random(image.shape[:2]) < 0.05
    image[:] = 0.4 * image + 0.6 * AIR
    image[at] = rng.choice(np.float32([65504, -65504, 0, 2**-24, -3e-6, -0.5, 900, 1e-4]), (int(at.sum()), 3))


def under_water(index, image):
    """8-bit codes of a picture without red, but for one thing."""
    codes(index, image)
    image[..., 0] = 0
    image[5:9, 5:9, 0] = 0.1


def uneven(index, image):
    """Haze through which next to nothing shows, three times as bright on the right."""
    across = np.linspace(0.5, 1.5, image.shape[1], dtype=np.float32)[:, None]
    image[:] = across * (0.03 * np.clip(image, 0, 1) + 0.97 * AIR)


def codes(index, image):
    """8-bit display codes of a hazed picture."""
    seen = np.round(255 * (0.4 * np.clip(image, 0, 1) ** (1 / 2.2) + 0.55)) / 255
    image[:] = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)


def rendered(tmp_path, change, frames=2, **settings):
    shot = shot_of(tiny_shot.write_plate(tmp_path / "plate", frames, change=change), tmp_path / "out", **settings)
    shot.save()
    for stage in (prep, fit, render):
        stage(shot, CPU, Recorder())
    read = []
    for frame in shot.frames:
        with LayerFile(shot.layer_file(frame), frame) as file:
            bands = [channels for _, channels in file.bands()]
            read.append({name: np.concatenate([band[name] for band in bands]) for name in file.names})
    return read


@pytest.mark.parametrize("change", [wild, codes, under_water, uneven])
@pytest.mark.parametrize("by_colour", ["grey", "rgb"])
def test_the_file_gives_the_plate_back(tmp_path, change, by_colour):
    for channels in rendered(tmp_path, change, task="dehaze", transmission=by_colour):
        plate = colour(channels)
        assert half_ulps(recompose("dehaze", channels), plate).max() <= 2
        assert ("transmission.R" in channels) == (by_colour == "rgb")
        assert channels["transmission.A"].min() > 0
        assert channels["transmission.A"].max() <= 1
        assert channels["confidence.A"].min() >= 0
        assert channels["confidence.A"].max() <= 1


def test_the_airlight_of_dense_haze_is_as_uneven_as_its_light(tmp_path):
    channels = rendered(tmp_path, uneven, frames=1, task="dehaze")[0]
    airlight = colour(channels, "airlight")
    across = airlight.mean(0) / AIR
    np.testing.assert_allclose(across / across[len(across) // 2], colour(channels).mean(0) / AIR, rtol=0.15)
    shown, before = (colour(channels, layer) / airlight for layer in ("clear", ""))
    assert shown.std() > 2 * before.std(), "the scene, not the light on the haze, gains contrast"
    assert shown.min() > 0.2


def test_strength_0_is_the_plate_and_1_frame_is_enough(tmp_path):
    (channels,) = rendered(tmp_path, codes, frames=1, task="dehaze", strength=0.0)
    np.testing.assert_array_equal(channels["transmission.A"], 1)
    np.testing.assert_allclose(colour(channels, "clear"), colour(channels), rtol=1e-3, atol=1e-6)


def test_a_locked_airlight_is_written(tmp_path):
    channels = rendered(tmp_path, codes, frames=1, task="dehaze", airlight="0.8,0.82,0.9")[0]
    np.testing.assert_allclose(colour(channels, "airlight")[3, 4], [0.8, 0.82, 0.9], rtol=1e-3)
    assert colour(channels, "airlight").std((0, 1)).max() == 0


def test_noise_is_left_in_the_residual_and_not_blown_up(tmp_path):
    rng = np.random.default_rng(3)

    def noisy(index, image):
        image[:] = 0.25 * 0.5 + 0.75 * AIR
        image[:8] = AIR
        image[20:40, 20:60] = 0.25 * 0.02 + 0.75 * AIR
        image += rng.normal(0, 0.01, image.shape).astype(np.float32)

    for channels in rendered(tmp_path, noisy, frames=3, task="dehaze"):
        plate, clear = colour(channels), colour(channels, "clear")
        through = channels["transmission.A"][45:60, 10:90].mean()
        flat = (slice(45, 60), slice(10, 90))
        assert plate[flat].std((0, 1)).mean() == pytest.approx(0.01, rel=0.1)
        blown_up = undone(plate, np.full((*plate.shape[:2], 1), through), colour(channels, "airlight"), LINEAR)[0]
        assert clear[flat].std((0, 1)).mean() < 0.95 * blown_up[flat].std((0, 1)).mean()
        assert colour(channels, "residual")[flat].std((0, 1)).mean() > 0.001
        assert half_ulps(recompose("dehaze", channels), plate).max() <= 2
