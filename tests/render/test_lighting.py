"""The gain at full size: the equation, the artist's controls, hue and highlights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vdp_engine.model.relight.model import NetRelight
from vdp_engine.model.relight.objective import FILL
from vdp_engine.render.lighting import Controls, Lighting, relight, stops

DEFAULT = Controls(strength=1.0, exposure=0.0, key_fill=FILL / 0.5, protect=1.0)
KEY = 4.0


def net(lighting, gamma=1.25, key=KEY, pivot=-6.0) -> NetRelight:
    drawn = torch.as_tensor(np.asarray(lighting, np.float32))
    return NetRelight(drawn, key + FILL * pivot, 1 - FILL - gamma, pivot, gamma, torch.ones_like(drawn))


def changed(**controls: float) -> Controls:
    return Controls(**{**DEFAULT.__dict__, **controls})


def ramp(colour=(1.0, 1.0, 1.0)) -> np.ndarray:
    """(1, 400, 3): from 2⁻¹² to 2⁶."""
    return (np.exp2(np.linspace(-12, 6, 400))[None, :, None] * np.asarray(colour)).astype(np.float32)


def lit(light, controls=DEFAULT, **more):
    made = net(np.zeros((1, 1)), **more)
    lighting = np.full(light.shape[:2], -6.0, np.float32)
    return relight(light, lighting, made, controls)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("gamma", [1.05, 1.5, 2.0])
def test_the_equation_holds_for_all_colours_and_signs(strength, gamma):
    rng = np.random.default_rng(0)
    light = (np.exp2(rng.uniform(-12, 8, (40, 50, 3))) * rng.choice([-1, 1, 1, 1], (40, 50, 3))).astype(np.float32)
    relit, gain, used = lit(light, changed(strength=strength), gamma=gamma)
    assert used == pytest.approx(1 + strength * (gamma - 1))
    assert (gain > 0).all()
    wanted = gain.astype(np.float64) * np.sign(light) * np.abs(light).astype(np.float64) ** used
    np.testing.assert_allclose(relit, wanted, rtol=2e-5)


def test_no_strength_is_the_plate_and_more_is_between():
    light = ramp()
    none, half, full = (lit(light, changed(strength=s))[0] for s in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(none, light, rtol=1e-5)
    # log R_s = (1 − s) log X + s log R
    np.testing.assert_allclose(np.log2(half), (np.log2(light) + np.log2(full)) / 2, atol=1e-4)


@pytest.mark.parametrize("controls", [DEFAULT, changed(protect=0.0), changed(key_fill=1.0), changed(exposure=2.0)])
def test_neutral_stays_neutral(controls):
    relit = lit(ramp(), controls)[0]
    spread = relit.max(-1) / relit.min(-1)
    assert spread.max() < 1.01


def test_ratios_of_colours_stay():
    colour = np.array([1.0, 0.4, 0.15], np.float32)
    light = ramp(colour)[:, 100:]
    relit = lit(light)[0]
    np.testing.assert_allclose(relit / relit[..., :1], np.broadcast_to(colour, relit.shape), rtol=1e-3)


def test_highlights_are_held_and_keep_their_order():
    light = ramp()
    relit = lit(light)[0][0, :, 0]
    assert (np.diff(relit) >= -1e-6).all()
    assert (relit >= light[0, :, 0] * 0.999)[light[0, :, 0] > 2.0**-5].all()
    # Above white nothing is lifted; below it nothing passes it.
    own = light[0, :, 0]
    assert (relit[own <= 1] <= 1.0001).all()
    np.testing.assert_allclose(relit[own > 1.1], own[own > 1.1], rtol=1e-4)
    unheld = lit(light, changed(protect=0.0))[0][0, :, 0]
    assert unheld[-1] > 8 * relit[-1]


def test_what_is_lit_already_is_untouched():
    made = net(np.zeros((1, 1)), gamma=1.0001, key=0.0)
    light = ramp()
    lighting = np.full(light.shape[:2], made.pivot, np.float32)
    relit = relight(light, lighting, made, DEFAULT)[0]
    np.testing.assert_allclose(relit, light, rtol=2e-3)


def test_exposure_is_in_stops():
    light = ramp()[:, :150]
    base, up, down = (lit(light, changed(exposure=e, protect=0.0))[0] for e in (0.0, 1.0, -2.0))
    np.testing.assert_allclose(up, 2 * base, rtol=1e-4)
    np.testing.assert_allclose(down, base / 4, rtol=1e-4)


def test_fill_lifts_shadows_and_key_lifts_all_alike():
    lighting = np.array([[-9.0, -6.0, -4.0]], np.float32)
    light = np.exp2(lighting)[..., None].repeat(3, -1).astype(np.float32)
    made = net(lighting)

    def lift(key_fill: float) -> np.ndarray:
        controls = changed(key_fill=key_fill, protect=0.0)
        return stops(relight(light, lighting, made, controls)[0]) - lighting

    np.testing.assert_allclose(lift(0.0), KEY, atol=1e-3)
    np.testing.assert_allclose(lift(1.0), KEY + 0.5 * (made.pivot - lighting), atol=1e-3)


def test_extreme_light_gives_finite_results():
    light = np.array([[[65504, 65504, 65504], [-65504, 900, 0], [0, 0, 0], [6e-8, -6e-8, 1e-4]]], np.float32)
    for controls in (DEFAULT, changed(protect=0.0, exposure=8.0), changed(exposure=-8.0)):
        relit, gain, _ = lit(light, controls, gamma=2.0)
        assert np.isfinite(relit).all()
        assert np.abs(relit).max() <= 65504
        assert gain.min() > 0
        assert gain.max() < 65504


def test_lighting_follows_the_edges_of_the_plate():
    plate = np.full((80, 120, 3), 0.02, np.float32)
    plate[:, 57:] = 0.32  # an edge four stops high, off the net's grid
    small = np.where(np.arange(15) < 7, np.log2(0.02), np.log2(0.32))[None].repeat(10, 0)
    small[:, 7] = (small[:, 6] + small[:, 8]) / 2  # the net smears it over a pixel
    made = net(small)
    found = Lighting.of(made, plate, (40, 60))
    drawn = found.at(stops(plate), (80, 120), (slice(0, 80), slice(0, 120)))
    step = drawn[40, 58] - drawn[40, 55]
    assert step > 2.0  # of 4; three pixels of the plate are 0.75 of what the net smears
    assert drawn.min() > np.log2(0.02) - 0.5
    assert drawn.max() < np.log2(0.32) + 0.5
