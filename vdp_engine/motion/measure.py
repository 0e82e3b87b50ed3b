"""From the flow between a frame and its neighbours to all that is known about the frame's motion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdp_engine.motion.cache import MotionFrame
from vdp_engine.motion.camera import border_prior, camera_flow, fit_camera
from vdp_engine.motion.evidence import motion_evidence, strength
from vdp_engine.motion.proxy import Proxy
from vdp_engine.motion.warp import consistency, leads_inside, length, warp

_LARGEST_FLOW = 3e4  # pixels; what float16 holds, with room for differences


@dataclass(frozen=True)
class Neighbour:
    """What a frame needs to know of another one, at motion size.

    Attributes:
        towards: float32 (2, h, w), flow from the frame to the neighbour, in pixels.
        back: float32 (2, h, w), flow from the neighbour to the frame.
        coverage: float32 (h, w), of the neighbour.
    """

    towards: NDArray[np.float32]
    back: NDArray[np.float32]
    coverage: NDArray[np.float32]


def measure_motion(proxy: Proxy, gaps: Sequence[int], neighbours: Mapping[int, Neighbour]) -> MotionFrame:
    """The motion of the frame of ``proxy`` (at motion size) from its neighbours by signed gap; a pure function.

    Gaps of ``gaps`` that have no neighbour are marked as not present.
    """
    coverage = torch.from_numpy(proxy.coverage)
    size = (coverage.shape[0], coverage.shape[1])
    found = [index for index, gap in enumerate(gaps) if gap in neighbours]
    near = [neighbours[gaps[index]] for index in found]
    count = len(gaps)

    flow, confidence = torch.zeros(count, 2, *size), torch.zeros(count, *size)
    theta, sigma, strengths = torch.zeros(count, 6, 2), torch.zeros(count), torch.zeros(count)
    evidence = torch.zeros(size)
    if found:
        flow[found] = _as_stored([one.towards for one in near])
        confidence[found] = consistency(flow[found], _as_stored([one.back for one in near])) * (coverage > 0)
        camera = fit_camera(flow[found], (border_prior(size) * coverage).expand(len(found), -1, -1))
        theta[found], sigma[found] = camera.theta, camera.sigma
        motion = camera_flow(camera.theta, size, size)
        residual = length(flow[found] - motion)
        covered = coverage > 0.5
        strengths[found] = torch.stack([strength(one, covered) for one in residual])
        evidence = motion_evidence(
            [gaps[index] for index in found],
            residual,
            _seen_by_neighbours(motion, near),
            camera.sigma,
            confidence[found],
            coverage,
        )
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


def _as_stored(flows: Sequence[NDArray[np.float32]]) -> Tensor:
    """(N, 2, h, w), rounded as the cache rounds it, so that all that follows agrees with what is read back."""
    return torch.from_numpy(np.stack(flows)).clamp(-_LARGEST_FLOW, _LARGEST_FLOW).half().float()


def _seen_by_neighbours(motion: Tensor, near: Sequence[Neighbour]) -> Tensor:
    """(N, h, w) bool: the camera motion leads to a pixel inside the picture that the neighbour has."""
    coverage = torch.from_numpy(np.stack([one.coverage for one in near]))
    if float(coverage.min()) == 1.0:
        return leads_inside(motion)
    there, inside = warp(coverage[:, None], motion)
    return inside & (there[:, 0] > 0.5)
