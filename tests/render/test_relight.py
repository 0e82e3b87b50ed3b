"""The task relight through all stages, on plates as wild as they come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import OpenEXR
import pytest

from tests.model.tiny_shot import CPU, FIRST, Recorder, shot_of, small, write_plate
from tests.render.test_render import wild_plate
from vdp_engine.check import check
from vdp_engine.equations import EQUATIONS, half_ulps
from vdp_engine.model import fit
from vdp_engine.model.relight import objective as relight
from vdp_engine.model.task import Phase
from vdp_engine.motion import prep
from vdp_engine.render import render
from vdp_engine.settings import Machine

FRAMES = 3


@pytest.fixture(scope="module", autouse=True)
def small_sizes():
    with small(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(relight.PHASES["vdp"], "draft", (Phase("light", 6, 5e-3),))
        yield


def dark(_, image):
    image *= 0.03
    image += np.random.default_rng(0).normal(0, 3e-4, image.shape)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A shot through prep and fit, by kind of plate."""
    made = {}

    def of(kind, out, **settings):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            pattern = (
                wild_plate(folder / "plate") if kind == "wild" else write_plate(folder / "plate", FRAMES, change=dark)
            )
            shot = shot_of(pattern, folder / "out", task="relight")
            shot.save()
            prep(shot, CPU, Recorder())
            fit(shot, CPU, Recorder())
            made[kind] = shot
        shot = made[kind]
        changed = replace(shot, settings=shot.settings.model_copy(update=settings))
        render(changed, CPU, Recorder())
        return changed

    return of


def read(shot, frame=FIRST):
    with OpenEXR.File(str(shot.layer_file(frame)), separate_channels=True) as opened:
        channels = {name: one.pixels.astype(np.float32) for name, one in opened.channels().items()}
        return channels, dict(opened.header())


def rgb(channels, layer):
    return np.stack([channels[f"{layer}.{c}" if layer else c] for c in "RGB"], -1)


def test_channels_and_header(fitted, tmp_path):
    channels, header = read(fitted("dark", tmp_path))
    layers = {f"{layer}.{c}" for layer in ("relit", "gain", "noise", "residual") for c in "RGB"}
    assert set(channels) == {"R", "G", "B", "A", "confidence.A"} | layers
    assert header["vdp/equation"] == EQUATIONS["relight"]
    assert 1 < header["vdp/gamma"] < 2
    assert (channels["A"] == 1).all()
    assert (channels["gain.G"] > 0).all()


@pytest.mark.parametrize("kind", ["dark", "wild"])
@pytest.mark.parametrize(
    "settings", [{}, {"bit_depth": "float"}, {"strength": 0.4, "exposure": -3.0}, {"protect": 0.0, "exposure": 6.0}]
)
def test_the_plate_is_rebuilt(fitted, tmp_path, kind, settings):
    """By the equation in float64, on what the files hold, within 2 half ulps at every pixel."""
    shot = fitted(kind, tmp_path, **settings)
    for frame in shot.frames:
        channels, header = read(shot, frame)
        relit, gain = rgb(channels, "relit").astype(np.float64), rgb(channels, "gain").astype(np.float64)
        plate = np.sign(relit) * (np.abs(relit) / gain) ** (1 / header["vdp/gamma"])
        plate = plate + rgb(channels, "noise") + rgb(channels, "residual")
        assert half_ulps(plate, rgb(channels, "")).max() <= 2
    assert check(shot, CPU, Recorder()).passed


def test_the_dark_shot_is_lit_and_its_noise_set_aside(fitted, tmp_path):
    channels, _ = read(fitted("dark", tmp_path))
    plate, relit, noise = rgb(channels, ""), rgb(channels, "relit"), rgb(channels, "noise")
    assert relit.mean() > 8 * plate.mean()
    assert 1e-4 < noise.std() < 6e-4  # 3e-4 was put in
    assert abs(noise.mean()) < 0.1 * noise.std()


def test_threads_change_no_pixel(fitted, tmp_path):
    shot = fitted("wild", tmp_path)
    one = shot.layer_file(FIRST + 1).read_bytes()
    shot.layer_file(FIRST + 1).unlink()
    render(shot, Machine(device="cpu", threads=2), Recorder())
    assert shot.layer_file(FIRST + 1).read_bytes() == one


def test_holes_are_marked(fitted, tmp_path):
    channels, _ = read(fitted("wild", tmp_path), FIRST + 1)
    assert (channels["confidence.A"][10:14, 20:30] == 0).all()
    assert all(np.isfinite(plane).all() for plane in channels.values())


def test_vectors_come_along(fitted, tmp_path):
    channels, _ = read(fitted("dark", tmp_path, vectors=True))
    assert {"forward.u", "backward.v"} <= set(channels)
