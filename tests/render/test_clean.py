import cv2
import numpy as np
import pytest
import torch

from vdp_engine.motion import camera_flow, follow_camera
from vdp_engine.plate import log_encode
from vdp_engine.render.clean import Background, assemble, at_size, continued, resample, tone, within

FITTED, NET = (48, 72), (32, 48)


def positions(size):
    """(h, w, 2): where each pixel lies, x and y."""
    return np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1).astype(np.float32)


def grid(fitted):
    y, x = torch.meshgrid(torch.linspace(0, fitted[0] - 1, 24), torch.linspace(0, fitted[1] - 1, 24), indexing="ij")
    return torch.stack([x, y], -1)


THETA = torch.tensor([[3.0, 1.0], [4.0, -2.0], [1.0, 3.0], [2.0, -1.0], [-1.5, 2.0], [1.0, 1.0]])


def test_following_the_camera_is_its_flow_at_pixel_centres():
    here = torch.from_numpy(positions(FITTED))
    found = (follow_camera(here, THETA, FITTED) - here).permute(2, 0, 1)
    torch.testing.assert_close(found, camera_flow(THETA[None], FITTED, FITTED)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(240, 428), (64, 96), (32, 4096)])
def test_a_grid_of_positions_gives_the_quadratic_motion_of_every_pixel(size):
    fitted = (240, 428)
    points = follow_camera(grid(fitted), THETA, fitted).numpy()
    # The closed form in float64, in pixels of the size asked for; centres of pixels correspond.
    x, y = np.moveaxis(positions(size).astype(np.float64), -1, 0)
    x, y = (x + 0.5) * fitted[1] / size[1] - 0.5, (y + 0.5) * fitted[0] / size[0] - 0.5
    half = (fitted[1] - 1) / 2
    u, v = (x + 0.5 - fitted[1] / 2) / half, (y + 0.5 - fitted[0] / 2) / half
    moved = np.stack([x, y], -1) + np.stack([u * 0 + 1, u, v, u * u, u * v, v * v], -1) @ THETA.double().numpy()
    expected = (moved + 0.5) * [size[1] / fitted[1], size[0] / fitted[0]] - 0.5
    assert np.abs(at_size(points, fitted, size) - expected).max() < 0.02


