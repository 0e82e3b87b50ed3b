"""Hints from the picture on the disk to the layers of a fitted shot."""

import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.model import tiny_shot
from tests.model.tiny_shot import CPU, FIRST, HEIGHT, WIDTH, Recorder, shot_of, small
from tests.plate import plate_files
from vdp_engine.errors import ShotError
from vdp_engine.model.decomposition import load_decomposition
from vdp_engine.model.fit import fit, fit_digest, net_frames
from vdp_engine.model.layers.model import rough_hints
from vdp_engine.motion import prep
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

FRAMES = 6


@pytest.fixture(autouse=True)
def short():
    with small():
        yield


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A shot of two squares that cross, with its motion, not fitted."""
    folder = tmp_path_factory.mktemp("shot")
    shot = shot_of(tiny_shot.write_plate(folder / "plate", FRAMES, squares=2), folder / "out")
    with small():
        prep(shot, CPU, Recorder())
    return shot


def square(number, index):
    """Bool (H, W), where a square of the plate is in a frame."""
    found = np.zeros((HEIGHT, WIDTH), bool)
    left = 20 + 3 * index if number == 0 else 70 - 4 * index
    found[6 + 30 * number : 26 + 30 * number, left : left + 20] = True
    return found


def paint(path, inside, unknown=None):
    """A PNG, white inside and black elsewhere, grey where it is unknown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.where(inside, 255, 0).astype(np.uint8)
    if unknown is not None:
        picture[unknown] = 128
    assert cv2.imwrite(str(path), picture)
    return str(path)


@pytest.fixture
def hinted(prepared, tmp_path):
    """The shot with hints, its motion copied."""

    def make(*hints, **settings):
        out = tmp_path / "out"
        shutil.copytree(prepared.work, out / ".vdp")
        chosen = Settings.parse(quality="draft", hints=hints, **settings)
        return Shot.create(prepared.pattern, out, settings=chosen)

    return make


def fitted(shot):
    fit(shot, CPU, Recorder())
    return load_decomposition(shot, torch.device("cpu"))


def at_net_size(mask, layers):
    """The share of each of the nets' pixels that a mask of the plate covers."""
    return cv2.resize(mask.astype(np.float32), layers.mattes.shape[:0:-1], interpolation=cv2.INTER_AREA)


def on_squares(model, index):
    """Mean of each foreground's matte on each square: (foregrounds, squares)."""
    layers = model.at(index)
    inner = [at_net_size(square(number, index), layers) == 1 for number in (0, 1)]
    return np.array([[matte[one].mean() for one in inner] for matte in layers.mattes[1:].numpy()])


@pytest.mark.parametrize("named", [0, 1])
def test_the_hinted_square_and_not_the_other_is_the_foreground(hinted, tmp_path, named):
    path = paint(tmp_path / "hints" / f"rough.{FIRST + 2}.png", square(named, 2))
    model = fitted(hinted(path))
    assert model.count == 2
    for index in range(FRAMES):
        (shares,) = on_squares(model, index)
        assert shares[named] > 0.55, index
        assert shares[1 - named] < 0.45, index


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_hints_are_two_layers_in_their_order(hinted, tmp_path, order):
    paths = [paint(tmp_path / f"hint{named}.{FIRST + 3}.png", square(named, 3)) for named in order]
    model = fitted(hinted(*paths, layers=3))
    for index in range(FRAMES):
        shares = on_squares(model, index)
        for layer, named in enumerate(order):
            assert shares[layer, named] - shares[layer, 1 - named] > 0.3, (index, layer)
            assert shares[layer, named] - shares[1 - layer, named] > 0.3, (index, layer)


def test_with_automatic_layers_the_other_square_comes_after_the_hinted_one(hinted, tmp_path):
    path = paint(tmp_path / f"rough.{FIRST + 2}.png", square(1, 2))
    model = fitted(hinted(path, layers="auto"))
    assert model.count == 3
    for index in range(FRAMES):
        shares = on_squares(model, index)
        assert shares[0, 1] - shares[0, 0] > 0.3
        assert shares[1, 0] - shares[1, 1] > 0.3


