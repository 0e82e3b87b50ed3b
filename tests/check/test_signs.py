"""Each sign of trouble is given when its numbers say so, and only then."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from vdp_engine.check.measure import Layers, Motion, measure_motion
from vdp_engine.check.rebuild import Rebuild
from vdp_engine.check.signs import FrameNumbers, find_signs
from vdp_engine.motion import MotionFrame

GOOD_LAYERS = Layers(
    rebuild=Rebuild(0.5, 3, 4, "R", 0), lossy=False, holes=0, clamped=0, coverage={"bg.A": 0.9, "fg1.A": 0.1},
    softness={"bg.A": 0.02, "fg1.A": 0.15}, residual=0.01, confidence=0.9,
)  # fmt: skip
GOOD_MOTION = Motion(moving=0.1, strength=6.0, confidence=0.9, agreement=0.8, uncovered=0.004, flicker=0.001)


def _frames(**changes: Any) -> list[FrameNumbers]:
    """Three frames, the one in the middle the worst by its number only."""
    layers = {key: value for key, value in changes.items() if hasattr(GOOD_LAYERS, key) and key != "confidence"}
    motion = {key: value for key, value in changes.items() if key not in layers}
    numbers = dataclasses.replace(GOOD_LAYERS, **layers), dataclasses.replace(GOOD_MOTION, **motion)
    return [FrameNumbers(frame, *numbers) for frame in (1001, 1002, 1003)]


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        ({"strength": 0.6}, ["motion.too_little"]),
        ({"confidence": 0.2}, ["motion.unreliable"]),
        ({"softness": {"bg.A": 0.05, "fg1.A": 0.45}}, ["layers.not_separating"]),
        ({"agreement": 0.05}, ["layers.not_separating"]),
        ({"agreement": 0.0, "moving": 0.0}, []),
        ({"coverage": {"bg.A": 0.9, "fg1.A": 0.1, "fg2.A": 0.0001}}, ["layers.too_many"]),
        ({"coverage": {"bg.A": 0.0, "fg1.A": 1.0}}, []),
        ({"uncovered": 0.08}, ["layers.too_few"]),
        ({"holes": 3}, ["plate.holes"]),
        ({"clamped": 3}, ["plate.clamped"]),
        ({"lossy": True}, ["check.lossy"]),
        ({"strength": 0.6, "holes": 3}, ["plate.holes", "motion.too_little"]),
    ],
)
def test_each_sign_has_its_numbers(changes: dict[str, Any], codes: list[str]) -> None:
    assert [sign.code for sign in find_signs(_frames(**changes))] == codes


def test_a_sign_names_the_frame_that_shows_it_best() -> None:
    frames = _frames()
    frames[1] = dataclasses.replace(frames[1], layers=dataclasses.replace(GOOD_LAYERS, holes=12))
    (sign,) = find_signs(frames)
    assert sign.frame == 1002 and "1 frames" in sign.message and "12" in sign.message


def _motion(evidence: np.ndarray, shift: float) -> MotionFrame:
    """A frame whose picture moves by ``shift`` pixels to the right a frame, with the given evidence (h, w)."""
    size = evidence.shape
    flow = torch.zeros(4, 2, *size)
    flow[0, 0], flow[1, 0] = shift, -shift
    return MotionFrame(
        frame=5, gaps=(1, -1, 2, -2), present=torch.tensor([True, True, False, False]), image=torch.zeros(3, *size),
        coverage=torch.ones(size), flow=flow, confidence=torch.stack([torch.full(size, c) for c in (1.0, 0.5, 0, 0)]),
        theta=torch.zeros(4, 6, 2), sigma=torch.tensor([0.05, 0.2, 0, 0]), strength=torch.tensor([3.0, 3.0, 9, 9]),
        evidence=torch.from_numpy(evidence),
    )  # fmt: skip


def test_motion_numbers_in_closed_form() -> None:
    evidence = np.zeros((40, 60), np.float32)
    evidence[10:20, 10:30] = 1.0  # 200 of 2400 pixels, all but 4 columns of which the matte misses by far
    matte = np.zeros_like(evidence)
    matte[10:20, 20:40] = 1.0
    found = measure_motion(_motion(evidence, 2.0), {"fg1.A": matte, "bg.A": 1 - matte}, {})
    assert found.moving == pytest.approx(200 / 2400)
    assert found.strength == pytest.approx(3.0 / (3 * 0.1))  # sigma 0.05 counts as 0.1
    assert found.confidence == pytest.approx(0.75)
    assert found.agreement == pytest.approx(100 / 300)
    assert found.uncovered == pytest.approx(8 * 10 / 2400)  # two pixels of slack
    assert found.flicker is None


@pytest.mark.parametrize(("shift", "flicker"), [(2.0, 0.0), (0.0, 2 * 2 * 10 / 2400)])
def test_a_matte_that_moves_with_the_flow_does_not_flicker(shift: float, flicker: float) -> None:
    before = np.zeros((40, 60), np.float32)
    before[10:20, 20:40] = 1.0
    now = np.roll(before, 2, axis=1)
    found = measure_motion(_motion(now, shift), {"fg1.A": now}, {"fg1.A": before})
    assert found.flicker == pytest.approx(flicker, abs=1e-6)
