"""Perceptual features of images: multi-scale gradients by default, VGG16 where its weights are at hand.

Both map (N, 3, h, w) log-encoded images to a list of feature maps. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vdp_engine.errors import FitError

VGG16_FILE = "vgg16-397923af.pth"  # torchvision's VGG16_Weights.IMAGENET1K_V1 as the torch hub caches it
_SCALES = 3
# Outputs of relu1_2, relu2_2 and relu3_3 in torchvision's vgg16().features.
_VGG_TAPS = (3, 8, 15)


def gradients(image: Tensor) -> list[Tensor]:
    """First differences across and down at three scales: structure without any weights."""
    maps: list[Tensor] = []
    for scale in range(_SCALES):
        x = functional.avg_pool2d(image, 2**scale) if scale and min(image.shape[-2:]) >= 2**scale else image
        maps.append(x[..., 1:] - x[..., :-1])
        maps.append(x[:, :, 1:] - x[:, :, :-1])
    return maps


class Vgg16(nn.Module):
    """The first three blocks of VGG16, frozen (Simonyan and Zisserman, 2014), on log-encoded images as they are.

    Args:
        weights: a state dict of torchvision's ``vgg16``.

    Raises:
        FitError: the file is not such a state dict.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from torchvision.models import vgg16

        net = vgg16(weights=None)
        try:
            net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except Exception as error:
            raise FitError(
                f"the VGG16 weights cannot be used: {error}", code="vgg_weights", path=weights,
                expected="the state dict of torchvision's vgg16", remedy="replace or remove the file",
            ) from error  # fmt: skip
        self.blocks = net.features[: _VGG_TAPS[-1] + 1].eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, h, w) to three feature maps at 1, 1/2 and 1/4 of the size."""
        maps: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            image = block(image)
            if index in _VGG_TAPS:
                maps.append(image)
        return maps


def perceptual(device: torch.device) -> tuple[str, Callable[[Tensor], list[Tensor]]]:
    """The best features that need no download: their name, and the function."""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / VGG16_FILE
    if cached.is_file():
        return "vgg16", Vgg16(cached).to(device)
    return "gradients", gradients