def test_resample_fetches_from_where_it_is_told():
    picture = np.random.default_rng(0).random((12, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(resample(picture, positions((12, 16))), picture)
    between = resample(picture, positions((12, 16)) + np.float32([0.5, 0.0]))
    np.testing.assert_allclose(between[:, :-1], (picture[:, :-1] + picture[:, 1:]) / 2, atol=1e-6)
    beyond = positions((12, 16)) + np.float32([20.0, 0.0])
    np.testing.assert_array_equal(resample(picture, beyond), picture[:, -1:].repeat(16, 1))
    assert set(np.unique(resample(picture[..., 0], beyond, outside=7.0))) == {7.0}


def still_camera(count):
    return torch.zeros(count, 2, 6, 2)


def moving_square(count, step, width=8):
    """uint8 (T, h, w): a square that moves ``step`` pixels of the net's a frame."""
    foreground = np.zeros((count, *NET), np.uint8)
    for t in range(count):
        left = 4 + step * t
        foreground[t, 10:18, left : left + width] = 255
    return foreground


def test_the_hole_is_fetched_from_frames_that_show_it_nearest_first():
    foreground = moving_square(9, 3)
    background = Background(still_camera(9), FITTED, foreground)
    hole = foreground[4] / np.float32(255)
    sources = background.sources(4, hole)
    assert 1 <= len(sources) <= 6
    for source in sources:
        # Shown is what neither the square nor a pixel around it cover there.
        covered = cv2.dilate(foreground[source.position], np.ones((3, 3), np.uint8)) > 0
        np.testing.assert_array_equal(source.shows[1:-1, 1:-1] > 0.5, ~covered[1:-1, 1:-1])
    assert np.max([source.shows for source in sources], axis=0)[hole > 0].min() == 1.0
    distances = [abs(source.position - 4) for source in sources]
    assert distances == sorted(distances)
    assert 0 not in distances


def test_frames_side_by_side_are_fetched_from_the_same_frames():
    foreground = moving_square(60, 1, width=5)
    background = Background(still_camera(60), FITTED, foreground)
    chosen = [
        {source.position for source in background.sources(at, foreground[at] / np.float32(255))} for at in range(28, 33)
    ]
    assert sum(len(sources) for sources in chosen) == 30
    assert len(set.union(*chosen)) <= 12
    for at, sources in enumerate(chosen, 28):
        assert all(source % (2 if abs(source - at) <= 8 else 8) == 0 for source in sources)


@pytest.mark.parametrize(("likelihood", "shown"), [(0, 1.0), (80, 1.0), (108, 0.5), (130, 0.0), (255, 0.0)])
def test_a_source_is_trusted_where_the_foreground_is_unlikely(likelihood, shown):
    foreground = np.full((3, *NET), likelihood, np.uint8)
    hole = np.ones(NET, np.float32)
    sources = Background(still_camera(3), FITTED, foreground).sources(1, hole)
    assert [float(source.shows[5, 5]) for source in sources] == pytest.approx([shown] * (2 if shown else 0), abs=0.03)


def test_a_camera_motion_that_runs_away_is_followed_no_further():
    theta = still_camera(40)
    theta[:, :, 3] = 60.0  # a quadratic that doubles itself: infinite after a few frames
    foreground = moving_square(40, 0)
    sources = Background(theta, FITTED, foreground).sources(20, np.ones(NET, np.float32))
    assert all(np.isfinite(source.points).all() for source in sources)


def test_what_no_frame_shows_has_no_source():
    foreground = moving_square(6, 0)
    assert Background(still_camera(6), FITTED, foreground).sources(2, foreground[2] / np.float32(255)) == []
    single = Background(still_camera(1), FITTED, foreground[:1])
    assert single.sources(0, foreground[0] / np.float32(255)) == []


def test_the_way_follows_the_camera_from_frame_to_frame():
    theta = still_camera(6)
    theta[:, 0, 0, 0], theta[:, 1, 0, 0] = 1.5, -1.5  # the background moves right, in pixels of the fitted size
    foreground = moving_square(6, 5)
    background = Background(theta, FITTED, foreground)
    sources = [(at, source) for at in (1, 4) for source in background.sources(at, foreground[at] / np.float32(255))]
    assert {np.sign(source.position - at) for at, source in sources} == {-1, 1}
    for at, source in sources:
        moved = background.way(source, NET) - positions(NET)
        np.testing.assert_allclose(moved[..., 0], 1.5 * (source.position - at) * NET[1] / FITTED[1], atol=1e-3)
        np.testing.assert_allclose(moved[..., 1], 0.0, atol=1e-3)


def fetched(value, shows, weight=1.0):
    return lambda: np.full((*shows.shape, 3), value, np.float32), shows, weight


def test_assemble_is_the_mean_of_the_sources_by_how_far_they_show_it_and_their_weight():
    hole = np.ones((2, 4), np.float32)
    shows = [np.array([[1.0, 0.5, 0.0, 0.0]] * 2, np.float32), np.array([[1.0, 1.0, 0.25, 0.0]] * 2, np.float32)]
    found, shown = assemble(hole, [fetched(1.0, shows[0], 3.0), fetched(2.0, shows[1], 1.0)])
    np.testing.assert_allclose(found[0, :, 0], [5 / 4, (1.5 + 2) / 2.5, 2.0, 0.0])
    np.testing.assert_allclose(shown[0], [1.0, 1.0, 0.25, 0.0])


def test_a_source_that_is_not_needed_is_not_read():
    def never():
        raise AssertionError("it was read")

    nothing = np.zeros((2, 2), np.float32)
    hole = np.array([[1.0, 1.0], [0.0, 0.0]], np.float32)
    found, shown = assemble(hole, [(never, nothing, 1.0), (never, 1 - hole, 1.0), fetched(1.0, hole)])
    assert found[0].min() == shown[0].min() == 1.0


@pytest.mark.parametrize(("x", "y", "expected"), [(0, 0, True), (19, 9, True), (-0.1, 5, False), (5, 9.1, False)])
def test_within_is_between_the_centres_of_the_first_and_last_pixels(x, y, expected):
    assert bool(within(np.array([[[x, y]]], np.float32), (10, 20))[0, 0]) is expected


def test_the_difference_in_light_around_a_hole_is_carried_into_it():
    size = (64, 96)
    carried = log_encode(noise(size, 0))
    y, x = np.indices(size, dtype=np.float32)
    change = (0.02 + 0.0002 * x - 0.0001 * y)[..., None] * np.float32([1.0, 0.5, -1.0])
    known = np.ones(size, np.float32)
    known[24:40, 32:56] = 0.0
    here = np.where(known[..., None] > 0, carried + change, 9.0)  # what stands in front says nothing
    found = cv2.resize(tone(here.astype(np.float32), carried, known), size[::-1], interpolation=cv2.INTER_LINEAR)
    error = np.abs(found - change)[4:-4, 4:-4]
    assert error.max() < 0.004
    assert np.abs(tone(carried, carried, known)).max() == 0.0


def test_another_thing_is_not_taken_for_a_change_of_light():
    size = (64, 96)
    there, known = np.zeros((*size, 3), np.float32), np.ones(size, np.float32)
    assert tone(there + 0.7, there, known).max() < 0.07


def test_what_nobody_shows_continues_what_is_around_it():
    size = (40, 60)
    y, x = np.indices(size, dtype=np.float32)
    picture = np.dstack([x / 60, y / 40, np.full(size, 0.3, np.float32)])
    known = np.ones(size, np.float32)
    known[14:26, 20:34] = 0.0
    found = continued(np.where(known[..., None] > 0, picture, 7.0).astype(np.float32), known)
    np.testing.assert_array_equal(found[known > 0], picture[known > 0])
    assert np.abs(found - picture).max() < 0.12


def noise(size, seed):
    raw = np.random.default_rng(seed).normal(size=(*size, 3))
    return np.clip(0.4 + 1.5 * cv2.GaussianBlur(raw, (0, 0), 2), 0.02, 2).astype(np.float32)
