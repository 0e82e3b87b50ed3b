"""Optical flow by RAFT, as torchvision has it, with weights that the user brings."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights, raft_large, raft_small

from vdp_engine.errors import MotionError
from vdp_engine.motion.estimator import FlowEstimator
from vdp_engine.motion.learned import padded, stretched, turns
from vdp_engine.motion.proxy import Proxy, joint_stretch

_MODELS = {"raft_large": raft_large, "raft_small": raft_small}
_STRIDE = 8  # of RAFT's features
_SMALLEST = 128  # its coarsest correlation level is 1/64 and needs two cells


class RaftFlow:
    """RAFT (Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020)."""

    max_gap: int | None = None
    witness: FlowEstimator | None = None

    def __init__(self, model: nn.Module, name: str, device: torch.device) -> None:
        self.name = name
        self._model = model.to(device).eval()
        self._device = device
        self._turn = turns(device)

    @classmethod
    def load(cls, weights: str | None, device: torch.device) -> RaftFlow:
        """RAFT with a weights file (.pth or .safetensors), or with the best one in the torch hub cache.

        Raises:
            MotionError: there is no such file, or it holds no RAFT of torchvision.
        """
        path = _cached_weights() if weights is None else Path(weights)
        if not path.is_file():
            raise _no_weights(f"there is no weights file {path}", path)
        state = _read_state(path)
        for kind, build in _MODELS.items():
            with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
                model = build(weights=None, progress=False)
            wanted = {key: tensor.shape for key, tensor in model.state_dict().items()}
            if wanted == {key: tensor.shape for key, tensor in state.items()}:
                model.load_state_dict(state, assign=True)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
                return cls(model, f"{kind} {digest}", device)
        raise _no_weights(f"{path} holds neither raft_large nor raft_small of torchvision", path)

    def flow(self, source: Proxy, target: Proxy) -> NDArray[np.float32]:
        """See ``FlowEstimator.flow``."""
        low, high = joint_stretch(source, target)
        height, width = source.coverage.shape
        with self._turn, torch.inference_mode():
            seen = (padded(stretched(proxy, low, high), _STRIDE, _SMALLEST) for proxy in (source, target))
            flow = self._model(*(one.to(self._device) for one in seen))[-1][0, :, :height, :width].float().cpu()
        return np.ascontiguousarray(flow.nan_to_num(0.0, 0.0, 0.0).numpy())


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        state: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(
            path, map_location="cpu", weights_only=True
        )  # fmt: skip
    except Exception as error:  # torch's unpickler fails on foreign bytes with whatever they lead it into
        reason = str(error).partition("\n")[0]
        raise _no_weights(f"the weights file {path} cannot be read: {reason}", path) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise _no_weights(f"{path} holds no plain state dict of tensors", path)
    return state


def _cached_weights() -> Path:
    """The first of torchvision's own files in the torch hub cache, the most widely trained first."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    names = [_file_name(one) for one in (*reversed(Raft_Large_Weights), *reversed(Raft_Small_Weights))]
    default = _file_name(Raft_Large_Weights.DEFAULT)
    for name in [default, *names]:
        if (folder / name).is_file():
            return folder / name
    raise _no_weights(f"there are no RAFT weights in {folder}", folder / default)


def _file_name(weights: Any) -> str:
    return str(weights.url).rpartition("/")[2]


def _no_weights(happened: str, path: Path) -> MotionError:
    large, small = Raft_Large_Weights.DEFAULT, Raft_Small_Weights.DEFAULT
    return MotionError(
        happened, code="raft_weights", path=path,
        expected=f"{_file_name(large)} ({large}) or {_file_name(small)} ({small})",
        remedy=f"download {large.url} (or {small.url}) and give its path with --flow-weights FILE, "
        f"or put it into {Path(torch.hub.get_dir()) / 'checkpoints'}; --flow dis needs no weights",
    )  # fmt: skip
