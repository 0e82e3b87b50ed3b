"""The frames a fit looks at, and the batches drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from vdp_engine.model.consensus import ShotEvidence
from vdp_engine.model.frames import NetFrames
from vdp_engine.model.keyframes import key_pairs

Kind = TypeVar("Kind", bound="KeyFrames")


@dataclass(frozen=True)
class KeyFrames:
    """N key frames at net size (h, w), and the pairs of consecutive ones among them; float32.

    Attributes:
        count: frames in the shot.
        places: (N,) position of each key frame in the shot.
        pairs: (P, 2) indices into the N frames, later frame second.
        image: (N, 3, h, w), log-encoded.
        flow_rgb: (N, 6, h, w).
        flow, trust, camera: (N, 2, h, w), (N, h, w), (N, 2, h, w), to the next frame of the shot.
    """

    count: int
    places: Tensor
    pairs: Tensor
    image: Tensor
    flow_rgb: Tensor
    flow: Tensor
    trust: Tensor
    camera: Tensor

    @classmethod
    def of(cls: type[Kind], frames: NetFrames, **more: Tensor) -> Kind:
        """The key frames of a shot; ``more`` is what a kind of them knows besides."""
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
            flow=torch.stack([frame.flow[0] for frame in chosen]),
            trust=torch.stack([frame.trust[0] for frame in chosen]),
            camera=torch.stack([frame.camera[0] for frame in chosen]),
            **more,
        )

    def to(self: Kind, device: torch.device) -> Kind:
        """The same on another device."""
        values: dict[str, Any] = {
            one.name: value.to(device) for one in fields(self) if isinstance(value := getattr(self, one.name), Tensor)
        }
        return replace(self, **values)

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


@dataclass(frozen=True)
class TrainingSet(KeyFrames):
    """Key frames and what is known of layers before there are any.

    Attributes:
        evidence, claims, hinted: (T, h, w), of all frames of the shot, see ``consensus.ShotEvidence``.
    """

    evidence: Tensor
    claims: Tensor
    hinted: Tensor

    @classmethod
    def with_evidence(cls, frames: NetFrames, evidence: ShotEvidence) -> TrainingSet:
        """The key frames of a shot whose evidence is known."""
        return cls.of(
            frames,
            evidence=torch.from_numpy(evidence.moving),
            claims=torch.from_numpy(evidence.claims),
            hinted=torch.from_numpy(evidence.hinted),
        )

    @property
    def contrast(self) -> Tensor:
        """Signed evidence of the key frames, (N, h, w)."""
        return self.evidence[self.places]
