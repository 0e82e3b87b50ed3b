"""Matting against a dense Laplacian in float64, and mixtures whose α is known."""

import numpy as np
import pytest

from vdp_engine.render.matting import _FLAT, _TRUST_PRIOR, _minimum, _Windows, discriminate, local_model


def mixture(size=(20, 26), soft=(9.0, 17.0), seed=0):
    """Two textured sides that mix along x: image (H, W, 3) and α (H, W)."""
    rng = np.random.default_rng(seed)
    alpha = np.clip((np.arange(size[1]) - soft[0]) / (soft[1] - soft[0]), 0, 1)[None].repeat(size[0], 0)
    front = np.array([0.7, 0.4, 0.2]) + 0.02 * rng.normal(size=(*size, 3))
    back = np.array([0.2, 0.3, 0.5]) + 0.02 * rng.normal(size=(*size, 3))
    image = alpha[..., None] * front + (1 - alpha[..., None]) * back
    return image.astype(np.float32), alpha.astype(np.float32)


def dense_laplacian(image):
    """Equation 12 of Levin et al., window by window, in float64: (H·W, H·W)."""
    height, width = image.shape[:2]
    total = np.zeros((height * width, height * width))
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            window = [(y + dy) * width + x + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            colours = image.reshape(-1, 3)[window].astype(np.float64)
            centred = colours - colours.mean(0)
            inverse = np.linalg.inv(centred.T @ centred / 9 + _FLAT / 9 * np.eye(3))
            total[np.ix_(window, window)] += np.eye(9) - (1 + centred @ inverse @ centred.T) / 9
    return total


@pytest.mark.parametrize("columns", [slice(8, 18), slice(0, 26), slice(0, 4)])
def test_rows_of_the_laplacian_are_those_of_the_dense_one(columns):
    image, _ = mixture()
    unknown = np.zeros(image.shape[:2], bool)
    unknown[:, columns] = True
    at = np.flatnonzero(unknown)
    rows = _Windows.around(image, unknown).laplacian(at)
    height, width = unknown.shape
    dense = np.zeros((len(at), height * width))
    steps = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
    for row, pixel in enumerate(at):
        for (dy, dx), value in zip(steps, rows[row], strict=True):
            y, x = pixel // width + dy, pixel % width + dx
            if 0 <= y < height and 0 <= x < width:
                dense[row, y * width + x] = value
            else:
                assert value == 0
    np.testing.assert_allclose(dense, dense_laplacian(image)[at], atol=2e-4)


def test_colour_alone_gives_the_share_of_a_mixture():
    image, alpha = mixture(size=(40, 80), soft=(30.0, 50.0))
    unknown = (alpha > 0) & (alpha < 1)
    share, apart = discriminate(image, (alpha == 1).astype(np.float32), unknown, 30)
    assert np.abs(share - alpha[unknown]).mean() < 0.03
    assert apart.min() > 9


def test_colours_that_are_alike_or_out_of_reach_say_nothing():
    image, alpha = mixture(size=(40, 80), soft=(30.0, 50.0))
    unknown = (alpha > 0) & (alpha < 1)
    known = (alpha == 1).astype(np.float32)
    assert discriminate(np.full_like(image, 0.3), known, unknown, 30)[1].max() < 1e-3
    near = discriminate(image, known, unknown, 5)[1].reshape(40, -1)
    assert near[:, 8:11].max() == 0


def test_the_model_gives_back_a_known_mixture():
    image, alpha = mixture(size=(60, 120), soft=(50.0, 70.0))
    unknown = np.zeros(alpha.shape, bool)
    unknown[:, 44:76] = True
    known = (alpha > 0.5).astype(np.float32)
    model = local_model(image, known, known, unknown, 30)
    found = np.einsum("hwc,hwc->hw", model[..., :3], image) + model[..., 3]
    assert np.abs(found - alpha)[:, 44:76].mean() < 0.03
    assert not model[:, :40, :3].any()
    assert not model[:, 80:, :3].any()
    np.testing.assert_array_equal(model[:, :40, 3], 0)
    np.testing.assert_allclose(model[:, 80:, 3], 1, rtol=1e-6)


@pytest.mark.parametrize("columns", [slice(8, 18), slice(0, 26)])
def test_the_minimum_is_the_dense_one(columns):
    image, alpha = mixture()
    unknown = np.zeros(alpha.shape, bool)
    unknown[:, columns] = True
    at, held = np.flatnonzero(unknown), np.flatnonzero(~unknown)
    rng = np.random.default_rng(1)
    target, trust = rng.random((2, len(at)), np.float32)
    trust = 0.001 + 0.01 * trust
    found = _minimum(_Windows.around(image, unknown), alpha, at, target, trust)
    laplacian = dense_laplacian(image)
    right = trust * target - laplacian[np.ix_(at, held)] @ alpha.ravel()[held]
    expected = np.linalg.solve(laplacian[np.ix_(at, at)] + np.diag(trust), right)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_without_colour_alpha_fades_from_what_is_known_to_the_prior():
    image, known = np.full((40, 60, 3), 0.4, np.float32), np.zeros((40, 60), np.float32)
    unknown = np.ones((40, 60), bool)
    unknown[:, 0] = False
    low, high = (local_model(image, known, np.full_like(known, prior), unknown, 20)[..., 3] for prior in (0, 1))
    assert not low.any()
    # On one colour the Laplacian is a diffusion, 6 d²/dx² by its second moment; against it stands the prior's trust.
    length = np.sqrt(6 / _TRUST_PRIOR)
    x = np.arange(60)
    np.testing.assert_allclose(high[20], 1 - np.cosh((59.5 - x) / length) / np.cosh(59.5 / length), atol=0.04)


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (7, 2), (3, 3)])
@pytest.mark.parametrize("all_of_it", [False, True])
def test_pictures_too_small_for_windows_and_nothing_unknown(shape, all_of_it):
    image = np.random.default_rng(0).random((*shape, 3)).astype(np.float32)
    model = local_model(image, np.ones(shape, np.float32), np.ones(shape, np.float32), np.full(shape, all_of_it), 2)
    found = np.einsum("hwc,hwc->hw", model[..., :3], image) + model[..., 3]
    np.testing.assert_allclose(found, 1, atol=1e-3)
