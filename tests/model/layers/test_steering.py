from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from tests.model.net_fakes import Thing, things_shot
from vdp_engine.model.layers.consensus import picture_range, superpixels
from vdp_engine.model.layers.steering import believed, steer, steer_each

SIZE = (48, 64)
COUNT, MIDDLE = 7, 3
RED = Thing((0.7, 0.3, 0.2), 4, 4)
BLUE = Thing((0.2, 0.4, 0.7), 28, 34)
LIKE_RED = replace(RED, top=BLUE.top, left=BLUE.left)


def on(thing, position):
    return thing.mask(position, SIZE).numpy()


def picture(inside, *, outside=True):
    """A hint at twice the net size: white ``inside`` (h, w), black or grey elsewhere."""
    large = inside.repeat(2, 0).repeat(2, 1).astype(np.float32)
    return np.stack([large, (1 - large) * outside])


def motion_of(*things, level=0.3):
    """Signed motion evidence (T, h, w): ``level`` on the things, minus ``level`` elsewhere."""
    nothing = np.zeros(SIZE)
    moving = np.stack([sum((on(thing, position) for thing in things), nothing) > 0 for position in range(COUNT)])
    return np.where(moving, level, -level).astype(np.float32)


def steered(frames, motion, hint):
    images = torch.stack([frames[position].image for position in range(COUNT)])
    return steer(frames, superpixels(frames, *picture_range(images)), motion, hint)


def shot(*things, trust=1.0):
    return things_shot(*things, count=COUNT, size=SIZE, trust=trust)


# One picture


def test_what_a_square_says():
    # At 100 pixels of height the rim is 2 pixels wide: within, belief grows with the distance from the outline.
    inside = np.zeros((100, 120), np.float32)
    inside[30:60, 40:80] = 1.0
    value, weight = believed(np.stack([inside, 1 - inside]), (100, 120))
    depth = np.maximum(*(ndimage.distance_transform_cdt(side, "chessboard") for side in (inside > 0, inside == 0)))
    expected = np.clip(depth / 2, 0, 1)
    straight = np.ones((100, 120), bool)  # round the corners distances are another matter
    for row in (30, 60):
        for column in (40, 80):
            straight[row - 4 : row + 4, column - 4 : column + 4] = False
    np.testing.assert_allclose(weight[straight], expected[straight], atol=0.03)
    np.testing.assert_array_equal(value, np.where(inside > 0, 1, -1))
    assert (value.dtype, value.shape, weight.shape) == (np.float32, (100, 120), (100, 120))


def test_what_a_square_says_at_half_the_size():
    inside = np.zeros((100, 120), np.float32)
    inside[30:60, 40:80] = 1.0
    value, weight = believed(np.stack([inside, 1 - inside]), (50, 60))
    assert weight[15:30, 20:40].sum() < 15 * 20  # the rim
    np.testing.assert_allclose(weight[17:28, 22:38], 1, atol=1e-5)
    np.testing.assert_array_equal(np.sign(value), np.where(inside[::2, ::2] > 0, 1, -1))


@pytest.mark.parametrize(
    ("inside", "outside", "value", "weight"),
    [
        pytest.param(1.0, 0.0, 1, 1, id="all inside"),
        pytest.param(0.0, 1.0, -1, 1, id="all outside"),
        pytest.param(0.0, 0.0, 0, 0, id="nothing known"),
        pytest.param(0.4, 0.4, 0, 0, id="neither one nor the other"),
    ],
)
def test_a_plain_picture(inside, outside, value, weight):
    hint = np.stack([np.full((40, 60), inside, np.float32), np.full((40, 60), outside, np.float32)])
    found = believed(hint, (20, 30))
    np.testing.assert_array_equal(found[0], value)
    np.testing.assert_array_equal(found[1], weight)


def test_grey_is_not_believed():
    hint = np.zeros((2, 100, 120), np.float32)
    hint[0, 20:40, 20:40], hint[1, 60:, :] = 1.0, 1.0
    value, weight = believed(hint, (100, 120))
    unknown = hint.sum(0) == 0
    assert not value[unknown].any() and not weight[unknown].any()
    assert value[30, 30] == 1 and value[80, 30] == -1


def test_a_stroke_thinner_than_its_rim_is_believed_in_its_middle():
    hint = np.zeros((2, 400, 300), np.float32)  # a rim of 8 pixels
    hint[0, 100:300, 150:155] = 1.0
    value, weight = believed(hint, (400, 300))
    assert weight[200, 152] == pytest.approx(1)
    assert value[200, 152] == 1
    assert weight[200, 150] < 0.5


# Over the shot


@pytest.mark.parametrize("at", [0, MIDDLE, COUNT - 1])
def test_of_two_that_move_alike_the_hinted_one_is_kept_over_the_shot(at):
    found = steered(shot(RED, BLUE), motion_of(RED, BLUE), {at: picture(on(RED, at))})
    assert (found.shape, found.dtype) == ((COUNT, *SIZE), np.float32)
    for position in range(COUNT):
        assert ((found[position] > 0) == on(RED, position)).mean() > 0.98
        assert found[position][on(BLUE, position)].max() < 0


