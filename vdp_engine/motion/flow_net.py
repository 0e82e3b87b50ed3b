"""The network that mends optical flow: what to add to DIS, and how far to trust the sum.

It looks at both pictures at 1/8 and 1/4 of their size, compares features around where the flow leads, and corrects the
flow a few times at each size, as RAFT does (Teed and Deng, ECCV 2020) but in a small neighbourhood (as in PWC-Net, Sun
et al., CVPR 2018), since the start is near already. Beside the pictures it sees three things that a pair of flow
fields tells by itself: the start, how far the flow back disagrees with it, and the camera motion fitted to it; and how
well the pictures agree along the start and along the camera motion. The last layers are zero before training, so that
the network begins as the identity on its start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, normalize, pad, pixel_shuffle, relu

from vdp_engine.motion.warp import fetched

STRIDE = 8
"""Sides of what the network takes are multiples of it."""

_COARSE, _FINE = 8, 4  # sizes at which flow is corrected: 1/8 and 1/4
_STEM, _F4, _F8 = 32, 48, 80  # channels
_MATCH4, _MATCH8 = 32, 64
_HIDDEN4, _HIDDEN8 = 48, 64
_RADIUS4, _RADIUS8, _RADIUS16 = 3, 4, 3  # of the neighbourhood compared, in pixels of each size
_SHARPNESS = 10.0  # correlations of unit vectors are small numbers


@dataclass(frozen=True)
class Clues:
    """What the network is given; all of one size (h, w), multiples of ``STRIDE``, flow in pixels.

    Attributes:
        first, second: (N, 3, h, w), the pictures, log-encoded, their joint range stretched to -1..1.
        start: (N, 2, h, w), flow to be mended.
        disagreement: (N, 2, h, w), start + flow back where start leads: 0 where the two agree.
        camera: (N, 2, h, w), the camera motion fitted to start, or to where it can be trusted.
    """

    first: Tensor
    second: Tensor
    start: Tensor
    disagreement: Tensor
    camera: Tensor


@dataclass(frozen=True)
class Mended:
    """What the network says.

    Attributes:
        flow: (N, 2, h, w) in pixels.
        trust: (N, h, w), logit of the chance that the flow is right to a pixel, or to 1/20 of its length.
        coarse: (N, 2, h/8, w/8) and (N, 2, h/4, w/4) each, in pixels of the full size: the flow on its way.
        fine: (N, 2, h, w), the flow after each correction at 1/4, the last one included; in use that one alone.
    """

    flow: Tensor
    trust: Tensor
    coarse: list[Tensor]
    fine: list[Tensor]


class Features(NamedTuple):
    """Of N pictures at 1/4 and at 1/8 of their size: (N, C, h/4, w/4) and (N, C, h/8, w/8)."""

    four: Tensor
    eight: Tensor

    def swapped(self) -> Features:
        """Of a pair played backwards."""
        return Features(*(torch.cat(one.chunk(2)[::-1]) for one in self))


class FlowNet(nn.Module):
    """See the module; 0.7 million parameters. Everything learned is in ``state_dict``, nothing depends on the size."""

    def __init__(self) -> None:
        super().__init__()
        self.to4 = nn.Sequential(
            nn.Conv2d(3, _STEM, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(_STEM, _F4, 3, stride=2, padding=1), nn.ReLU(), _Residual(_F4),
        )  # fmt: skip
        self.to8 = nn.Sequential(nn.Conv2d(_F4, _F8, 3, stride=2, padding=1), nn.ReLU(), _Residual(_F8))
        self.match4, self.match8 = nn.Conv2d(_F4, _MATCH4, 1), nn.Conv2d(_F8, _MATCH8, 1)
        self.context4, self.context8 = nn.Conv2d(_F4, 2 * _HIDDEN4, 1), nn.Conv2d(_F8, 2 * _HIDDEN8, 1)
        self.carry = nn.Conv2d(_HIDDEN8, _HIDDEN4, 1)  # of what was worked out at 1/8
        compared8 = (2 * _RADIUS8 + 1) ** 2 + (2 * _RADIUS16 + 1) ** 2
        self.update8 = _Update(compared8, _HIDDEN8)
        self.update4 = _Update((2 * _RADIUS4 + 1) ** 2, _HIDDEN4)
        cells = _FINE**2
        self.detail = nn.Sequential(nn.Conv2d(_HIDDEN4, 64, 3, padding=1), nn.ReLU())
        self.weights = nn.Conv2d(64, 9 * cells, 1)
        self.last = nn.Conv2d(64, 2 * cells, 1)  # how far to replace the start, and trust
        for layer in (self.last, self.update8.change, self.update4.change):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def features(self, pictures: Tensor) -> Features:
        """What ``forward`` works out of pictures (N, 3, h, w) alone, whichever of a pair they are."""
        four = self.to4(pictures)
        return Features(four, self.to8(four))

    def forward(self, clues: Clues, coarse: int = 3, fine: int = 2, features: Features | None = None) -> Mended:
        """Mend ``clues.start`` by ``coarse`` corrections at 1/8 and ``fine`` (at least 1) at 1/4 of the size.

        Args:
            features: those of the first and then of the second pictures, where they are known.
        """
        count = len(clues.first)
        four, eight = self.features(torch.cat([clues.first, clues.second])) if features is None else features
        match4, match8 = (normalize(one.float(), dim=1) for one in (self.match4(four), self.match8(eight)))
        told = torch.cat([clues.start, clues.disagreement, clues.camera], 1)
        fits = torch.cat([_misfit(clues, flow) for flow in (clues.start, clues.camera)], 1)

        told8, fits8 = avg_pool2d(told, _COARSE) / _COARSE, avg_pool2d(fits, _COARSE)
        hidden, context = self.context8(eight[:count]).chunk(2, 1)
        hidden, context = torch.tanh(hidden), relu(context)
        pair8 = match8[:count], match8[count:]
        pair16 = tuple(avg_pool2d(one, 2, ceil_mode=True) for one in pair8)
        change, on_the_way = torch.zeros_like(told8[:, :2]), []
        for _ in range(coarse):
            flow = told8[:, :2] + change.detach()
            near = compare(*pair8, flow, _RADIUS8)
            flow16 = avg_pool2d(flow, 2, ceil_mode=True) / 2
            far = compare(pair16[0], pair16[1], flow16, _RADIUS16)
            far = interpolate(far, size=near.shape[-2:], mode="nearest")
            hidden, more = self.update8(hidden, context, torch.cat([near, far], 1), told8, fits8, flow)
            change = change.detach() + more
            on_the_way.append((told8[:, :2] + change) * _COARSE)

        told4, fits4 = avg_pool2d(told, _FINE) / _FINE, avg_pool2d(fits, _FINE)
        more_hidden, context = self.context4(four[:count]).chunk(2, 1)
        up = interpolate(self.carry(hidden).float(), scale_factor=2.0, mode="bilinear", align_corners=False)
        hidden, context = torch.tanh(more_hidden + up), relu(context)
        change = interpolate(change, scale_factor=2.0, mode="bilinear", align_corners=False) * (_COARSE / _FINE)
        finest: list[Tensor] = []
        for number in range(fine):
            flow = told4[:, :2] + change.detach()
            near = compare(match4[:count], match4[count:], flow, _RADIUS4)
            hidden, more = self.update4(hidden, context, near, told4, fits4, flow)
            change = change + more if number == 0 else change.detach() + more
            if number < fine - 1 and not self.training:
                continue
            detail = self.detail(hidden)
            replace, trust = pixel_shuffle(self.last(detail).float(), _FINE).unbind(1)
            flow = self._enlarged(told4[:, :2], change, self.weights(detail).float(), clues.start, replace)
            finest.append(flow)
        return Mended(finest[-1], trust, on_the_way, finest)

    def _enlarged(self, start4: Tensor, change: Tensor, weights: Tensor, start: Tensor, replace: Tensor) -> Tensor:
        """Flow at full size: ``start`` plus the change, each pixel's a weighted mean of the nine cells around it; and
        where ``replace`` says so, the start is such a mean too, which has edges where the picture has them."""
        count, _, height, width = change.shape
        values = pad(torch.cat([change, start4], 1) * _FINE, (1, 1, 1, 1), mode="replicate")
        shares = weights.view(count, 9, _FINE**2, height, width).softmax(1)
        mean = torch.zeros((), dtype=values.dtype, device=values.device)
        for cell in range(9):  # one by one: all products at once are 60 MB of a picture of 480x854
            down, across = divmod(cell, 3)
            value = values[..., down : down + height, across : across + width]
            mean = torch.addcmul(mean, value[:, :, None], shares[:, None, cell])
        mean = pixel_shuffle(mean.flatten(1, 2), _FINE)
        return start + mean[:, :2] + torch.tanh(replace)[:, None] * (mean[:, 2:] - start)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(relu(self.first(x)))


class _Update(nn.Module):
    """One correction of the flow at one size: a gated recurrent unit with one gate, and a head."""

    def __init__(self, compared: int, hidden: int) -> None:
        super().__init__()
        told = 3 * 3 + 2
        self.seen = nn.Conv2d(compared, hidden, 1)
        self.motion = nn.Conv2d(hidden + told, hidden - 8, 3, padding=1)
        self.gate = nn.Conv2d(hidden + hidden + hidden - 8 + told, 2 * hidden, 3, padding=1)
        self.head = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.change = nn.Conv2d(hidden, 2, 3, padding=1)

    def forward(
        self, hidden: Tensor, context: Tensor, compared: Tensor, told: Tensor, fits: Tensor, flow: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The new hidden state, and what to add to the flow."""
        start, disagreement, camera = told.chunk(3, 1)
        offsets = [_measured(one) for one in (start - flow, disagreement, camera - flow)]
        beside = torch.cat([*offsets, fits], 1)
        motion = relu(self.motion(torch.cat([relu(self.seen(compared)), beside.to(hidden.dtype)], 1)))
        gate, new = self.gate(torch.cat([hidden, context, motion, beside.to(hidden.dtype)], 1)).chunk(2, 1)
        gate = torch.sigmoid(gate)
        hidden = (1 - gate) * hidden + gate * torch.tanh(new)
        return hidden, self.change(relu(self.head(hidden))).float()


