"""Pictures and networks that several tests of motion use."""

import numpy as np
import torch

from vdp_engine.motion.flow_net import FlowNet


def texture(size: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0), seed: int = 0) -> np.ndarray:
    """A smooth texture (h, w, 3), moved by ``shift`` (x, y) pixels exactly: a sum of waves."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    waves = np.zeros(size)
    for _ in range(40):
        fx, fy, phase = rng.normal(0, 0.25), rng.normal(0, 0.25), rng.uniform(0, 7)
        waves += np.cos(fx * (columns - shift[0]) + fy * (rows - shift[1]) + phase)
    return (0.4 + 0.01 * waves)[..., None].repeat(3, 2).astype(np.float32)


def restless() -> FlowNet:
    """Random weights in the last layers, too, so that everything has a say."""
    torch.manual_seed(0)
    net = FlowNet()
    for layer in (net.last, net.update8.change, net.update4.change):
        torch.nn.init.normal_(layer.weight, std=0.05)
    return net
