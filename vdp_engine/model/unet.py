"""The shallow U-Net that every net of VDP is: RGB-Nets and α-Net differ only in their channels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as functional
from torch import Tensor

WIDTHS = (16, 24, 32, 32)


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    # GroupNorm: BatchNorm's running statistics over a handful of frames ruined whole shots. LeakyReLU: a dead ReLU
    # in the last block left mattes stuck at one value.
    return [
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.GroupNorm(4, outputs),
        nn.LeakyReLU(0.1, inplace=True),
    ]


def _once(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_conv(inputs, outputs))


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_conv(inputs, outputs), *_conv(outputs, outputs))


class UNet(nn.Module):
    """Four scales, additive cost kept low at the finest one, where most of the pixels are.

    Args:
        inputs: channels in.
        outputs: channels out (no final nonlinearity).
        bias: what the untrained net answers everywhere: its last layer starts at zero weights and this bias.
        widths: channels per scale, finest first.

    Input (N, inputs, h, w) and output (N, outputs, h, w) are float32; any h, w >= 1 (padded inside).
    """

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self._multiple = 2 ** (len(widths) - 1)
        steps = itertools.pairwise(widths)
        self.down = nn.ModuleList([_once(inputs, widths[0])] + [_twice(finer, coarser) for finer, coarser in steps])
        self.up = nn.ModuleList()
        below = widths[-1]
        for width in reversed(widths[1:-1]):
            self.up.append(_twice(below + width, width))
            below = width
        # At the finest scale the coarse features are squeezed to 8 channels first: it halves the cost of a step.
        self.squeeze = nn.Conv2d(below, 8, 1)
        self.finest = _once(8 + widths[0], widths[0])
        self.last = nn.Conv2d(widths[0], outputs, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.last.bias, bias)  # type: ignore[arg-type]

    def keep(self, outputs: int) -> None:
        """Drop all output channels past the first ``outputs``."""
        kept = nn.Conv2d(self.last.in_channels, outputs, 1, device=self.last.weight.device)
        kept.load_state_dict({name: value[:outputs] for name, value in self.last.state_dict().items()})
        self.last = kept

    def forward(self, image: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h, w)."""
        height, width = image.shape[-2:]
        pad = (-width % self._multiple, -height % self._multiple)
        x = functional.pad(image, (0, pad[0], 0, pad[1]), mode="replicate") if any(pad) else image
        scales: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else functional.avg_pool2d(x, 2))
            scales.append(x)
        for block, skip in zip(self.up, reversed(scales[1:-1]), strict=True):
            x = block(torch.cat([_resized(x, skip), skip], 1))
        x = self.finest(torch.cat([_resized(self.squeeze(x), scales[0]), scales[0]], 1))
        return self.last(x)[..., :height, :width]


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
