from collections import Counter

import numpy as np
import pytest
import torch

from tests.model.net_fakes import plain_evidence, square_shot
from vdp_engine.model.layers.consensus import ShotEvidence
from vdp_engine.model.layers.training import TrainingSet


def training_of(frames):
    return TrainingSet.with_evidence(frames, plain_evidence(frames))


@pytest.fixture(scope="module")
def training():
    return training_of(square_shot(6))


def test_a_short_shot_is_looked_at_whole(training):
    frames = square_shot(6)
    moving = torch.from_numpy(plain_evidence(frames).moving)
    assert training.count == 6
    assert training.places.tolist() == [0, 1, 2, 3, 4, 5]
    assert training.pairs.tolist() == [[i, i + 1] for i in range(5)]
    for index in range(6):
        assert torch.equal(training.image[index], frames[index].image)
        assert torch.equal(training.flow[index], frames[index].flow[0])
        assert torch.equal(training.trust[index], frames[index].trust[0])
    assert torch.equal(training.evidence, moving)
    assert torch.equal(training.contrast, moving)


def test_of_a_long_shot_only_key_frames_are_read():
    frames = square_shot(70, size=(8, 8), squares=0)
    rng = np.random.default_rng(0)
    shape = (70, 8, 8)
    evidence = ShotEvidence(
        rng.normal(size=shape).astype(np.float32), rng.integers(0, 3, shape, np.uint8), rng.random(shape) > 0.5
    )
    training = TrainingSet.with_evidence(frames, evidence)
    assert training.count == 70
    assert len(training.pairs) == 48
    assert 48 < len(training.image) == len(training.places) <= 70
    places = training.places[training.pairs]
    assert bool((places[:, 1] == places[:, 0] + 1).all())
    # What the shot agreed on is known of every frame, and drawn from for the key frames.
    np.testing.assert_array_equal(training.evidence.numpy(), evidence.moving)
    np.testing.assert_array_equal(training.claims.numpy(), evidence.claims)
    np.testing.assert_array_equal(training.hinted.numpy(), evidence.hinted)
    np.testing.assert_array_equal(training.contrast.numpy(), evidence.moving[training.places.numpy()])


def test_a_single_frame_is_its_own_pair():
    training = training_of(square_shot(1))
    assert training.pairs.tolist() == [[0, 0]]
    assert training.batch(0, 3, 2).tolist() == [[0, 0], [0, 0]]


def test_a_batch_depends_on_seed_and_step_alone(training):
    drawn = [training.batch(3, step, 2) for step in range(20)]
    torch.manual_seed(123)
    for step in (17, 4, 0, 19):
        assert torch.equal(training.batch(3, step, 2), drawn[step])
    others = [training.batch(4, step, 2) for step in range(20)]
    assert not torch.equal(torch.stack(drawn), torch.stack(others))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_pair_comes_once_a_round(training, size):
    drawn = torch.cat([training.batch(1, step, size) for step in range(10)])
    firsts = drawn[:, 0].tolist()
    rounds = [firsts[start : start + 5] for start in range(0, len(firsts) - 4, 5)]
    assert all(Counter(one) == Counter(range(5)) for one in rounds)
    assert bool((drawn[:, 1] == drawn[:, 0] + 1).all())
    if size > 1:
        assert len({tuple(one) for one in rounds}) > 1  # in an order of its own
