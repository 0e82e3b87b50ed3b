"""Noise and picture are told apart, by what is known of both."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vdp_engine.render.denoise import REACH, denoise, measure_noise, rooted

SIZE = (96, 128)


def scene() -> np.ndarray:
    """(H, W, 3), scene-linear, from 0.002 to 0.1, with edges and smooth parts."""
    rng = np.random.default_rng(3)
    smooth = cv2.GaussianBlur(rng.normal(size=(*SIZE, 3)), (0, 0), 12)
    light = np.interp(smooth, (smooth.min(), smooth.max()), (0.002, 0.05))
    light[20:60, 30:70] *= 2
    return light.astype(np.float32)


def noisy(light: np.ndarray, seed: int, shot=2e-5, read=2e-4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (light + rng.normal(size=light.shape) * np.sqrt(shot * light + read**2)).astype(np.float32)


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(rooted(a) - rooted(b)).mean())


def test_noise_is_measured_at_every_brightness():
    light = scene()
    level = measure_noise(noisy(light, 0))
    grey = light.mean(-1)
    for brightness in np.quantile(grey, [0.2, 0.5, 0.8]):
        true = np.sqrt(2e-5 * brightness + 4e-8) / (2 * np.sqrt(brightness))
        assert level.of(np.float32(np.sqrt(brightness))) == pytest.approx(true, rel=0.35)


def test_most_of_the_noise_goes_and_the_picture_stays():
    light = scene()
    plate = noisy(light, 0)
    clean = denoise(plate, [], measure_noise(plate))
    assert error(clean, light) < 0.35 * error(plate, light)
    # What was taken away is noise: it does not know where the edges are.
    edges = np.abs(cv2.Laplacian(light.mean(-1), cv2.CV_32F)) > 0.005
    taken = np.abs(rooted(plate) - rooted(clean)).mean(-1)
    assert taken[edges].mean() < 1.2 * taken[~edges].mean()


def test_frames_near_by_help_and_wrong_ones_do_not_harm():
    light = scene()
    plate, noise = noisy(light, 0), measure_noise(noisy(light, 0))
    alone = error(denoise(plate, [], noise), light)
    assert error(denoise(plate, [noisy(light, 1), noisy(light, 2)], noise), light) < 0.9 * alone
    assert error(denoise(plate, [light[::-1].copy()], noise), light) < 1.1 * alone


def test_a_clean_plate_is_left_alone():
    light = scene()
    clean = denoise(light, [], measure_noise(light))
    assert np.abs(clean / light - 1).max() < 0.02


def test_what_stands_out_is_detail():
    light = np.full((*SIZE, 3), 0.01, np.float32)
    plate = noisy(light, 0)
    plate[40, 50] = 50.0
    noise = measure_noise(plate)
    clean = denoise(plate, [], noise)
    assert clean[40, 50] == pytest.approx(50.0, rel=0.02)


def test_parts_that_overlap_give_the_whole():
    plate = noisy(scene(), 0)
    noise = measure_noise(plate)
    whole = denoise(plate, [plate * 1.01], noise)
    part = slice(30 - REACH, 50 + REACH)
    there = denoise(plate[part], [plate[part] * 1.01], noise)[REACH:-REACH]
    np.testing.assert_array_equal(there, whole[30:50])


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 40, 3), (40, 1, 3)])
def test_small_pictures_and_signs(shape):
    plate = np.linspace(-0.1, 0.2, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    clean = denoise(plate, [], measure_noise(plate))
    assert clean.shape == shape
    assert np.isfinite(clean).all()
    np.testing.assert_allclose(clean, plate, atol=1e-3)
