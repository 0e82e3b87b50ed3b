"""Everything the report needs to know of one frame, from one pass over its written layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vdp_engine.check.layers_file import LayerFile
from vdp_engine.check.rebuild import Rebuild, expected, measure_rebuild
from vdp_engine.equations import colour
from vdp_engine.motion import MotionFrame
from vdp_engine.plate import Frame, Window, place
from vdp_engine.settings import Settings

_MOVING = 0.5  # evidence or opacity above which a pixel counts as moving by itself or as covered
_NOISE = (3.0, 0.1)  # evidence sees nothing below 3 max(sigma, 0.1 px) of motion against the camera


@dataclass(frozen=True)
class Layers:
    """What the written layers of one frame show.

    Attributes:
        rebuild: the rebuild rule.
        lossy: whether their compression changes values, so that the rule cannot hold exactly.
        holes: pixels of the plate that are NaN or infinite.
        clamped: values of the plate beyond what half can hold.
        coverage: mean of each matte by channel name, 0 to 1.
        softness: Σ α(1 − α) / Σ α of each matte: 0 for one of zeros and ones, 0.5 for an even grey.
        residual: mean |residual| over mean |plate|: what the layers alone miss.
        confidence: mean confidence, 0 to 1.
    """

    rebuild: Rebuild
    lossy: bool
    holes: int
    clamped: int
    coverage: Mapping[str, float]
    softness: Mapping[str, float]
    residual: float
    confidence: float


@dataclass(frozen=True)
class Motion:
    """What the motion of one frame says about its layers.

    Attributes:
        moving: share of the frame that moves by itself.
        strength: own motion over the noise of the camera's, 1 where the evidence begins to see it.
        confidence: mean forward-backward agreement of the flow between neighbouring frames, 0 to 1.
        agreement: area where evidence and foreground mattes are both on, over the area where either is.
        uncovered: share of the frame that moves by itself outside all foreground mattes.
        flicker: mean |α_t − α_{t−1} carried along the flow| over all mattes, weighted by the flow's confidence;
            None where there is no previous frame.
    """

    moving: float
    strength: float
    confidence: float
    agreement: float
    uncovered: float
    flicker: float | None


def is_matte(name: str) -> bool:
    """Whether a channel is the opacity of one layer (``A`` itself repeats one, ``confidence.A`` is none)."""
    return name.endswith(".A") and name != "confidence.A"


def is_foreground(name: str) -> bool:
    """Whether a matte is that of a foreground layer."""
    return name.startswith("fg")


def measure_layers(
    file: LayerFile, plate: Frame, canvas: Window, settings: Settings, size: tuple[int, int]
) -> tuple[Layers, dict[str, np.ndarray]]:
    """Compare a layer file with its plate frame.

    Returns:
        The numbers, and the mattes on the plate's ``canvas`` at ``size`` (h, w): float32 by channel name, 0 outside
        the data window.

    Raises:
        CheckError: the file is damaged, lacks channels, or belongs to another plate.
    """
    window = plate.header.data_window
    if (file.height, file.width, file.y, file.x) != (*window.shape, window.y, window.x):
        raise file.stale("the plate's data window is another")
    straight = settings.alpha == "straight"
    truth, clamped = expected(plate.pixels, settings.bit_depth)
    planes = {name: np.empty(window.shape, np.float32) for name in file.names if is_matte(name)}
    total, missed, light, trust = Rebuild(), 0.0, 0.0, 0.0
    for rows, channels in file.bands():
        try:
            part = measure_rebuild(
                settings.task, channels, truth[rows], straight=straight, left=file.x, top=file.y + rows.start
            )  # fmt: skip
            missed += float(np.abs(colour(channels, "residual")).sum(dtype=np.float64))
            trust += float(channels["confidence.A"].sum(dtype=np.float64))
        except KeyError as missing:
            raise file.damaged(f"there is no channel {missing}") from None
        light += float(np.abs(truth[rows]).sum(dtype=np.float64))
        total = total.joined(part)
        for name, plane in planes.items():
            plane[rows] = channels[name]
    numbers = Layers(
        rebuild=total,
        lossy=file.lossy,
        holes=0 if plate.holes is None else int(np.count_nonzero(plate.holes)),
        clamped=clamped,
        coverage={name: float(plane.mean(dtype=np.float64)) for name, plane in planes.items()},
        softness={name: _softness(plane) for name, plane in planes.items()},
        residual=missed / max(light, 1e-12),
        confidence=trust / (file.width * file.height),
    )
    return numbers, {name: _at_motion_size(plane, window, canvas, size) for name, plane in planes.items()}


def measure_motion(motion: MotionFrame, mattes: Mapping[str, np.ndarray], before: Mapping[str, np.ndarray]) -> Motion:
    """Compare the mattes of a frame with its motion; ``before`` are those of the frame before it (or empty).

    All mattes are float32 (h, w) by channel name, at the size of ``motion``.
    """
    covered = motion.coverage.numpy() > 0.5
    moving = (motion.evidence.numpy() > _MOVING) & covered
    foreground = sum((matte for name, matte in mattes.items() if is_foreground(name)), np.zeros(moving.shape))
    either = (foreground > _MOVING) | moving
    near = [index for index, gap in enumerate(motion.gaps) if abs(gap) == 1 and motion.present[index]]
    area = max(int(np.count_nonzero(covered)), 1)
    # Two pixels of slack: a matte that ends just inside its evidence leaves nothing uncovered.
    grown = cv2.dilate(np.asarray(foreground, np.float32), np.ones((5, 5), np.uint8))
    return Motion(
        moving=int(np.count_nonzero(moving)) / area,
        strength=max((_strength(motion, index) for index in near), default=0.0),
        confidence=_mean_confidence(motion, near, covered),
        agreement=int(np.count_nonzero((foreground > _MOVING) & moving)) / max(int(np.count_nonzero(either)), 1),
        uncovered=int(np.count_nonzero(moving & (grown < 0.2))) / area,
        flicker=_flicker(motion, mattes, before),
    )


def _mean_confidence(motion: MotionFrame, entries: Sequence[int], covered: np.ndarray) -> float:
    values = [motion.confidence[index].numpy()[covered] for index in entries]
    return float(np.mean(values)) if values and covered.any() else 0.0


def _strength(motion: MotionFrame, index: int) -> float:
    sigmas, smallest = _NOISE
    return float(motion.strength[index]) / (sigmas * max(float(motion.sigma[index]), smallest))


def _flicker(
    motion: MotionFrame, mattes: Mapping[str, np.ndarray], before: Mapping[str, np.ndarray]
) -> float | None:
    back = motion.gaps.index(-1) if -1 in motion.gaps else None
    if back is None or not bool(motion.present[back]) or not before:
        return None
    flow, trust = motion.flow[back].numpy(), motion.confidence[back].numpy()
    height, width = trust.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = x + flow[0], y + flow[1]
    changes = []
    for name, matte in mattes.items():
        carried = cv2.remap(before[name], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        changes.append(float((np.abs(matte - carried) * trust).sum()) / max(float(trust.sum()), 1e-6))
    return float(np.mean(changes)) if changes else None


def _softness(matte: np.ndarray) -> float:
    total = float(matte.sum(dtype=np.float64))
    return max(0.0, 1.0 - float(np.square(matte).sum(dtype=np.float64)) / total) if total > 0 else 0.0


def _at_motion_size(matte: np.ndarray, window: Window, canvas: Window, size: tuple[int, int]) -> np.ndarray:
    whole = place(matte, window, canvas)
    return np.asarray(cv2.resize(whole, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
