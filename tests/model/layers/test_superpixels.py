import cv2
import numpy as np
import pytest
import torch

from vdp_engine.model.layers.superpixels import Superpixels, lab_picture


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def lab(height, width, seed=0):
    """A smooth picture in Lab, as ``lab_picture`` gives it."""
    return lab_picture(cv2.GaussianBlur(noise(height, width, 3, seed=seed), (0, 0), 3), 0.3, 0.7)


@pytest.fixture(scope="module")
def cut():
    return Superpixels.of(lab(44, 60, seed) for seed in range(3))


# The pictures


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        pytest.param((0, 0, 0), (0, 0, 0), id="black"),
        pytest.param((1, 1, 1), (100, 0, 0), id="white"),
        pytest.param((0.5, 0.5, 0.5), (53.39, 0, 0), id="grey"),
        pytest.param((1, 0, 0), (53.24, 80.09, 67.20), id="red"),
        pytest.param((0, 1, 0), (87.73, -86.18, 83.18), id="green"),
        pytest.param((0, 0, 1), (32.30, 79.19, -107.86), id="blue"),
    ],
)
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.1, 0.6)])
def test_colours_in_lab_are_those_of_the_tables(colour, expected, low, high):
    picture = np.full((2, 3, 3), low + (high - low) * np.array(colour), np.float32)
    found = lab_picture(picture, low, high)
    assert (found.shape, found.dtype) == ((2, 3, 3), np.float32)
    np.testing.assert_allclose(found[1, 2] * [100, 128, 128], expected, atol=0.1)


def test_what_is_beyond_the_range_of_the_shot_is_its_end():
    picture = np.array([[[-1.0] * 3, [9.0] * 3]], np.float32)
    np.testing.assert_allclose(lab_picture(picture, 0.2, 0.7)[0, :, 0], [0, 1], atol=1e-5)
    assert np.isfinite(lab_picture(picture, 0.2, 0.2)).all()  # a shot of one colour


# Cutting up


def reference_labels(picture, step=8, compactness=0.12, rounds=5):
    """Pixel by pixel, in double precision."""
    height, width = picture.shape[:2]
    rows, columns = round(height / step), round(width / step)
    cell_of = {
        (y, x): (min(int((y + 0.5) * rows / height), rows - 1), min(int((x + 0.5) * columns / width), columns - 1))
        for y, x in np.ndindex(height, width)
    }
    feature = {
        (y, x): np.array([*picture[y, x] / compactness, (y + 0.5) * rows / height, (x + 0.5) * columns / width])
        for y, x in cell_of
    }
    labels = dict(cell_of)
    for _ in range(rounds):
        members = {}
        for pixel, cell in labels.items():
            members.setdefault(cell, []).append(feature[pixel])
        centres = {cell: np.mean(of, axis=0) for cell, of in members.items()}
        for pixel, (r, c) in cell_of.items():
            near = [cell for cell in centres if abs(cell[0] - r) <= 1 and abs(cell[1] - c) <= 1]
            labels[pixel] = min(near, key=lambda cell: ((feature[pixel] - centres[cell]) ** 2).sum())
    return np.array([[labels[y, x][0] * columns + labels[y, x][1] for x in range(width)] for y in range(height)])


@pytest.mark.parametrize("size", [(24, 32), (21, 29)])
def test_superpixels_are_those_of_the_algorithm(size):
    picture = lab(*size)
    found = Superpixels.of([picture])
    assert found.labels.dtype == np.int16
    assert found.count == round(size[0] / 8) * round(size[1] / 8)
    assert (found.labels[0] == reference_labels(picture.astype(float))).mean() > 0.995


def test_superpixels_follow_edges():
    y, x = np.mgrid[:64, :96]
    side = y + 0.7 * x > 66  # at a slant, so that a grid would be cut through by it
    picture = np.where(side[..., None], [0.7, 0.2, 0.1], [0.3, -0.1, 0.0]).astype(np.float32)
    found = Superpixels.of([picture])
    share = found.means(side[None].astype(np.float32))[0]
    grid = np.add.reduceat(np.add.reduceat(side, range(0, 64, 8), 0), range(0, 96, 8), 1) / 64
    assert np.minimum(share, 1 - share).max() < 0.02
    assert np.minimum(grid, 1 - grid).max() > 0.3


# Values


@pytest.mark.parametrize("size", [(44, 60), (22, 30), (11, 15)])
def test_means_are_those_of_loops(cut, size):
    maps = noise(3, *size, seed=7)
    found = cut.means(maps)
    assert (found.shape, found.dtype) == ((3, cut.count), np.float32)
    for position in range(3):
        large = cv2.resize(maps[position], (60, 44), interpolation=cv2.INTER_LINEAR)
        for label in range(cut.count):
            members = cut.labels[position] == label
            expected = large[members].astype(float).mean() if members.any() else 0.0
            assert found[position, label] == pytest.approx(expected, abs=1e-6)


