"""Flow of any estimator, refined on the pair itself, and only where measurement says that this helps.

What can be told without training (as in unsupervised flow: Jonschkowski et al., What Matters in Unsupervised Optical
Flow, ECCV 2020) is held against both fields of a pair together: the pictures agree along them (colour, and a ternary
census, Stein 2004), what is added to them is smooth, and forward undoes backward. Where it does not, which is where
something is hidden, the pictures say nothing, and flow is smooth as far as the picture is. A few dozen steps of
gradient descent find what to add.

The pictures are blurred before they are halved: seen without, what they agree best along is up to 0.05 pixels off.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from vdp_engine.motion.estimator import FlowEstimator
from vdp_engine.motion.learned import padded, stretched, turns
from vdp_engine.motion.proxy import Proxy, joint_stretch
from vdp_engine.motion.remembered import Remembered
from vdp_engine.motion.warp import fetched, leads_inside, length

_VERSION = 1  # of all that follows; part of the estimator's name

_STEPS, _RATE = 25, 0.12  # of Adam; pixels of half size, falling to a tenth
_CELL = 8  # pixels of full size between the points at which the correction is found
_BLUR = 2.0  # sigma in pixels of full size
_LOCAL = 17  # pixels of half size whose mean colour is taken off: exposure and shadows change
_COLOUR, _CENSUS, _AGREE, _SMOOTH, _HIDDEN = 1.5, 0.3, 1.0, 0.5, 3.0  # weights
_EDGE = 5.0  # per unit of the stretched picture, -1 to 1: how much less smooth flow is across a step
_HIDDEN_EDGE = 30.0
_FAR = (0.7, 0.07)  # pixels, and share of the flow's length, by which forward and backward may miss each other
_STEP = 0.1  # of the stretched picture: differences that are half a census
_NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1), (0, 2), (2, -2), (2, 0), (2, 2))  # the other half is another pixel's

_JUDGED = 16  # side of the squares that are judged
_MOST_MISS = 4.0  # pixels; hidden places miss by anything
_LEAST_MISS = 0.05  # pixels; below it there is nothing to mend
_FALL, _RISE = 0.1, 0.1  # by which the miss must fall, and by which census may get worse


class RefinedFlow:
    """An estimator whose flow is refined.

    A pair's two fields are worked out together, the earlier frame first, whichever way is asked for first.

    Args:
        inner: an estimator that looks at pictures.
        device: where the refinement runs.
    """

    def __init__(self, inner: FlowEstimator, device: torch.device) -> None:
        self.name = f"{inner.name} refined {_VERSION}"
        self.max_gap = inner.max_gap
        self.witness = inner.witness
        self._inner = inner
        self._device = device
        self._turn = turns(device)
        self._pair = Remembered(self._refined)

    def flow(self, source: Proxy, target: Proxy) -> NDArray[np.float32]:
        """See ``FlowEstimator.flow``."""
        if target.frame < source.frame:
            return self._pair(target, source)[1]
        return self._pair(source, target)[0]

    def _refined(self, first: Proxy, second: Proxy) -> NDArray[np.float32]:
        start = np.stack([self._inner.flow(first, second), self._inner.flow(second, first)])
        with self._turn:
            return refine(first, second, start, self._device)


def refine(first: Proxy, second: Proxy, start: NDArray[np.float32], device: torch.device) -> NDArray[np.float32]:
    """Flow both ways, float32 (2, 2, h, w), from flow both ways (``first`` to ``second``, and back) to be mended.

    What is added is dropped wherever, over a square of 16 pixels, it does not bring forward and backward flow closer
    together by a tenth, or makes the census of the sharp pictures (descent sees blurred ones) disagree by a tenth
    more; and all of it where the two fields do not agree better over the picture, each way. ``start`` itself is
    returned where nothing is left.
    """
    height, width = first.coverage.shape
    pair = _Pair.of(first, second, start, device)
    with torch.enable_grad():
        found = _descend(pair)
    with torch.no_grad():
        added = _enlarged(found, _CELL) * 2.0
        before, after = _Judgement.of(pair, pair.start), _Judgement.of(pair, pair.start + added)
        kept = (before.miss > _LEAST_MISS) & (after.miss < (1 - _FALL) * before.miss)
        kept &= after.census < (1 + _RISE) * before.census + 1e-4
        if not bool(kept.any()):
            return start
        share = avg_pool2d(pad(kept.float(), (1, 1, 1, 1), mode="replicate"), 3, 1)
        mended = pair.start + added * _enlarged(share, _JUDGED)
        gained = _Judgement.of(pair, mended).miss.mean((1, 2, 3)) < before.miss.mean((1, 2, 3))
        if not bool(gained.all()):
            return start
        flow = mended[..., :height, :width].cpu().numpy()
    return np.ascontiguousarray(flow if np.isfinite(flow).all() else start)


@dataclass(frozen=True)
class _Pair:
    """Both ways at once, N = 2: entry 0 looks from the first frame to the second, entry 1 back. Sides are multiples of
    ``_JUDGED``; pictures are stretched to -1..1.

    Attributes:
        start: (2, 2, h, w), flow in pixels.
        covered: (2, 1, h, w), 1 where there is picture.
        sharp: (2, 8, h, w), census.
        soft: (2, 3, h/2, w/2), blurred and halved.
        looks: (2, 11, h/2, w/2), what of ``soft`` is compared: colour without its local mean, and census.
    """

    start: Tensor
    covered: Tensor
    sharp: Tensor
    soft: Tensor
    looks: Tensor

    @classmethod
    def of(cls, first: Proxy, second: Proxy, start: NDArray[np.float32], device: torch.device) -> _Pair:
        low, high = joint_stretch(first, second)
        pictures, halves, locals_ = [], [], []
        for proxy in (first, second):
            picture = padded(stretched(proxy, low, high), _JUDGED, _JUDGED)
            shown = np.ascontiguousarray(picture[0].permute(1, 2, 0).numpy())
            blurred = cv2.GaussianBlur(shown, (0, 0), _BLUR, borderType=cv2.BORDER_REPLICATE)
            half = cv2.resize(blurred, (shown.shape[1] // 2, shown.shape[0] // 2), interpolation=cv2.INTER_AREA)
            around = cv2.blur(half, (_LOCAL, _LOCAL), borderType=cv2.BORDER_REPLICATE)
            pictures.append(picture)
            halves.append(torch.from_numpy(half).permute(2, 0, 1))
            locals_.append(torch.from_numpy(half - around).permute(2, 0, 1))
        local = torch.stack(locals_).to(device)
        covered = torch.from_numpy(np.stack([first.coverage, second.coverage]) > 0.5).float()[:, None]
        below, right = (pictures[0].shape[axis] - covered.shape[axis] for axis in (-2, -1))
        return cls(
            start=padded(torch.from_numpy(start), _JUDGED, _JUDGED).to(device),
            covered=pad(covered, (0, right, 0, below)).to(device),
            sharp=_census(torch.cat(pictures).to(device)),
            soft=torch.stack(halves).to(device),
            looks=torch.cat([_COLOUR * local, _census(local)], 1),
        )


def _descend(pair: _Pair) -> Tensor:
    """(2, 2, h/8, w/8): what to add, in pixels of half size."""
    start = avg_pool2d(pair.start, 2) / 2
    covered = avg_pool2d(pair.covered, 2)
    there = pair.looks.flip(0)
    far, share = _FAR[0] / 2, _FAR[1]
    agree = torch.exp(-((_miss(start) / (far + share * length(start))) ** 2))
    seen = agree * _shown(covered, start)
    hidden = 1 - avg_pool2d(seen[:, None], 2)
    quarter = avg_pool2d(pair.soft, 2)
    across, down = _slack(quarter, _HIDDEN_EDGE)
    across = across * (hidden[..., 1:] + hidden[..., :-1]) / 2
    down = down * (hidden[..., 1:, :] + hidden[..., :-1, :]) / 2
    cell_across, cell_down = _slack(avg_pool2d(quarter, 2), _EDGE)

    added = torch.zeros(*start.shape[:2], start.shape[2] * 2 // _CELL, start.shape[3] * 2 // _CELL, device=start.device)
    added.requires_grad_()
    optimiser = torch.optim.Adam([added], betas=(0.9, 0.99))
    for step in range(_STEPS):
        optimiser.param_groups[0]["lr"] = _RATE * (1.1 - step / _STEPS)
        flow = start + _enlarged(added, _CELL // 2)
        apart = fetched(there, flow, beyond="border") - pair.looks
        colour = torch.sqrt((apart[:, :3] ** 2).sum(1) + 1e-6)
        # The field that is fetched stands still for a step, for its own share of the gradient comes from the other way.
        returned = fetched(flow.detach().flip(0), flow, beyond="border") + flow
        miss = torch.sqrt((returned**2).sum(1) + 0.01)
        loss = (seen * (colour + _CENSUS * _robust(apart[:, 3:]) + _AGREE * miss)).mean()
        loss = loss + _SMOOTH * _rough(added, cell_across, cell_down, 1e-4)
        loss = loss + _HIDDEN * _rough(avg_pool2d(flow, 2), across, down, 1e-3)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return added.detach()


@dataclass(frozen=True)
class _Judgement:
    """Of flow, (2, 1, h/16, w/16) each: how far the two fields miss each other in pixels, and how far the sharp
    pictures disagree along them where they did not miss each other to begin with. Every second pixel is looked at."""

    miss: Tensor
    census: Tensor

    @classmethod
    def of(cls, pair: _Pair, flow: Tensor) -> _Judgement:
        shown = _shown(pair.covered, pair.start)
        agree = torch.exp(-((_miss(pair.start) / (1 + 0.1 * length(pair.start))) ** 2))
        some = (..., slice(0, None, 2), slice(0, None, 2))
        apart = fetched(pair.sharp.flip(0), flow, beyond="border", every=2) - pair.sharp[some]
        miss = _miss(flow)[some].clamp(max=_MOST_MISS) * shown[some]
        census = _robust(apart) * (agree * shown)[some]
        return cls(*(avg_pool2d(one[:, None], _JUDGED // 2) for one in (miss, census)))


def _miss(flow: Tensor) -> Tensor:
    """(2, h, w): how far from its pixel one leads who follows ``flow`` there and the other field back."""
    return length(fetched(flow.flip(0), flow, beyond="border") + flow)


def _shown(covered: Tensor, flow: Tensor) -> Tensor:
    """(2, h, w): how far there is picture at both ends."""
    return covered[:, 0] * fetched(covered.flip(0), flow, beyond="border")[:, 0] * leads_inside(flow)


def _census(picture: Tensor) -> Tensor:
    """(N, 8, h, w), -1 to 1: whether each neighbour is brighter or darker; blind to exposure."""
    grey = picture.mean(1, keepdim=True)
    height, width = grey.shape[-2:]
    around = pad(grey, (2, 2, 2, 2), mode="replicate")
    steps = [around[..., 2 + y : 2 + y + height, 2 + x : 2 + x + width] - grey for y, x in _NEIGHBOURS]
    step = torch.cat(steps, 1)
    return step / torch.sqrt(step**2 + _STEP**2)


def _robust(apart: Tensor) -> Tensor:
    """Mean over channels of differences (N, C, h, w), none of which counts for more than 1."""
    square = apart**2
    return (square / (square + 0.3)).mean(1)


def _slack(picture: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """(N, 1, h, w-1) and (N, 1, h-1, w), 0 to 1: how smooth flow is to be between neighbours."""
    steps = picture[..., 1:] - picture[..., :-1], picture[..., 1:, :] - picture[..., :-1, :]
    across, down = (torch.exp(-sharpness * step.abs().mean(1, keepdim=True)) for step in steps)
    return across, down


def _rough(flow: Tensor, across: Tensor, down: Tensor, softening: float) -> Tensor:
    """Total variation, weighted."""
    steps = (across, flow[..., 1:] - flow[..., :-1]), (down, flow[..., 1:, :] - flow[..., :-1, :])
    sizes = [(weight * torch.sqrt((step**2).sum(1, keepdim=True) + softening)).mean() for weight, step in steps]
    return sizes[0] + sizes[1]


def _enlarged(cells: Tensor, factor: int) -> Tensor:
    """(N, C, h, w) at ``factor`` times the size, bilinear. Of plain sums, so that its gradient is the same to the bit
    each time on a GPU, too, which ``interpolate`` does not promise."""
    for _ in range(2):  # along the last axis, and that becomes the one before
        ends = torch.cat([cells[..., :1], cells, cells[..., -1:]], -1)
        weight = (torch.arange(factor, dtype=cells.dtype, device=cells.device) + 0.5) / factor
        left, right = ends[..., :-1, None], ends[..., 1:, None]
        line = (left + (right - left) * weight).flatten(-2)
        cells = line[..., factor // 2 : line.shape[-1] - factor // 2].transpose(-1, -2)
    return cells
