"""The rebuild rule, against NumPy's own half-float spacing."""

from __future__ import annotations

import numpy as np
import pytest

from vdp_engine.check.rebuild import Rebuild, expected, measure_rebuild

_VALUES = np.float32([0.0, 6e-8, -3e-5, 6.1e-5, 0.18, 1.0, -0.02, 1023.5, 65504.0, -65504.0])


def _written(truth: np.ndarray, *, straight: bool = False) -> dict[str, np.ndarray]:
    """Two layers and a residual in float32 that give ``truth`` (H, W, 3) back exactly."""
    alpha = np.full(truth.shape[:2], 0.25, np.float32)
    channels = {"fg1.A": alpha, "bg.A": 1 - alpha}
    for index, name in enumerate("RGB"):
        light = truth[..., index]
        channels[f"fg1.{name}"] = light * (1 if straight else 0.25)
        channels[f"bg.{name}"] = np.zeros_like(light)
        channels[f"residual.{name}"] = light * np.float32(0.75)
    return channels


@pytest.mark.parametrize("straight", [False, True])
def test_exact_layers_rebuild_exactly(straight: bool) -> None:
    truth = np.tile(_VALUES.astype(np.float16).astype(np.float32)[None, :, None], (3, 1, 3))
    found = measure_rebuild("layers", _written(truth, straight=straight), truth, straight=straight)
    assert (found.worst, found.broken) == (0.0, 0)


@pytest.mark.parametrize("value", [0.0, 6.1e-5, -0.02, 0.18, 1.0, 1023.5, 60000.0])
@pytest.mark.parametrize(("ulps", "broken"), [(1, 0), (2, 0), (3, 1), (-2, 0), (-3, 1)])
def test_errors_are_counted_in_half_spacings(value: float, ulps: int, broken: int) -> None:
    truth = np.full((4, 5, 3), np.float16(value), np.float32)
    channels = _written(truth)
    channels["residual.B"][2, 3] += np.float32(ulps * abs(np.spacing(np.float16(value))))
    found = measure_rebuild("layers", channels, truth, straight=False, left=-10, top=100)
    assert found == Rebuild(pytest.approx(abs(ulps), rel=1e-3), -7, 102, "B", broken)


def test_nan_in_the_layers_breaks_the_rule() -> None:
    truth = np.ones((2, 2, 3), np.float32)
    channels = _written(truth)
    channels["bg.G"][0, 1] = np.nan
    assert measure_rebuild("layers", channels, truth, straight=False) == Rebuild(np.inf, 1, 0, "G", 1)


def test_broken_pixels_are_counted_once_for_all_channels() -> None:
    truth = np.ones((4, 4, 3), np.float32)
    channels = _written(truth)
    channels["residual.R"][:2] += 1
    channels["residual.G"][:1] += 1
    assert measure_rebuild("layers", channels, truth, straight=False).broken == 8


def test_a_missing_channel_is_a_key_error() -> None:
    truth = np.ones((2, 2, 3), np.float32)
    channels = _written(truth)
    del channels["residual.G"]
    with pytest.raises(KeyError, match=r"residual\.G"):
        measure_rebuild("layers", channels, truth, straight=False)


def test_half_layers_are_held_to_what_half_can_hold() -> None:
    pixels = np.float32([[[1e9, -1e9, 0.1]]])
    truth, clamped = expected(pixels, "half")
    np.testing.assert_array_equal(truth, np.float32([[[65504, -65504, np.float16(0.1)]]]))
    assert clamped == 2
    assert expected(pixels, "float") == (pixels, 0)


def test_parts_join_to_the_worse_of_both() -> None:
    fine, broken = Rebuild(0.5, 1, 2, "R", 0), Rebuild(9.0, 3, 4, "G", 7)
    assert Rebuild().joined(fine).joined(broken) == Rebuild().joined(broken).joined(fine) == broken
    assert fine.joined(broken).joined(broken).broken == 14