def test_where_a_hint_is_grey_motion_decides(hinted, tmp_path):
    path = paint(tmp_path / f"rough.{FIRST + 2}.png", square(0, 2), ~square(0, 2))
    model = fitted(hinted(path))
    for index in range(FRAMES):
        (shares,) = on_squares(model, index)
        assert min(shares) > 0.5  # what moves where the hint does not know is foreground as it was
        layers = model.at(index)
        ground = at_net_size(square(0, index) | square(1, index), layers) == 0
        assert layers.mattes[1].numpy()[ground].mean() < 0.4


# What is read


def test_hints_are_read_by_position_at_twice_the_net_size(hinted, tmp_path):
    for index in (1, 4):
        paint(tmp_path / f"rough.{FIRST + index}.png", square(0, index), square(1, index))
    other = paint(tmp_path / f"other.{FIRST}.png", square(1, 0))
    shot = hinted(str(tmp_path / "rough.####.png"), other, layers="auto")
    frames = net_frames(shot)
    assert frames.size == (32, 48)
    rough, second = rough_hints(shot, frames)
    assert sorted(rough) == [1, 4] and sorted(second) == [0]
    for index in (1, 4):  # twice the net size is that of the plate
        assert rough[index].shape == (2, HEIGHT, WIDTH)
        np.testing.assert_array_equal(rough[index][0], square(0, index))
        np.testing.assert_array_equal(rough[index][1], ~square(0, index) & ~square(1, index))
    np.testing.assert_array_equal(second[0][0], square(1, 0))


def test_the_model_follows_from_the_pictures_of_the_hints(hinted, prepared, tmp_path):
    path = paint(tmp_path / f"rough.{FIRST + 2}.png", square(0, 2))
    shot = hinted(path)
    first = fit_digest(shot)
    assert first != fit_digest(replace(prepared))
    assert first == fit_digest(replace(shot))
    paint(tmp_path / f"rough.{FIRST + 2}.png", square(1, 2))
    os.utime(path, ns=(1, 1))
    assert fit_digest(replace(shot)) != first
    os.unlink(path)
    with pytest.raises(ShotError) as caught:
        fit_digest(replace(shot))
    assert caught.value.code == "shot.hint"


# Shots of next to nothing


@pytest.mark.parametrize("with_hint", [False, True])
@pytest.mark.parametrize(
    ("frames", "size"),
    [
        pytest.param(1, (64, 96), id="one frame"),
        pytest.param(3, (64, 96), id="still"),
        pytest.param(3, (8, 8), id="tiny"),
        pytest.param(2, (8, 40), id="a strip"),
    ],
)
def test_shots_of_next_to_nothing_are_fitted(tmp_path, frames, size, with_hint):
    inside = np.zeros(size, bool)
    inside[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = True
    picture = tiny_shot.texture(*size, 0)
    picture[inside] *= (2.0, 0.6, 0.3)
    for index in range(frames):
        channels = {name: picture[..., c].astype(np.float16) for c, name in enumerate("RGB")}
        plate_files.write(tmp_path / "plate" / f"still.{FIRST + index}.exr", channels)
    hints = (paint(tmp_path / f"hint.{FIRST}.png", inside),) if with_hint else ()
    shot = shot_of(str(tmp_path / "plate" / "still.####.exr"), tmp_path / "out", hints=hints)
    prep(shot, CPU, Recorder())
    model = fitted(shot)
    for index in range(frames):
        layers = model.at(index)
        torch.testing.assert_close(layers.mattes.sum(0), torch.ones(layers.mattes.shape[1:]))
        assert bool(layers.colours.isfinite().all()) and bool(layers.confidence.isfinite().all())
        share = layers.mattes[1].numpy()[at_net_size(inside, layers) == 1].mean()
        if not with_hint:
            assert share < 0.5
        elif index == 0 or size == (64, 96):  # of four superpixels none looks like a thing
            assert share > 0.5, index
