"""Generated scenes: their flow against the pictures, against itself, and against the maps it comes from."""

import numpy as np
import pytest
import torch

from vdp_engine.flow_training import textures
from vdp_engine.flow_training.scenes import HELD_OUT, TRAINING, Family, make_pair
from vdp_engine.flow_training.sheet import sheet
from vdp_engine.motion.warp import warp

SIZE = (96, 128)
FAMILIES = [pytest.param(TRAINING, id="training"), pytest.param(HELD_OUT, id="held out")]


def carried(x: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """What ``flow`` (2, h, w) fetches from ``x`` (C, h, w)."""
    return warp(torch.from_numpy(x)[None], torch.from_numpy(flow)[None])[0][0].numpy()


def eroded(seen: np.ndarray) -> np.ndarray:
    """Without the pixels next to an edge of what is seen, where interpolation mixes surfaces."""
    import cv2

    return cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_second_picture_carried_back_is_the_first(family: Family) -> None:
    """On scenes without noise and light, where the surface is seen in both; flow off by a pixel is told at once."""
    right, wrong = [], []
    for seed in range(12):
        pair = make_pair(np.random.default_rng(seed), SIZE, family, clean=True)
        seen = eroded(pair.seen)
        for errors, flow in ((right, pair.forward), (wrong, pair.forward + np.float32(1.0))):
            back = carried(np.ascontiguousarray(pair.second.transpose(2, 0, 1)), flow)
            errors.append(np.abs(back - pair.first.transpose(2, 0, 1)).mean(0)[seen].mean())
    assert np.mean(right) < 0.006
    assert np.mean(right) < 0.35 * np.mean(wrong)


@pytest.mark.parametrize("family", FAMILIES)
def test_forward_and_backward_flow_undo_each_other(family: Family) -> None:
    for seed in range(12):
        pair = make_pair(np.random.default_rng(seed), SIZE, family)
        for there, back, seen in (
            (pair.forward, pair.backward, pair.seen), (pair.backward, pair.forward, pair.seen_before)
        ):  # fmt: skip
            left_over = np.hypot(*(there + carried(back, there)))[eroded(seen)]
            if left_over.size:
                assert np.median(left_over) < 1e-3
                assert np.percentile(left_over, 95) < 0.05


def test_what_is_hidden_is_told() -> None:
    """A surface that leads to a pixel of another one, or outside, is not seen."""
    share = []
    for seed in range(8):
        pair = make_pair(np.random.default_rng(seed), SIZE, TRAINING)
        x, y = np.arange(SIZE[1]) + pair.forward[0], np.arange(SIZE[0])[:, None] + pair.forward[1]
        outside = (np.rint(x) < 0) | (np.rint(x) >= SIZE[1]) | (np.rint(y) < 0) | (np.rint(y) >= SIZE[0])
        assert not (pair.seen & outside).any()
        share.append(float((~pair.seen).mean()))
    assert 0.005 < np.mean(share) < 0.3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_follows_from_its_seed(family: Family) -> None:
    first, again, other = (make_pair(np.random.default_rng(seed), SIZE, family) for seed in (5, 5, 6))
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(again, name))
    assert not np.array_equal(first.first, other.first)


def test_played_backwards() -> None:
    pair = make_pair(np.random.default_rng(3), SIZE, TRAINING)
    assert pair.reversed().reversed() == pair
    np.testing.assert_array_equal(pair.reversed().forward, pair.backward)


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_are_what_the_engine_sees(family: Family) -> None:
    for seed in range(6):
        pair = make_pair(np.random.default_rng(seed), SIZE, family)
        for value in (pair.first, pair.second, pair.forward, pair.backward):
            assert value.dtype == np.float32 and np.isfinite(value).all()
        assert pair.first.shape == (*SIZE, 3) and pair.forward.shape == (2, *SIZE)
        assert pair.first.min() > -0.2 and pair.first.max() < 1.0


def test_the_families_share_no_surface_and_no_outline() -> None:
    assert not set(textures.TRAINING_TEXTURES) & set(textures.HELD_OUT_TEXTURES)
    assert not set(textures.TRAINING_SHAPES) & set(textures.HELD_OUT_SHAPES)


def test_the_sheet_shows_both_families() -> None:
    picture = sheet(2)
    assert picture.shape == (2 * 180, 2 * 4 * 240 + 12, 3) and picture.dtype == np.uint8
    assert not np.array_equal(picture[:, :960], picture[:, 972:])


@pytest.mark.parametrize("texture", [*textures.TRAINING_TEXTURES, *textures.HELD_OUT_TEXTURES])
def test_textures(texture: textures.Texture) -> None:
    picture = texture(np.random.default_rng(1), (50, 70))
    assert picture.shape == (50, 70, 3) and picture.dtype == np.float32
    assert picture.min() >= 0 and picture.max() < 3 and picture.std() > 0


@pytest.mark.parametrize("shape", [*textures.TRAINING_SHAPES, *textures.HELD_OUT_SHAPES])
@pytest.mark.parametrize("side", [16, 90])
def test_shapes(shape: textures.Shape, side: int) -> None:
    for seed in range(5):
        opacity = shape(np.random.default_rng(seed), side)
        assert opacity.shape == (side, side) and opacity.dtype == np.float32
        assert opacity.max() == pytest.approx(1.0, abs=0.05)
        assert 0 <= opacity.min() < 0.01 and (opacity > 0.5).mean() > 0.01
