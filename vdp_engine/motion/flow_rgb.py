"""Flow drawn as colour: what the α-Net sees of the motion.

The camera's share is taken off first. A residual v is drawn as three channels: its direction times tanh|v| in
the first two (x to the right, y down, -1 to 1, 0 without motion) and tanh|v| in the third (0 to 1). Here v is measured
in units of one scale per shot, so that a frame looks the same whichever others are at hand and a motion keeps its
colour from frame to frame.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vdp_engine.motion.cache import MotionFrame
from vdp_engine.motion.sizes import Size

CHANNELS = 6
"""Three for the smallest gap, three for the largest."""

_SIGMAS = 3.0
_SMALLEST_SIGMA = 0.1  # pixels per frame of gap
_RELATIVE = 0.5
_GAIN = 1.5  # tanh(1.5) = 0.9: the motion that sets the scale is drawn nearly in full


def shot_scale(frames: Iterable[MotionFrame]) -> tuple[float, float]:
    """The residual in pixels that is drawn as |v| = 1, for the smallest and the largest gap of a shot.

    Per gap, with medians over all frames and both directions: max(3 max(sigma, 0.1 gap), 0.5 q98(residual)) / 1.5.
    """
    seen: dict[int, list[tuple[float, float]]] = {}
    gaps: set[int] = set()
    for frame in frames:
        gaps |= {abs(gap) for gap in frame.gaps}
        for gap, present, sigma, strength in zip(frame.gaps, frame.present, frame.sigma, frame.strength, strict=True):
            if present:
                seen.setdefault(abs(gap), []).append((float(sigma), float(strength)))

    def scale(gap: int) -> float:
        sigma, strength = torch.tensor(seen.get(gap, [(0.0, 0.0)])).median(0).values.tolist()
        return max(_SIGMAS * max(sigma, _SMALLEST_SIGMA * gap), _RELATIVE * strength) / _GAIN

    return scale(min(gaps)), scale(max(gaps))


def flow_rgb(motion: MotionFrame, scale: tuple[float, float], size: Size) -> Tensor:
    """The motion of a frame as colour, float32 (6, *size): smallest gap, then largest.

    Both directions in time are averaged, the one towards the past with its sign turned; 0 where neither neighbour
    exists and outside the data window. ``scale`` is the shot's, from ``shot_scale``.
    """
    residual = motion.residual()
    distances = [abs(gap) for gap in motion.gaps]
    drawn = []
    for gap, unit in zip((min(distances), max(distances)), scale, strict=True):
        entries = [i for i, signed in enumerate(motion.gaps) if abs(signed) == gap and bool(motion.present[i])]
        signs = residual.new_tensor([1.0 if motion.gaps[i] > 0 else -1.0 for i in entries])
        mean = (residual[entries] * signs[:, None, None, None]).sum(0) / max(len(entries), 1)
        v = interpolate((mean * motion.coverage / unit)[None], size=size, mode="area")[0]
        magnitude = torch.sqrt(v[0] ** 2 + v[1] ** 2)
        drawn += [v * (torch.tanh(magnitude) / (magnitude + 1e-6)), torch.tanh(magnitude)[None]]
    return torch.cat(drawn)