def test_a_superpixel_without_pixels_has_a_mean_of_zero(cut):
    holes = Superpixels(np.where(cut.labels == 3, 4, cut.labels).astype(np.int16), cut.looks)
    found = holes.means(np.ones((3, 44, 60), np.float32))
    assert not found[:, 3].any()
    np.testing.assert_allclose(np.delete(found, 3, 1), 1, rtol=1e-6)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_paint_is_the_mean_over_each_pixel(cut, factor):
    values = noise(3, cut.count, seed=8)
    found = cut.paint(values, (44 // factor, 60 // factor))
    for position in range(3):
        for row, column in [(0, 0), (3, 5), (44 // factor - 1, 60 // factor - 1)]:
            patch = cut.labels[position, factor * row : factor * (row + 1), factor * column : factor * (column + 1)]
            expected = np.mean([values[position, label] for label in patch.ravel()])
            assert found[position, row, column] == pytest.approx(expected, abs=1e-6)


def test_means_give_back_what_was_painted(cut):
    values = noise(3, cut.count, seed=9)
    np.testing.assert_allclose(cut.means(cut.paint(values, (44, 60))), values, atol=1e-6)


def test_one_frame_alone(cut):
    values = noise(3, cut.count, seed=10)
    alone = cut.frame(1)
    assert (alone.count, len(alone.labels)) == (cut.count, 1)
    np.testing.assert_array_equal(alone.paint(values[1:2], (11, 15)), cut.paint(values, (11, 15))[1:2])


# Looks

COLOUR, SURROUNDINGS, TEXTURE, VARIETY, PLACE = slice(3), slice(3, 12), slice(12, 16), slice(16, 19), slice(19, 21)


def test_looks_are_those_of_loops_but_for_their_scale(cut):
    scales = {}
    for position in range(3):
        picture = lab(44, 60, position).astype(float)
        y, x = np.mgrid[:44, :60] / 44
        blurs = [cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (2, 6, 14)]
        for label in range(cut.count):
            members = cut.labels[position] == label
            expected = {
                "colour": (COLOUR, picture[members].mean(0)),
                "surroundings": (SURROUNDINGS, np.concatenate([blur[members].mean(0) for blur in blurs])),
                "variety": (VARIETY, picture[members].std(0)),
                "place": (PLACE, np.array([y[members].mean(), x[members].mean()])),
            }
            for name, (columns, values) in expected.items():
                scales.setdefault(name, []).append((cut.looks[position, label, columns], values))
    for name, pairs in scales.items():
        found, values = np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs])
        scale = (found * values).sum() / (values * values).sum()
        np.testing.assert_allclose(found, scale * values, atol=2e-3 * abs(found).max(), err_msg=name)


def test_every_kind_of_likeness_has_its_weight(cut):
    flat = cut.looks.reshape(-1, 21).astype(float)
    assert flat[:, COLOUR].std(0).mean() == pytest.approx(1.0, rel=0.02)
    assert flat[:, TEXTURE].std() == pytest.approx(0.7, rel=0.02)
    assert flat[:, VARIETY].std() == pytest.approx(0.5, rel=0.1)  # a spread of next to nothing is not blown up
    # A third of the height apart is as unlike as 0.7 spreads of colour.
    rows = Superpixels.of([np.zeros((64, 8, 3), np.float32)]).looks[0, :, 19]
    np.testing.assert_allclose(np.diff(rows), 0.7 / 0.3 / 8, rtol=1e-5)


@pytest.mark.parametrize(
    ("across", "down", "strongest"),
    [(1.0, 0.0, {0}), (0.0, 1.0, {2}), (1.0, 1.0, {1}), (1.0, -1.0, {3}), (1.0, -0.1, {0})],
    ids=["stripes from top to bottom", "from left to right", "rising", "falling", "hardly falling"],
)
def test_texture_is_seen_by_its_orientation(across, down, strongest):
    y, x = np.mgrid[:48, :64].astype(np.float32)
    picture = np.zeros((48, 64, 3), np.float32)
    picture[..., 0] = 0.5 + 0.2 * np.sin(0.7 * (across * x + down * y))
    texture = Superpixels.of([picture]).looks[0, :, TEXTURE]
    inner = texture.reshape(6, 8, 4)[1:-1, 1:-1].reshape(-1, 4)
    assert set(inner.argmax(1).tolist()) == strongest
    assert (np.sort(inner, 1)[:, -1] > 3 * np.sort(inner, 1)[:, -2]).all()


def test_the_same_picture_looks_the_same_in_every_frame():
    picture = lab(40, 48)
    found = Superpixels.of([picture, lab(40, 48, 5), picture])
    np.testing.assert_array_equal(found.looks[0], found.looks[2])
    assert np.abs(found.looks[0] - found.looks[1]).max() > 0.5


@pytest.mark.parametrize("size", [(16, 16), (8, 8), (16, 160), (1, 1), (3, 50)])
@pytest.mark.parametrize("plain", [False, True])
def test_tiny_and_plain_pictures_are_cut_up_too(size, plain):
    pictures = [np.full((*size, 3), 0.3, np.float32) if plain else lab(*size, seed) for seed in range(2)]
    found = Superpixels.of(pictures)
    assert found.labels.shape == (2, *size)
    assert 0 <= found.labels.min() <= found.labels.max() < found.count
    assert np.isfinite(found.looks).all()
    painted = found.paint(found.means(np.ones((2, *size), np.float32)), size)
    np.testing.assert_allclose(painted, 1, rtol=1e-6)


def test_threads_do_not_matter(cut):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        again = Superpixels.of(lab(44, 60, seed) for seed in range(3))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(again.labels, cut.labels)
    np.testing.assert_array_equal(again.looks, cut.looks)
