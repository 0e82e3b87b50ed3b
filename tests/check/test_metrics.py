"""The benchmark's metrics against second implementations that share no code with them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage


def _load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, Path(__file__).parents[1] / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


metrics = _load("bench/metrics.py")
clip_to_exr = _load("tools/clip_to_exr.py")


def _blob(seed: int, shape: tuple[int, int] = (47, 63)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.standard_normal(shape), 5) > 0.02


def _boundary_by_neighbours(mask: np.ndarray) -> set[tuple[int, int]]:
    height, width = mask.shape
    return {
        (y, x)
        for y in range(height)
        for x in range(width)
        if any(
            mask[y, x] != mask[y + dy, x + dx]
            for dy, dx in ((0, 1), (1, 0), (1, 1))
            if y + dy < height and x + dx < width
        )
    }


def _f_by_distances(mask: np.ndarray, truth: np.ndarray) -> float:
    """Boundary F from all pairwise distances."""
    ours, theirs = sorted(_boundary_by_neighbours(mask)), sorted(_boundary_by_neighbours(truth))
    if not ours or not theirs:
        return float(ours == theirs)
    apart = np.hypot(*(np.array(ours)[:, None] - np.array(theirs)[None]).transpose(2, 0, 1))
    near = apart <= np.ceil(0.008 * np.hypot(*mask.shape))
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _j_by_sets(mask: np.ndarray, truth: np.ndarray) -> float:
    ours, theirs = (set(zip(*np.nonzero(one), strict=True)) for one in (mask, truth))
    return len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of one shape: noise, boxes or nothing; the long shapes have tolerances up to 4 pixels."""
    shape = draw(st.sampled_from([(1, 1), (1, 9), (7, 5), (12, 17), (5, 200), (3, 420)]))

    def box() -> np.ndarray:
        y, x = (sorted(draw(st.lists(st.integers(0, side), min_size=2, max_size=2))) for side in shape)
        mask = np.zeros(shape, bool)
        mask[slice(*y), slice(*x)] = True
        return mask

    return tuple(box() if draw(st.booleans()) else draw(arrays(bool, shape)) for _ in range(2))  # type: ignore[return-value]


@settings(max_examples=150, deadline=None)
@given(_pairs())
def test_j_and_f_equal_their_definitions(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert metrics.iou(*pair) == pytest.approx(_j_by_sets(*pair), abs=1e-12)
    assert metrics.boundary_f(*pair) == pytest.approx(_f_by_distances(*pair), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_boundary_f_equals_pairwise_distances(seed: int) -> None:
    mask, truth = _blob(seed), np.roll(_blob(seed), seed, axis=1)
    assert metrics.boundary_f(mask, truth) == pytest.approx(_f_by_distances(mask, truth), abs=1e-12)


def test_boundary_f_equals_disk_dilation_at_video_size() -> None:
    mask, truth = _blob(1, (480, 854)), np.roll(_blob(1, (480, 854)), (5, 7), (0, 1))
    reach = int(np.ceil(0.008 * np.hypot(480, 854)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = x * x + y * y <= reach * reach
    ours, theirs = metrics.boundary(mask), metrics.boundary(truth)
    precision = ndimage.binary_dilation(theirs, disk)[ours].mean()
    recall = ndimage.binary_dilation(ours, disk)[theirs].mean()
    assert metrics.boundary_f(mask, truth) == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-12)


@pytest.mark.parametrize(
    ("mask", "truth", "j", "f"),
    [
        (np.zeros((20, 20), bool), np.zeros((20, 20), bool), 1.0, 1.0),
        (_blob(3), np.zeros((47, 63), bool), 0.0, 0.0),
        (np.zeros((47, 63), bool), _blob(3), 0.0, 0.0),
        (_blob(3), _blob(3), 1.0, 1.0),
    ],
    ids=["both empty", "nothing to find", "nothing found", "same"],
)
def test_edge_cases(mask: np.ndarray, truth: np.ndarray, j: float, f: float) -> None:
    assert (metrics.iou(mask, truth), metrics.boundary_f(mask, truth)) == (j, f)


def test_iou_of_two_overlapping_boxes() -> None:
    mask, truth = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    mask[:, :6], truth[:, 4:] = True, True
    assert metrics.iou(mask, truth) == pytest.approx(20 / 100)


def test_instability_is_zero_for_what_moves_with_its_flow() -> None:
    ramp = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (20, 1))
    moved = np.roll(ramp, 3, axis=1)
    moved[:, :3] = 0
    flow = np.zeros((20, 40, 2), np.float32)
    flow[..., 0] = 3
    assert metrics.instability([ramp, moved], [flow]) == pytest.approx(0, abs=1e-6)
    assert metrics.instability([ramp, ramp + 0.25], [0 * flow]) == pytest.approx(0.25, abs=1e-6)
    # Against the flow, the ramp changes by twice its step of 1/39 a pixel and 3 pixels.
    assert metrics.instability([moved[:, 3:], ramp[:, 3:]], [flow[:, 3:]]) == pytest.approx(6 / 39, rel=1e-4)


def test_first_and_last_frame_are_not_scored() -> None:
    assert list(metrics.scored([0.0, 0.6, 0.4, 0.0])) == [0.6, 0.4]
    assert metrics.recall([0.6, 0.4]) == 0.5


def test_srgb_is_undone() -> None:
    # IEC 61966-2-1, forward direction in float64.
    linear = np.linspace(0, 1, 301)
    code = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(clip_to_exr.srgb_to_linear(code), linear, atol=2e-6)
