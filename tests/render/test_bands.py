"""Rows of channels, from made-up material, as wild as a plate and mattes can be."""

import numpy as np
import pytest

from vdp_engine.equations import half_ulps, layer_names, recompose
from vdp_engine.plate import log_decode, log_encode, to_half
from vdp_engine.render.bands import Material, View, bands
from vdp_engine.render.split import residual

SIZE = (24, 40)


def material(*, layers=2, straight=False, seed=0, views=()):
    rng = np.random.default_rng(seed)
    plate = (rng.choice([-1, 1, 1, 1], (*SIZE, 3)) * 10.0 ** rng.uniform(-8, 4.8, (*SIZE, 3))).clip(-65504, 65504)
    plate[:3] = rng.choice([0.0, 2.0**-24, 65504.0, -65504.0], plate[:3].shape)
    plate = to_half(plate.astype(np.float32))[0].astype(np.float32)
    # From almost nothing to solid, as the refinement leaves them.
    raw = (10.0 ** rng.uniform(-8, 0, (layers - 1, *SIZE))).astype(np.float32)
    raw[rng.random(raw.shape) < 0.3] = 0.0
    raw[0, :, :4] = 1.0
    foreground = raw / np.maximum(raw.sum(0), 1.0)
    hole = (foreground.sum(0) > 0).astype(np.float32)
    colours = [log_encode(10.0 ** rng.uniform(-3, 4.5, (6, 10, 3)).astype(np.float32)) for _ in range(layers)]
    confidence = rng.random((6, 10)).astype(np.float32)
    return Material(plate, foreground, hole, colours, list(views), confidence, straight)


def written(channels, names, straight):
    """As a half-float file holds them, the residual on top."""
    held = {name: to_half(np.ascontiguousarray(plane))[0].astype(np.float32) for name, plane in channels.items()}
    for c in "RGB":
        parts = [held[f"{name}.{c}"] * (held[f"{name}.A"] if straight else 1) for name in names]
        held[f"residual.{c}"] = to_half(residual(held[c], parts))[0].astype(np.float32)
    return held


@pytest.mark.parametrize("straight", [False, True])
@pytest.mark.parametrize("layers", [2, 3, 4])
def test_the_wildest_plate_is_rebuilt(layers, straight):
    for seed in range(5):
        given = material(layers=layers, straight=straight, seed=seed)
        channels, _ = given.channels(slice(0, SIZE[0]))
        held = written(channels, layer_names(layers), straight)
        assert all(np.isfinite(plane).all() for plane in held.values())
        assert half_ulps(recompose("layers", held, straight=straight), given.plate).max() <= 2.0


@pytest.mark.parametrize("straight", [False, True])
def test_any_rows_are_those_of_the_whole(straight):
    light = np.random.default_rng(1).random((*SIZE, 3)).astype(np.float32)
    tones = np.random.default_rng(2).normal(0, 0.02, (3, 5, 3)).astype(np.float32)
    shift, shows = np.full((12, 20, 2), 0.7, np.float32), np.full((6, 10), 0.8, np.float32)
    view = View(light, shift, shows, tones, 0.5)
    given = material(layers=3, straight=straight, views=[view])
    whole, invented = given.channels(slice(0, SIZE[0]))
    parts = [given.channels(slice(top, top + 5)) for top in range(0, 20, 5)] + [given.channels(slice(20, 24))]
    for name, plane in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[0][name] for part in parts]), plane, err_msg=name)
    assert sum(part[1] for part in parts) == pytest.approx(invented)


def test_bands_cover_all_rows_once_and_follow_from_the_width_alone():
    for width in (1, 96, 4096, 200_000):
        rows = np.concatenate([np.arange(1000)[band] for band in bands(slice(3, 700), width)])
        np.testing.assert_array_equal(rows, np.arange(3, 700))
    whole, part = (list(bands(slice(0, end), 4096)) for end in (2160, 1000))
    assert part[:-1] == whole[: len(part) - 1]


def test_where_a_frame_shows_the_background_it_is_fetched_and_the_rest_is_invented():
    given = material()
    light = np.random.default_rng(1).random((*SIZE, 3)).astype(np.float32)
    shows = np.zeros(SIZE, np.float32)
    shows[:, :20] = 1.0
    view = View(light, np.zeros((*SIZE, 2), np.float32), shows, np.zeros((3, 5, 3), np.float32), 0.5)
    hole = np.ones(SIZE, np.float32)
    flat = np.full((6, 10, 3), log_encode(np.float32(0.25)), np.float32)
    given = Material(given.plate, given.foreground, hole, [flat, flat], [view], given.confidence, False)
    channels, invented = given.channels(slice(0, SIZE[0]))
    clean = np.stack([channels[f"clean.{c}"] for c in "RGB"], -1)
    np.testing.assert_allclose(clean[:, :20], light[:, :20], rtol=1e-4, atol=1e-6)  # there and back through the log
    np.testing.assert_allclose(clean[:, 20:], 0.25, rtol=1e-4)
    assert invented == pytest.approx(SIZE[0] * 20)


def test_a_source_is_fetched_along_its_shift_and_made_as_bright_as_here():
    rng = np.random.default_rng(1)
    light = np.exp2(rng.uniform(-4, 6, (*SIZE, 3))).astype(np.float32)
    shift = np.zeros((*SIZE, 2), np.float32) + np.float32([3.0, -2.0])  # x, y
    tone = np.full((3, 5, 3), 1 / 17.52, np.float32)  # a stop of the log encoding
    pixels, shows, weight = View(light, shift, np.ones(SIZE, np.float32), tone, 0.5).at((slice(5, 20), slice(4, 30)))
    assert weight == 0.5
    assert shows.min() == 1.0
    np.testing.assert_allclose(log_decode(pixels()), 2 * light[3:18, 7:33], rtol=1e-4)