def _misfit(clues: Clues, flow: Tensor) -> Tensor:
    """(N, 1, h, w), 0 to 1: how far the second picture, fetched along ``flow``, is from the first."""
    apart = (clues.first - fetched(clues.second, flow, beyond="zeros")).abs().mean(1, keepdim=True)
    return apart / (apart + 0.1)


def _measured(offset: Tensor) -> Tensor:
    """(N, 2, h, w) as three bounded channels: direction times length on a root scale, and the length."""
    length = torch.sqrt((offset**2).sum(1, keepdim=True) + 1e-4)
    return torch.cat([offset / torch.sqrt(length + 0.1), torch.log1p(4 * length)], 1)


def compare(first: Tensor, second: Tensor, flow: Tensor, radius: int) -> Tensor:
    """Correlation of ``first`` (N, C, h, w) at each pixel with ``second`` around where ``flow`` (N, 2, h, w) leads.

    Returns:
        (N, (2 radius + 1)², h, w), the neighbourhood row by row.
    """
    compared: Tensor = _Compared.apply(first, pad(fetched(second, flow, beyond="zeros"), (radius,) * 4), radius)
    return compared * _SHARPNESS


class _Compared(torch.autograd.Function):
    """Products summed over channels for each shift; its own gradient, for autograd's copies all of it each time."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, moved: Tensor, radius: int) -> Tensor:
        ctx.save_for_backward(first, moved)
        ctx.radius = radius
        return torch.stack([(first * moved[shift]).sum(1) for shift in _shifts(first, radius)], 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        first, moved = ctx.saved_tensors
        to_first, to_moved = torch.zeros_like(first), torch.zeros_like(moved)
        for index, shift in enumerate(_shifts(first, ctx.radius)):
            gradient = gradients[0][:, index : index + 1]
            to_first.addcmul_(gradient, moved[shift])
            to_moved[shift].addcmul_(gradient, first)
        return to_first, to_moved, None


def _shifts(first: Tensor, radius: int) -> list[tuple]:
    """Index of each shifted view of the padded other picture, row by row."""
    height, width = first.shape[-2:]
    sides = range(2 * radius + 1)
    return [(..., slice(down, down + height), slice(across, across + width)) for down in sides for across in sides]
