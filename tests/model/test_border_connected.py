"""What hangs together with the border, against Dijkstra's algorithm on the same picture."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
import torch

from vdp_engine.model.frames import border_connected, without_border


def reference_reconstruction(levels: np.ndarray) -> np.ndarray:
    """Best worst step on a path to the border."""
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


@pytest.mark.parametrize("size", [(15, 22), (40, 56), (1, 9), (2, 2), (3, 30)])
def test_connectedness_is_the_best_path_to_the_border(size: tuple[int, int]) -> None:
    evidence = np.random.default_rng(5).random(size).astype(np.float32) ** 2
    found = border_connected(torch.from_numpy(evidence)).numpy()
    np.testing.assert_array_equal(found, reference_reconstruction(evidence).astype(np.float32))


def test_a_winding_path_is_followed_to_its_end() -> None:
    evidence = torch.full((41, 41), 0.1)
    for row in range(2, 39, 4):
        evidence[row, 2:39] = 0.9
    for turn, row in enumerate(range(2, 35, 4)):
        evidence[row : row + 5, 38 if turn % 2 else 2] = 0.9
    assert border_connected(evidence)[38, 20] == pytest.approx(0.1)
    evidence[2, :3] = 0.9
    assert border_connected(evidence)[38, 20] == pytest.approx(0.9)


def test_an_object_away_from_the_border_keeps_its_evidence_and_one_that_touches_it_loses_some() -> None:
    evidence = torch.full((64, 96), 0.1)
    evidence[20:40, 20:40] = 0.9
    evidence[50:, 60:80] = 0.8
    found = without_border(evidence)
    torch.testing.assert_close(found[20:40, 20:40], torch.full((20, 20), 0.9 - 0.2 * 0.1))
    torch.testing.assert_close(found[52:, 60:80], torch.full((12, 20), 0.8 - 0.2 * 0.8))
