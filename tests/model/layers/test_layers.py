from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import softmax

from tests.model.net_fakes import plain_evidence, square_shot
from vdp_engine.model import losses
from vdp_engine.model.features import gradients
from vdp_engine.model.layers import objective as layers_objective
from vdp_engine.model.layers.model import apply_layers
from vdp_engine.model.layers.objective import (
    PAPER,
    PHASES,
    LayersObjective,
    recompose,
    visibility,
)
from vdp_engine.model.layers.training import TrainingSet
from vdp_engine.model.task import Phase
from vdp_engine.settings import Settings

EVIDENCE, JOINT, PLAIN = Phase("evidence", 10, 5e-3), Phase("joint", 10, 3e-3), Phase("paper", 10, 2e-3)
SIZE = (24, 32)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def random_mattes(count=3, frames=2, seed=0):
    return softmax(3 * random(frames, count, *SIZE, seed=seed), 1)


def stir(nets, seed=0, by=0.1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in nets.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))


@pytest.fixture(scope="module")
def frames():
    return square_shot(6, SIZE)


@pytest.fixture(scope="module")
def training(frames):
    return TrainingSet.with_evidence(frames, plain_evidence(frames))


def objective(training, **settings):
    torch.manual_seed(0)
    made = LayersObjective(training, Settings(**{"quality": "draft", **settings}), gradients, features_name="gradients")
    stir(made.nets)
    return made


# The objectives


def test_the_paper_has_its_five_terms_and_weights():
    assert PAPER == {"rec": 1.0, "layer": 1.0, "warp": 0.01, "sim": 0.001, "mask": 0.01}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(
    ("name", "phase", "names"),
    [
        ("paper", PLAIN, set(PAPER)),
        ("vdp", EVIDENCE, {"evidence", "smooth", "steady"}),
        ("vdp", JOINT, {*PAPER, "evidence", "smooth", "steady"}),
    ],
)
def test_terms_and_their_weights(training, name, phase, names, count):
    made = objective(training, objective=name, layers=count)
    total, terms = made.loss(phase, 0)
    assert set(terms) == names
    weights = {**PAPER, "evidence": 1.0, "smooth": 0.1, "steady": 0.1}
    assert float(total.detach()) == pytest.approx(sum(weights[n] * float(t) for n, t in terms.items()), rel=1e-5)
    assert all(bool(term.isfinite()) and float(term) >= 0 for term in terms.values())


def test_the_papers_terms_are_those_of_the_formulas(training):
    made = objective(training, objective="paper")
    pairs = training.batch(0, 3, 2)
    chosen = torch.cat([pairs[:, 0], pairs[:, 1]])
    plate, flow_rgb = training.image[chosen], training.flow_rgb[chosen]
    with torch.no_grad():
        _, terms = made.loss(PLAIN, 3)
        mattes = made.nets.logits(plate, flow_rgb).softmax(1)
        colours = made.nets.colours(plate, torch.ones_like(mattes))
    expected = {
        "rec": losses.reconstruction(recompose(mattes, colours), plate, gradients),
        "layer": sum((mattes[:, i, None] * (colours[:, i] - plate).abs()).mean() for i in range(2)),
        "sim": losses.similarity(flow_rgb, mattes[:, 1:]),
        "mask": 1 / (mattes - 0.5).abs().mean(),
    }
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-5), name


def still(training):
    """The same with no motion at all and one picture throughout."""
    values = {
        name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in vars(training).items()
    }
    for name in ("flow", "camera"):
        values[name] *= 0
    for name in ("image", "flow_rgb"):
        values[name] = values[name][:1].expand_as(values[name]).contiguous()
    return TrainingSet(**values)


def test_what_stands_still_costs_nothing_to_carry(training):
    with torch.no_grad():
        _, terms = objective(still(training), objective="paper").loss(PLAIN, 0)
        assert float(terms["warp"]) == 0.0
        _, terms = objective(still(training)).loss(EVIDENCE, 0)
        assert float(terms["steady"]) == 0.0


def test_the_background_is_carried_by_the_camera_and_the_rest_by_the_flow(training):
    moved = still(training)
    moved.camera[:, 0] = 2.0
    made = objective(moved, objective="paper")
    colours = random(2, 2, 3, *SIZE)
    colours[1, 0] = colours[0, 0].roll(2, -1)  # the background moves with the camera
    colours[1, 1] = colours[0, 1]  # the foreground stands still, as the flow says
    pairs = torch.tensor([[0, 1]])
    # What comes from outside is not counted: the camera moves right, so the last two columns leave the picture.
    assert float(made._layer_warp(pairs, colours)) == pytest.approx(0.0, abs=1e-7)
    moved.camera[:, 0] = 0.0
    assert float(made._layer_warp(pairs, colours)) > 0.05


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_target_sums_to_one_and_follows_the_owner(training, count):
    made = objective(training, layers=count)
    made.state["owner"] = torch.randint(0, count, made.state["owner"].shape, dtype=torch.uint8)
    chosen = torch.tensor([0, 3])
    target = made._target(chosen)
    assert target.shape == (2, count, *SIZE)
    torch.testing.assert_close(target.sum(1), torch.ones(2, *SIZE))
    moving = torch.sigmoid(6.0 * training.contrast[chosen])
    for layer in range(1, count):
        expected = moving * (made.state["owner"][chosen] == layer)
        torch.testing.assert_close(target[:, layer], expected)


