import numpy as np
import pytest

from vdp_engine.model.dehaze.airlight import Airlight, estimate_airlight, shot_airlight

FOG = np.array([0.60, 0.66, 0.72], np.float32)


def hazy(airlight=FOG, far=2.5, size=(120, 214), seed=0):
    """A scene of textured patches, some of every place dark, whose haze grows towards the upper border."""
    rng = np.random.default_rng(seed)
    height, width = size
    colours = rng.random((height // 10 + 1, width // 10 + 1, 3)).repeat(10, 0).repeat(10, 1)[:height, :width]
    scene = np.abs(airlight).max() * colours * rng.random((height, width, 1)) ** 2
    transmission = np.exp(-np.linspace(far, 0.2, height))[:, None, None]
    return (transmission * scene + (1 - transmission) * airlight).astype(np.float32)


def angle(found, truth):
    found, truth = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    cosine = found @ truth / np.linalg.norm(found) / np.linalg.norm(truth)
    return np.degrees(np.arccos(min(cosine, 1)))


def close(found, truth, degrees=2.0, stops=0.25):
    return angle(found, truth) < degrees and abs(np.log2(np.linalg.norm(found) / np.linalg.norm(truth))) < stops


@pytest.mark.parametrize(
    "airlight",
    [
        pytest.param((0.60, 0.66, 0.72), id="mist"),
        pytest.param((0.70, 0.60, 0.42), id="dust"),
        pytest.param((0.0, 0.30, 0.45), id="water"),
        pytest.param((0.004, 0.005, 0.008), id="night"),
        pytest.param((6.0, 5.5, 5.0), id="bright"),
    ],
)
def test_haze_over_a_textured_scene_tells_its_airlight(airlight):
    found = estimate_airlight(hazy(np.array(airlight, np.float32)))
    assert close(found.colour, airlight)
    assert found.confidence > 0.3


@pytest.mark.parametrize(("height", "width"), [(30, 25), (30, 50)])
def test_a_white_object_brighter_than_the_airlight_does_not_win(height, width):
    picture = hazy()
    picture[80 : 80 + height, 60 : 60 + width] = 1.5
    found = estimate_airlight(picture)
    assert close(found.colour, FOG)


def test_lamps_at_night_do_not_win():
    night = np.array([0.006, 0.005, 0.004], np.float32)
    picture = hazy(night)
    for x in range(10, 200, 30):
        picture[70:74, x : x + 4] = (400, 300, 100)
    assert close(estimate_airlight(picture).colour, night)


def test_a_sky_is_the_airlight_and_its_sun_is_not():
    picture = hazy(far=8)
    picture[:30] = FOG
    picture[4:12, 150:158] = 5000
    found = estimate_airlight(picture)
    assert close(found.colour, FOG, degrees=0.5, stops=0.05)
    assert found.confidence > 0.8


def test_a_grey_card_gives_its_own_colour_and_says_so_little():
    found = estimate_airlight(np.full((60, 80, 3), 0.18, np.float32))
    np.testing.assert_allclose(found.colour, 0.18, rtol=1e-5)
    assert found.confidence < 0.01


def test_colours_that_do_not_agree_say_little():
    colours = np.random.default_rng(3).random((12, 20, 3)).astype(np.float32)
    assert estimate_airlight(colours.repeat(10, 0).repeat(10, 1)).confidence < 0.1


def test_a_picture_twice_as_bright_has_an_airlight_twice_as_bright():
    once, twice = estimate_airlight(hazy()), estimate_airlight(8 * hazy())
    np.testing.assert_allclose(twice.colour, 8 * once.colour, rtol=1e-5)
    assert twice.confidence == pytest.approx(once.confidence)


def test_holes_and_negative_values_do_not_show():
    picture = hazy()
    picture[40:50, 40:50] = np.nan
    picture[0, 100] = np.inf
    picture[90:, 90:100, 0] = -0.01
    found = estimate_airlight(picture)
    assert close(found.colour, FOG)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_picture_of_nothing_has_no_airlight(value):
    found = estimate_airlight(np.full((20, 30, 3), value, np.float32))
    assert (found.colour.tolist(), found.confidence) == ([0, 0, 0], 0)


# Over the shot


def seen(*colours, confidence=1.0):
    return [Airlight(np.array(colour, np.float32), confidence) for colour in colours]


def test_one_estimate_holds_for_the_whole_shot():
    np.testing.assert_allclose(shot_airlight(seen(FOG), [0], 5), np.tile(FOG, (5, 1)), rtol=1e-6)


def test_a_wild_estimate_does_not_pull_the_shot():
    estimates = seen(FOG, FOG, 3 * FOG, FOG, FOG)
    found = shot_airlight(estimates, [0, 10, 20, 30, 40], 41)
    np.testing.assert_allclose(found, np.tile(FOG, (41, 1)), rtol=0.01)


def test_frames_that_know_little_follow_the_others():
    estimates = [*seen(FOG, FOG), *seen(FOG * [0.9, 1, 1.1], confidence=0.02), *seen(FOG)]
    found = shot_airlight(estimates, [0, 10, 20, 30], 31)
    np.testing.assert_allclose(found, np.tile(FOG, (31, 1)), rtol=0.01)


def test_a_slow_change_is_followed_and_smooth():
    positions = list(range(0, 200, 10))
    truth = FOG * np.linspace(1, 1.5, 200)[:, None]
    rng = np.random.default_rng(1)
    noisy = seen(*(truth[at] * np.exp(rng.normal(0, 0.02)) for at in positions))
    found = shot_airlight(noisy, positions, 200)
    assert np.abs(np.log(found / truth)).max() < 0.08
    assert np.abs(np.diff(np.log(found), axis=0)).max() < 0.006


def test_a_channel_next_to_nothing_does_not_decide_who_is_wild():
    water = np.array([[1e-5, 0.3, 0.5], [4e-4, 0.3, 0.5], [2e-3, 0.3, 0.5], [1e-5, 0.6, 1.0]])
    found = shot_airlight(seen(*water), [0, 10, 20, 30], 31)
    np.testing.assert_allclose(found[:, 1:], np.tile([0.3, 0.5], (31, 1)), rtol=0.02)


def test_without_any_confidence_all_count_alike():
    found = shot_airlight(seen(FOG, FOG, FOG, confidence=0.0), [0, 4, 8], 9)
    np.testing.assert_allclose(found, np.tile(FOG, (9, 1)), rtol=1e-6)
