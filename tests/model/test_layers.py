import numpy as np
import pytest
import torch
from torch.nn.functional import softmax

from tests.model.net_fakes import square_shot
from vdp_engine.model import layers, losses
from vdp_engine.model.features import gradients
from vdp_engine.model.layers import (
    PAPER,
    PHASES,
    THRESHOLD,
    LayersNets,
    LayersObjective,
    Phase,
    apply_layers,
    moving_matte,
    recompose,
    visibility,
)
from vdp_engine.model.training import TrainingSet
from vdp_engine.plate import log_decode
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
    return TrainingSet.of(frames)


def objective(training, **settings):
    torch.manual_seed(0)
    made = LayersObjective(training, Settings(**{"quality": "draft", **settings}), gradients)
    stir(made.nets)
    return made


# The equation


@pytest.mark.parametrize("count", [2, 3, 4])
def test_light_adds_up_in_linear(count):
    mattes, colours = random_mattes(count).double(), random(2, count, 3, *SIZE, seed=1).double() * 1.2
    linear = np.zeros((2, 3, *SIZE))
    for i in range(count):
        linear += mattes[:, i, None].numpy() * log_decode(colours[:, i].numpy())
    found = recompose(mattes, colours)
    np.testing.assert_allclose(log_decode(found.numpy()), linear, rtol=1e-9)


def test_a_layer_that_is_alone_is_the_picture():
    mattes = torch.zeros(1, 3, *SIZE)
    mattes[:, 1] = 1.0
    colours = random(1, 3, 3, *SIZE)
    torch.testing.assert_close(recompose(mattes, colours), colours[:, 1], rtol=1e-5, atol=1e-6)


# The nets


@pytest.mark.parametrize("count", [2, 3, 4])
def test_mattes_sum_to_one(count):
    nets = LayersNets(count)
    stir(nets)
    with torch.no_grad():
        logits = nets.logits(random(2, 3, *SIZE), random(2, 6, *SIZE, seed=1))
    assert logits.shape == (2, count, *SIZE)
    assert not logits[:, 0].any()  # the background's logit is 0
    torch.testing.assert_close(logits.softmax(1).sum(1), torch.ones(2, *SIZE))
    if count == 2:
        torch.testing.assert_close(logits.softmax(1)[:, 1], torch.sigmoid(logits[:, 1]))