def test_what_was_hidden_on_purpose_says_nothing_about_the_mattes(training):
    made = objective(training)
    pairs = training.batch(0, 0, 2)
    chosen = torch.cat([pairs[:, 0], pairs[:, 1]])
    mattes = torch.zeros(4, 2, *SIZE)
    mattes[:, 1] = 0.04 + 0.92 * (training.evidence[chosen] + 0.45).clamp(0, 1)
    mattes[:, 0] = 1 - mattes[:, 1]
    mattes.requires_grad_()
    hidden = made._hidden(visibility(mattes), 0) > 0
    assert 0.02 < float(hidden.float().mean()) < 0.5
    terms = made._paper_terms(pairs, chosen, mattes, 0, hide=True)
    (gradient,) = torch.autograd.grad(terms["rec"], mattes, retain_graph=True)
    assert not gradient[hidden.expand_as(gradient)].any()
    assert bool(gradient.any())
    (gradient,) = torch.autograd.grad(terms["layer"] + terms["warp"], mattes, allow_unused=True)
    assert gradient is None  # these shape the colours alone


def test_hidden_regions_depend_on_seed_and_step_alone(training):
    visible = visibility(random_mattes(2, 4))
    visible[:, 1, 4:12, 4:12] = 1.0
    first, second = objective(training), objective(training)
    torch.manual_seed(5)
    assert torch.equal(first._hidden(visible, 7), second._hidden(visible, 7))
    other_seed = objective(training, seed=1)
    assert not torch.equal(first._hidden(visible, 7), other_seed._hidden(visible, 7))
    assert not torch.equal(first._hidden(visible, 7), first._hidden(visible, 8))


# What a fit starts from


def test_evidence_is_kept_in_256_steps_around_one_half(frames):
    plain = plain_evidence(frames)
    signed = np.random.default_rng(0).normal(scale=0.4, size=plain.moving.shape).astype(np.float32)
    signed[0, 0, :4] = [0.0, 0.5, -0.5, 0.25]
    made = objective(TrainingSet.with_evidence(frames, replace(plain, moving=signed)))
    kept = made.state["evidence"].numpy()
    assert kept.dtype == np.uint8
    assert kept[0, 0, :4].tolist() == [128, 255, 0, 191]
    np.testing.assert_allclose(kept / 255, np.clip(signed.astype(float) + 0.5, 0, 1), atol=0.5 / 255 + 1e-6)
    assert torch.equal(made.state["contrast"], torch.from_numpy(signed))  # what the nets learn from is not rounded


def test_a_pixel_belongs_to_the_layer_that_claims_it_and_else_to_the_first(frames):
    claims = np.random.default_rng(0).integers(0, 4, (6, *SIZE), np.uint8)
    made = objective(TrainingSet.with_evidence(frames, replace(plain_evidence(frames), claims=claims)), layers=4)
    np.testing.assert_array_equal(made.state["owner"].numpy(), np.where(claims == 0, 1, claims))


# The curriculum


@pytest.mark.parametrize(("phase", "some"), [(EVIDENCE, False), (JOINT, True)])
def test_the_evidence_phase_trains_the_alpha_net_alone(training, phase, some):
    made = objective(training)
    chosen = {id(parameter) for parameter in made.parameters(phase)}
    assert all(id(parameter) in chosen for parameter in made.nets.alpha.parameters())
    assert all((id(parameter) in chosen) == some for parameter in made.nets.rgb.parameters())


def test_colours_join_the_evidence_at_40_and_70_percent(training):
    made = objective(training)
    plain = training.contrast
    changed = []
    for step in range(EVIDENCE.steps):
        before = made.state["contrast"]
        made.before_step(EVIDENCE, step)
        if made.state["contrast"] is not before:
            changed.append(step)
    assert changed == [4, 7]
    assert float((made.state["contrast"] - plain).abs().max()) <= 0.25 + 1e-6
    before = made.state["contrast"]
    made.before_step(JOINT, 4)
    assert made.state["contrast"] is before


def pretend(monkeypatch, moving):
    monkeypatch.setattr(layers_objective, "moving_matte", lambda nets, evidence, frames, position: moving[position])


def squares(count, frames=6):
    moving = np.zeros((frames, *SIZE), np.float32)
    for index in range(count):
        moving[:, 2:8, 2 + 10 * index : 8 + 10 * index] = 0.8
    return moving


