"""What the report knows of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vdp_engine.check.rebuild import Rebuild


@dataclass(frozen=True)
class Layers:
    """What the written layers of one frame show.

    Attributes:
        rebuild: the rebuild rule.
        lossy: whether their compression changes values, so that the rule cannot hold exactly.
        holes: pixels of the plate that are NaN or infinite.
        clamped: values of the plate beyond what half can hold.
        coverage: mean of each matte by channel name, 0 to 1.
        softness: Σ α(1 − α) / Σ α of each matte: 0 for one of zeros and ones, 0.5 for an even grey.
        residual: mean |residual| over mean |plate|: what the layers alone miss.
        overlap: what the confidence lets expect of the foreground's overlap with the truth, 0 to 1; 0 without any
            foreground, see ``expected_overlap``. Other tasks than layers: mean confidence.
        border: share of the foreground's outline that lies on the picture's border; None without any foreground.
        numbers: the task's own, means over the frame's pixels.
    """

    rebuild: Rebuild
    lossy: bool
    holes: int
    clamped: int
    coverage: Mapping[str, float]
    softness: Mapping[str, float]
    residual: float
    overlap: float
    border: float | None
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Motion:
    """What the motion of one frame says about its layers.

    Attributes:
        moving: share of the frame that moves by itself.
        strength: own motion over the noise of the camera's, 1 where the evidence begins to see it.
        confidence: mean forward-backward agreement of the flow between neighbouring frames, 0 to 1.
        agreement: area where evidence and foreground mattes are both on, over the area where either is, without the
            evidence near the mattes: flow carries the motion of an object beyond its edge.
        uncovered: share of the frame that moves by itself outside all foreground mattes and not near them.
        flicker: mean |α_t − α_{t−1} carried along the flow| over all mattes, weighted by the flow's confidence;
            None where there is no previous frame.
    """

    moving: float
    strength: float
    confidence: float
    agreement: float
    uncovered: float
    flicker: float | None


@dataclass(frozen=True)
class FrameNumbers:
    """What was measured of one frame."""

    frame: int
    layers: Layers
    motion: Motion


def is_foreground(name: str) -> bool:
    """Whether a matte is that of a foreground layer."""
    return name.startswith("fg")
