import numpy as np
import pytest

from vdp_engine.model.keyframes import MAX_KEY_PAIRS, key_pairs


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [
        (1, 48, ((0, 0),)),
        (2, 48, ((0, 1),)),
        (4, 48, ((0, 1), (1, 2), (2, 3))),
        (5, 4, ((0, 1), (1, 2), (2, 3), (3, 4))),
        (6, 2, ((0, 1), (4, 5))),
        (11, 3, ((0, 1), (4, 5), (9, 10))),
    ],
)
def test_pairs(count, most, expected):
    assert key_pairs(count, most) == expected


@pytest.mark.parametrize("count", [2, 48, 49, 50, 51, 97, 200, 5000])
def test_a_long_shot_is_looked_at_evenly_and_not_more_often_than_allowed(count):
    pairs = key_pairs(count)
    assert len(pairs) == min(count - 1, MAX_KEY_PAIRS)
    assert all(later == earlier + 1 for earlier, later in pairs)
    firsts = np.array([pair[0] for pair in pairs])
    assert (firsts[0], pairs[-1][1]) == (0, count - 1)
    if len(firsts) > 1:
        steps = np.diff(firsts)
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1
