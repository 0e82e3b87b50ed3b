"""The frames a fit looks at, and the batches drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vdp_engine.model.consensus import ShotEvidence
from vdp_engine.model.frames import NetFrames
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
        evidence, claims, hinted: (T, h, w), of all frames of the shot, see ``consensus.ShotEvidence``.
        flow, trust, camera: (N, 2, h, w), (N, h, w), (N, 2, h, w), to the next frame of the shot.
    """

    count: int
    places: Tensor
    pairs: Tensor
    image: Tensor
    flow_rgb: Tensor
    evidence: Tensor
    claims: Tensor
    hinted: Tensor
    flow: Tensor
    trust: Tensor
    camera: Tensor

    @classmethod
    def of(cls, frames: NetFrames, evidence: ShotEvidence) -> TrainingSet:
        """The key frames of a shot."""
        pairs = key_pairs(frames.count)
        positions = tuple(sorted({position for pair in pairs for position in pair}))
        index = {position: i for i, position in enumerate(positions)}
        chosen = [frames[position] for position in positions]
        return cls(
            count=frames.count,
            places=torch.tensor(positions),
            pairs=torch.tensor([[index[a], index[b]] for a, b in pairs]),
            image=torch.stack([frame.image for frame in chosen]),
            flow_rgb=torch.stack([frame.flow_rgb for frame in chosen]),
            evidence=torch.from_numpy(evidence.moving),
            claims=torch.from_numpy(evidence.claims),
            hinted=torch.from_numpy(evidence.hinted),
            flow=torch.stack([frame.flow[0] for frame in chosen]),
            trust=torch.stack([frame.trust[0] for frame in chosen]),
            camera=torch.stack([frame.camera[0] for frame in chosen]),
        )

    @property
    def contrast(self) -> Tensor:
        """Signed evidence of the key frames, (N, h, w)."""
        return self.evidence[self.places]

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
