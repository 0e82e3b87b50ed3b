import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from vdp_engine.model.layers.appearance import colour_posterior, fill, lab_cells

CELLS = 16 * 32 * 32


def random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random(shape).astype(np.float32))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 9), (7, 13), (16, 24)])
def test_fill_leaves_what_is_known_alone(size):
    image = random(2, 3, *size)
    known = (random(2, 1, *size, seed=1) > 0.6).float()
    filled = fill(image, known)
    assert torch.equal(filled * known, image * known)
    assert bool(filled.isfinite().all())


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_fill_continues_a_constant_exactly(share):
    known = (random(1, 1, 33, 50, seed=2) < share).float()
    assert float(known.sum()) > 0
    filled = fill(torch.full((1, 3, 33, 50), 0.7) * known, known)
    np.testing.assert_allclose(filled.numpy(), 0.7, rtol=1e-5)


def test_fill_does_not_look_at_what_is_not_known():
    image, known = random(1, 3, 16, 24), (random(1, 1, 16, 24, seed=1) > 0.6).float()
    other = torch.where(known > 0, image, torch.full_like(image, 1e3))
    torch.testing.assert_close(fill(image, known), fill(other, known))


def test_fill_stays_between_the_values_around_and_leans_to_the_near_ones():
    image, known = torch.zeros(1, 1, 20, 40), torch.zeros(1, 1, 20, 40)
    known[..., :10], known[..., 30:] = 1.0, 1.0
    image[..., 30:] = 1.0
    filled = fill(image, known)[0, 0, 10]
    assert bool((filled >= -1e-6).all() and (filled <= 1 + 1e-6).all())
    assert float(filled[11]) < 0.2 < 0.8 < float(filled[28])
    assert bool((filled[10:30].diff() > -0.06).all())


def test_fill_of_nothing_is_nothing():
    assert not fill(random(1, 3, 9, 12), torch.zeros(1, 1, 9, 12)).any()


def test_fill_is_part_of_the_gradient():
    image = random(1, 1, 4, 4).double().requires_grad_()
    known = (random(1, 1, 4, 4, seed=3) > 0.5).double()
    assert torch.autograd.gradcheck(lambda x: fill(x, known), (image,))


def test_lab_cells_lie_within_the_histogram_whatever_the_values():
    images = random(3, 3, 16, 20) * 8 - 4
    cells = lab_cells(images)
    assert cells.shape == (3, 16, 20)
    assert cells.dtype == np.int32
    assert 0 <= cells.min() < cells.max() < CELLS


def test_lab_cells_are_those_of_opencv_stretched_once_for_the_shot():
    images = random(2, 3, 16, 20) * 0.2 + 0.3
    values = images.permute(0, 2, 3, 1).numpy()
    low, high = np.quantile(values[:, ::4, ::4], (0.005, 0.995))
    pixels = (np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    for frame, cells in zip(pixels, lab_cells(images), strict=True):
        light, a, b = np.moveaxis(cv2.cvtColor(frame, cv2.COLOR_RGB2LAB).astype(int), -1, 0)
        np.testing.assert_array_equal(cells, (light // 16) * 1024 + (a // 8) * 32 + b // 8)


def test_a_flat_shot_has_one_cell():
    assert len(np.unique(lab_cells(torch.full((1, 3, 8, 8), 0.4)))) == 1


def test_colour_posterior_is_the_ratio_of_smoothed_histograms():
    cells = lab_cells(random(2, 3, 12, 16))
    mattes = random(2, 3, 12, 16, seed=1)
    mattes = mattes / mattes.sum(1, keepdim=True)
    likelihood = []
    for layer in range(3):
        histogram = np.zeros((16, 32, 32))
        for n, y, x in np.ndindex(cells.shape):
            histogram[np.unravel_index(cells[n, y, x], histogram.shape)] += float(mattes[n, layer, y, x])
        smooth = gaussian_filter(histogram, 0.8)
        likelihood.append(smooth / (smooth.sum() + 1e-6) + 1e-7)
    expected = np.stack([one / sum(likelihood) for one in likelihood])
    found = colour_posterior(cells, mattes)
    assert found.shape == (2, 3, 12, 16)
    np.testing.assert_allclose(found.sum(1).numpy(), 1.0, rtol=1e-5)
    for n, y, x in np.ndindex(cells.shape):
        at = np.unravel_index(cells[n, y, x], (16, 32, 32))
        np.testing.assert_allclose(found[n, :, y, x].numpy(), expected[(slice(None), *at)], rtol=1e-4)


def test_a_layer_of_its_own_colour_is_known_by_it_however_small():
    image = torch.full((1, 3, 20, 20), 0.2)
    image[:, 0] += 0.02 * random(20, 20)
    image[0, :, 3:6, 3:6] = torch.tensor([0.9, 0.3, 0.1])[:, None, None]
    mattes = torch.zeros(1, 2, 20, 20)
    mattes[:, 1, 3:6, 3:6] = 1.0
    mattes[:, 0] = 1 - mattes[:, 1]
    found = colour_posterior(lab_cells(image), mattes)[0, 1]
    assert float(found[3:6, 3:6].min()) > 0.99
    assert float(found[10:].max()) < 0.01
