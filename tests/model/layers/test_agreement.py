import numpy as np
import pytest
import torch

from tests.model.net_fakes import Thing, things_shot
from vdp_engine.model.layers import agreement
from vdp_engine.model.layers.agreement import agreed, seeds, separation, weights
from vdp_engine.model.layers.consensus import superpixels

SIZE = (48, 64)
RED = Thing((0.7, 0.3, 0.2), 4, 6)
BLUE = Thing((0.2, 0.4, 0.7), 30, 40, across=0)


def on(thing, position):
    return thing.mask(position, SIZE).numpy()


def moved(thing, count=14):
    """Signed evidence of a shot in which one thing moves, and the unsigned evidence."""
    inside = np.stack([on(thing, position) for position in range(count)])
    return np.where(inside, 0.4, -0.4).astype(np.float32), inside.astype(np.float32)


# Seeds


@pytest.mark.parametrize(
    ("count", "positions"), [(1, [0]), (3, [0, 1, 2]), (7, list(range(7))), (70, [5, 15, 25, 35, 45, 55, 65])]
)
def test_seeds_are_spread_evenly_over_the_shot(count, positions):
    hints = seeds(np.ones((count, 4, 6), np.float32))
    assert [list(hint) for hint in hints] == [[position] for position in positions]


def test_a_seed_is_what_moves_in_its_frame_without_specks():
    moving = np.full((1, 20, 30), -0.3, np.float32)
    moving[0, 2:8, 3:13] = 0.2  # 60 pixels
    moving[0, 12:15, 20:24] = 0.1  # 12 pixels, a fifth: still a part
    moving[0, 17, 2:13] = 0.9  # 11 pixels
    (hint,) = seeds(moving)
    expected = np.zeros((20, 30), np.float32)
    expected[2:8, 3:13] = expected[12:15, 20:24] = 1
    inside, outside = hint[0]
    np.testing.assert_array_equal(inside, expected.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(outside, 1 - inside)


def test_a_frame_in_which_nothing_moves_gives_no_seed():
    moving = np.full((7, 8, 8), -0.1, np.float32)
    moving[[2, 5], 3:6, 3:6] = 0.1
    assert [list(hint) for hint in seeds(moving)] == [[2], [5]]
    assert seeds(np.zeros((7, 8, 8), np.float32)) == []


# Weights


def box(rows, columns, size=(2, 20, 30)):
    answer = np.full(size, -1, np.float32)
    answer[:, rows, columns] = 1
    return answer


def test_separation_is_the_evidence_inside_less_that_beside():
    inside = box(slice(8, 12), slice(10, 16)) > 0
    evidence = np.full((2, 20, 30), 0.25, np.float32)
    evidence[:, 7:13, 9:17] = 0.5  # its soft rim, one pixel around, says nothing
    evidence[inside] = 0.75
    assert separation(inside, evidence) == pytest.approx(0.5)
    evidence[:, 6, 9:17] = 1.0  # beside: 8 of 14 · 12 − 8 · 6 pixels
    assert separation(inside, evidence) == pytest.approx(0.5 - 0.75 * 8 / (12 * 14 - 6 * 8))


def test_what_is_nowhere_or_everywhere_is_not_separated():
    evidence = np.ones((2, 20, 30), np.float32)
    nothing = np.zeros(evidence.shape, bool)
    assert separation(nothing, evidence) == 0
    assert separation(~nothing, evidence) == 0


def test_answers_count_by_overlap_with_the_others_and_by_separation():
    near = [box(slice(4, 14), slice(start, start + 10)) for start in (4, 5, 6)]
    answers = [*near, box(slice(4, 14), slice(12, 22))]
    evidence = np.random.default_rng(0).random(near[0].shape).astype(np.float32)
    evidence[near[0] > 0] += 1

    def overlap(one, other):
        return ((one > 0) & (other > 0)).sum() / ((one > 0) | (other > 0)).sum()

    worth = np.array(
        [
            sum(overlap(one, other) for other in answers if other is not one) * separation(one > 0, evidence)
            for one in answers
        ]
    )
    found = weights(answers, evidence)
    assert found.sum() == pytest.approx(1)
    assert (worth > 0).all()
    expected = worth**4 / (worth**4).sum()
    np.testing.assert_allclose(found[:3], expected[:3], rtol=0.02)
    assert found[3] < 0.02


def test_of_answers_that_agree_as_much_the_better_separated_one_counts_more():
    answers = [box(slice(4, 14), slice(4, 14)), box(slice(4, 14), slice(9, 19))]
    evidence = np.where(answers[0] > 0, 1.0, 0.0).astype(np.float32)
    first, second = weights(answers, evidence)
    assert first > 10 * second


@pytest.mark.parametrize("answers", [1, 2])
def test_answers_without_any_overlap_or_separation_have_weights_too(answers):
    columns = [slice(2, 5), slice(20, 25)]
    found = weights([box(slice(2, 5), one) for one in columns[:answers]], np.zeros((2, 20, 30), np.float32))
    np.testing.assert_allclose(found, np.full(answers, 1 / answers))


# All together


def test_a_frame_that_was_wrong_is_outvoted():
    frames = things_shot(RED, BLUE, count=14)
    moving, evidence = moved(RED)
    moving[3] = np.where(on(BLUE, 3), 0.4, -0.4)  # a seed
    evidence[3] = on(BLUE, 3)
    found = agreed(frames, superpixels(frames, 0, 1), moving, evidence)
    for position in range(14):
        # Of the frame itself half of the evidence stays wrong.
        assert (found[position][on(RED, position)] > 0).mean() > (0.6 if position == 3 else 0.95)
        assert (found[position][on(BLUE, position)] > 0).mean() < 0.1


def test_half_of_the_result_is_the_evidence_it_came_from(monkeypatch):
    frames = things_shot(RED, count=3)
    moving, evidence = moved(RED, 3)
    monkeypatch.setattr(agreement, "steer_each", lambda frames, cut, moving, hints: [3 * moving for _ in hints])
    found = agreed(frames, superpixels(frames, 0, 1), moving, evidence)
    np.testing.assert_allclose(found, (moving + np.clip(3 * moving, -1, 1)) / 2, atol=1e-6)


def test_where_nothing_moves_evidence_stays_as_it_is():
    frames = things_shot(count=3)
    still = np.full((3, *SIZE), -0.2, np.float32)
    np.testing.assert_array_equal(agreed(frames, superpixels(frames, 0, 1), still, np.zeros_like(still)), still)


def test_what_is_drawn_elsewhere_plays_no_part():
    frames = things_shot(RED, BLUE, count=5)
    moving, evidence = moved(RED, 5)
    cut = superpixels(frames, 0, 1)
    torch.manual_seed(1)
    first = agreed(frames, cut, moving, evidence)
    torch.manual_seed(2)
    np.testing.assert_array_equal(agreed(frames, cut, moving, evidence), first)
