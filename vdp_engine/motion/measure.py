"""From the flow between a frame and its neighbours to all that is known about the frame's motion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdp_engine.motion.cache import MotionFrame
from vdp_engine.motion.camera import Camera, border_prior, camera_flow, fit_camera
from vdp_engine.motion.evidence import motion_evidence, strength
from vdp_engine.motion.proxy import Proxy
from vdp_engine.motion.warp import consistency, leads_inside, length, warp

Flow = NDArray[np.float32]

_LARGEST_FLOW = 3e4  # pixels; what float16 holds, with room for differences


@dataclass(frozen=True)
class Neighbour:
    """What a frame needs to know of another one, at motion size.

    Attributes:
        towards: float32 (2, h, w), flow from the frame to the neighbour, in pixels.
        back: float32 (2, h, w), flow from the neighbour to the frame.
        coverage: float32 (h, w), of the neighbour.
        witness: ``towards`` and ``back`` as another estimator has them, for the evidence alone; all neighbours of a
            frame have it, or none.
    """

    towards: Flow
    back: Flow
    coverage: NDArray[np.float32]
    witness: tuple[Flow, Flow] | None = None


def measure_motion(proxy: Proxy, gaps: Sequence[int], neighbours: Mapping[int, Neighbour]) -> MotionFrame:
    """The motion of the frame of ``proxy`` (at motion size) from its neighbours by signed gap; a pure function.

    Gaps of ``gaps`` that have no neighbour are marked as not present. Where there is a witness, the evidence is the
    geometric mean of what either flow tells: estimators err in different places, and what moves does so to both.
    """
    coverage = torch.from_numpy(proxy.coverage)
    size = (coverage.shape[0], coverage.shape[1])
    found = [index for index, gap in enumerate(gaps) if gap in neighbours]
    signed = [gaps[index] for index in found]
    near = [neighbours[gap] for gap in signed]
    count = len(gaps)

    flow, confidence = torch.zeros(count, 2, *size), torch.zeros(count, *size)
    theta, sigma, strengths = torch.zeros(count, 6, 2), torch.zeros(count), torch.zeros(count)
    evidence = torch.zeros(size)
    if found:
        own = _Testimony.of(signed, [(one.towards, one.back) for one in near], near, coverage)
        flow[found], confidence[found] = own.flow, own.confidence
        theta[found], sigma[found] = own.camera.theta, own.camera.sigma
        strengths[found] = torch.stack([strength(one, coverage > 0.5) for one in own.residual])
        evidence = own.evidence
        others = [one.witness for one in near if one.witness is not None]
        if others:
            evidence = torch.sqrt(evidence * _Testimony.of(signed, others, near, coverage).evidence)
    return MotionFrame(
        frame=proxy.frame,
        gaps=tuple(gaps),
        present=torch.tensor([gap in neighbours for gap in gaps], dtype=torch.bool),
        image=torch.from_numpy(np.ascontiguousarray(proxy.image.transpose(2, 0, 1))),
        coverage=coverage,
        flow=flow,
        confidence=confidence,
        theta=theta,
        sigma=sigma,
        strength=strengths,
        evidence=evidence,
    )


class _Testimony(NamedTuple):
    """What the flow of one estimator says of a frame and its G neighbours; fields as in ``MotionFrame``.

    Attributes:
        residual: (G, h, w), |flow - camera flow| in pixels.
    """

    flow: Tensor
    confidence: Tensor
    camera: Camera
    residual: Tensor
    evidence: Tensor

    @classmethod
    def of(
        cls, gaps: Sequence[int], ways: Sequence[tuple[Flow, Flow]], near: Sequence[Neighbour], coverage: Tensor
    ) -> _Testimony:
        """``ways``: to each neighbour and back."""
        size = (coverage.shape[0], coverage.shape[1])
        flow, back = (_as_stored(one) for one in zip(*ways, strict=True))
        confidence = consistency(flow, back) * (coverage > 0)
        camera = fit_camera(flow, (border_prior(size) * coverage).expand(len(gaps), -1, -1))
        motion = camera_flow(camera.theta, size, size)
        residual = length(flow - motion)
        seen = _seen_by_neighbours(motion, near)
        evidence = motion_evidence(gaps, residual, seen, camera.sigma, confidence, coverage)
        return cls(flow, confidence, camera, residual, evidence)


def _as_stored(flows: Sequence[Flow]) -> Tensor:
    """(N, 2, h, w), rounded as the cache rounds it, so that all that follows agrees with what is read back."""
    return torch.from_numpy(np.stack(flows)).clamp(-_LARGEST_FLOW, _LARGEST_FLOW).half().float()


def _seen_by_neighbours(motion: Tensor, near: Sequence[Neighbour]) -> Tensor:
    """(N, h, w) bool: the camera motion leads to a pixel inside the picture that the neighbour has."""
    coverage = torch.from_numpy(np.stack([one.coverage for one in near]))
    if float(coverage.min()) == 1.0:
        return leads_inside(motion)
    there, inside = warp(coverage[:, None], motion)
    return inside & (there[:, 0] > 0.5)
