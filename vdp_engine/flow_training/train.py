"""Training of the network that mends flow, on generated scenes; stops and goes on at any step.

Every batch is a function of seed and step, and the checkpoint holds the rest: training that was interrupted ends with
the weights of one that was not (same machine, same number of threads).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from vdp_engine import files
from vdp_engine.flow_training.scenes import TRAINING, Family, Pair, make_pair
from vdp_engine.flow_training.textures import Size
from vdp_engine.motion.boxed import Mender, Way, clues_of, read_weights
from vdp_engine.motion.dis import DisFlow
from vdp_engine.motion.flow_net import Clues, FlowNet, Mended
from vdp_engine.motion.proxy import Proxy

PICTURE: Size = (240, 320)
CROP: Size = (160, 224)
_SCENES_A_STEP = 2  # forward one, backward the other
_STEPS_A_SCENE = 3  # in each of the two roles: a scene and its DIS cost over half of what a step does
_VALIDATION_SCENES = 24
_WARM_UP = 100
_COOL_DOWN = 0.3  # share of the steps over which the rate falls to 0
_MEAN_OF_LAST = 0.998  # weights that are validated and exported: a running mean over some 500 steps
_OUT_OF_SIGHT = 0.5  # how much flow counts where the surface is not seen in the other frame
_BY_ITSELF = 3.0  # how much more where a surface does not move as the camera: else snapping to the camera pays first
_FOUND = 4.0  # and how much more again where the start has found that already: it is what must not be lost
_SHRUNK = 8.0  # what it costs to be nearer to the camera's motion than half way to the truth: then an object is lost
_FROM_DIS = 3  # of so many scenes one is of the first round where a second one is trained
_NO_CAMERA = 0.3  # share of samples that are not told the camera motion
_FIRST_SIZES, _TRUST = 0.3, 0.1  # weights of the flow at 1/8, and of trust

_CPU = torch.device("cpu")
_VALIDATION, _BATCHES = 1, 2  # streams of random numbers; 0: scenes


@dataclass(frozen=True)
class Sample:
    """A pair with what the network is told of it, all with N in front.

    Attributes:
        truth: (N, 2, h, w), flow in pixels.
        weight: (N, h, w), how much each pixel counts.
        hard: (N,), mean end-point error of the start over the whole picture.
    """

    clues: Clues
    truth: Tensor
    weight: Tensor
    hard: Tensor

    def to(self, device: torch.device) -> Sample:
        """The same on another device."""
        clues = Clues(*(one.to(device) for one in vars(self.clues).values()))
        return Sample(clues, *(one.to(device) for one in (self.truth, self.weight, self.hard)))

    def crop(self, top: int, left: int, size: Size, flips: tuple[bool, bool]) -> Sample:
        """A part of it, mirrored across and down as ``flips`` says, and flow with it."""
        rows, columns = slice(top, top + size[0]), slice(left, left + size[1])
        axes = [axis for axis, flip in ((-1, flips[0]), (-2, flips[1])) if flip]
        sign = torch.tensor([-1.0 if flip else 1.0 for flip in flips])[:, None, None]

        def of(x: Tensor) -> Tensor:
            part = x[..., rows, columns].flip(axes)
            return part * sign if part.shape[-3] == 2 else part

        clues = Clues(*map(of, vars(self.clues).values()))
        return Sample(clues, of(self.truth), of(self.weight[:, None])[:, 0], self.hard)


def samples_of(pair: Pair, mender: Mender | None = None) -> tuple[Sample, Sample]:
    """The pair forward and backward, with DIS worked out over the whole picture; or with what ``mender`` makes of DIS,
    for that is what a second round starts from."""
    covered = np.ones(pair.first.shape[:2], np.float32)
    first, second = Proxy(0, pair.first, covered), Proxy(1, pair.second, covered)
    dis = DisFlow()
    there, back = Way(dis.flow(first, second), None), Way(dis.flow(second, first), None)
    if mender is not None:
        there, back = mender.mend(first, second, there, back), mender.mend(second, first, back, there)
    return (
        _sample(clues_of(first, second, there, back), pair),
        _sample(clues_of(second, first, back, there), pair.reversed()),
    )


def _sample(clues: Clues, pair: Pair) -> Sample:
    flow = torch.from_numpy(pair.forward)[None]
    off = _length(clues.start - flow)
    weight = _OUT_OF_SIGHT + (1 - _OUT_OF_SIGHT) * torch.from_numpy(pair.seen)[None].float()
    own = torch.clamp(_length(flow - clues.camera) / 2, max=1.0)
    weight = weight * (1 + own * (_BY_ITSELF + _FOUND * torch.clamp(1 - off / 2, min=0.0)))
    return Sample(clues, flow, weight, off.mean((1, 2)))


def joined(samples: list[Sample]) -> Sample:
    """One batch."""
    clues = Clues(*(torch.cat(one) for one in zip(*(vars(sample.clues).values() for sample in samples), strict=True)))
    parts = [(sample.truth, sample.weight, sample.hard) for sample in samples]
    return Sample(clues, *(torch.cat(one) for one in zip(*parts, strict=True)))


class Batches(Dataset[Sample]):
    """What each step is trained on: a crop of one scene, and one of the next scene the other way round.

    Args:
        mender: what the first round is; its flow is the start then, and DIS in every ``_FROM_DIS``-th scene.
    """

    def __init__(self, seed: int, family: Family = TRAINING, mender: Mender | None = None) -> None:
        self._seed, self._family, self._mender = seed, family, mender
        self._scenes: dict[int, tuple[Sample, Sample]] = {}

    def __getitem__(self, step: int) -> Sample:
        """The batch of a step (N = 2)."""
        rng = np.random.default_rng([self._seed, _BATCHES, step])
        cropped = []
        for index in range(_SCENES_A_STEP):
            sample = self._scene(step // _STEPS_A_SCENE + index)[index]
            top, left = (int(rng.integers(0, PICTURE[axis] - CROP[axis] + 1)) for axis in (0, 1))
            flips = bool(rng.integers(2)), bool(rng.integers(2))
            part = sample.crop(top, left, CROP, flips)
            if rng.random() < _NO_CAMERA:
                part = replace(part, clues=replace(part.clues, camera=part.clues.start))
            cropped.append(part)
        return joined(cropped)

    def _scene(self, index: int) -> tuple[Sample, Sample]:
        if index not in self._scenes:
            self._scenes = {kept: scene for kept, scene in self._scenes.items() if abs(kept - index) < _SCENES_A_STEP}
            pair = make_pair(np.random.default_rng([self._seed, 0, index]), PICTURE, self._family)
            self._scenes[index] = samples_of(pair, self._mender if index % _FROM_DIS else None)
        return self._scenes[index]

    def ahead(self, first: int, last: int) -> Iterator[Sample]:
        """Those of the steps from ``first`` up to before ``last``, worked out by a process of its own meanwhile."""
        return iter(DataLoader(self, batch_size=None, sampler=range(first, last), num_workers=1, prefetch_factor=8))


def loss_of(mended: Mended, sample: Sample) -> Tensor:
    """Robust end-point error of the flow at every correction, and cross entropy of the trust; a scalar.

    Each sample is divided by the root of how far off its start was: else fast scenes would be all that counts.
    """
    weight = sample.weight / torch.sqrt(1 + sample.hard)[:, None, None]
    total = sample.truth.new_zeros(())
    for index, flow in enumerate(mended.coarse):
        ratio = sample.truth.shape[-1] // flow.shape[-1]
        error = _robust(flow - avg_pool2d(sample.truth, ratio))
        share = _FIRST_SIZES * 0.8 ** (len(mended.coarse) - 1 - index)
        total = total + share * (error * avg_pool2d(weight[:, None], ratio)[:, 0]).mean()
    for index, flow in enumerate(mended.fine):
        share = 0.8 ** (len(mended.fine) - 1 - index)
        total = total + share * (_robust(flow - sample.truth) * weight).mean()
    total = total + (_shrunk(mended.flow, sample) * weight).mean()
    return total + _TRUST * binary_cross_entropy_with_logits(mended.trust, right(mended.flow.detach(), sample.truth))


def _shrunk(flow: Tensor, sample: Sample) -> Tensor:
    """(N, h, w): where a guess is all there is, the camera's motion is the likeliest, but a surface that does not move
    with the camera must not seem to; 0 where the camera's motion was not told."""
    told = (sample.clues.camera != sample.clues.start).flatten(1).any(1)[:, None, None]
    apart, found = (_length(one - sample.clues.camera + 1e-3) for one in (sample.truth, flow))
    return told * _SHRUNK * torch.relu(apart / 2 - found) / torch.clamp(apart, min=6.0)


