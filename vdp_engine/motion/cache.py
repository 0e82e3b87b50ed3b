"""The motion of one frame, and the file that keeps it: what `prep` leaves for the later stages.

Stored are flow and image as float16 and the shares 0..1 as bytes, about 28 bytes a pixel with four gaps: 2.8 MB a
frame at 240×424. All of it is derived from the flow as it is stored, and everyone reads it from the file, so that
nothing depends on whether it has been on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor

from vdp_engine import files
from vdp_engine.errors import ShotError
from vdp_engine.motion.camera import camera_flow
from vdp_engine.motion.sizes import Size

FORMAT = 2
"""Version of the file and of everything that decides its contents; part of every stamp."""

_HALVES = ("image", "flow")
_SHARES = ("coverage", "confidence", "evidence")
_EXACT = ("present", "theta", "sigma", "strength")


@dataclass(frozen=True)
class MotionFrame:
    """The motion of one frame at motion size (h, w), against its neighbours at G signed gaps.

    Entries of neighbours that do not exist are 0.

    Attributes:
        frame: the frame number.
        gaps: how far on in the shot each neighbour is, in frames, e.g. (1, -1, 2, -2).
        present: bool (G,), the neighbour exists.
        image: float32 (3, h, w), log-encoded.
        coverage: float32 (h, w), share of the pixel that lies inside the data window and is no hole.
        flow: float32 (G, 2, h, w), towards the neighbour in pixels of (h, w), x to the right and y down.
        confidence: float32 (G, h, w), forward-backward consistency, 0 to 1.
        theta: float32 (G, 6, 2), camera motion, see ``camera.camera_flow``.
        sigma: float32 (G,), noise of the camera fit in pixels.
        strength: float32 (G,), 98 % quantile of the residual |flow - camera flow| in pixels.
        evidence: float32 (h, w), 0 to 1, see ``evidence.motion_evidence``.
    """

    frame: int
    gaps: tuple[int, ...]
    present: Tensor
    image: Tensor
    coverage: Tensor
    flow: Tensor
    confidence: Tensor
    theta: Tensor
    sigma: Tensor
    strength: Tensor
    evidence: Tensor

    @property
    def size(self) -> Size:
        """(h, w)."""
        return self.coverage.shape[0], self.coverage.shape[1]

    def residual(self) -> Tensor:
        """float32 (G, 2, h, w): flow minus camera flow, in pixels; 0 for neighbours that do not exist."""
        return self.flow - camera_flow(self.theta, self.size, self.size)

    def save(self, path: Path, stamp: str) -> None:
        """Write the file, whole or not at all; ``stamp`` says what it was made from.

        Raises:
            TryAgainError: it cannot be written.
        """
        tensors = {name: getattr(self, name) for name in _EXACT}
        tensors |= {name: getattr(self, name).half() for name in _HALVES}
        tensors |= {name: (getattr(self, name) * 255).round().to(torch.uint8) for name in _SHARES}
        tensors["gaps"] = torch.tensor(self.gaps)
        stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
        files.write_bytes(path, serialised(stored, {"stamp": stamp}))

    @classmethod
    def load(cls, path: Path, frame: int) -> MotionFrame:
        """Read the file of ``frame``.

        Raises:
            ShotError: it is missing or damaged.
        """
        try:
            with safe_open(path, "pt") as stored:
                tensors = {name: stored.get_tensor(name) for name in (*_HALVES, *_SHARES, *_EXACT, "gaps")}
        except FileNotFoundError:
            raise _unusable("has not been prepared", "no_motion", path, frame) from None
        except (SafetensorError, OSError):
            raise _unusable("cannot be read", "damaged_motion", path, frame) from None
        gaps = tuple(tensors.pop("gaps").tolist())
        shares = {name: tensors[name].float() / 255 for name in _SHARES}
        halves = {name: tensors[name].float() for name in _HALVES}
        return cls(frame=frame, gaps=gaps, **{name: tensors[name].clone() for name in _EXACT}, **shares, **halves)


def stamp_of(path: Path) -> str | None:
    """What the file was made from, read from its header alone; ``None`` where it is missing or damaged."""
    try:
        with safe_open(path, "pt") as stored:
            return (stored.metadata() or {}).get("stamp")
    except (SafetensorError, OSError):
        return None


def _unusable(why: str, code: str, path: Path, frame: int) -> ShotError:
    return ShotError(
        f"the motion {why}", code=code, path=path, frame=frame,
        remedy="run `vdp prep` on the shot first: it redoes what is missing or damaged and nothing else",
    )  # fmt: skip
