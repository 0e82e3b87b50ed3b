import numpy as np
import pytest
import torch

from vdp_engine.motion.evidence import motion_evidence, strength

SIZE = (24, 32)


def reference_evidence(gaps, residual, valid, sigma, confidence):
    """Pixel by pixel in float64, straight from the formula, for full coverage."""
    total, weights = np.zeros(residual.shape[1:]), np.zeros(residual.shape[1:])
    for gap in sorted({abs(g) for g in gaps}):
        at = [i for i, g in enumerate(gaps) if abs(g) == gap]
        least = np.zeros(residual.shape[1:])
        known = np.zeros(residual.shape[1:], bool)
        for p in np.ndindex(*residual.shape[1:]):
            seen = [i for i in at if valid[(i, *p)]]
            values = [residual[(i, *p)] * (confidence[(i, *p)] if len(seen) == 1 else 1.0) for i in seen]
            known[p], least[p] = bool(values), min(values, default=0.0)
        kappa = max(3 * max(0.1 * gap, *(sigma[i] for i in at)), 0.35 * np.quantile(least.ravel()[::7], 0.98))
        weight = (max(confidence[i].mean() for i in at) ** 2 + 1e-3) * known
        total += weight * (1 - np.exp(-((least / kappa) ** 2)))
        weights += weight
    return total / np.maximum(weights, 1e-6)


@pytest.mark.parametrize("gaps", [(1, -1), (1, -1, 2, -2), (1, 2), (-1,)])
def test_evidence_follows_the_formula(gaps):
    rng = np.random.default_rng(len(gaps))
    residual = rng.gamma(1.0, 2.0, (len(gaps), *SIZE))
    valid = rng.random((len(gaps), *SIZE)) > 0.2
    sigma, confidence = rng.random(len(gaps)), rng.random((len(gaps), *SIZE))
    found = motion_evidence(
        gaps, torch.tensor(residual), torch.tensor(valid), torch.tensor(sigma), torch.tensor(confidence),
        torch.ones(SIZE, dtype=torch.float64),
    )  # fmt: skip
    np.testing.assert_allclose(found.numpy(), reference_evidence(gaps, residual, valid, sigma, confidence), atol=1e-9)


def test_an_occlusion_halo_seen_in_one_direction_only_is_no_evidence():
    residual = torch.zeros(2, *SIZE)
    residual[:, 5:15, 5:15] = 8.0  # the object, in both directions
    residual[0, 5:15, 15:20] = 8.0  # what it uncovers, forwards only
    everywhere = torch.ones(2, *SIZE, dtype=torch.bool)
    sigma, confidence = torch.full((2,), 0.1), torch.ones(2, *SIZE)
    found = motion_evidence((1, -1), residual, everywhere, sigma, confidence, torch.ones(SIZE))
    assert found[5:15, 5:15].min() > 0.9
    assert found[5:15, 15:20].max() == 0.0


def test_what_a_first_frame_will_hide_is_no_evidence_where_its_flow_does_not_come_back():
    residual = torch.zeros(1, *SIZE)
    residual[0, 5:15, 5:15] = 8.0  # the object
    residual[0, 5:15, 15:20] = 8.0  # what it is about to hide: the flow there is a guess
    confidence = torch.ones(1, *SIZE)
    confidence[0, 5:15, 15:20] = 0.0
    found = motion_evidence(
        (1,), residual, torch.ones(1, *SIZE, dtype=torch.bool), torch.full((1,), 0.1), confidence, torch.ones(SIZE)
    )
    assert found[5:15, 5:15].min() > 0.9
    assert found[5:15, 15:20].max() == 0.0


def test_outside_the_data_window_there_is_no_evidence():
    coverage = torch.ones(SIZE)
    coverage[:, 20:] = 0.0
    residual = torch.full((2, *SIZE), 5.0)
    everywhere = torch.ones(2, *SIZE, dtype=torch.bool)
    found = motion_evidence((1, -1), residual, everywhere, torch.full((2,), 0.1), torch.ones(2, *SIZE), coverage)
    assert found[:, 20:].abs().max() == 0.0
    assert found[:, :20].min() > 0.9


def test_strength_is_the_quantile_of_what_counts():
    residual = torch.arange(700.0).reshape(20, 35)
    counted = residual < 350
    expected = np.quantile(np.arange(350.0)[::7], 0.98)
    assert float(strength(residual, counted)) == pytest.approx(expected)
    assert float(strength(residual, torch.zeros_like(counted))) == 0.0
