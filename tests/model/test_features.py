import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from vdp_engine.errors import FitError
from vdp_engine.model import features
from vdp_engine.model.features import VGG16_FILE, gradients, perceptual


def halved(image):
    height, width = image.shape[-2] // 2 * 2, image.shape[-1] // 2 * 2
    cut = image[..., :height, :width]
    return (cut[..., ::2, ::2] + cut[..., 1::2, ::2] + cut[..., ::2, 1::2] + cut[..., 1::2, 1::2]) / 4


def test_gradients_are_differences_at_three_scales():
    image = np.random.default_rng(0).random((2, 3, 16, 24))
    expected, scaled = [], image
    for _ in range(3):
        expected += [np.diff(scaled, axis=3), np.diff(scaled, axis=2)]
        scaled = halved(scaled)
    found = gradients(torch.from_numpy(image))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)


def test_a_flat_picture_has_no_gradients():
    assert all(not map_.any() for map_ in gradients(torch.full((1, 3, 8, 8), 0.4)))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty torch cache, and a VGG16 without its fully connected layers, which are 0.5 GB and play no part."""

    class ConvolutionsOfVgg16(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = make_layers(cfgs["D"])

    monkeypatch.setattr("torchvision.models.vgg16", lambda weights: ConvolutionsOfVgg16())
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    yield tmp_path / "checkpoints" / VGG16_FILE, ConvolutionsOfVgg16
    torch.hub.set_dir(before)


def test_without_weights_features_are_gradients(hub):
    assert perceptual(torch.device("cpu")) == ("gradients", gradients)


def test_vgg16_is_used_where_its_weights_are(hub):
    path, make = hub
    torch.manual_seed(0)
    net = make()
    torch.save(net.state_dict(), path)
    name, function = perceptual(torch.device("cpu"))
    assert name == "vgg16"
    image = torch.rand(2, 3, 16, 24, requires_grad=True)
    maps = function(image)
    assert [tuple(m.shape) for m in maps] == [(2, 64, 16, 24), (2, 128, 8, 12), (2, 256, 4, 6)]
    # relu1_2, relu2_2, relu3_3, counted from the configuration: conv-relu pairs with a pooling between the blocks
    for found, layers in zip(maps, (4, 9, 16), strict=True):
        torch.testing.assert_close(found, net.features[:layers](image))
    maps[2].sum().backward()
    assert float(image.grad.abs().sum()) > 0
    assert not any(parameter.requires_grad for parameter in function.parameters())


@pytest.mark.parametrize("content", [b"not a state dict", None])
def test_a_wrong_weights_file_is_named(hub, content):
    path, _ = hub
    if content is None:
        torch.save({"features.0.weight": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(FitError, match=VGG16_FILE) as caught:
        perceptual(torch.device("cpu"))
    assert caught.value.path == path
    assert caught.value.code == "fit.vgg_weights"


def test_the_taps_are_where_torchvision_puts_the_relus():
    layers = make_layers(cfgs["D"])
    assert all(isinstance(layers[tap], nn.ReLU) for tap in features._VGG_TAPS)
