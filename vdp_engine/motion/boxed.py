"""Optical flow out of the box: DIS, mended by a small network whose weights come with the engine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from vdp_engine.errors import MotionError
from vdp_engine.motion.camera import border_prior, camera_flow, fit_camera
from vdp_engine.motion.dis import DisFlow
from vdp_engine.motion.estimator import FlowEstimator
from vdp_engine.motion.flow_net import STRIDE, Clues, Features, FlowNet
from vdp_engine.motion.learned import padded, stretched, turns
from vdp_engine.motion.proxy import Proxy, joint_stretch
from vdp_engine.motion.remembered import Remembered
from vdp_engine.settings import Quality

WEIGHTS = Path(__file__).with_name("flow.safetensors")
"""Half precision; written by ``vdp_engine.flow_training``."""

ROUNDS: dict[Quality, int] = {"draft": 1, "standard": 2, "final": 2}
"""How often the network mends flow: DIS in the first round, what it made of that both ways in the next."""

CORRECTIONS: dict[Quality, tuple[int, int]] = {"draft": (3, 1), "standard": (3, 2), "final": (4, 2)}
"""How often a round corrects flow at 1/8 and at 1/4 of its size. Trained with that of standard."""

_SMALLEST = 2 * STRIDE
_LEAST_TRUST = 0.01  # where nothing can be trusted the camera motion is fitted to all alike


class BoxedFlow:
    """DIS both ways, the camera motion it tells of, and ``FlowNet`` on top, once or twice.

    DIS is its witness. Where a thing is fast and nothing matches, the network leans to the camera's motion; elsewhere
    its flow is so clean that ripples and parallax stand out. DIS errs in other places.

    Args:
        dark: as of ``DisFlow``.
    """

    max_gap: int | None = None

    def __init__(self, net: FlowNet, name: str, device: torch.device, quality: Quality, *, dark: bool = False) -> None:
        self.name = f"{name} {ROUNDS[quality]} {CORRECTIONS[quality]}" + (" dark" if dark else "")
        self._mender = Mender(net.to(device).eval(), device, CORRECTIONS[quality])
        self._turn = turns(device)
        self._features = Remembered(self._looked)
        dis = DisFlow(dark=dark)
        start = Remembered(lambda source, target: Way(dis.flow(source, target), None))
        self.witness: FlowEstimator | None = _Start(dis.name, start)
        self._last = start
        for _ in range(ROUNDS[quality]):
            self._last = self._after(self._last)

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
        flow, trust = self._last(source, target)
        assert trust is not None
        return flow, trust

    def _after(self, before: Remembered[Way]) -> Remembered[Way]:
        """One round more."""

        def work(source: Proxy, target: Proxy) -> Way:
            there, back = before(source, target), before(target, source)
            swapped = id(source) > id(target)  # pictures are looked at once, whichever way is asked for first
            features = self._features(target, source).swapped() if swapped else self._features(source, target)
            with self._turn:
                return self._mender.mend(source, target, there, back, features)

        return Remembered(work)

    def _looked(self, source: Proxy, target: Proxy) -> Features:
        with self._turn:
            return self._mender.features(source, target)


class _Start:
    """What the first round starts from, as an estimator: it need not be worked out twice."""

    max_gap: int | None = None
    witness: FlowEstimator | None = None

    def __init__(self, name: str, start: Remembered[Way]) -> None:
        self.name = name
        self._start = start

    def flow(self, source: Proxy, target: Proxy) -> NDArray[np.float32]:
        """See ``FlowEstimator.flow``."""
        return self._start(source, target).flow


class Way(NamedTuple):
    """Flow of a pair one way, float32 (2, h, w), and its trust, float32 (h, w), 0 to 1; none where it is of DIS."""

    flow: NDArray[np.float32]
    trust: NDArray[np.float32] | None


class Mender:
    """A network, and what has to be done to proxies so that it can work on them: one round, one way.

    Args:
        net: on ``device``, in the mode for use.
        corrections: at 1/8 and at 1/4 of the size.
    """

    def __init__(
        self, net: FlowNet, device: torch.device, corrections: tuple[int, int] = CORRECTIONS["standard"]
    ) -> None:
        self._net, self._device, self._corrections = net, device, corrections

    def features(self, source: Proxy, target: Proxy) -> Features:
        """Of both pictures, for ``mend``."""
        pictures = [stretched(one, *joint_stretch(source, target)) for one in (source, target)]
        with torch.inference_mode():
            return self._net.features(self._given(torch.cat(pictures)))

    def mend(self, source: Proxy, target: Proxy, there: Way, back: Way, features: Features | None = None) -> Way:
        """What the network makes of the flow from ``source`` to ``target`` and of that back."""
        height, width = source.coverage.shape
        with torch.inference_mode():
            clues = clues_of(source, target, there, back)
            given = Clues(*(self._given(one) for one in vars(clues).values()))
            mended = self._net(given, *self._corrections, features)
            flow = mended.flow[0, :, :height, :width].float().cpu().nan_to_num(0.0, 0.0, 0.0)
            trust = torch.sigmoid(mended.trust[0, :height, :width].float()).cpu()
        return Way(np.ascontiguousarray(flow.numpy()), np.ascontiguousarray(trust.numpy()))

    def _given(self, x: Tensor) -> Tensor:
        return padded(x, STRIDE, _SMALLEST).to(self._device)


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


def clues_of(source: Proxy, target: Proxy, there: Way, back: Way) -> Clues:
    """What the network is to know of a pair, N = 1, at the size of the proxies. The camera motion is fitted to the
    flow where it is trusted."""
    low, high = joint_stretch(source, target)
    height, width = source.coverage.shape
    start = torch.from_numpy(there.flow)[None]
    prior = border_prior((height, width)) * torch.from_numpy(source.coverage)
    if there.trust is not None:
        prior = prior * (_LEAST_TRUST + torch.from_numpy(there.trust))
    camera = camera_flow(fit_camera(start, prior[None]).theta, (height, width), (height, width))
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    leads = there.flow[0] + x, there.flow[1] + y
    returned = [cv2.remap(one, *leads, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for one in back.flow]
    return Clues(
        stretched(source, low, high), stretched(target, low, high), start,
        start + torch.from_numpy(np.stack(returned))[None], camera,
    )  # fmt: skip
