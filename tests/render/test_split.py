import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vdp_engine.equations import half_ulps
from vdp_engine.plate import to_half
from vdp_engine.render.split import balance, explain, residual

HALVES = st.floats(-65504, 65504, width=16)


def pixel(*values):
    """One pixel of three equal channels for each value: (P, 3)."""
    return np.array(values, np.float32)[:, None].repeat(3, 1)


def mattes_of(*alphas):
    return np.array(alphas, np.float32)[:, None]


def test_explain_is_the_smallest_change_that_explains_the_plate():
    rng = np.random.default_rng(0)
    plate = rng.normal(1, 2, (20, 3))
    mattes = rng.dirichlet([1, 1, 1], 20).T
    colours = rng.normal(1, 2, (3, 20, 3))
    found = explain(plate, mattes, colours)
    for p in range(20):
        smallest = np.linalg.pinv(mattes[:, p][None]) @ (plate[p] - mattes[:, p] @ colours[:, p])[None]
        np.testing.assert_allclose(found[:, p], colours[:, p] + smallest, rtol=1e-10)
    np.testing.assert_allclose(np.einsum("lp,lpc->pc", mattes, found), plate, rtol=1e-10)


def test_explain_leaves_colours_alone_that_explain_the_plate_already():
    mattes, colours = mattes_of(0.25, 0.75), np.stack([pixel(4.0), pixel(8.0)])
    np.testing.assert_array_equal(explain(pixel(7.0), mattes, colours), colours)


@pytest.mark.parametrize(
    ("plate", "mattes", "parts", "expected"),
    [
        pytest.param(1.0, (0.5, 0.5), (0.25, 0.75), (0.25, 0.75), id="nothing to do"),
        pytest.param(1.0, (0.5, 0.5), (1.5, 0.5), (0.75, 0.25), id="too much is scaled down"),
        pytest.param(1.0, (0.25, 0.75), (0.2, 0.4), (0.3, 0.7), id="too little is shared by opacity"),
        pytest.param(0.01, (0.5, 0.5), (30.0, -29.99), (0.01, 0.0), id="a dark pixel between bright layers"),
        pytest.param(-1.0, (0.5, 0.5), (-0.5, 0.5), (-0.75, -0.25), id="a negative plate"),
        pytest.param(-1.0, (0.5, 0.5), (-3.0, -1.0), (-0.75, -0.25), id="a negative plate, too much"),
        pytest.param(0.0, (0.5, 0.5), (3.0, -3.0), (0.0, 0.0), id="a black plate"),
        pytest.param(2.0, (0.0, 1.0), (0.0, 0.0), (0.0, 2.0), id="an opaque layer without a colour"),
        pytest.param(65504.0, (0.5, 0.5), (65504.0, 65504.0), (32752.0, 32752.0), id="as bright as half goes"),
        pytest.param(1.0, (0.2, 0.3, 0.5), (0.5, 0.5, 1.0), (0.25, 0.25, 0.5), id="three layers"),
        pytest.param(1.0, (0.1, 0.2, 0.3, 0.4), (0, 0, 0, 0), (0.1, 0.2, 0.3, 0.4), id="four layers"),
    ],
)
def test_balance(plate, mattes, parts, expected):
    given_parts = np.stack([pixel(part) for part in parts])
    found = balance(pixel(plate), mattes_of(*mattes), given_parts)
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=1e-5, atol=1e-12)


@st.composite
def pixels(draw):
    """Plate (P, 3), mattes (L, P) and colours (L, P, 3) as wild as half floats can be."""
    layers, count = draw(st.integers(2, 4)), 4
    plate = draw(arrays(np.float16, (count, 3), elements=HALVES)).astype(np.float32)
    colours = draw(arrays(np.float16, (layers, count, 3), elements=HALVES)).astype(np.float32)
    raw = draw(arrays(np.float32, (layers - 1, count), elements=st.floats(0, 1, width=16)))
    foreground = raw / np.maximum(raw.sum(0), 1)
    return plate, np.concatenate([1 - foreground.sum(0, keepdims=True), foreground]).astype(np.float32), colours


@given(pixels())
@settings(max_examples=300, deadline=None)
def test_parts_share_the_plates_sign_and_sum_to_it(case):
    plate, mattes, colours = case
    parts = balance(plate, mattes, mattes[..., None] * explain(plate, mattes, colours))
    assert np.all(parts * np.sign(plate) >= 0)
    np.testing.assert_allclose(parts.astype(np.float64).sum(0), plate, rtol=2e-6, atol=1e-12)


@given(pixels())
@settings(max_examples=300, deadline=None)
def test_what_is_written_rebuilds_the_plate_within_two_half_ulps(case):
    plate, mattes, colours = case
    parts = balance(plate, mattes, mattes[..., None] * explain(plate, mattes, colours))
    written = [to_half(part)[0].astype(np.float32) for part in parts]
    left = to_half(residual(plate, written))[0].astype(np.float32)
    rebuilt = np.sum(written, axis=0, dtype=np.float32) + left
    assert half_ulps(rebuilt, plate).max() <= 2.0


def test_the_residual_is_what_is_left():
    plate = pixel(1.0, -2.0)
    np.testing.assert_array_equal(residual(plate, [0.25 * plate, 0.5 * plate]), 0.25 * plate)
    np.testing.assert_array_equal(residual(plate, []), plate)
