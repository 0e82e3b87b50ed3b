"""What the estimators that are networks share: how they see a pair, and how many of them work at a time."""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from vdp_engine.motion.proxy import Proxy

_CPU_AT_ONCE = 2  # a pair in work takes some hundreds of megabytes


def turns(device: torch.device) -> threading.Semaphore:
    """To be held while a pair is in work: so many may be at a time."""
    return threading.Semaphore(_CPU_AT_ONCE if device.type == "cpu" else 1)


def stretched(proxy: Proxy, low: float, high: float) -> Tensor:
    """(1, 3, h, w) from -1 to 1, as torchvision's own preprocessing gives; 0 where not covered."""
    image = np.clip((proxy.image - low) * (2.0 / (high - low)) - 1.0, -1.0, 1.0) * (proxy.coverage > 0)[..., None]
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]


def padded(x: Tensor, stride: int, smallest: int) -> Tensor:
    """(N, C, h, w) extended at the bottom and on the right to multiples of ``stride``, ``smallest`` at least."""
    below, right = (max(smallest, side + -side % stride) - side for side in x.shape[-2:])
    return pad(x, (0, right, 0, below), mode="replicate")
