import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from vdp_engine.motion.warp import chain, consistency, length, warp


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (8, 8), (37, 61), (240, 424)])
def test_zero_flow_is_exactly_the_identity(size):
    x = torch.randn(2, 3, *size) * 100
    warped, inside = warp(x, torch.zeros(2, 2, *size))
    assert torch.equal(warped, x)
    assert bool(inside.all())


def test_warp_agrees_with_scipy():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 23, 31, generator=generator, dtype=torch.float64)
    flow = torch.randn(2, 2, 23, 31, generator=generator, dtype=torch.float64) * 6
    warped, inside = warp(x, flow)
    rows, columns = np.mgrid[:23, :31]
    for n in range(2):
        at = np.stack([rows + flow[n, 1].numpy(), columns + flow[n, 0].numpy()])
        for c in range(3):
            expected = map_coordinates(x[n, c].numpy(), at, order=1, mode="nearest")
            np.testing.assert_allclose(warped[n, c].numpy(), expected, atol=1e-12)
        within = (at[0] >= -0.5) & (at[0] <= 22.5) & (at[1] >= -0.5) & (at[1] <= 30.5)
        np.testing.assert_array_equal(inside[n].numpy(), within)


def test_warp_gradients():
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    flow = (torch.rand(1, 2, 5, 6, dtype=torch.float64) * 0.8 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: warp(a, b)[0], (x, flow))


def test_flow_leads_right_and_down():
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 6, 5] = 1.0
    flow = torch.zeros(1, 2, 9, 9)
    flow[:, 0], flow[:, 1] = 2.0, 3.0
    warped, _ = warp(x, flow)
    assert warped[0, 0, 3, 3] == 1.0
    assert warped.sum() == 1.0


def test_consistency_is_one_where_the_way_back_agrees_and_the_formula_elsewhere():
    forward = torch.zeros(1, 2, 20, 30)
    forward[:, 0] = 4.0
    assert torch.equal(consistency(forward, -forward)[:, :, :26], torch.ones(1, 20, 26))
    assert torch.equal(consistency(forward, -forward)[:, :, 27:], torch.zeros(1, 20, 3))
    wrong = -forward + torch.tensor([0.6, 0.8])[:, None, None]  # off by exactly 1 pixel
    expected = np.exp(-((1.0 / (0.5 + 0.1 * 4.0)) ** 2))
    np.testing.assert_allclose(consistency(forward, wrong)[0, :, :26], expected, rtol=1e-5)


def test_chain_of_two_shifts_is_their_sum():
    first, second = torch.zeros(1, 2, 12, 12), torch.zeros(1, 2, 12, 12)
    first[:, 0], second[:, 1] = 1.5, -2.25
    assert torch.equal(chain(first, second), first + second)


def test_chain_follows_the_second_flow_from_where_the_first_leads():
    first, second = torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 4, 8)
    first[:, 0] = 2.0
    second[:, 1] = torch.arange(8.0)
    np.testing.assert_array_equal(chain(first, second)[0, 1, 0], [2, 3, 4, 5, 6, 7, 7, 7])


def test_length():
    flow = torch.tensor([3.0, -4.0])[None, :, None, None].expand(2, 2, 3, 3)
    assert torch.equal(length(flow), torch.full((2, 3, 3), 5.0))
