"""The uneven light on dense haze, on pictures whose airlight is known."""

import numpy as np
import pytest

from vdp_engine.model.dehaze.veil import TERMS, Veil, estimate_veil, shot_veil, unevenness

SIZE = (72, 96)
AIR = np.array([0.6, 0.55, 0.5], np.float32)
# From about 0.7 on the left to 1.3 on the right, redder at the bottom.
UNEVEN = np.zeros((TERMS, 3), np.float32)
UNEVEN[1], UNEVEN[2, 0] = 0.6, 0.2


def plate(through, surface=UNEVEN, seed=0):
    """Blocks of all brightnesses up to the airlight's, behind haze of one transmission: scene-linear (h, w, 3)."""
    rng = np.random.default_rng(seed)
    air = AIR * unevenness(surface, SIZE)
    scene = np.kron(rng.random((SIZE[0] // 3, SIZE[1] // 3, 1)), np.ones((3, 3, 1))) * air
    return np.asarray(through * scene + (1 - through) * air, np.float32)


def test_a_surface_is_what_its_terms_say_and_rows_are_rows():
    found = unevenness(UNEVEN, SIZE)
    x = (np.arange(SIZE[1]) + 0.5) / SIZE[1] - 0.5
    np.testing.assert_allclose(found[0, :, 1], np.exp(0.6 * x), rtol=1e-6)
    np.testing.assert_array_equal(unevenness(UNEVEN, SIZE, slice(10, 20)), found[10:20])
    np.testing.assert_array_equal(unevenness(0 * UNEVEN, SIZE, slice(10, 20)), 1)


def test_the_light_on_dense_haze_is_found():
    veil = estimate_veil(plate(0.08), AIR)
    assert veil.dense == 1
    found = unevenness(veil.surface, SIZE)
    # A thin scene shows through, which is darker than the airlight and hides a little of it.
    np.testing.assert_allclose(found, unevenness(UNEVEN, SIZE), rtol=0.06)


def test_a_dark_object_does_not_pull_the_surface_down():
    light = plate(0.08)
    light[20:50, 10:40] *= 0.5
    found = unevenness(estimate_veil(light, AIR).surface, SIZE)
    np.testing.assert_allclose(found, unevenness(UNEVEN, SIZE), rtol=0.08)


def test_a_scene_that_shows_is_not_light_on_the_haze():
    assert estimate_veil(plate(0.5), AIR).dense == 0


@pytest.mark.parametrize("light", [np.zeros((72, 96, 3)), np.full((72, 96, 3), np.nan), np.ones((1, 1, 3))])
def test_pictures_that_say_nothing(light):
    veil = estimate_veil(light.astype(np.float32), AIR)
    assert np.isfinite(veil.surface).all()
    assert np.isfinite(unevenness(veil.surface, SIZE)).all()


def test_the_surface_of_a_shot_is_steady_and_unsure_frames_do_not_count():
    veils = [Veil(UNEVEN, 1.0), Veil(9 * UNEVEN, 0.2), Veil(1.2 * UNEVEN, 0.9)]
    surfaces, dense = shot_veil(veils, [0.8, 0.0, 0.8], [0, 4, 8], 9)
    assert surfaces.shape == (9, TERMS, 3)
    assert dense == pytest.approx(0.95)
    assert np.abs(np.diff(surfaces, axis=0)).max() < 0.02
    np.testing.assert_allclose(surfaces[4], dense * 1.1 * UNEVEN, rtol=0.02)
    assert shot_veil(veils, [0, 0, 0], [0, 4, 8], 9)[1] == pytest.approx(0.9)
