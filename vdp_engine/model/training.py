"""The frames a fit looks at, and the batches drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vdp_engine.model.frames import NetFrames, without_border
from vdp_engine.model.keyframes import key_pairs


@dataclass(frozen=True)
class TrainingSet:
    """N key frames at net size (h, w), and the pairs of consecutive ones among them; float32.

    Attributes:
        count: frames in the shot.
        places: (N,) position of each key frame in the shot.
        pairs: (P, 2) indices into the N frames, later frame second.
        image: (N, 3, h, w), log-encoded.
        flow_rgb: (N, 6, h, w).
        evidence: (N, h, w), gathered along the motion.
        contrast: (N, h, w), the same less what hangs together with the border; its sign decides.
        flow, trust, camera: (N, 2, h, w), (N, h, w), (N, 2, h, w), to the next frame of the shot.
    """

    count: int
    places: Tensor
    pairs: Tensor
    image: Tensor
    flow_rgb: Tensor
    evidence: Tensor
    contrast: Tensor
    flow: Tensor
    trust: Tensor
    camera: Tensor

    @classmethod
    def of(cls, frames: NetFrames) -> TrainingSet:
        """The key frames of a shot."""
        pairs = key_pairs(frames.count)
        positions = tuple(sorted({position for pair in pairs for position in pair}))
        index = {position: i for i, position in enumerate(positions)}
        evidence = torch.stack([frames.gathered_evidence(position) for position in positions])
        chosen = [frames[position] for position in positions]
        return cls(
            count=frames.count,
            places=torch.tensor(positions),
            pairs=torch.tensor([[index[a], index[b]] for a, b in pairs]),
            image=torch.stack([frame.image for frame in chosen]),
            flow_rgb=torch.stack([frame.flow_rgb for frame in chosen]),
            evidence=evidence,
            contrast=torch.stack([without_border(e) for e in evidence]),
            flow=torch.stack([frame.flow[0] for frame in chosen]),
            trust=torch.stack([frame.trust[0] for frame in chosen]),
            camera=torch.stack([frame.camera[0] for frame in chosen]),
        )

    def to(self, device: torch.device) -> TrainingSet:
        """The same on another device."""
        tensors = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return TrainingSet(count=self.count, **tensors)

    def batch(self, seed: int, step: int, size: int) -> Tensor:
        """The ``size`` pairs (size, 2) of a step: every pair once in an order of its own, then all again.

        Depends on seed and step alone, so that a resumed fit draws what an undisturbed one would have.
        """
        count = len(self.pairs)
        drawn = []
        for number in range(step * size, (step + 1) * size):
            generator = torch.Generator().manual_seed((seed << 20) + number // count)
            drawn.append(int(torch.randperm(count, generator=generator)[number % count]))
        return self.pairs[torch.tensor(drawn, device=self.pairs.device)]