def test_a_hint_brings_in_what_does_not_move():
    found = steered(shot(RED, BLUE), motion_of(BLUE), {MIDDLE: picture(on(RED, MIDDLE))})
    for position in range(COUNT):
        assert ((found[position] > 0) == on(RED, position)).mean() > 0.98


def test_without_trust_in_the_flow_looks_lead():
    motion = motion_of(RED, BLUE, level=0.1)
    found = steered(shot(RED, BLUE, trust=0.0), motion, {MIDDLE: picture(on(RED, MIDDLE))})
    for position in range(COUNT):
        assert ((found[position] > 0) == on(RED, position)).mean() > 0.96


def test_the_frame_before_counts_as_far_as_the_flow_is_trusted():
    resting = replace(RED, across=0)  # the flow leads from each pixel to itself
    hint = {MIDDLE: picture(on(resting, MIDDLE))}
    none, half, full = (steered(shot(resting, trust=trust), motion_of(), hint) for trust in (0.0, 0.5, 1.0))
    carried = 0.6 * np.clip(3 * none[MIDDLE], -1, 1)
    for position in (MIDDLE - 1, MIDDLE + 1):
        np.testing.assert_allclose(half[position] - none[position], 0.5 * carried, atol=1e-4)
        np.testing.assert_allclose(full[position] - none[position], carried, atol=1e-4)


def test_flow_carries_what_looks_cannot_tell_apart():
    found = steered(shot(RED, LIKE_RED), motion_of(RED, LIKE_RED, level=0.1), {MIDDLE: picture(on(RED, MIDDLE))})
    for position in range(COUNT):
        assert (found[position][on(RED, position)] > 0).mean() > 0.98
        assert (found[position][on(LIKE_RED, position)] < 0).mean() > 0.98


@pytest.mark.parametrize(("shift", "grown"), [(1, 0), (-1, 0), (2, 0), (0, 1)])
def test_what_is_rough_about_a_hint_wears_off(shift, grown):
    true = on(RED, MIDDLE)
    rough = np.roll(ndimage.grey_dilation(true, size=2 * grown + 1), shift, 1)
    found = steered(shot(RED, BLUE), motion_of(RED, BLUE), {MIDDLE: picture(rough)})
    wrong = [int(((found[position] > 0) != on(RED, position)).sum()) for position in (0, COUNT - 1)]
    assert np.mean(wrong) < 0.5 * (rough != true).sum()


@pytest.mark.parametrize("position", [0, 3])
def test_a_hinted_frame_is_weighed_by_hand(position):
    motion = np.random.default_rng(0).normal(scale=0.3, size=(COUNT, *SIZE)).astype(np.float32)
    hint = picture(on(RED, position))
    hint[1, :, 60:] = 0.0  # the right half is not known
    value, weight = believed(hint, SIZE)
    found = steered(shot(RED, BLUE), motion, {position: hint})[position]
    np.testing.assert_allclose(found, 0.5 * (1 - weight) * motion[position] + 0.7 * weight * value, atol=1e-6)
    np.testing.assert_allclose(found[:, 32:], 0.5 * motion[position][:, 32:], atol=1e-6)


def test_between_two_hinted_frames_the_nearer_one_has_more_to_say():
    # They disagree: of one the red thing is inside, of the other the blue one.
    frames, motion = shot(RED, BLUE), motion_of(RED, BLUE)
    hints = {1: picture(on(RED, 1)), 5: picture(on(BLUE, 5))}
    found = steered(frames, motion, hints)
    alone = [steered(frames, motion, {position: hint}) for position, hint in hints.items()]
    lead = [one[on(RED, at)].mean() - one[on(BLUE, at)].mean() for at, one in enumerate(found)]
    assert min(lead[:3]) > 0 > max(lead[4:])
    np.testing.assert_array_equal(found[1], alone[0][1])  # each hinted frame is as its picture says
    np.testing.assert_array_equal(found[5], alone[1][5])


def test_a_second_hint_mends_what_the_first_left_out():
    hints = {0: picture(on(RED, 0)), 6: picture(on(RED, 6) | on(BLUE, 6))}
    found = steered(shot(RED, BLUE), motion_of(BLUE), hints)
    assert (found[0][on(BLUE, 0)] < 0).all()
    assert (found[5][on(BLUE, 5)] > 0).mean() > 0.9
    assert (found[6][on(BLUE, 6)] > 0).mean() > 0.9
    for position in range(COUNT):
        assert (found[position][on(RED, position)] > 0).mean() > 0.95


def test_hints_carried_together_know_nothing_of_each_other():
    frames = shot(RED, BLUE)
    images = torch.stack([frames[position].image for position in range(frames.count)])
    cut, motion = superpixels(frames, *picture_range(images)), motion_of(RED, BLUE)
    last = frames.count - 1
    twice = {position: picture(on(RED, position)) for position in (1, last)}
    hints = [{0: picture(on(RED, 0))}, {2: picture(on(BLUE, 2))}, twice]
    together = steer_each(frames, cut, motion, hints)
    for answer, one in zip(together, hints, strict=True):
        np.testing.assert_array_equal(answer, steer(frames, cut, motion, one))
    assert steer_each(frames, cut, motion, []) == []
