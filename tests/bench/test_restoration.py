"""Parts of the benches of dehaze and relight: scores, classical methods, and the tests that are made."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parent))

import classical
import display
import fidelity
import made
from clips import read_channel

# Pairs of Lab and their ΔE00, published with Sharma, Wu and Dalal (2005) to catch what implementations get wrong.
_SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1
50 -1.1848 -84.8006 50 0 -82.7485 1
50 -0.9009 -85.5211 50 0 -82.7485 1
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0010 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0010 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1
50 2.5 0 50 3.2972 0 1
50 2.5 0 50 1.8634 0.5757 1
50 2.5 0 50 3.2592 0.3350 1
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def _scene(rng: np.random.Generator, shape: tuple[int, int] = (60, 90)) -> np.ndarray:
    """A smooth display-referred picture, 0 to 1."""
    waves = ndimage.gaussian_filter(rng.standard_normal((*shape, 3)), (3, 3, 0))
    return np.asarray(np.clip(0.5 + waves * 3, 0, 1), np.float32)


def test_ciede2000_is_that_of_the_published_pairs() -> None:
    rows = np.array([line.split() for line in _SHARMA.strip().splitlines()], np.float64)
    assert np.abs(fidelity.ciede2000(rows[:, :3], rows[:, 3:6]) - rows[:, 6]).max() < 1e-4


def test_lab_is_that_of_the_primaries_and_opencvs() -> None:
    known = [(53.2408, 80.0925, 67.2032), (87.7347, -86.1827, 83.1793), (32.2970, 79.1875, -107.8602)]
    assert display.to_lab(np.eye(3)) == pytest.approx(np.array(known), abs=0.01)
    assert display.to_lab(np.ones(3)) == pytest.approx([100, 0, 0], abs=0.01)
    codes = _scene(np.random.default_rng(1))
    # OpenCV looks its curves up in tables.
    assert np.abs(display.to_lab(codes) - cv2.cvtColor(codes, cv2.COLOR_RGB2LAB)).max() < 0.6


def test_ssim_is_that_of_windows_taken_one_by_one() -> None:
    rng = np.random.default_rng(2)
    one = _scene(rng, (14, 16))
    other = np.clip(one * 0.8 + rng.normal(0, 0.05, one.shape), 0, 1)
    window = np.exp(-np.add.outer(np.arange(-5, 6) ** 2, np.arange(-5, 6) ** 2) / 4.5)
    window /= window.sum()
    found = []
    for y, x, c in np.ndindex(4, 6, 3):
        a, b = (image[y : y + 11, x : x + 11, c].astype(np.float64) for image in (one, other))
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
        both = (window * (a - mean_a) * (b - mean_b)).sum()
        found.append(
            (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
            / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
        )  # fmt: skip
    assert fidelity.ssim(one, other) == pytest.approx(np.mean(found), abs=1e-9)
    assert fidelity.ssim(one, one) == pytest.approx(1)


def test_psnr_counts_all_pixels_and_channels_and_a_display_clips() -> None:
    truth = np.full((20, 20, 3), 0.5)
    assert fidelity.psnr(truth + 0.1, truth) == pytest.approx(20)
    assert fidelity.scores(np.full((20, 20, 3), 7.0), np.ones((20, 20, 3)))["PSNR"] == pytest.approx(120)


def test_warp_error_is_none_along_the_motion_and_the_step_of_a_flicker() -> None:
    wide = _scene(np.random.default_rng(3), (80, 140))
    clip = [wide[:, 2 * step : 2 * step + 120] for step in range(3)]
    motion = fidelity.Motion(clip)
    still = motion.warp_error(clip)
    assert still < 0.01
    flicker = [frame + 0.1 * (step % 2) for step, frame in enumerate(clip)]
    assert motion.warp_error(flicker) == pytest.approx(0.1, abs=0.01)
    assert motion.warp_error([3 * frame for frame in clip]) == pytest.approx(3 * still, rel=1e-4)


def test_gains_are_those_of_a_scale_and_of_a_veil() -> None:
    clip = [_scene(np.random.default_rng(4))]
    assert fidelity.gain([2 * clip[0]], clip) == pytest.approx(2)
    assert fidelity.detail_gain([clip[0] * 1.5 - 0.3], clip) == pytest.approx(1.5, rel=1e-5)
    noise = np.random.default_rng(5).normal(0, 0.02, clip[0].shape)
    assert fidelity.detail_gain([clip[0] + noise], clip) == pytest.approx(1, abs=0.05)


def test_light_and_codes_are_each_others_inverse() -> None:
    codes = np.linspace(0, 1, 256, dtype=np.float32)
    assert np.abs(display.to_display(display.to_linear(codes)) - codes).max() < 1e-5
    assert display.to_linear(np.array(0.5)) == pytest.approx(0.2140, abs=1e-4)


def test_a_plate_is_half_float_and_numbered(tmp_path: Path) -> None:
    frames = [np.full((4, 6, 3), value, np.float32) for value in (-0.25, 2.0)]
    assert display.write_plate(tmp_path / "in" / "a", frames) == f"{tmp_path / 'in' / 'a'}.1001-1002#.exr"
    buffer = oiio.ImageBuf(str(tmp_path / "in" / "a.1001.exr"))
    assert buffer.spec().format == oiio.HALF
    assert read_channel(tmp_path / "in" / "a.1002.exr", "B") == pytest.approx(np.full((4, 6), 2))


def test_the_guided_filter_is_a_line_in_every_window() -> None:
    rng = np.random.default_rng(5)
    guide, target, radius = rng.random((9, 9)), rng.random((9, 9)), 1
    # At the middle pixel: the mean of the lines fitted in the nine windows that hold it.
    lines = []
    for y in range(3, 6):
        for x in range(3, 6):
            g, t = (image[y - 1 : y + 2, x - 1 : x + 2].ravel() for image in (guide, target))
            slope = np.cov(g, t, bias=True)[0, 1] / (g.var() + 0.01)
            lines.append(slope * guide[4, 4] + t.mean() - slope * g.mean())
    assert classical.guided_filter(guide, target, radius, 0.01)[4, 4] == pytest.approx(np.mean(lines))


def test_the_dark_channel_takes_an_even_haze_off() -> None:
    rng = np.random.default_rng(6)
    scene = _scene(rng, (120, 160)) * rng.random((120, 160, 1)).astype(np.float32) ** 3
    scene[:20] = 1  # a sky for the airlight
    hazy = 0.6 * scene + 0.4
    clear = classical.dark_channel_prior(hazy)
    assert classical.dark_channel_airlight(hazy) == pytest.approx([1, 1, 1])
    assert fidelity.psnr(clear[40:], scene[40:]) > fidelity.psnr(hazy[40:], scene[40:]) + 10


def test_classical_relighting_gives_light_and_no_other_colour() -> None:
    scene = _scene(np.random.default_rng(7))
    dark = (scene * 0.1).astype(np.float32)
    assert classical.best_gain(dark, scene) == pytest.approx(scene, abs=2e-3)
    darker = display.to_display(display.to_linear(scene) / 50)
    assert classical.best_exposure(darker, scene) == pytest.approx(scene, abs=2e-3)
    for method in (classical.gamma, classical.clahe, classical.retinex):
        lit = method(dark)
        assert lit.shape == dark.shape and lit.min() >= 0 and lit.max() <= 1 and lit.mean() > dark.mean()
    ratio = classical.retinex(dark)[10, 10] / dark[10, 10]
    assert ratio == pytest.approx(np.full(3, ratio[0]), rel=1e-5)


def test_the_ground_ends_at_the_horizon_and_the_object_stands_on_it() -> None:
    mask = np.zeros((100, 80), bool)
    mask[10:71, 30:50] = True
    depth = made.depths([mask, mask])[1]
    assert depth[99, 5] == pytest.approx(1) and depth[5, 5] == pytest.approx(8)
    # The horizon is row 30: at row 70 the ground is (99 − 30) / (70 − 30) away, and so is all of the object.
    assert depth[70, 5] == pytest.approx(69 / 40) and depth[20, 40] == pytest.approx(69 / 40, rel=1e-3)
    assert (np.diff(depth[:, 5]) <= 0).all()


class _Clip:
    """Stands for a clip whose frames are ``light``."""

    name = "a"

    def __init__(self, masks: list[np.ndarray]) -> None:
        self._masks = masks

    def truth(self) -> list[np.ndarray]:
        return self._masks


@pytest.fixture
def clip(monkeypatch: pytest.MonkeyPatch) -> _Clip:
    light = [display.to_linear(_scene(np.random.default_rng(8), (100, 80))) for _ in range(3)]
    mask = np.zeros((100, 80), bool)
    mask[40:81, 30:50] = True
    monkeypatch.setattr(made, "_light", lambda clip, count: light[:count])
    monkeypatch.setattr(made, "_turn", lambda clip: 1)
    return _Clip([mask] * 3)


def test_made_haze_is_the_equation_and_noise(clip: _Clip) -> None:
    one, same = made.hazed(clip, 2), made.hazed(clip, 2)  # type: ignore[arg-type]
    assert one.kind == "medium haze" and len(one.plates) == 2
    assert all((a == b).all() for a, b in zip(one.plates, same.plates, strict=True))
    through, airlight = one.maps[1][..., None], one.airlight
    assert through.min() == pytest.approx(0.35, abs=1e-4) and through.max() == pytest.approx(0.35 ** (1 / 8), abs=1e-4)
    noise = one.plates[1] - (through * one.truth[1] + (1 - through) * airlight)
    expected = np.sqrt(1e-4 * one.plates[1].mean() + 4e-4**2)
    assert noise.std() == pytest.approx(expected, rel=0.05) and abs(noise.mean()) < 5 * expected / 24000**0.5


def test_made_darkness_is_the_equation_and_noise(clip: _Clip) -> None:
    one = made.darkened(clip)  # type: ignore[arg-type]
    assert one.kind == "4 stops down"
    stops = np.log2(one.maps[0])
    assert stops.mean() == pytest.approx(-4, abs=1e-3) and np.ptp(stops) == pytest.approx(1.5, abs=1e-3)
    assert 0 < np.abs(np.log2(one.maps[2] / one.maps[0])).max() < 0.2
    noise = one.plates[2] - one.maps[2][..., None] * one.truth[2]
    assert noise.std() == pytest.approx(np.sqrt(1e-4 * one.plates[2].mean() + 4e-4**2), rel=0.05)
