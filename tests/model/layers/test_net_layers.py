"""The layers of one frame: what nets, evidence and owners come to, and how surely."""

import numpy as np
import pytest
import torch

from tests.model.net_fakes import motion_frame, net_frames, square_shot
from vdp_engine.model.layers.model import apply_layers, confidence
from vdp_engine.model.layers.objective import LayersNets, moving_matte

SIZE = (24, 32)


@pytest.fixture(scope="module")
def frames():
    return square_shot(6, SIZE)


@pytest.fixture(scope="module")
def evidence():
    """Anything at all."""
    return torch.randint(0, 256, (6, *SIZE), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def stirred(count):
    nets = LayersNets(count)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in nets.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return nets


def test_the_layers_of_a_frame(frames, evidence):
    for count in (2, 3):
        nets = stirred(count)
        owner = torch.randint(0, count, (6, *SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        found = apply_layers(nets, evidence, owner, frames, 3)
        assert found.mattes.shape == (count, *SIZE)
        assert found.colours.shape == (count, 3, *SIZE)
        torch.testing.assert_close(found.mattes.sum(0), torch.ones(SIZE))
        assert float(found.mattes.min()) >= 0
        assert 0 <= float(found.confidence.min()) <= float(found.confidence.max()) <= 1
        # Nobody's pixels keep next to nothing of their mattes.
        assert float(found.mattes[1:, owner[3] == 0].sum(0).max()) <= 0.05 + 1e-6
        again = apply_layers(nets, evidence, owner, frames, 3)
        for name in ("mattes", "colours", "confidence"):
            assert torch.equal(getattr(found, name), getattr(again, name))


def net_matte(nets, frames, position):
    with torch.no_grad():
        return nets.logits(frames[position].image[None], frames[position].flow_rgb[None]).softmax(1)[0]


@pytest.mark.parametrize("position", [0, 3])
def test_nets_and_evidence_count_half_each(frames, evidence, position):
    nets = stirred(2)
    net, moving = net_matte(nets, frames, position)[1], evidence[position] / 255
    found = apply_layers(nets, evidence, torch.ones(6, *SIZE, dtype=torch.uint8), frames, position)
    torch.testing.assert_close(found.mattes[1], 0.5 * net + 0.5 * moving)
    np.testing.assert_allclose(moving_matte(nets, evidence, frames, position), found.mattes[1].numpy(), atol=1e-6)
    trust = frames[position].trust.amax(0)
    torch.testing.assert_close(found.confidence, confidence(found.mattes[1], found.mattes[1], trust))


def test_evidence_goes_to_the_owner_alone(frames, evidence):
    nets = stirred(3)
    owner = torch.randint(1, 3, (6, *SIZE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    net, moving = net_matte(nets, frames, 3), evidence[3] / 255
    found = apply_layers(nets, evidence, owner, frames, 3).mattes
    for layer in (1, 2):
        torch.testing.assert_close(found[layer], 0.5 * net[layer] + 0.5 * moving * (owner[3] == layer))


def test_what_was_left_out_is_as_sure_as_it_was_not_foreground(frames, evidence):
    nets = stirred(2)
    net, moving = net_matte(nets, frames, 3)[1], evidence[3] / 255
    found = apply_layers(nets, evidence, torch.zeros(6, *SIZE, dtype=torch.uint8), frames, 3)
    sure = 0.5 * net + 0.5 * moving
    torch.testing.assert_close(found.confidence, 0.5 + (0.5 - sure) * (0.5 + 0.5 * frames[3].trust.amax(0)))


def test_the_papers_objective_knows_its_nets_alone(frames, evidence):
    nets = stirred(3)
    found = apply_layers(nets, evidence, None, frames, 3)
    net = net_matte(nets, frames, 3)
    torch.testing.assert_close(found.mattes, net)
    torch.testing.assert_close(found.confidence, confidence(1 - net[0], 1 - net[0], frames[3].trust.amax(0)))


def test_a_layer_in_another_order_keeps_its_own_net(frames, evidence):
    nets = stirred(3)
    plain = apply_layers(nets, evidence, None, frames, 2)
    nets.order.copy_(torch.tensor([2, 0, 1]))
    turned = apply_layers(nets, evidence, None, frames, 2)
    torch.testing.assert_close(turned.mattes, plain.mattes[[2, 0, 1]])
    torch.testing.assert_close(turned.colours, plain.colours[[2, 0, 1]])


# How surely


def test_confidence_by_hand():
    matte = torch.zeros(5, 6)
    matte[1:4, 1:5] = 0.9  # twelve pixels, ten of them its outline, none on the border
    matte[4, 5] = 0.5  # a half is not inside
    sure = matte.clone()
    sure[2, 2] = 0.3  # nets and evidence say no, the matte says yes
    sure[4, 0] = 0.8  # left out: they say yes, the matte no
    trust = torch.ones(5, 6)
    trust[1, 1] = 0.0
    trust[0, 0] = 0.5
    expected = torch.ones(5, 6)
    expected[1:4, 1:5] = 0.9
    expected[1, 1] = 0.5 + 0.4 * 0.5
    expected[2, 2] = 0.3
    expected[4, 0] = 0.2
    expected[4, 5] = 0.5
    expected[0, 0] = 0.5 + 0.5 * 0.75
    torch.testing.assert_close(confidence(sure, matte, trust), expected)


@pytest.mark.parametrize(
    ("rows", "columns", "share"),
    [
        pytest.param(slice(2, 6), slice(3, 7), 0.0, id="free"),
        pytest.param(slice(0, 4), slice(3, 7), 4 / 12, id="one side of a square of four"),
        pytest.param(slice(0, 4), slice(0, 4), 7 / 12, id="two sides"),
        pytest.param(slice(0, 2), slice(0, 10), 12 / 20, id="the upper two rows, ends of the second included"),
        pytest.param(slice(0, 8), slice(0, 10), 1.0, id="everything"),
    ],
)
def test_what_leans_on_the_border_is_foreground_less_surely(rows, columns, share):
    matte = torch.zeros(8, 10)
    matte[rows, columns] = 1.0
    found = confidence(matte, matte, torch.ones(8, 10))
    expected = torch.where(matte > 0, 1 - share, 1.0)
    torch.testing.assert_close(found, expected)


def test_a_frame_without_foreground_is_as_sure_as_it_was_told():
    sure = torch.rand(8, 10, generator=torch.Generator().manual_seed(0)) * 0.5
    torch.testing.assert_close(confidence(sure, torch.zeros(8, 10), torch.ones(8, 10)), 1 - sure)


def test_a_shot_of_one_frame_has_layers():
    frames = net_frames(lambda position: motion_frame(position, 1, SIZE), 1, SIZE)
    found = apply_layers(stirred(2), torch.full((1, *SIZE), 128, dtype=torch.uint8), None, frames, 0)
    assert bool(found.confidence.isfinite().all())
    torch.testing.assert_close(found.mattes.sum(0), torch.ones(SIZE))
