"""Optical flow out of the box: DIS, mended by a small network whose weights come with the engine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from vdp_engine.errors import MotionError
from vdp_engine.motion.camera import border_prior, camera_flow, fit_camera
from vdp_engine.motion.dis import DisFlow
from vdp_engine.motion.flow_net import STRIDE, Clues, FlowNet
from vdp_engine.motion.learned import padded, stretched, turns
from vdp_engine.motion.proxy import Proxy, joint_stretch
from vdp_engine.motion.remembered import Remembered
from vdp_engine.settings import Quality

WEIGHTS = Path(__file__).with_name("flow.safetensors")
"""Half precision; written by ``vdp_engine.flow_training``."""

CORRECTIONS: dict[Quality, tuple[int, int]] = {"draft": (3, 1), "standard": (3, 2), "final": (4, 2)}
"""How often flow is corrected at 1/8 and at 1/4 of its size. Trained with that of standard."""

_SMALLEST = 2 * STRIDE


class BoxedFlow:
    """DIS both ways, the camera motion it tells of, and ``FlowNet`` on top.

    Args:
        dark: as of ``DisFlow``.
    """

    max_gap: int | None = None

    def __init__(self, net: FlowNet, name: str, device: torch.device, quality: Quality, *, dark: bool = False) -> None:
        self.name = f"{name} {CORRECTIONS[quality]}" + (" dark" if dark else "")
        self._net = net.to(device).eval()
        self._device = device
        self._corrections = CORRECTIONS[quality]
        self._dis = Remembered(DisFlow(dark=dark).flow)
        self._turn = turns(device)

    @classmethod
    def load(
        cls, quality: Quality, device: torch.device, *, weights: Path | None = None, dark: bool = False
    ) -> BoxedFlow:
        """The estimator with the weights of the package, or those of a file that training wrote.

        Raises:
            MotionError: the weights are not there, or are not this network's.
        """
        net, digest = read_weights(WEIGHTS if weights is None else weights)
        return cls(net, f"vdp {digest}", device, quality, dark=dark)

    def flow(self, source: Proxy, target: Proxy) -> NDArray[np.float32]:
        """See ``FlowEstimator.flow``."""
        return self.flow_and_trust(source, target)[0]

    def flow_and_trust(self, source: Proxy, target: Proxy) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Flow as ``FlowEstimator.flow`` gives it, and how likely it is right at each pixel, float32 (h, w), 0 to 1:
        to within a pixel, or 1/20 of its length where that is more."""
        forward, backward = self._dis(source, target), self._dis(target, source)
        height, width = source.coverage.shape
        with self._turn, torch.inference_mode():
            clues = clues_of(source, target, forward, backward)
            given = Clues(*(padded(one, STRIDE, _SMALLEST).to(self._device) for one in vars(clues).values()))
            mended = self._net(given, *self._corrections)
            flow = mended.flow[0, :, :height, :width].float().cpu()
            trust = torch.sigmoid(mended.trust[0, :height, :width].float()).cpu()
        return np.ascontiguousarray(flow.nan_to_num(0.0, 0.0, 0.0).numpy()), np.ascontiguousarray(trust.numpy())


def read_weights(path: Path = WEIGHTS) -> tuple[FlowNet, str]:
    """The network with the weights of a file, and a digest of that.

    Raises:
        MotionError: the weights are not there, or are not this network's.
    """
    net = FlowNet()
    try:
        net.load_state_dict({key: tensor.float() for key, tensor in load_file(path).items()})
        return net, hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except Exception as error:  # safetensors and torch each have their own, without a common base
        happened = f"the weights file {path} " + ("is not there" if not path.is_file() else "does not fit the network")
        raise MotionError(
            happened, code="boxed_weights", path=path,
            expected=f"what `python -m vdp_engine.flow_training` exports ({str(error).splitlines()[0][:120]})",
            remedy="install the engine again, for the file is a part of it; --flow dis needs no weights",
        ) from None  # fmt: skip


def clues_of(source: Proxy, target: Proxy, forward: NDArray[np.float32], backward: NDArray[np.float32]) -> Clues:
    """What the network is to know of a pair, N = 1, at the size of the proxies, from flow (2, h, w) each way."""
    low, high = joint_stretch(source, target)
    size = source.coverage.shape
    start = torch.from_numpy(forward)[None]
    prior = border_prior((size[0], size[1])) * torch.from_numpy(source.coverage)
    camera = camera_flow(fit_camera(start, prior[None]).theta, (size[0], size[1]), (size[0], size[1]))
    x, y = (np.arange(side, dtype=np.float32) for side in size[::-1])
    there = (forward[0] + x, forward[1] + y[:, None])
    returned = [cv2.remap(one, *there, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for one in backward]
    return Clues(
        stretched(source, low, high), stretched(target, low, high), start,
        start + torch.from_numpy(np.stack(returned))[None], camera,
    )  # fmt: skip
