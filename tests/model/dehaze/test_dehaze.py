"""The task dehaze on a shot whose haze is known: what the nets learn, and what they would without the priors."""

import cv2
import numpy as np
import pytest
import torch

from tests.model import tiny_shot
from tests.model.tiny_shot import CPU, HEIGHT, WIDTH, Recorder, shot_of, small
from tests.plate import plate_files
from vdp_engine.model import fit, load_decomposition
from vdp_engine.model.dehaze import objective
from vdp_engine.model.dehaze.haze import DISPLAY, LEAST, LINEAR
from vdp_engine.model.dehaze.objective import hazed
from vdp_engine.model.task import Phase
from vdp_engine.motion import prep
from vdp_engine.plate import log_decode, log_encode

AIR = np.array([0.8, 0.85, 0.9], np.float32)
THROUGH = np.linspace(0.35, 0.9, HEIGHT, dtype=np.float32)[:, None, None]  # far above, near below


@pytest.fixture(scope="module", autouse=True)
def small_sizes():
    with small(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(objective.PHASES["vdp"], "draft", (Phase("haze", 20, 5e-3),))
        patch.setitem(objective.PHASES["paper"], "draft", (Phase("paper", 4, 2e-3),))
        yield


def veil(index, image):
    """Haze over a picture whose dark channel is about 0, and a strip of nothing but haze above."""
    rng = np.random.default_rng(index // 100)
    dark = cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1) > 0.1
    clear = np.where(dark[..., None], 0.02, image)
    image[:] = THROUGH * clear + (1 - THROUGH) * AIR
    image[:10] = AIR


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    return tiny_shot.write_plate(tmp_path_factory.mktemp("plate"), 4, change=veil)


def fitted(plate, out, **settings):
    shot = shot_of(plate, out, task="dehaze", **settings)
    shot.save()
    prep(shot, CPU, Recorder())
    fit(shot, CPU, Recorder())
    return load_decomposition(shot, torch.device("cpu"))


@pytest.mark.parametrize("exponent", [LINEAR, DISPLAY])
def test_the_equation(exponent):
    rng = np.random.default_rng(0)
    clear = rng.uniform(0.05, 1, (2, 3, 4, 5))
    through = rng.uniform(0, 1, (2, 1, 4, 5))
    air = np.broadcast_to(AIR.astype(np.float64)[:, None, None], (2, 3, 1, 1))
    expected = air * (through * (clear / air) ** (1 / exponent) + 1 - through) ** exponent
    found = log_decode(
        hazed(log_encode(torch.from_numpy(clear)), torch.from_numpy(through), torch.from_numpy(air.copy()), exponent)
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_transmission_and_airlight_of_a_shot_are_found(plate, tmp_path):
    model = fitted(plate, tmp_path / "out")
    assert model.facts["exponent"] == LINEAR
    for position in range(4):
        net = model.at(position)
        np.testing.assert_allclose(net.airlight.numpy(), AIR, rtol=0.12)
        through = net.transmission[0].numpy()
        assert through.min() >= LEAST
        rows = through.mean(1)
        truth = cv2.resize(THROUGH[..., 0], (1, len(rows)), interpolation=cv2.INTER_AREA)[:, 0]
        seen = slice(len(rows) // 3, None)
        assert np.abs(rows - truth)[seen].mean() < 0.12
        assert np.corrcoef(rows[seen], truth[seen])[0, 1] > 0.9


def test_transmission_is_steady_along_the_motion(plate, tmp_path):
    model = fitted(plate, tmp_path / "out")
    maps = torch.stack([model.at(position).transmission[0] for position in range(4)])
    assert (maps[1:] - maps[:-1]).abs().mean() < 0.02


def test_the_same_seed_gives_the_same_model(plate, tmp_path):
    first, second = (fitted(plate, tmp_path / name).at(1) for name in ("one", "two"))
    torch.testing.assert_close(first.transmission, second.transmission, rtol=0, atol=0)


def test_the_papers_objective_knows_no_prior(plate, tmp_path):
    model = fitted(plate, tmp_path / "out", objective="paper")
    assert model.facts["objective"] == "paper"
    assert model.at(0).transmission.shape[0] == 1


def test_a_locked_airlight_and_colours_of_their_own(plate, tmp_path):
    model = fitted(plate, tmp_path / "out", airlight=(0.6, 0.7, 0.8), transmission="rgb")
    net = model.at(2)
    np.testing.assert_allclose(net.airlight.numpy(), [0.6, 0.7, 0.8], rtol=1e-6)
    assert net.transmission.shape[0] == 3
    assert net.transmission.min() >= LEAST


def test_one_frame_is_enough(plate, tmp_path):
    net = fitted(plate.replace("####", "1001"), tmp_path / "out").at(0)
    assert torch.isfinite(net.transmission).all()


def test_a_hint_on_one_frame_reaches_all(plate, tmp_path):
    hint = np.zeros((HEIGHT, WIDTH), np.float16)
    hint[HEIGHT // 2 :] = 1
    path = tmp_path / "hint" / "hint.1001.exr"
    plate_files.write(path, {name: hint for name in "RGB"})
    model = fitted(plate, tmp_path / "out", hints=(str(path.with_name("hint.####.exr")),))
    for position in range(4):
        through = model.at(position).transmission[0]
        height = through.shape[0]
        assert through[: height // 3].mean() < 0.35
        assert through[2 * height // 3 :].mean() > 0.7