@pytest.mark.parametrize(
    ("setting", "things", "layers_left", "found"),
    [("auto", 2, 3, 2), ("auto", 1, 2, 1), ("auto", 3, 4, 3), ("auto", 0, 2, 0), (2, 2, 2, 2), (4, 1, 4, 1)],
)
def test_what_moves_is_grouped_into_layers(training, frames, monkeypatch, setting, things, layers_left, found):
    made = objective(training, layers=setting)
    moving = squares(things)
    pretend(monkeypatch, moving)
    made.after_phase(EVIDENCE, frames)
    facts = {"layers": layers_left, "found": found, "features": "gradients", "key_frames": 6}
    assert made.facts() == facts
    assert made.nets.count == layers_left
    owner, foreground = made.state["owner"], made.state["foreground"]
    assert (owner.dtype, foreground.dtype) == (torch.uint8, torch.uint8)
    assert int(owner.max()) <= layers_left - 1
    np.testing.assert_array_equal(foreground.numpy(), (moving * 255).astype(np.uint8) * (owner.numpy() > 0))
    made.loss(JOINT, 0)  # what is left fits together
    rebuilt = LayersObjective(training, Settings(layers=setting), gradients, count=made.facts()["layers"])
    rebuilt.nets.load_state_dict(made.nets.state_dict())
    assert int(rebuilt.nets.found) == found


def claimed(frames, hints):
    """Training data in which hints claim the first squares, and are sure of a pixel of each."""
    claims, hinted = np.zeros((6, *SIZE), np.uint8), np.zeros((6, *SIZE), bool)
    for index in range(hints):
        claims[:, :, 10 * index : 10 * index + 10] = hints - index  # the first square is the last layer
        hinted[2, 4, 4 + 10 * index] = True
    return TrainingSet.with_evidence(frames, replace(plain_evidence(frames), claims=claims, hinted=hinted))


@pytest.mark.parametrize(
    ("setting", "things", "hints", "layers_left", "found", "owners"),
    [
        pytest.param(2, 1, 1, 2, 1, [1], id="what is hinted"),
        pytest.param("auto", 2, 1, 3, 2, [1, 2], id="what no hint claims comes after it"),
        pytest.param("auto", 2, 2, 3, 2, [2, 1], id="two hints keep their order"),
        pytest.param("auto", 3, 2, 4, 3, [2, 1, 3], id="two hints and another"),
        pytest.param(4, 1, 1, 4, 1, [1], id="more layers than things"),
    ],
)
def test_hints_say_which_layer_is_which(frames, monkeypatch, setting, things, hints, layers_left, found, owners):
    patterns = tuple(f"hint{index}.png" for index in range(hints))
    made = objective(claimed(frames, hints), layers=setting, hints=patterns)
    pretend(monkeypatch, squares(things))
    made.after_phase(EVIDENCE, frames)
    facts = {"layers": layers_left, "found": found, "features": "gradients", "key_frames": 6}
    assert made.facts() == facts
    owner = made.state["owner"].numpy()
    assert [np.unique(owner[:, 2:8, 2 + 10 * index : 8 + 10 * index]).tolist() for index in range(things)] == [
        [layer] for layer in owners
    ]
    made.loss(JOINT, 0)


def test_a_hint_that_claims_nothing_keeps_its_layer(frames, monkeypatch):
    made = objective(claimed(frames, 1), layers="auto", hints=("one.png", "two.png"))
    pretend(monkeypatch, squares(2))
    made.after_phase(EVIDENCE, frames)
    owner = made.state["owner"]
    assert owner[:, 2:8, 2:8].unique().tolist() == [1]
    assert owner[:, 2:8, 12:18].unique().tolist() == [3]
    assert made.nets.count == 4


def test_after_the_papers_objective_the_layer_with_the_least_motion_is_the_background(training, frames):
    made = objective(training, objective="paper", layers=3)

    def logits(image, flow_rgb):
        # The first net's layer takes what moves, the second the left half, the third the rest.
        moving = flow_rgb[:, 2] > 0.05
        left = torch.zeros_like(moving)
        left[..., :16] = True
        return torch.stack([moving, left & ~moving, ~left & ~moving], 1) * 40.0

    made.nets.logits = logits
    made.after_phase(PLAIN, frames)
    assert int(made.nets.order[-1]) == 0
    found = apply_layers(made.nets, made.state["evidence"], None, frames, 2)
    expected = logits(frames[2].image[None], frames[2].flow_rgb[None]).softmax(1)[0, made.nets.order]
    torch.testing.assert_close(found.mattes, expected)
    foreground = ((1 - expected[0]) * 255).numpy().astype(np.uint8)
    np.testing.assert_array_equal(made.state["foreground"][2].numpy(), foreground)


@pytest.mark.parametrize("name", ["vdp", "paper"])
@pytest.mark.parametrize("quality", ["draft", "standard", "final"])
def test_every_quality_has_its_phases(name, quality):
    names = [phase.name for phase in PHASES[name][quality]]
    assert names == (["evidence", "joint"] if name == "vdp" else ["paper"])


def test_automatic_layers_of_the_papers_objective_are_two(training):
    assert objective(training, layers="auto", objective="paper").nets.count == 2
