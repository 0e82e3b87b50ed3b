"""Everything the report needs to know of one frame, from one pass over its written layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from vdp_engine.check.layers_file import LayerFile
from vdp_engine.check.numbers import Layers, Motion, is_foreground
from vdp_engine.check.rebuild import Rebuild, expected, measure_rebuild
from vdp_engine.check.tasks import CHECK_TASKS
from vdp_engine.equations import colour
from vdp_engine.motion import MotionFrame
from vdp_engine.plate import Frame, Window, place
from vdp_engine.settings import Settings

_MOVING = 0.5  # evidence or opacity above which a pixel counts as moving by itself or as covered
_NOISE = (3.0, 0.1)  # evidence sees nothing below 3 max(sigma, 0.1 px) of motion against the camera
_NEAR = 0.05  # of the picture's height: how far around a matte doubt and the halo of its motion belong to it


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
    task = CHECK_TASKS[settings.task]
    controls = task.controls(file, settings)
    truth, clamped = expected(plate.pixels, settings.bit_depth)
    planes = {name: np.empty(window.shape, np.float32) for name in file.names if task.followed(name)}
    confidence = np.empty(window.shape, np.float32)
    means: dict[str, float] = {}
    total, missed, light = Rebuild(), 0.0, 0.0
    for rows, channels in file.bands():
        try:
            part = measure_rebuild(
                settings.task, channels, truth[rows], left=file.x, top=file.y + rows.start, **controls
            )  # fmt: skip
            share = (rows.stop - rows.start) / window.height
            for name, number in task.numbers(channels).items():
                means[name] = means.get(name, 0.0) + share * number
            missed += float(np.abs(colour(channels, "residual")).sum(dtype=np.float64))
            confidence[rows] = channels["confidence.A"]
        except KeyError as missing:
            raise file.damaged(f"there is no channel {missing}") from None
        light += float(np.abs(truth[rows]).sum(dtype=np.float64))
        total = total.joined(part)
        for name, plane in planes.items():
            plane[rows] = channels[name]
    mattes = {name: _at_motion_size(plane, window, canvas, size) for name, plane in planes.items()}
    inside = _foreground(mattes, size) > 0.5
    picture = _at_motion_size(np.ones(window.shape, np.float32), window, canvas, size) > 0.5
    sure = _at_motion_size(confidence, window, canvas, size)
    mean = float(confidence.mean(dtype=np.float64))
    numbers = Layers(
        rebuild=total,
        lossy=file.lossy,
        holes=0 if plate.holes is None else int(np.count_nonzero(plate.holes)),
        clamped=clamped,
        coverage={name: float(plane.mean(dtype=np.float64)) for name, plane in planes.items()},
        softness={name: _softness(plane) for name, plane in planes.items()},
        residual=missed / max(light, 1e-12),
        overlap=expected_overlap(inside, sure, picture) if task.has_foreground else mean,
        border=border_share(inside, picture) if task.has_foreground else None,
        numbers=means,
    )
    return numbers, mattes


def expected_overlap(inside: np.ndarray, confidence: np.ndarray, picture: np.ndarray) -> float:
    """What to expect of J, the area that a matte shares with the truth over the area of both, 0 to 1.

    The matte M shares Σ_M c with the truth, and misses Σ (1 − c) over what lies outside of it, but near. Far from it
    the few percent of doubt that every pixel keeps would add up to more than the object.

    Args:
        inside: bool (h, w), M. Where it is empty the answer is 0: nothing overlaps with nothing, and the confidence
            does not tell an object that left from one that was lost.
        confidence: (h, w), c, the chance that a pixel is on the right side of the matte.
        picture: bool (h, w), where there is a picture at all.
    """
    matte = inside & picture
    if not matte.any():
        return 0.0
    around = _reached(matte) & picture & ~matte
    shared = float(confidence[matte].sum(dtype=np.float64))
    missed = float((1 - confidence[around]).sum(dtype=np.float64))
    return shared / (int(np.count_nonzero(matte)) + missed)


def border_share(inside: np.ndarray, picture: np.ndarray) -> float | None:
    """Share of a matte's outline that lies on the picture's border; None for an empty matte. Bool (h, w), both."""
    matte = inside & picture
    # Of four neighbours, not eight: a slanting outline counts no more pixels than it crosses.
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    rim, edge = (
        mask & (cv2.erode(mask.astype(np.uint8), cross, borderType=cv2.BORDER_CONSTANT, borderValue=0) == 0)
        for mask in (matte, picture)
    )
    return int(np.count_nonzero(rim & edge)) / int(np.count_nonzero(rim)) if rim.any() else None


def measure_motion(motion: MotionFrame, mattes: Mapping[str, np.ndarray], before: Mapping[str, np.ndarray]) -> Motion:
    """Compare the mattes of a frame with its motion; ``before`` are those of the frame before it (or empty).

    All mattes are float32 (h, w) by channel name, at the size of ``motion``.
    """
    covered = motion.coverage.numpy() > 0.5
    moving = (motion.evidence.numpy() > _MOVING) & covered
    foreground = _foreground(mattes, moving.shape)
    inside = foreground > _MOVING
    near = [index for index, gap in enumerate(motion.gaps) if abs(gap) == 1 and motion.present[index]]
    area = max(int(np.count_nonzero(covered)), 1)
    uncovered = int(np.count_nonzero(moving & ~_reached(foreground > 0.2)))
    either = int(np.count_nonzero(inside | (moving & ~_reached(inside))))
    return Motion(
        moving=int(np.count_nonzero(moving)) / area,
        strength=max((_strength(motion, index) for index in near), default=0.0),
        confidence=_mean_confidence(motion, near, covered),
        agreement=int(np.count_nonzero(inside & moving)) / max(either, 1),
        uncovered=uncovered / area,
        flicker=_flicker(motion, mattes, before),
    )


def _foreground(mattes: Mapping[str, np.ndarray], size: tuple[int, ...]) -> np.ndarray:
    """The sum of all foreground mattes, float32 (h, w) of ``size``."""
    return sum((matte for name, matte in mattes.items() if is_foreground(name)), np.zeros(size, np.float32))


def _reached(mask: np.ndarray) -> np.ndarray:
    """A bool mask (h, w) and what lies near it; nothing where it is empty."""
    if not mask.any():
        return mask
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= _NEAR * mask.shape[0])


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