def right(flow: Tensor, truth: Tensor) -> Tensor:
    """(N, h, w), 1 where flow is right to a pixel or to 1/20 of its length: what trust is the chance of."""
    return (_length(flow - truth) < torch.clamp(0.05 * _length(truth), min=1.0)).float()


def _robust(error: Tensor) -> Tensor:
    return ((error**2).sum(1) + 0.01**2) ** 0.4


def _length(flow: Tensor) -> Tensor:
    return torch.sqrt((flow**2).sum(1))


class Training:
    """One training in a folder: ``checkpoint.pt``, ``curve.jsonl``, and ``best.safetensors`` in half precision. Where
    there is ``first.safetensors``, the weights that do the first round, both rounds are trained.

    Args:
        steps: how many there are to be; the learning rate rises over the first, and falls over the last of them.
        validate_every: steps.
        start: weights to begin with, where there is no checkpoint yet; without it the network begins as DIS.
        device: where the network is; scenes are drawn on the CPU.
    """

    def __init__(
        self, folder: Path, steps: int, seed: int = 0, *, rate: float = 4e-4, bfloat16: bool = True,
        validate_every: int = 500, start: Path | None = None, device: torch.device = _CPU,
    ) -> None:  # fmt: skip
        self.folder, self.steps, self.seed = folder, steps, seed
        self._rate, self._bfloat16, self._every = rate, bfloat16, validate_every
        torch.manual_seed(seed)
        self._device = device
        self.net = (FlowNet() if start is None else read_weights(start)[0]).to(device)
        self.mean = {key: value.clone() for key, value in self.net.state_dict().items()}
        self._optimiser = torch.optim.AdamW(self.net.parameters(), lr=rate, weight_decay=1e-4)
        first = folder / "first.safetensors"
        self._mender = Mender(read_weights(first)[0].eval(), _CPU) if first.exists() else None
        self._batches = Batches(seed, mender=self._mender)
        self.step, self.seconds, self.best = 0, 0.0, float("inf")
        self._losses: list[float] = []
        if self._checkpoint.exists():
            self._resume()

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def run(self, minutes: float, tell: Callable[[str], None] = print, save_every: int = 100) -> None:
        """Train until all steps are done or the time is up; what was done is in the folder then."""
        until = time.monotonic() + 60 * minutes
        batches = self._batches.ahead(self.step, self.steps)
        while self.step < self.steps and time.monotonic() < until:
            began = time.process_time()
            self._losses.append(self.one_step(next(batches)))
            self.seconds += time.process_time() - began
            if self.step % self._every == 0 or self.step == self.steps:
                self._validate(tell)
            if self.step % save_every == 0:
                self.save()
        self.save()

    def one_step(self, sample: Sample) -> float:
        """One step; returns its loss."""
        for group in self._optimiser.param_groups:
            group["lr"] = self._rate * rate_share(self.step, self.steps)
        sample = sample.to(self._device)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._bfloat16):
            mended = self.net(sample.clues)
        loss = loss_of(mended, sample)
        if not bool(torch.isfinite(loss)):
            raise FloatingPointError(f"the loss of step {self.step} is {float(loss.detach())}: lower --rate")
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self._optimiser.step()
        self.step += 1
        keep = min(_MEAN_OF_LAST, (self.step + 1) / (self.step + 10))
        for key, value in self.net.state_dict().items():
            self.mean[key].lerp_(value, 1 - keep)
        return float(loss.detach())

    def _validate(self, tell: Callable[[str], None]) -> None:
        net = FlowNet()  # on the CPU, where the engine mostly runs it
        net.load_state_dict(self.mean)
        ours, start, own, own_start = score(net, validation(self.seed, self._mender))
        if (ours + own) / 2 < self.best:
            self.best = (ours + own) / 2
            files.write_bytes(self.folder / "best.safetensors", exported(self.mean))
        line = {
            "step": self.step, "cpu seconds": round(self.seconds), "loss": round(float(np.mean(self._losses)), 4),
            "validation": round(ours, 4), "start": round(start, 4),
            "own": round(own, 4), "own start": round(own_start, 4), "best": round(self.best, 4),
        }  # fmt: skip
        self._losses = []
        with (self.folder / "curve.jsonl").open("a", encoding="utf-8") as curve:
            curve.write(json.dumps(line) + "\n")
        tell(str(line))

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state: dict[str, Any] = {
            "step": self.step, "seconds": self.seconds, "best": self.best, "seed": self.seed, "losses": self._losses,
            "net": self.net.state_dict(), "mean": self.mean, "optimiser": self._optimiser.state_dict(),
        }  # fmt: skip
        with files.atomic(self._checkpoint) as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, map_location=self._device, weights_only=True)
        if state["seed"] != self.seed:
            raise SystemExit(f"{self._checkpoint} was made with --seed {state['seed']}: use that, or another folder")
        self.net.load_state_dict(state["net"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.mean, self._losses = state["mean"], state["losses"]
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]


def rate_share(step: int, steps: int) -> float:
    """Share of the learning rate at a step: up, level, and down to nothing at the end."""
    return min(1.0, (step + 1) / _WARM_UP, max(0.0, (steps - step) / (_COOL_DOWN * steps)))


def exported(state: dict[str, Tensor]) -> bytes:
    """Weights as the engine takes them: half precision, safetensors."""
    return save({key: value.half().cpu().contiguous() for key, value in state.items()})


@lru_cache(1)
def validation(seed: int, mender: Mender | None = None) -> tuple[Sample, ...]:
    """Scenes of the training family that no step sees, in whole pictures; every other one backward."""
    generators = (np.random.default_rng([seed, _VALIDATION, index]) for index in range(_VALIDATION_SCENES))
    pairs = (make_pair(rng, PICTURE, TRAINING) for rng in generators)
    return tuple(samples_of(pair, mender)[index % 2] for index, pair in enumerate(pairs))


def score(net: FlowNet, samples: tuple[Sample, ...]) -> tuple[float, float, float, float]:
    """Mean end-point error in pixels: of the network's flow, of what it started from, and both again over what moves
    otherwise than the camera by more than a pixel."""
    net.eval()
    rows = []
    with torch.inference_mode():
        for sample in samples:
            own = _length(sample.truth - sample.clues.camera) > 1
            for flow in (net(sample.clues).flow, sample.clues.start):
                error = _length(flow - sample.truth)
                rows.append((float(error.mean()), float(error[own].mean()) if own.any() else 0.0))
    means = np.array(rows).reshape(-1, 2, 2).mean(0)
    return float(means[0, 0]), float(means[1, 0]), float(means[0, 1]), float(means[1, 1])
