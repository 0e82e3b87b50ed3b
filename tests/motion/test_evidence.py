import heapq

import numpy as np
import pytest
import torch

from vdp_engine.motion.evidence import border_connected, motion_evidence, strength

SIZE = (24, 32)


def reference_evidence(gaps, residual, valid, sigma, confidence):
    """Pixel by pixel in float64, straight from the formula, for full coverage."""
    total, weights = np.zeros(residual.shape[1:]), np.zeros(residual.shape[1:])
    for gap in sorted({abs(g) for g in gaps}):
        at = [i for i, g in enumerate(gaps) if abs(g) == gap]
        least = np.zeros(residual.shape[1:])
        known = np.zeros(residual.shape[1:], bool)
        for p in np.ndindex(*residual.shape[1:]):
            values = [residual[(i, *p)] for i in at if valid[(i, *p)]]
            known[p], least[p] = bool(values), min(values, default=0.0)
        kappa = max(3 * max(0.1 * gap, *(sigma[i] for i in at)), 0.35 * np.quantile(least.ravel()[::7], 0.98))
        weight = (max(confidence[i] for i in at) ** 2 + 1e-3) * known
        total += weight * (1 - np.exp(-((least / kappa) ** 2)))
        weights += weight
    return total / np.maximum(weights, 1e-6)


@pytest.mark.parametrize("gaps", [(1, -1), (1, -1, 2, -2), (1, 2), (-1,)])
def test_evidence_follows_the_formula(gaps):
    rng = np.random.default_rng(len(gaps))
    residual = rng.gamma(1.0, 2.0, (len(gaps), *SIZE))
    valid = rng.random((len(gaps), *SIZE)) > 0.2
    sigma, confidence = rng.random(len(gaps)), rng.random(len(gaps))
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
    found = motion_evidence((1, -1), residual, everywhere, torch.full((2,), 0.1), torch.ones(2), torch.ones(SIZE))
    assert found[5:15, 5:15].min() > 0.9
    assert found[5:15, 15:20].max() == 0.0


def test_outside_the_data_window_there_is_no_evidence():
    coverage = torch.ones(SIZE)
    coverage[:, 20:] = 0.0
    residual = torch.full((2, *SIZE), 5.0)
    everywhere = torch.ones(2, *SIZE, dtype=torch.bool)
    found = motion_evidence((1, -1), residual, everywhere, torch.full((2,), 0.1), torch.ones(2), coverage)
    assert found[:, 20:].abs().max() == 0.0
    assert found[:, :20].min() > 0.9


def test_strength_is_the_quantile_of_what_counts():
    residual = torch.arange(700.0).reshape(20, 35)
    counted = residual < 350
    expected = np.quantile(np.arange(350.0)[::7], 0.98)
    assert float(strength(residual, counted)) == pytest.approx(expected)
    assert float(strength(residual, torch.zeros_like(counted))) == 0.0


def reference_reconstruction(levels):
    """Best worst step on a path to the border, by Dijkstra's algorithm."""
    best = np.full(levels.shape, -1.0)
    height, width = levels.shape
    border = [p for p in np.ndindex(height, width) if p[0] in (0, height - 1) or p[1] in (0, width - 1)]
    queue = [(-levels[p], p) for p in border]
    heapq.heapify(queue)
    while queue:
        level, (row, column) = heapq.heappop(queue)
        if best[row, column] >= 0:
            continue
        best[row, column] = -level
        for r in range(max(0, row - 1), min(height, row + 2)):
            for c in range(max(0, column - 1), min(width, column + 2)):
                if best[r, c] < 0:
                    heapq.heappush(queue, (-min(-level, levels[r, c]), (r, c)))
    return best


def test_connectedness_is_the_best_path_to_the_border():
    cells = np.random.default_rng(5).random((15, 22)).astype(np.float32) ** 2
    evidence = cells.repeat(4, 0).repeat(4, 1)
    found = border_connected(torch.from_numpy(evidence), torch.ones(evidence.shape)).numpy()
    np.testing.assert_array_equal(found[::4, ::4], reference_reconstruction(cells).astype(np.float32))


def test_an_object_away_from_the_border_is_not_connected_and_one_that_touches_it_is():
    evidence = torch.full((64, 96), 0.1)
    evidence[20:40, 20:40] = 0.9
    evidence[50:, 60:80] = 0.8
    found = border_connected(evidence, torch.ones(64, 96))
    assert found[20:40, 20:40].max() == pytest.approx(0.1)
    assert found[52:, 60:80].min() == pytest.approx(0.8)


def test_the_border_is_that_of_the_data_window():
    evidence, coverage = torch.full((64, 96), 0.1), torch.zeros(64, 96)
    coverage[16:48, 24:72] = 1.0
    evidence[16:30, 40:50] = 0.9
    assert border_connected(evidence, coverage)[18:28, 42:48].min() == pytest.approx(0.9)
    assert border_connected(evidence, torch.ones(64, 96))[18:28, 42:48].max() == pytest.approx(0.1)
