import pytest
import torch

from vdp_engine.model.unet import WIDTHS, UNet


def stirred(net, seed=0):
    """The net with weights that are not zero anywhere."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return net


def picture(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (8, 8), (1, 40), (80, 144)])
def test_every_size_comes_out_as_it_went_in(size):
    with torch.no_grad():
        out = stirred(UNet(9, 2))(picture(2, 9, *size))
    assert out.shape == (2, 2, *size)
    assert out.dtype == torch.float32
    assert bool(out.isfinite().all())


@pytest.mark.parametrize("bias", [0.0, -0.5])
def test_an_untrained_net_answers_its_bias(bias):
    out = UNet(3, 2, bias=bias)(picture(1, 3, 16, 24))
    assert torch.equal(out, torch.full_like(out, bias))


def test_a_seed_gives_the_same_net_and_a_net_the_same_answer():
    nets = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        nets.append(UNet(3, 1).state_dict())
    same = [all(torch.equal(nets[0][name], other[name]) for name in nets[0]) for other in nets[1:]]
    assert same == [True, False]
    net, image = stirred(UNet(3, 1)), picture(2, 3, 17, 30)
    with torch.no_grad():
        assert torch.equal(net(image), net(image))


def test_frames_of_a_batch_do_not_see_each_other():
    net, images = stirred(UNet(3, 1)), picture(3, 3, 16, 24)
    with torch.no_grad():
        alone = torch.cat([net(image[None]) for image in images])
        torch.testing.assert_close(net(images), alone, rtol=1e-4, atol=1e-5)


def test_keep_drops_the_last_outputs_and_leaves_the_others_alone():
    net, image = stirred(UNet(3, 4)), picture(1, 3, 16, 24)
    with torch.no_grad():
        before = net(image)
        net.keep(2)
        torch.testing.assert_close(net(image), before[:, :2], rtol=1e-6, atol=1e-6)
    assert net.last.out_channels == 2
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_every_weight_takes_part():
    net = stirred(UNet(3, 2))
    net(picture(1, 3, 32, 32)).square().sum().backward()
    idle = [name for name, parameter in net.named_parameters() if not bool(parameter.grad.abs().sum() > 0)]
    assert idle == []


def test_the_net_sees_further_than_its_coarsest_cell():
    net = stirred(UNet(1, 1))
    image = picture(1, 1, 64, 64).requires_grad_()
    net(image)[0, 0, 32, 32].backward()
    assert float(image.grad[0, 0, 32, 32 + 2 ** len(WIDTHS)].abs()) > 0
