import cv2
import numpy as np
import pytest

from vdp_engine.render.refine import refine

NET, GUIDE, PLATE = (24, 32), (96, 128), (192, 256)


def shrink(x, size):
    return cv2.resize(x, size[::-1], interpolation=cv2.INTER_AREA)


def textured(size, low, high, seed):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(*size, 3)), (0, 0), 2)
    return (low + (high - low) * np.clip(0.5 + noise, 0, 1)).astype(np.float32)


def scene(matte):
    """A dark layer in front of a bright background, both textured: scene-linear."""
    alpha = matte[..., None]
    plate = alpha * textured(PLATE, 0.02, 0.06, 0) + (1 - alpha) * textured(PLATE, 0.5, 0.9, 1)
    return plate.astype(np.float32)


def refined(matte, plate, net_matte=None):
    net = shrink(matte if net_matte is None else net_matte, NET)
    return refine(net[None], shrink(plate, GUIDE), plate)[0]


def step(column):
    matte = np.zeros(PLATE, np.float32)
    matte[:, column:] = 1.0
    return matte


@pytest.mark.parametrize("column", [100, 131, 150])
@pytest.mark.parametrize("off", [0, -3, 3])
def test_an_edge_is_found_where_the_plate_has_it_even_if_the_net_is_off_by_a_third_of_its_pixel(column, off):
    plate = scene(step(column))
    found = refined(step(column), plate, step(column + off))
    assert found.shape == PLATE
    assert found.dtype == np.float32
    assert set(np.unique(found[:, : column - 45])) == {0.0}
    assert set(np.unique(found[:, column + 45 :])) == {1.0}
    crossing = (found < 0.5).sum(1)
    assert np.abs(np.median(crossing) - column) <= 1
    assert np.quantile(np.abs(crossing - column), 0.9) <= 1


def test_a_soft_edge_stays_soft():
    ramp = np.clip((np.arange(PLATE[1], dtype=np.float32) - 118) / 20, 0, 1)[None].repeat(PLATE[0], 0)
    found = refined(ramp, scene(ramp))
    mean = found.mean(0)
    assert 4 < ((mean > 0.1) & (mean < 0.9)).sum() < 24
    assert abs(int((mean < 0.5).sum()) - 128) <= 5


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_solid_matte_stays_solid_whatever_the_plate_shows(value):
    plate = scene(step(128))
    assert set(np.unique(refined(np.full(PLATE, value, np.float32), plate))) == {value}


def test_mattes_of_several_layers_sum_to_at_most_one():
    plate = scene(step(128))
    mattes = np.stack([shrink(step(120), NET), shrink(step(140), NET), np.full(NET, 0.4, np.float32)])
    found = refine(mattes, shrink(plate, GUIDE), plate)
    assert found.shape == (3, *PLATE)
    assert found.min() >= 0.0
    assert found.sum(0).max() <= 1.0 + 1e-6


def test_a_tall_plate_has_no_seams():
    size, guide, net = (600, 64), (150, 16), (75, 8)
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    matte = (np.hypot(rows - 299.5, 4 * (columns - 31.5)) < 150).astype(np.float32)
    light = np.where(matte[..., None] > 0, np.float32([0.7, 0.5, 0.3]), np.float32([0.3, 0.4, 0.45]))
    plate = cv2.GaussianBlur(light, (0, 0), 1)
    found = refine(shrink(matte, net)[None], shrink(plate, guide), plate)[0]
    # The scene is the same upside down, so the answer must be; parts worked on one by one are not.
    np.testing.assert_allclose(found, found[::-1], atol=2e-3)


def test_one_size_for_all_is_allowed():
    plate = scene(step(128))
    found = refine(step(128)[None], plate, plate)[0]
    assert np.abs((found < 0.5).sum(1) - 128).max() <= 1
