"""The frames a fit looks at (all of a short shot, well-spread pairs of a long one) and the batches drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from vdp_engine.model.frames import NetFrames

MAX_KEY_PAIRS = 48

Kind = TypeVar("Kind", bound="KeyFrames")


def key_pairs(count: int, most: int = MAX_KEY_PAIRS) -> tuple[tuple[int, int], ...]:
    """Positions (i, i + 1) of consecutive frames out of ``count``, at most ``most`` pairs, evenly spread.

    The cost of a fit depends on these alone, so it stops growing where the shot has more than ``most`` + 1 frames. A
    shot of one frame gives the pair (0, 0).
    """
    if count == 1:
        return ((0, 0),)
    pairs = count - 1
    chosen = range(pairs) if pairs <= most else sorted({round(k * (pairs - 1) / (most - 1)) for k in range(most)})
    return tuple((i, i + 1) for i in chosen)


@dataclass(frozen=True)
class KeyFrames:
    """N key frames at net size (h, w), and the pairs of consecutive ones among them; float32.

    Attributes:
        count: frames in the shot.
        places: (N,) position of each key frame in the shot.
        pairs: (P, 2) indices into the N frames, later frame second.
        image: (N, 3, h, w), log-encoded.
        flow_rgb: (N, 6, h, w).
        flow, trust, camera: (N, 2, h, w), (N, h, w), (N, 2, h, w), to the next frame of the shot.
    """

    count: int
    places: Tensor
    pairs: Tensor
    image: Tensor
    flow_rgb: Tensor
    flow: Tensor
    trust: Tensor
    camera: Tensor

    @classmethod
    def of(cls: type[Kind], frames: NetFrames, **more: Tensor) -> Kind:
        """The key frames of a shot; ``more`` is what a kind of them knows besides."""
        pairs = key_pairs(frames.count)
        positions = tuple(sorted({position for pair in pairs for position in pair}))
        index = {position: i for i, position in enumerate(positions)}
        chosen = [frames[position] for position in positions]
        return cls(
            count=frames.count,
            places=torch.tensor(positions),
            pairs=torch.tensor([[index[a], index[b]] for a, b in pairs]),
            image=torch.stack([frame.image for frame in chosen]),
            flow_rgb=torch.stack([frame.flow_rgb for frame in chosen]),
            flow=torch.stack([frame.flow[0] for frame in chosen]),
            trust=torch.stack([frame.trust[0] for frame in chosen]),
            camera=torch.stack([frame.camera[0] for frame in chosen]),
            **more,
        )

    def to(self: Kind, device: torch.device) -> Kind:
        """The same on another device."""
        values: dict[str, Any] = {
            one.name: value.to(device) for one in fields(self) if isinstance(value := getattr(self, one.name), Tensor)
        }
        return replace(self, **values)

    def batch(self, seed: int, step: int, size: int) -> Tensor:
        """The ``size`` pairs (size, 2) of a step: every pair once in an order of its own, then all again.

        Depends on seed and step alone, so that a resumed fit draws what an undisturbed one would have.
        """
        count = len(self.pairs)
        drawn = []
        for number in range(step * size, (step + 1) * size):
            generator = torch.Generator().manual_seed((seed << 20) + number // count)
            drawn.append(int(torch.randperm(count, generator=generator)[number % count]))
        return self.pairs[torch.tensor(drawn, device=self.pairs.device)]
