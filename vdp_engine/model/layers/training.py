"""Key frames, and what is known of layers before there are any."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vdp_engine.model.frames import NetFrames
from vdp_engine.model.keyframes import KeyFrames
from vdp_engine.model.layers.consensus import ShotEvidence


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
