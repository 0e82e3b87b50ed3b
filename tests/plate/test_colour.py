import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from vdp_engine.errors import PlateError, UsageError
from vdp_engine.plate import colour


def acescct_of(linear: np.ndarray) -> np.ndarray:
    """ACEScct in float64, straight from Academy S-2016-001."""
    linear = linear.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        curve = (np.log2(linear) + 9.72) / 17.52
    return np.where(linear <= 0.0078125, 10.5402377416545 * linear + 0.0729055341958355, curve)


GRID = np.concatenate([np.linspace(-0.02, 0.02, 20001), np.geomspace(0.02, 65504.0, 100000)])


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 4e-7), (np.float64, 1e-13)])
def test_log_encoding_matches_the_standard(dtype: type, tolerance: float) -> None:
    assert np.abs(colour.log_encode(GRID.astype(dtype)) - acescct_of(GRID.astype(dtype))).max() < tolerance


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("dtype, relative, absolute", [("float32", 3e-6, 2e-8), ("float64", 1e-13, 1e-15)])
def test_log_encoding_round_trip(library: str, dtype: str, relative: float, absolute: float) -> None:
    values = GRID.astype(dtype)
    given = torch.from_numpy(values) if library == "torch" else values
    back = colour.log_decode(colour.log_encode(given))
    assert type(back) is type(given) and back.dtype == given.dtype
    np.testing.assert_allclose(np.asarray(back), values, rtol=relative, atol=absolute)


def test_log_encoding_of_known_values() -> None:
    # Academy S-2016-001, appendix A: 0 and 18 % grey; the last one is half's largest.
    encoded = colour.log_encode(np.array([0.0, 0.18, 65504.0]))
    np.testing.assert_allclose(encoded, [0.0729055341958355, 0.4135884, 1.4679964], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_encoding_rises_strictly_and_goes_on_below(dtype: type) -> None:
    halfs: np.ndarray = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(dtype)
    every_half = np.concatenate([-halfs[:0:-1], halfs])
    encoded = colour.log_encode(every_half)
    assert np.isfinite(encoded).all()
    assert (np.diff(encoded.astype(np.float64)) >= 0).all()
    visible = np.abs(every_half) > 1e-6  # float32 cannot tell smaller steps beside the offset 0.07
    assert (np.diff(encoded[visible]) > 0).all()


def test_gradients_are_finite_and_right() -> None:
    values = torch.tensor([-65504.0, -1.0, 0.0, 0.0078125, 0.01, 1.0, 65504.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(colour.log_encode, values[4:].clone().requires_grad_())
    for function, given in ((colour.log_encode, values), (colour.log_decode, values / 1e5)):
        given = given.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(given).sum(), given)
        assert torch.isfinite(gradient).all() and (gradient > 0).all()


def test_pinned_config_has_a_version_and_is_used_without_ocio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)
    assert "default" not in colour.PINNED_CONFIG and "ocio-v" in colour.PINNED_CONFIG
    assert colour.config_name() == colour.PINNED_CONFIG
    assert colour.config().getName() == colour.PINNED_CONFIG.removeprefix("ocio://")


def test_ocio_variable_is_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCIO", "ocio://cg-config-v1.0.0_aces-v1.3_ocio-v2.1")
    assert colour.config().getName() == "cg-config-v1.0.0_aces-v1.3_ocio-v2.1"
    monkeypatch.setenv("OCIO", str(tmp_path / "none.ocio"))
    with pytest.raises(UsageError, match=r"none\.ocio") as caught:
        colour.config()
    assert caught.value.code == "usage.ocio"


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)


@pytest.mark.usefixtures("pinned")
def test_linear_spaces_stay_in_their_own_primaries() -> None:
    pixels = np.array([[[0.2, 5.0, -0.1]]], np.float32)
    for name in ("ACEScg", "ACES2065-1", "Linear Rec.709 (sRGB)", "scene_linear", "Raw"):
        assert colour.is_linear(name)
        assert colour.to_scene_linear(pixels, name) is pixels
    assert not colour.is_linear("sRGB - Texture")


@pytest.mark.usefixtures("pinned")
def test_srgb_becomes_linear_in_the_scene_linear_primaries() -> None:
    code = np.array([[[0.5, 0.5, 0.5], [1.0, 0.0, 0.0]]], np.float32)
    before = code.copy()
    linear = colour.to_scene_linear(code, "sRGB - Texture")
    grey = ((0.5 + 0.055) / 1.055) ** 2.4  # IEC 61966-2-1; grey is grey in any primaries
    np.testing.assert_allclose(linear[0, 0], grey, rtol=1e-4)
    # Rec. 709 red in ACEScg (AP1), Bradford-adapted: ACES' published matrix, first column.
    np.testing.assert_allclose(linear[0, 1], [0.6131, 0.0702, 0.0206], atol=2e-4)
    assert np.array_equal(code, before)


@pytest.mark.usefixtures("pinned")
@pytest.mark.parametrize("name, close", [("srgb texture", "sRGB - Texture"), ("logc4", "ARRI LogC4")])
def test_unknown_space_is_refused_with_close_names(name: str, close: str) -> None:
    with pytest.raises(PlateError) as caught:
        colour.to_scene_linear(np.zeros((1, 1, 3), np.float32), f"{name}x")
    assert caught.value.code == "plate.colorspace"
    assert close in str(caught.value)


@pytest.mark.usefixtures("pinned")
def test_display_is_8_bit_rising_and_takes_anything() -> None:
    levels = np.geomspace(1e-3, 60000.0, 150, dtype=np.float32)
    pixels = np.repeat(levels[:, None, None], 3, axis=2)
    shown = colour.to_display(pixels)
    assert shown.dtype == np.uint8 and shown.shape == pixels.shape
    assert (np.diff(shown[:, 0, 0].astype(int)) >= 0).all()
    assert shown[0].max() < 10 and shown[-1].min() > 240
    assert 80 < colour.to_display(np.full((1, 1, 3), 0.18, np.float32))[0, 0, 0] < 130
    assert np.isfinite(colour.to_display(np.array([[[np.nan, -5.0, np.inf]]], np.float32))).all()


def test_importing_the_room_is_quick_and_without_torch() -> None:
    code = (
        "import sys, time, numpy; t = time.process_time(); import vdp_engine.plate; "
        "print(time.process_time() - t, 'torch' in sys.modules, 'OpenEXR' in sys.modules)"
    )
    runs: list[float] = []
    deadline = time.monotonic() + 20
    while not runs or (min(runs) > 0.4 and time.monotonic() < deadline):
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert told[1:] == ["False", "False"]
        runs.append(float(told[0]))
    assert min(runs) < 0.4
