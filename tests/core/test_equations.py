"""The equations on written channels, against float64 and numpy's own half floats."""

from __future__ import annotations

import numpy as np
import pytest

from vdp_engine.equations import (
    EQUATIONS,
    colour,
    half_ulps,
    layer_names,
    layers_in,
    recompose,
    recompose_layers,
)

_RNG = np.random.default_rng(5)


def planes(layer: str, values: np.ndarray, names: str = "RGB") -> dict[str, np.ndarray]:
    """``values`` (H, W, C) as written channels."""
    return {f"{layer}.{name}": values[..., i].astype(np.float32) for i, name in enumerate(names)}


def random_layers(count: int, *, straight: bool) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Written channels with a residual, the parts α_i L_i (count, H, W, 3) and the residual, both in float64."""
    alphas = _RNG.dirichlet(np.ones(count), size=(6, 7))
    colours = _RNG.normal(1.0, 20.0, (count, 6, 7, 3))
    residual = _RNG.normal(0, 1, (6, 7, 3))
    channels = planes("residual", residual)
    for index, name in enumerate(layer_names(count)):
        alpha = alphas[..., index, None]
        channels |= planes(name, colours[index] if straight else colours[index] * alpha)
        channels |= planes(name, alpha, "A")
    return channels, np.einsum("hwl,lhwc->lhwc", alphas, colours), residual


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("straight", [False, True])
def test_layers_and_residual_sum_up_to_the_plate(count: int, straight: bool) -> None:
    channels, parts, residual = random_layers(count, straight=straight)
    found = recompose_layers(channels, straight=straight)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, parts.sum(0) + residual, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(recompose("layers", channels, straight=straight), found)


@pytest.mark.parametrize("straight", [False, True])
def test_a_gain_changes_the_light_of_its_layer_only(straight: bool) -> None:
    channels, parts, residual = random_layers(3, straight=straight)
    parts[1] *= (0.5, 1.0, 2.0)
    found = recompose("layers", channels, straight=straight, gains={"fg1": (0.5, 1.0, 2.0)})
    np.testing.assert_allclose(found, parts.sum(0) + residual, rtol=1e-5, atol=1e-4)


def test_recomposing_leaves_the_channels_alone() -> None:
    channels, *_ = random_layers(2, straight=True)
    before = {name: values.copy() for name, values in channels.items()}
    recompose_layers(channels, straight=True, gains={"bg": (2, 2, 2)})
    for name, values in channels.items():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.parametrize(("haze_amount", "airlight_gain"), [(1, (1, 1, 1)), (0.4, (1, 1, 1)), (2.5, (0.5, 1, 1.5))])
def test_dehaze_against_float64(haze_amount: float, airlight_gain: tuple[float, ...]) -> None:
    clear, airlight = _RNG.normal(1, 8, (6, 7, 3)), _RNG.uniform(0.1, 4, (6, 7, 3))
    residual, transmission = _RNG.normal(0, 1, (6, 7, 3)), _RNG.uniform(0, 1, (6, 7, 1))
    channels = planes("clear", clear) | planes("airlight", airlight)
    channels |= planes("residual", residual) | planes("transmission", transmission, "A")
    through = transmission**haze_amount
    truth = through * clear + (1 - through) * airlight * airlight_gain + residual
    found = recompose("dehaze", channels, haze_amount=haze_amount, airlight_gain=airlight_gain)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-5)


def test_no_haze_is_the_clear_image_also_where_nothing_came_through() -> None:
    clear = _RNG.normal(1, 8, (2, 3, 3))
    channels = planes("clear", clear) | planes("airlight", np.ones((2, 3, 3))) | planes("residual", np.zeros((2, 3, 3)))
    channels |= planes("transmission", np.zeros((2, 3, 1)), "A")
    np.testing.assert_array_equal(recompose("dehaze", channels, haze_amount=0.0), clear.astype(np.float32))


@pytest.mark.parametrize("gamma", [1.2, 2.6])
@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_relight_goes_from_the_plate_to_the_relit_image_with_its_sign(gamma: float, mix: float) -> None:
    plate, gain = _RNG.normal(0.2, 8, (6, 7, 3)), _RNG.uniform(0.5, 6, (6, 7, 3))
    plate[0, 0] = 0.0
    relit = gain * np.sign(plate) * np.abs(plate) ** gamma
    residual = _RNG.normal(0, 0.1, (6, 7, 3))
    channels = planes("relit", relit) | planes("gain", gain) | planes("residual", residual)
    found = recompose("relight", channels, gamma=gamma, exposure_mix=mix)
    assert found.dtype == np.float32 and (plate < 0).any()
    np.testing.assert_allclose(found, (1 - mix) * (plate + residual) + mix * relit, rtol=1e-5, atol=1e-5)


def test_every_task_names_its_equation() -> None:
    assert set(EQUATIONS) == {"layers", "dehaze", "relight"}


def test_layer_names_from_back_to_front() -> None:
    assert layer_names(4) == ("bg", "fg1", "fg2", "fg3")
    channels = dict.fromkeys(("fg2.R", "R", "bg.R", "fg1.R", "fg1.A", "clean.R", "residual.R"), np.zeros((1, 1)))
    assert layers_in(channels) == ("bg", "fg1", "fg2")


def test_colour_of_the_plate_and_of_a_layer() -> None:
    channels = {name: np.full((2, 3), value, np.float16) for value, name in enumerate(("R", "G", "B", "bg.R"))}
    channels |= {"bg.G": channels["R"], "bg.B": channels["G"]}
    assert colour(channels)[0, 0].tolist() == [0.0, 1.0, 2.0]
    assert colour(channels, "bg")[1, 2].tolist() == [3.0, 0.0, 1.0]


def test_half_ulps_agree_with_numpy_on_every_half() -> None:
    every = np.arange(0x7BFF, dtype=np.uint16).view(np.float16)  # 0 up to the last but one finite half
    for halves in (every, -every):
        truth = halves.astype(np.float32)
        spacing = np.abs(np.spacing(np.abs(halves))).astype(np.float64)
        np.testing.assert_array_equal(half_ulps(truth + spacing, truth), 1.0)
        np.testing.assert_array_equal(half_ulps(truth - 3 * spacing, truth), 3.0)
        np.testing.assert_array_equal(half_ulps(truth, truth), 0.0)


def test_half_ulps_between_halves_and_far_away_agree_with_float64() -> None:
    truth = (_RNG.normal(0, 1, 20_000) * 10.0 ** _RNG.uniform(-8, 4.8, 20_000)).astype(np.float32)
    value = (truth * (1 + _RNG.normal(0, 1, truth.shape) * 10.0 ** _RNG.uniform(-6, 3, truth.shape))).astype(np.float32)
    exponent = np.floor(np.log2(np.maximum(np.abs(truth.astype(np.float64)), 2.0**-14)))
    exact = np.abs(value.astype(np.float64) - truth) / np.exp2(exponent - 10)
    np.testing.assert_allclose(half_ulps(value, truth), exact, rtol=1e-6)
    assert np.isinf(half_ulps(np.float32(np.inf), np.float32(1))) and np.isnan(half_ulps(np.float32(np.nan), 0.0))


def test_half_ulps_of_the_largest_half() -> None:
    assert half_ulps(np.float32(65504 - 32), np.float32(65504)) == 1.0
