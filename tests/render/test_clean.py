import cv2
import numpy as np
import pytest
import torch

from vdp_engine.motion import camera_flow, follow_camera
from vdp_engine.plate import log_encode
from vdp_engine.render.clean import Background, assemble, at_size, correct, resample

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
    assert 1 <= len(sources) <= 4
    left = hole.copy()
    for source in sources:
        # Shown is what neither the square nor 2 pixels around it cover there.
        covered = cv2.dilate(foreground[source.position], np.ones((5, 5), np.uint8)) > 0
        np.testing.assert_array_equal(source.shows[1:-1, 1:-1] > 0.5, ~covered[1:-1, 1:-1])
        left *= 1 - source.shows
    assert left.max() == 0.0
    distances = [abs(source.position - 4) for source in sources]
    assert distances == sorted(distances)
    assert 4 not in {source.position for source in sources}
    # A margin of 2 pixels at 3 pixels a frame: four frames away nothing of an 8 pixels wide square is left.
    assert max(distances) == 4


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


def test_assemble_takes_from_each_source_what_those_before_it_do_not_show():
    invented = np.full((2, 4, 3), 9.0, np.float32)
    hole = np.ones((2, 4), np.float32)
    shows = [np.array([[1.0, 0.5, 0.0, 0.0]] * 2, np.float32), np.array([[1.0, 1.0, 0.25, 0.0]] * 2, np.float32)]
    fetched = [(lambda value=value: np.full((2, 4, 3), value, np.float32), shows[value - 1]) for value in (1, 2)]
    found, left = assemble(invented, hole, fetched)
    np.testing.assert_allclose(found[0, :, 0], [1.0, 1.5, 0.25 * 2 + 0.75 * 9, 9.0])
    np.testing.assert_allclose(left[0], [0.0, 0.0, 0.75, 1.0])


def test_a_source_that_is_not_needed_is_not_read():
    def never():
        raise AssertionError("it was read")

    everything, nothing = np.ones((2, 2), np.float32), np.zeros((2, 2), np.float32)
    first = (lambda: np.ones((2, 2, 3), np.float32), everything)
    found, left = assemble(np.zeros((2, 2, 3), np.float32), everything, [first, (never, everything), (never, nothing)])
    assert found.min() == 1.0
    assert left.max() == 0.0


def noise(size, seed):
    raw = np.random.default_rng(seed).normal(size=(*size, 3))
    return np.clip(0.4 + 1.5 * cv2.GaussianBlur(raw, (0, 0), 2), 0.02, 2).astype(np.float32)


def test_a_way_that_is_off_is_corrected_by_the_background_around_the_hole():
    size, shift = (64, 96), (1.6, -0.9)
    ground = noise((84, 116), 0)
    there = ground[10:74, 10:106]
    here = resample(ground, positions(size) + np.float32([10 + shift[0], 10 + shift[1]]))
    background = np.ones(size, np.float32)
    background[20:40, 30:55] = 0.0
    here[20:40, 30:55] = noise((20, 25), 1)  # what stands in front moves as it likes
    found = correct(positions(size), log_encode(here), log_encode(there), background)
    error = np.abs(found - positions(size) - np.float32(shift))
    assert np.median(error) < 0.1
    hole = error[20:40, 30:55]  # where it is carried on from around, of 1.6 that it was off
    assert np.median(hole) < 0.2
    assert hole.max() < 0.6


def test_a_picture_too_small_for_flow_keeps_its_way():
    size = (20, 30)
    way = positions(size) + np.float32(0.5)
    found = correct(way, noise(size, 0), noise(size, 1), np.ones(size, np.float32))
    np.testing.assert_array_equal(found, way)
