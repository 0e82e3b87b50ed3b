"""The objective of relight: what well lit means, γ, hints, and how the model is applied."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.model.tiny_shot import CPU, Recorder, shot_of, small, write_plate
from vdp_engine.model import fit, load_decomposition
from vdp_engine.model.features import gradients
from vdp_engine.model.fit import net_frames, one_cycle
from vdp_engine.model.keyframes import KeyFrames
from vdp_engine.model.relight import objective as relight
from vdp_engine.model.relight.model import carried_hints
from vdp_engine.model.relight.objective import RelightObjective, brightest, shoulder, stops
from vdp_engine.model.task import Phase
from vdp_engine.motion import prep
from vdp_engine.plate import log_encode
from vdp_engine.settings import Settings

DEVICE = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    with small():
        monkeypatch.setitem(relight.PHASES["vdp"], "draft", (Phase("light", 4, 5e-3),))
        monkeypatch.setitem(relight.PHASES["vdp"], "standard", (Phase("light", 30, 5e-3),))
        monkeypatch.setitem(relight.PHASES["paper"], "draft", (Phase("paper", 2, 2e-3),))
        yield


def dark_scene(size=(24, 32), stops_down=5.0):
    """(3, h, w), scene-linear: texture with white patches, lit from the left, some stops down."""
    rng = np.random.default_rng(0)
    texture = np.exp(rng.normal(-1.5, 0.6, (1, *size))) * np.array([1.0, 0.8, 0.6])[:, None, None]
    texture[:, 4:8, 4:8] = 1.0
    light = np.exp2(-np.linspace(0, 3, size[1]))
    return torch.from_numpy((texture * light * 2.0**-stops_down).astype(np.float32))


def key_frames(light, count=2):
    """Frames that stand still."""
    h, w = light.shape[-2:]
    image = log_encode(light)[None].repeat(count, 1, 1, 1)
    return KeyFrames(
        count=count, places=torch.arange(count), pairs=torch.tensor([[0, count - 1]]), image=image,
        flow_rgb=torch.zeros(count, 6, h, w), flow=torch.zeros(count, 2, h, w), trust=torch.ones(count, h, w),
        camera=torch.zeros(count, 2, h, w),
    )  # fmt: skip


def objective(light, settings: Any = None, **more: Any) -> RelightObjective:
    chosen = Settings(task="relight", quality="standard", **(settings or {}))
    torch.manual_seed(0)
    return RelightObjective(key_frames(light), chosen, gradients, highlights=brightest(light), **more)


def optimise(made: RelightObjective) -> dict[str, float]:
    terms = {}
    for phase in made.phases:
        parameters = made.parameters(phase)
        optimiser = torch.optim.AdamW(parameters, phase.rate)
        for step in range(phase.steps):
            for group in optimiser.param_groups:
                group["lr"], group["betas"] = one_cycle(phase, step)
            loss, terms = made.loss(phase, step)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        made.after_phase(phase, None)  # type: ignore[arg-type]
    return {name: float(value) for name, value in terms.items()}


def test_shoulder_is_smooth_rising_and_bounded():
    light = torch.logspace(-6, 5, 4000, dtype=torch.float64)
    held = shoulder(light)
    assert torch.all(held.diff() >= 0)
    assert held.max() <= 1
    knee = relight.KNEE**2.2
    torch.testing.assert_close(held[light <= knee], light[light <= knee])
    at = torch.tensor([knee], dtype=torch.float64, requires_grad=True)
    below, above = (torch.autograd.grad(shoulder(at * scale).sum(), at)[0] for scale in (1 - 1e-6, 1 + 1e-6))
    torch.testing.assert_close(below, above, rtol=1e-4, atol=0)


def test_brightest_is_the_surface_and_not_the_lamp():
    light = torch.full((3, 100, 100), 0.02)
    light[:, :10, :30] = 0.1  # 3 % of the picture
    assert brightest(light) == pytest.approx(0.1, rel=1e-5)
    light[:, 50:55, 50:55] = 900.0
    assert brightest(light) == pytest.approx(4 * 0.1, rel=1e-5)


@pytest.mark.parametrize("stops_down", [2.0, 5.0])
def test_key_brings_the_brightest_surfaces_to_white(stops_down):
    made = objective(dark_scene(stops_down=stops_down))
    light = brightest(dark_scene(stops_down=stops_down))
    assert light * 2 ** float(made.nets.key) == pytest.approx(relight.WHITE, rel=1e-5)


def test_what_is_lit_is_not_darkened():
    assert float(objective(8 * dark_scene(stops_down=0)).nets.key) == 0


def test_gamma_does_not_depend_on_where_it_starts():
    found = []
    for start in (1.1, 1.3, 1.5, 1.8, 2.5):
        made = objective(dark_scene(), gamma_start=start)
        assert float(made.nets.gamma.detach()) == pytest.approx(start, rel=1e-5)
        optimise(made)
        found.append(float(made.nets.gamma.detach()))
    assert max(found) - min(found) < 0.01
    assert 1 < min(found) < relight.MOST_GAMMA


def test_a_single_frame_is_looked_at_once():
    light, seen = dark_scene(), []
    settings = Settings(task="relight", quality="standard")
    both = []
    for frames in (key_frames(light, count=1), key_frames(light, count=2)):
        torch.manual_seed(0)
        made = RelightObjective(frames, settings, gradients, highlights=brightest(light))
        made.nets.rgb.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
        both.append(made.loss(made.phases[0], 0)[1])
    assert seen == [1, 2]
    alone, still = both
    assert alone["warp"] == alone["steady"] == 0
    for name in alone.keys() - {"warp", "steady"}:
        torch.testing.assert_close(alone[name], still[name], msg=name)


def test_a_locked_gamma_stays():
    made = objective(dark_scene(), {"gamma": 1.75})
    optimise(made)
    assert float(made.nets.gamma) == pytest.approx(1.75, rel=1e-6)
    assert made.facts()["gamma"] == pytest.approx(1.75, rel=1e-6)


def test_equation_holds_between_the_two_nets():
    """After the fit R of the RGB-Net and A of the α-Net explain the plate, as log X = γ⁻¹ (log(1/A) + log R)."""
    made = objective(dark_scene())
    optimise(made)
    frames = key_frames(dark_scene())
    x = stops(dark_scene()[None])
    with torch.no_grad():
        gain = made.nets.log_gain(made.nets.lighting(x, frames.flow_rgb[:1]))
        recomposed = (made.nets.relit(x) - gain) / made.nets.gamma
        untrained = (x + made.nets.key - gain) / made.nets.gamma
    error, before = ((one - x).abs().mean() for one in (recomposed, untrained))
    assert error < 0.35
    assert error < 1.5 * before


def test_lighting_is_smoother_than_the_plate_and_follows_it():
    light = dark_scene()
    made = objective(light)
    optimise(made)
    x = stops(light[None])
    grey = stops(relight.luminance(light[None]))[0, 0]
    with torch.no_grad():
        drawn = made.nets.lighting(x, torch.zeros(1, 6, *grey.shape))[0, 0]
    assert drawn.diff(dim=1).abs().mean() < 0.5 * grey.diff(dim=1).abs().mean()
    assert np.corrcoef(drawn.mean(0), -np.linspace(0, 3, grey.shape[1]))[0, 1] > 0.9


def test_a_hint_moves_the_lighting():
    light = dark_scene()
    hint = torch.zeros(2, 2, *light.shape[1:])
    hint[:, 1] = 1
    hint[:, 0, :, 16:] = 1  # the right is well lit, says the artist, although it is the darker side
    plain, hinted = objective(light), objective(light, {"hints": ("rough.png",)}, hints=hint)
    sides = []
    for made in (plain, hinted):
        optimise(made)
        with torch.no_grad():
            drawn = made.nets.lighting(stops(light[None]), torch.zeros(1, 6, *light.shape[1:]))[0, 0]
        sides.append(float(drawn[:, 20:].mean() - drawn[:, :12].mean()))
    assert sides[0] < 0 < sides[1]


def test_papers_objective_has_the_papers_terms_alone():
    made = objective(dark_scene(), {"objective": "paper"})
    _, terms = made.loss(made.phases[0], 0)
    assert set(terms) == {"rec", "warp"}
    assert float(made.nets.key) == 0


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    with small():
        yield write_plate(tmp_path_factory.mktemp("plate"), 3, change=lambda _, image: image.__imul__(0.02))


@pytest.mark.parametrize("objective_name", ["vdp", "paper"])
def test_the_fit_gives_a_model_for_every_frame(tmp_path, plates, objective_name):
    shot = shot_of(plates, tmp_path, task="relight", objective=objective_name)
    shot.save()
    prep(shot, CPU, Recorder())
    fit(shot, CPU, Recorder())
    model = load_decomposition(shot, DEVICE)
    assert model.facts["task"] == "relight"
    gamma = model.gamma
    assert gamma > 1
    for position in range(3):
        net = model.at(position)
        assert net.lighting.shape == net.confidence.shape == (32, 48)
        assert torch.isfinite(net.lighting).all()
        assert net.gamma == gamma
        # lit(b) of the fit: where a pixel is as bright as its lighting, R = A X^γ is lit to b + key + φ (pivot − b).
        if objective_name == "vdp":
            lit = net.offset + (net.slope + gamma) * net.lighting
            wanted = (1 - relight.FILL) * net.lighting + float(model.facts["key"]) + relight.FILL * net.pivot
            torch.testing.assert_close(lit, wanted, rtol=0, atol=1e-4)


def test_one_frame_and_the_same_bytes_again(tmp_path):
    pattern = write_plate(tmp_path / "plate", 1, change=lambda _, image: image.__imul__(0.02))
    found = []
    for name in ("a", "b"):
        shot = shot_of(pattern, tmp_path / name, task="relight")
        shot.save()
        prep(shot, CPU, Recorder())
        fit(shot, CPU, Recorder())
        found.append(shot.model_file.read_bytes())
    assert found[0] == found[1]


def test_hints_are_carried_along_the_flow(tmp_path, plates):
    shot = shot_of(plates, tmp_path, task="relight")
    shot.save()
    prep(shot, CPU, Recorder())
    frames = net_frames(shot)
    given = torch.zeros(2, *frames.size)
    given[0, :, : frames.size[1] // 2] = 1
    given[1] = 1
    carried = carried_hints(frames, {1: given})
    torch.testing.assert_close(carried[1], given)
    for position in (0, 2):
        known = carried[position, 1] > 0.5
        assert known.float().mean() > 0.5
        assert ((carried[position, 0] - given[0]).abs() < 0.1)[known].float().mean() > 0.9


def test_stops_are_log2_with_a_floor():
    light = torch.tensor([1.0, 0.125, 0.0, -3.0])
    torch.testing.assert_close(stops(light), torch.tensor([0.0, -3.0, math.log2(relight.DARKEST), -14.0]))
