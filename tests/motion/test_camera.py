import numpy as np
import pytest
import torch

from vdp_engine.motion.camera import border_prior, camera_flow, fit_camera

SIZE = (120, 200)
QUADRATIC = np.array([[4.0, -2.0], [1.5, 0.3], [-0.4, 1.2], [0.5, -0.3], [0.2, 0.4], [-0.6, 0.1]])


def synthetic(coefficients: np.ndarray) -> np.ndarray:
    """Float64 flow (2, h, w) of polynomials in the coordinates that the module documents."""
    half = (SIZE[1] - 1) / 2
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
    y, x = (y - (SIZE[0] - 1) / 2) / half, (x - half) / half
    return np.einsum("khw,kc->chw", np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]), coefficients)


def with_object(flow: np.ndarray) -> np.ndarray:
    """30 % of the frame, in its middle, moves by itself."""
    moving = flow.copy()
    moving[:, 25:95, 45:147] += np.array([9.0, -6.0])[:, None, None]
    return moving


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 0.01), (torch.float64, 0.01)])
def test_a_quadratic_flow_is_recovered_from_under_outliers(dtype, tolerance):
    flow = synthetic(QUADRATIC)
    moving = torch.from_numpy(with_object(flow))[None].to(dtype)
    camera = fit_camera(moving, border_prior(SIZE)[None].to(dtype))
    assert np.abs(camera_flow(camera.theta, SIZE, SIZE)[0].numpy() - flow).max() < tolerance
    assert float(camera.sigma[0]) == pytest.approx(0.05)


def test_without_outliers_only_the_ridge_is_left():
    flow = synthetic(QUADRATIC)
    camera = fit_camera(torch.from_numpy(flow)[None], border_prior(SIZE)[None].double())
    np.testing.assert_allclose(camera.theta[0].numpy(), QUADRATIC, atol=0.02)


def test_sigma_is_the_median_residual():
    noise = torch.randn(1, 2, *SIZE, generator=torch.Generator().manual_seed(3)) * 0.5
    camera = fit_camera(noise, border_prior(SIZE)[None])
    rayleigh_median = 0.5 * np.sqrt(2 * np.log(2))
    assert float(camera.sigma[0]) == pytest.approx(1.48 * rayleigh_median, rel=0.05)


def test_what_is_not_covered_plays_no_part():
    flow = torch.from_numpy(synthetic(QUADRATIC))[None]
    spoilt = flow.clone()
    spoilt[:, :, :, :60] = 500.0
    prior = border_prior(SIZE)[None].double()
    prior[:, :, :60] = 0.0
    camera = fit_camera(spoilt, prior)
    assert (camera_flow(camera.theta, SIZE, SIZE) - flow)[:, :, :, 60:].abs().max() < 0.02
    assert float(camera.sigma[0]) == pytest.approx(0.05)


def test_nothing_covered_gives_no_motion():
    camera = fit_camera(torch.ones(2, 2, *SIZE), torch.zeros(2, *SIZE))
    assert torch.equal(camera.theta, torch.zeros(2, 6, 2))
    assert bool(torch.isfinite(camera.sigma).all())


def test_each_fit_of_a_batch_is_its_own():
    flow = torch.from_numpy(with_object(synthetic(QUADRATIC)))[None].float()
    both = fit_camera(torch.cat([flow, -flow]), border_prior(SIZE).expand(2, -1, -1))
    alone = fit_camera(flow, border_prior(SIZE)[None])
    np.testing.assert_allclose(both.theta[0].numpy(), alone.theta[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(both.theta[1].numpy(), -alone.theta[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("scale", [2, 4])
def test_camera_flow_at_another_size_is_the_same_motion(scale):
    theta = torch.from_numpy(QUADRATIC)[None]
    large = camera_flow(theta, SIZE, (SIZE[0] * scale, SIZE[1] * scale))
    # A mean over each block of pixels lies at the centre of the small pixel, but for the curvature within it.
    blocks = torch.nn.functional.avg_pool2d(large, scale) / scale
    np.testing.assert_allclose(blocks.numpy(), camera_flow(theta, SIZE, SIZE).numpy(), atol=1e-4)


def test_border_prior():
    prior = border_prior((9, 11))
    assert prior[4, 5] == pytest.approx(0.15)
    assert prior[0, 3] == prior[4, 10] == pytest.approx(1.0)
