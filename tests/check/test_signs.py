"""Each sign of trouble is given when its numbers say so, and only then."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from vdp_engine.check.layers import border, find_signs, left_over, unsteadiness
from vdp_engine.check.measure import border_share, expected_overlap, measure_motion
from vdp_engine.check.numbers import FrameNumbers, Layers, Motion
from vdp_engine.check.rebuild import Rebuild
from vdp_engine.check.signs import flicker
from vdp_engine.motion import MotionFrame

GOOD_LAYERS = Layers(
    rebuild=Rebuild(0.5, 3, 4, "R", 0), lossy=False, holes=0, clamped=0, coverage={"bg.A": 0.9, "fg1.A": 0.1},
    softness={"bg.A": 0.02, "fg1.A": 0.15}, residual=0.01, overlap=0.8, border=0.02,
)  # fmt: skip
GOOD_MOTION = Motion(moving=0.1, strength=6.0, confidence=0.9, agreement=0.8, uncovered=0.004, flicker=0.001)


def _frames(**changes: Any) -> list[FrameNumbers]:
    """Three frames, all the same."""
    layers = {key: value for key, value in changes.items() if hasattr(GOOD_LAYERS, key)}
    motion = {key: value for key, value in changes.items() if key not in layers}
    numbers = dataclasses.replace(GOOD_LAYERS, **layers), dataclasses.replace(GOOD_MOTION, **motion)
    return [FrameNumbers(frame, *numbers) for frame in (1001, 1002, 1003)]


THREE = {"bg.A": 0.7, "fg1.A": 0.2, "fg2.A": 0.1}


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        ({"strength": 0.6}, ["motion.too_little"]),
        ({"confidence": 0.2}, ["motion.unreliable"]),
        ({"softness": {"bg.A": 0.05, "fg1.A": 0.45}}, ["layers.not_separating"]),
        ({"softness": {"bg.A": 0.45, "fg1.A": 0.15}}, []),  # the background's softness says nothing
        ({"agreement": 0.59}, ["layers.disagree"]),
        ({"agreement": 0.61}, []),
        ({"agreement": 0.0, "moving": 0.0}, []),
        ({"border": 0.11}, ["layers.border"]),
        ({"border": 0.09}, []),
        ({"border": None}, []),
        ({"flicker": 0.0081}, ["layers.unsteady"]),  # of a matte of a tenth of the picture
        ({"flicker": 0.0079}, []),
        ({"flicker": 0.0079, "coverage": {"bg.A": 0.95, "fg1.A": 0.05}}, ["layers.unsteady"]),
        ({"flicker": 0.0161, "coverage": THREE}, ["layers.unsteady"]),  # 3 mattes change by half of 3 × 0.0161
        ({"flicker": 0.0159, "coverage": THREE}, []),
        ({"flicker": None}, []),
        ({"coverage": {"bg.A": 0.9, "fg1.A": 0.1, "fg2.A": 0.0001}}, ["layers.too_many"]),
        ({"coverage": {"bg.A": 0.0, "fg1.A": 1.0}}, []),
        ({"uncovered": 0.046}, ["layers.too_few"]),
        ({"uncovered": 0.044}, []),
        ({"uncovered": 0.14, "coverage": THREE}, ["layers.too_few"]),
        ({"uncovered": 0.13, "coverage": THREE}, []),
        ({"uncovered": 0.01, "flicker": 0.0, "coverage": {"fg1.A": 0.0}}, ["layers.too_many", "layers.too_few"]),
        ({"holes": 3}, ["plate.holes"]),
        ({"clamped": 3}, ["plate.clamped"]),
        ({"lossy": True}, ["check.lossy"]),
        ({"strength": 0.6, "holes": 3}, ["plate.holes", "motion.too_little"]),
    ],
)
def test_each_sign_has_its_numbers(changes: dict[str, Any], codes: list[str]) -> None:
    assert [sign.code for sign in find_signs(_frames(**changes), hinted=False)] == codes


def test_what_the_artist_chose_is_not_doubted_but_what_became_of_it_is() -> None:
    doubted = {"agreement": 0.1, "border": 0.5, "uncovered": 0.3}
    codes = [sign.code for sign in find_signs(_frames(**doubted, flicker=0.05), hinted=False)]
    assert codes == ["layers.unsteady", "layers.disagree", "layers.border", "layers.too_few"]
    assert [sign.code for sign in find_signs(_frames(**doubted, flicker=0.05), hinted=True)] == ["layers.unsteady"]


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"softness": {"fg1.A": 0.45}}, "layers.not_separating", "0.45"),
        ({"agreement": 0.47}, "layers.disagree", "47%"),
        ({"border": 0.34}, "layers.border", "34%"),
        ({"flicker": 0.02}, "layers.unsteady", "20%"),
        ({"uncovered": 0.079}, "layers.too_few", "79%"),
    ],
)
def test_a_sign_tells_its_number_and_what_to_do(changes: dict[str, Any], code: str, told: str) -> None:
    (sign,) = find_signs(_frames(**changes), hinted=False)
    assert sign.code == code and told in sign.message and "--hint" in sign.message


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"agreement": 0.5}, {"agreement": 0.2}),
        ({"border": 0.3}, {"border": 0.9}),
        ({"border": None}, {"border": 0.9}),
        ({"flicker": None}, {"flicker": 0.5}),
        ({"uncovered": 0.1}, {"uncovered": 0.9}),
    ],
    ids=["disagree", "border", "border of some", "unsteady", "too few"],
)
def test_a_sign_names_the_worst_frame(good: dict[str, Any], bad: dict[str, Any]) -> None:
    frames = _frames(**good)
    frames[1] = dataclasses.replace(_frames(**bad)[1], frame=1002)
    (sign,) = find_signs(frames, hinted=False)
    assert sign.frame == 1002


def test_numbers_of_the_shot_are_means_over_the_frames_that_have_them() -> None:
    frames = [
        FrameNumbers(
            1000 + index,
            dataclasses.replace(GOOD_LAYERS, border=share, coverage={"bg.A": 1 - area, "fg1.A": area}),
            dataclasses.replace(GOOD_MOTION, flicker=change, uncovered=missed),
        )
        for index, (share, area, change, missed) in enumerate([(None, 0.0, None, 0.3), (0.2, 0.3, 0.06, 0.0)])
    ]
    assert border(frames) == pytest.approx(0.2)
    assert flicker(frames) == pytest.approx(0.06)
    assert unsteadiness(frames) == pytest.approx(0.06 / 0.15)
    assert left_over(frames) == pytest.approx(0.15 / 0.15)
    assert border(frames[:1]) == flicker(frames[:1]) == unsteadiness(frames[:1]) == 0


def test_a_sign_names_the_frame_that_shows_it_best() -> None:
    frames = _frames()
    frames[1] = dataclasses.replace(frames[1], layers=dataclasses.replace(GOOD_LAYERS, holes=12))
    (sign,) = find_signs(frames, hinted=False)
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
    # The two columns beside the matte, 5 % of the height, may be a halo of the flow.
    assert found.agreement == pytest.approx(100 / 280)
    assert found.uncovered == pytest.approx(8 * 10 / 2400)
    assert found.flicker is None


@pytest.mark.parametrize(
    ("columns", "agreement", "uncovered"),
    [
        (slice(20, 40), 1.0, 0.0),
        (slice(18, 42), 1.0, 0.0),  # a halo
        (slice(30, 40), 0.5, 0.0),  # only half of the matte moves
        (slice(50, 60), 0.0, 100 / 2400),  # something else moves
        (slice(0, 0), 0.0, 0.0),
    ],
)
def test_agreement_and_what_is_left_over(columns: slice, agreement: float, uncovered: float) -> None:
    evidence, matte = (_box(slice(10, 20), at).astype(np.float32) for at in (columns, slice(20, 40)))
    found = measure_motion(_motion(evidence, 0.0), {"fg1.A": matte, "bg.A": 1 - matte}, {})
    assert (found.agreement, found.uncovered) == pytest.approx((agreement, uncovered))


def test_without_any_matte_all_that_moves_is_left_over() -> None:
    evidence = _box(slice(10, 20), slice(20, 40)).astype(np.float32)
    nothing = np.zeros_like(evidence)
    found = measure_motion(_motion(evidence, 0.0), {"fg1.A": nothing, "bg.A": 1 - nothing}, {})
    assert (found.agreement, found.uncovered) == pytest.approx((0, 200 / 2400))


@pytest.mark.parametrize(("shift", "flicker"), [(2.0, 0.0), (0.0, 2 * 2 * 10 / 2400)])
def test_a_matte_that_moves_with_the_flow_does_not_flicker(shift: float, flicker: float) -> None:
    before = np.zeros((40, 60), np.float32)
    before[10:20, 20:40] = 1.0
    now = np.roll(before, 2, axis=1)
    found = measure_motion(_motion(now, shift), {"fg1.A": now}, {"fg1.A": before})
    assert found.flicker == pytest.approx(flicker, abs=1e-6)


def _overlap_by_pairs(inside: np.ndarray, confidence: np.ndarray, picture: np.ndarray) -> float:
    """The definition, by the distance of every pixel from every pixel of the matte."""
    matte = np.argwhere(inside & picture)
    shared = missed = 0.0
    for y, x in np.argwhere(picture):
        if inside[y, x]:
            shared += confidence[y, x]
        elif np.hypot(*(matte - (y, x)).T).min() <= 0.05 * len(inside):
            missed += 1 - confidence[y, x]
    return shared / (len(matte) + missed)


def _box(rows: slice, columns: slice, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


WHOLE = _box(slice(None), slice(None))


@pytest.mark.parametrize(
    ("inside", "picture"),
    [
        (_box(slice(10, 20), slice(20, 40)), WHOLE),
        (_box(slice(0, 20), slice(30, 60)), WHOLE),
        (_box(slice(10, 20), slice(20, 40)), _box(slice(5, 30), slice(8, 41))),
        (_box(slice(10, 20), slice(20, 40)), _box(slice(0, 15), slice(0, 60))),
    ],
    ids=["in the middle", "in a corner", "small picture", "half out of the picture"],
)
def test_expected_overlap_is_its_definition(inside: np.ndarray, picture: np.ndarray) -> None:
    confidence = np.random.default_rng(1).random(inside.shape).astype(np.float32)
    found = expected_overlap(inside, confidence, picture)
    assert found == pytest.approx(_overlap_by_pairs(inside, confidence, picture), rel=1e-5)


def test_expected_overlap_is_that_with_a_truth_drawn_by_the_confidence() -> None:
    rng = np.random.default_rng(3)
    inside = _box(slice(20, 60), slice(30, 90), (100, 140))
    # No doubt beyond 5 pixels, 5 % of the height, from the matte.
    around = ndimage.distance_transform_edt(~inside) <= 5
    confidence = np.select([inside, around], [0.9, 0.8], 1.0)
    overlaps = []
    for _ in range(20):
        truth = inside ^ (rng.random(inside.shape) > confidence)
        overlaps.append((inside & truth).sum() / (inside | truth).sum())
    found = expected_overlap(inside, confidence, np.ones_like(inside))
    assert found == pytest.approx(np.mean(overlaps), abs=0.005)


@pytest.mark.parametrize(("confidence", "overlap"), [(1.0, 1.0), (0.0, 0.0)])
def test_expected_overlap_at_its_ends(confidence: float, overlap: float) -> None:
    inside = _box(slice(10, 20), slice(20, 40))
    assert expected_overlap(inside, np.full(inside.shape, confidence, np.float32), WHOLE) == overlap


def test_without_foreground_no_overlap_is_expected() -> None:
    nothing = np.zeros_like(WHOLE)
    assert expected_overlap(nothing, np.ones(nothing.shape, np.float32), WHOLE) == 0
    assert expected_overlap(WHOLE, np.ones(nothing.shape, np.float32), nothing) == 0
    assert border_share(nothing, WHOLE) is None


@pytest.mark.parametrize(
    ("inside", "picture", "share"),
    [
        (_box(slice(10, 20), slice(20, 40)), WHOLE, 0),
        (_box(slice(10, 20), slice(0, 20)), WHOLE, 10 / 56),  # 20 × 10: an outline of 56 pixels
        (_box(slice(0, 10), slice(0, 20)), WHOLE, 29 / 56),  # in a corner
        (WHOLE, WHOLE, 1),
        # A triangle in the corner: two sides of 10 pixels that share one, and a slanting one of 8 more.
        (np.add.outer(np.arange(40), np.arange(60)) < 10, WHOLE, 19 / 27),
        (_box(slice(10, 20), slice(20, 40)), _box(slice(0, 40), slice(20, 60)), 10 / 56),  # of a small data window
        (_box(slice(10, 20), slice(10, 40)), _box(slice(0, 40), slice(20, 60)), 10 / 56),
    ],
    ids=["inside", "one side", "corner", "all", "slanting", "border of the data window", "reaching out of it"],
)
def test_share_of_the_outline_on_the_border(inside: np.ndarray, picture: np.ndarray, share: float) -> None:
    assert border_share(inside, picture) == pytest.approx(share)