def test_nets_standardise_by_the_colours_of_the_shot():
    images = random(4, 3, *SIZE) * torch.tensor([0.1, 0.5, 1.0])[None, :, None, None]
    nets = LayersNets(2)
    nets.standardise(images)
    values = images.double().numpy()
    np.testing.assert_allclose(nets.mean[:, 0, 0].numpy(), values.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(nets.spread[:, 0, 0].numpy(), values.std((0, 2, 3), ddof=1), rtol=1e-5)
    nets.standardise(torch.full((1, 3, 4, 4), 0.3))
    assert float(nets.spread.min()) > 0


def test_a_net_sees_no_more_of_the_plate_than_its_layer():
    nets = LayersNets(2)
    stir(nets)
    image, visible = random(1, 3, *SIZE), torch.ones(1, 2, *SIZE)
    visible[:, 0, 8:16, 8:16] = 0.0
    changed = image.clone()
    changed[:, :, 8:16, 8:16] = 5.0
    with torch.no_grad():
        before, after = nets.colours(image, visible), nets.colours(changed, visible)
    assert before.shape == (1, 2, 3, *SIZE)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert float((after[:, 1] - before[:, 1]).abs().max()) > 0.1


def test_keep_drops_layers_from_the_top():
    nets = LayersNets(4)
    stir(nets)
    image, flow_rgb, visible = random(1, 3, *SIZE), random(1, 6, *SIZE, seed=1), torch.ones(1, 4, *SIZE)
    with torch.no_grad():
        logits, colours = nets.logits(image, flow_rgb), nets.colours(image, visible)
        nets.keep(2)
        torch.testing.assert_close(nets.logits(image, flow_rgb), logits[:, :2])
        torch.testing.assert_close(nets.colours(image, visible[:, :2]), colours[:, :2])
    assert (nets.count, nets.order.tolist(), len(nets.rgb)) == (2, [0, 1], 2)
    again = LayersNets(2)
    again.load_state_dict(nets.state_dict())


def test_visibility_is_sharp_and_carries_no_gradient():
    mattes = torch.tensor([0.0, 0.5, 0.625, 0.75, 1.0], requires_grad=True)
    found = visibility(mattes)
    assert found.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert not found.requires_grad


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
    moving = torch.sigmoid(6.0 * (training.contrast[chosen] - THRESHOLD))
    for layer in range(1, count):
        expected = moving * (made.state["owner"][chosen] == layer)
        torch.testing.assert_close(target[:, layer], expected)


def test_what_was_hidden_on_purpose_says_nothing_about_the_mattes(training):
    made = objective(training)
    pairs = training.batch(0, 0, 2)
    chosen = torch.cat([pairs[:, 0], pairs[:, 1]])
    mattes = torch.zeros(4, 2, *SIZE)
    mattes[:, 1] = 0.04 + 0.92 * training.evidence[chosen].clamp(0, 1)
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


# The curriculum


@pytest.mark.parametrize(("phase", "some"), [(EVIDENCE, False), (JOINT, True)])
def test_the_evidence_phase_trains_the_alpha_net_alone(training, phase, some):
    made = objective(training)
    chosen = {id(parameter) for parameter in made.parameters(phase)}
    assert all(id(parameter) in chosen for parameter in made.nets.alpha.parameters())
    assert all((id(parameter) in chosen) == some for parameter in made.nets.rgb.parameters())


def test_colours_join_the_evidence_at_40_and_70_percent(training):
    made = objective(training)
    plain = training.contrast - THRESHOLD
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
    monkeypatch.setattr(layers, "moving_matte", lambda nets, frames, position: moving[position])


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
    assert made.facts() == {"layers": layers_left, "found": found}
    assert made.nets.count == layers_left
    owner, foreground = made.state["owner"], made.state["foreground"]
    assert (owner.dtype, foreground.dtype) == (torch.uint8, torch.uint8)
    assert int(owner.max()) <= layers_left - 1
    np.testing.assert_array_equal(foreground.numpy(), (moving * 255).astype(np.uint8) * (owner.numpy() > 0))
    made.loss(JOINT, 0)  # what is left fits together
    rebuilt = LayersObjective(training, Settings(layers=setting), gradients, count=made.facts()["layers"])
    rebuilt.nets.load_state_dict(made.nets.state_dict())
    assert int(rebuilt.nets.found) == found


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
    found = apply_layers(made.nets, None, frames, 2)
    expected = logits(frames[2].image[None], frames[2].flow_rgb[None]).softmax(1)[0, made.nets.order]
    torch.testing.assert_close(found.mattes, expected)
    foreground = ((1 - expected[0]) * 255).numpy().astype(np.uint8)
    np.testing.assert_array_equal(made.state["foreground"][2].numpy(), foreground)


@pytest.mark.parametrize("name", ["vdp", "paper"])
@pytest.mark.parametrize("quality", ["draft", "standard", "final"])
def test_every_quality_has_its_phases(name, quality):
    names = [phase.name for phase in PHASES[name][quality]]
    assert names == (["evidence", "joint"] if name == "vdp" else ["paper"])


# One frame


@pytest.mark.parametrize("count", [2, 3])
def test_the_layers_of_a_frame(frames, count):
    nets = LayersNets(count)
    stir(nets)
    owner = torch.randint(0, count, (6, *SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = apply_layers(nets, owner, frames, 3)
    assert found.mattes.shape == (count, *SIZE)
    assert found.colours.shape == (count, 3, *SIZE)
    torch.testing.assert_close(found.mattes.sum(0), torch.ones(SIZE))
    assert float(found.mattes.min()) >= 0
    assert 0 <= float(found.confidence.min()) <= float(found.confidence.max()) <= 1
    # Nobody's pixels keep next to nothing of their mattes.
    assert float(found.mattes[1:, owner[3] == 0].sum(0).max()) <= 0.05 + 1e-6
    again = apply_layers(nets, owner, frames, 3)
    assert all(torch.equal(getattr(found, name), getattr(again, name)) for name in ("mattes", "colours", "confidence"))


def test_nets_and_evidence_count_half_each(frames):
    nets = LayersNets(2)
    stir(nets)
    with torch.no_grad():
        net = nets.logits(frames[3].image[None], frames[3].flow_rgb[None]).softmax(1)[0, 1]
    evidence = (frames.gathered_evidence(3) - THRESHOLD + 0.5).clamp(0, 1)
    found = apply_layers(nets, torch.ones(6, *SIZE, dtype=torch.uint8), frames, 3)
    torch.testing.assert_close(found.mattes[1], 0.5 * net + 0.5 * evidence)
    np.testing.assert_allclose(moving_matte(nets, frames, 3), found.mattes[1].numpy(), atol=1e-6)
    torch.testing.assert_close(found.confidence, (1 - (net - evidence).abs()) * frames[3].trust.amax(0))


def test_a_layer_in_another_order_keeps_its_own_net(frames):
    nets = LayersNets(3)
    stir(nets)
    plain = apply_layers(nets, None, frames, 2)
    nets.order.copy_(torch.tensor([2, 0, 1]))
    turned = apply_layers(nets, None, frames, 2)
    torch.testing.assert_close(turned.mattes, plain.mattes[[2, 0, 1]])
    torch.testing.assert_close(turned.colours, plain.colours[[2, 0, 1]])


def test_automatic_layers_of_the_papers_objective_are_two(training):
    assert objective(training, layers="auto", objective="paper").nets.count == 2
