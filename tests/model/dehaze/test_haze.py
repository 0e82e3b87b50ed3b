"""The dark channel as soft evidence, on pictures whose transmission is known."""

import cv2
import numpy as np
import pytest

from vdp_engine.model.dehaze.airlight import Airlight
from vdp_engine.model.dehaze.haze import (
    DISPLAY,
    LEAST,
    LINEAR,
    NONE,
    believed,
    brightness,
    dark_channel_transmission,
    doubt,
    guided,
    picture_exponent,
    relative,
    tempered,
    told_by,
    without_faint,
)

AIR = np.array([0.8, 0.85, 0.9], np.float32)


def scene(seed=0, size=(120, 160)):
    """Dots of strong colours on black, (h, w, 3): its dark channel is 0."""
    rng = np.random.default_rng(seed)
    picture = rng.random((*size, 3)) ** 2
    picture[rng.random(size) < 0.3] = 0
    return picture.astype(np.float32)


@pytest.mark.parametrize("exponent", [LINEAR, DISPLAY])
def test_the_transmission_of_a_scene_with_a_dark_channel_is_found(exponent):
    through = np.linspace(0.3, 0.9, 160, dtype=np.float32)[None, :, None]
    inside = through * scene() + 1 - through  # in terms of the airlight
    light = AIR * inside**exponent

    found = dark_channel_transmission(relative(light, AIR, exponent))

    # Past the border, where places see less.
    np.testing.assert_allclose(
        found[20:-20, 20:-20], np.broadcast_to(through[..., 0], found.shape)[20:-20, 20:-20], atol=0.08
    )


def test_guided_filter_keeps_what_is_linear_in_the_guide():
    guide = cv2.GaussianBlur(np.random.default_rng(1).random((60, 80)).astype(np.float32), (0, 0), 2) * 5
    np.testing.assert_allclose(guided(guide, 0.3 * guide + 0.2), 0.3 * guide + 0.2, atol=0.01)


def test_highlights_count_as_twice_the_airlight():
    assert brightness(np.full((1, 1, 3), 1000, np.float32))[0, 0] == 2


def test_what_is_believed_is_bounded():
    seen = np.array([1e-3, 0.05, 0.4, 0.9, 1.0], np.float32)
    for doubted in (0.0, 0.01, 0.2):
        found = believed(seen, 0.5, doubted, LINEAR)
        assert found.min() >= LEAST
        assert found.max() <= 1
    np.testing.assert_allclose(believed(seen, 0.5, 0, DISPLAY), [0.4, 0.4, 0.4, 0.9, 1.0], atol=0.001)
    np.testing.assert_allclose(believed(seen, 0.5, 0, LINEAR), [0.306, 0.306, 0.4, 0.9, 1.0], atol=0.001)


def test_doubt_makes_the_best_of_a_wrong_airlight():
    rng = np.random.default_rng(0)
    through, scene_spread, missed = 0.2, 0.25, 0.07
    scene = 1 + scene_spread * rng.normal(size=20_000)
    error = np.hypot(missed, 0.025) * rng.normal(size=20_000)
    plate = through * scene + (1 - through) * (1 + error)

    def off(acted_on):
        return np.square(1 + (plate - 1) / acted_on - scene).mean()

    best = min(np.linspace(0.15, 1, 400), key=off)
    found = believed(np.float32([through]), through, doubt(1.0, missed), DISPLAY)[0]
    assert off(found) < 1.03 * off(best)
    assert doubt(0.0, missed) == 0


def _codes(values):
    """Scene-linear light of 8-bit sRGB codes, as half floats hold it."""
    code = np.round(values * 255) / 255
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float16).astype(np.float32)


def test_an_8_bit_picture_is_told_from_scene_linear_light():
    values = np.random.default_rng(2).random((64, 64, 3))
    assert picture_exponent(_codes(values)) == DISPLAY
    assert picture_exponent(values.astype(np.float32)) == LINEAR
    assert picture_exponent(_codes(values) + np.float32(2)) == LINEAR  # above white
    assert picture_exponent(_codes(values) * np.float32(0.9)) == LINEAR  # graded since
    assert picture_exponent(np.full((4, 4, 3), np.nan, np.float32)) == LINEAR
    assert picture_exponent(np.zeros((4, 4, 3), np.float32)) == LINEAR


def test_a_sure_airlight_stays_and_a_doubtful_one_turns_grey_and_bright():
    light = np.full((8, 8, 3), 1.2, np.float32)
    sure = tempered(Airlight(AIR, 1.0), light)
    np.testing.assert_allclose(sure.colour, AIR, rtol=1e-6)
    doubtful = tempered(Airlight(AIR, 0.0), light)
    np.testing.assert_allclose(doubtful.colour, [1.2] * 3, rtol=1e-6)


def test_a_colour_that_the_airlight_has_next_to_none_of_says_nothing():
    found = without_faint(np.float32([[0.001, 0.5, 0.6], [0.1, 0.5, 0.6]]))
    np.testing.assert_array_equal(found, np.float32([[NONE, 0.5, 0.6], [0.1, 0.5, 0.6]]))
    np.testing.assert_array_equal(told_by(found), [[False, True, True], [True, True, True]])


def test_light_keeps_its_sign():
    found = relative(np.array([-0.5, 0, 0.5], np.float32) * AIR, AIR, DISPLAY)
    assert found[0] == -found[2] < 0 == found[1]
