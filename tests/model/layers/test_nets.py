"""The equation on mattes and colours, and the nets of the task."""

import numpy as np
import pytest
import torch
from torch.nn.functional import softmax

from vdp_engine.model.layers.objective import LayersNets, recompose, visibility
from vdp_engine.plate import log_decode

SIZE = (24, 32)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def random_mattes(count=3, frames=2, seed=0):
    return softmax(3 * random(frames, count, *SIZE, seed=seed), 1)


def stir(nets):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in nets.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


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
