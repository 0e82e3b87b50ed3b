"""What an optical-flow estimator is, and which one a shot uses."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vdp_engine.machine import torch_device
from vdp_engine.motion.proxy import Proxy
from vdp_engine.motion.sizes import WorkingSizes
from vdp_engine.plate import Plate
from vdp_engine.settings import Machine, Settings


class FlowEstimator(Protocol):
    """Where optical flow comes from. Several threads may ask at the same time.

    Attributes:
        name: the estimator and whatever its result depends on besides the plate; part of the cache's stamp.
        max_gap: the largest distance in frames it can bridge; ``None``: any.
        witness: another estimator, which motion evidence is to ask as well (``measure.Neighbour``); ``None``: nobody.
    """

    name: str
    max_gap: int | None
    witness: FlowEstimator | None

    def flow(self, source: Proxy, target: Proxy) -> NDArray[np.float32]:
        """float32 (2, h, w): for each pixel of ``source``, where it lies in ``target``, minus where it lies in
        ``source``, in pixels of the flow size, x to the right and y down. Finite everywhere."""
        ...


def make_estimator(settings: Settings, plate: Plate, sizes: WorkingSizes, machine: Machine) -> FlowEstimator:
    """The estimator that ``settings.flow`` names, refined on each pair where ``settings.flow_refine`` says so.

    Raises:
        MotionError: it lacks its weights or its channels.
        UsageError: the device that it would run on is not there.
    """
    found = _named(settings, plate, sizes, machine)
    if not settings.flow_refine:
        return found
    from vdp_engine.motion.refined import RefinedFlow

    return RefinedFlow(found, torch_device(machine))


def _named(settings: Settings, plate: Plate, sizes: WorkingSizes, machine: Machine) -> FlowEstimator:
    if settings.flow == "raft":
        from vdp_engine.motion.raft import RaftFlow  # torchvision only where it is used

        return RaftFlow.load(settings.flow_weights, torch_device(machine))
    if settings.flow == "vectors":
        from vdp_engine.motion.vectors import VectorFlow

        return VectorFlow(plate, sizes.flow, settings.flow_layer)
    if settings.flow == "vdp":
        from vdp_engine.motion.boxed import BoxedFlow

        return BoxedFlow.load(settings.quality, torch_device(machine), dark=settings.task == "relight")
    from vdp_engine.motion.dis import DisFlow

    return DisFlow(dark=settings.task == "relight")
