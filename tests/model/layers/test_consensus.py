import numpy as np
import pytest
import torch
from scipy import ndimage

from tests.model.net_fakes import Thing, motion_frame, net_frames, things_shot
from vdp_engine.model.layers import consensus
from vdp_engine.model.layers.consensus import level, outlines, picture_range, shot_evidence, vote
from vdp_engine.model.layers.superpixels import Superpixels, lab_picture

SIZE = (48, 64)
RED = Thing((0.7, 0.3, 0.2), 4, 6)
BLUE = Thing((0.2, 0.4, 0.7), 28, 30)


def on(thing, position):
    return thing.mask(position, SIZE).numpy()


def hint(thing, at, *, outside=True):
    """White where the thing is, at twice the net size, and black elsewhere, or grey."""
    inside = on(thing, at).repeat(2, 0).repeat(2, 1).astype(np.float32)
    return {at: np.stack([inside, (1 - inside) * outside])}


# The vote


def scattered(frames=2, count=60, dimensions=5, seed=0):
    """Superpixels of which only the looks matter, and a value for each."""
    rng = np.random.default_rng(seed)
    looks = rng.normal(size=(frames, count, dimensions)).astype(np.float32)
    return Superpixels(np.zeros((frames, 1, 1), np.int16), looks), rng.random((frames, count)).astype(np.float32)


def reference_vote(looks, values, asked=None, neighbours=40):
    """One by one, in double precision: every superpixel asks those of ``asked`` (all: ``None``), after these asked."""
    flat, own = looks.reshape(-1, looks.shape[-1]).astype(float), values.ravel().astype(float)
    among = np.arange(len(flat)) if asked is None else asked

    def likest(of):
        distances = np.array([((flat[of] - flat[other]) ** 2).sum() for other in among])
        order = np.argsort(distances, kind="stable")[:neighbours]
        return order, distances[order]

    spread = max(np.mean([likest(one)[1][:10] for one in among]), 1e-6)

    def answer(of, opinions):
        order, distances = likest(of)
        weights = np.exp(-distances / (2 * spread))
        return (weights * opinions[order]).sum() / weights.sum()

    first = np.array([answer(one, own[among]) for one in among])
    return np.array([answer(one, first) for one in range(len(flat))]).reshape(values.shape)


@pytest.mark.parametrize(("frames", "count"), [(2, 60), (3, 7), (1, 41), (1, 1)])
def test_votes_are_those_of_all_against_all(frames, count):
    cut, values = scattered(frames, count)
    np.testing.assert_allclose(vote(cut, values), reference_vote(cut.looks, values), atol=1e-5)


def test_no_more_are_asked_than_there_is_time_for(monkeypatch):
    cut, values = scattered(3, 30)
    monkeypatch.setattr(consensus, "_REFERENCES", 50)
    asked = torch.randperm(90, generator=torch.Generator().manual_seed(0))[:50].numpy()
    found = vote(cut, values)
    np.testing.assert_allclose(found, reference_vote(cut.looks, values, asked), atol=1e-5)
    torch.manual_seed(5)  # what was drawn elsewhere plays no part
    np.testing.assert_array_equal(vote(cut, values), found)


def test_votes_do_not_depend_on_chunks_or_threads(monkeypatch):
    cut, values = scattered(4, 80)
    whole = vote(cut, values)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        np.testing.assert_allclose(vote(cut, values), whole, atol=1e-6)
    finally:
        torch.set_num_threads(before)
    for chunk in (1, 37, 10_000):
        monkeypatch.setattr(consensus, "_CHUNK", chunk)
        np.testing.assert_allclose(vote(cut, values), whole, atol=1e-6)


def test_what_looks_alike_shares_what_was_seen_of_any_of_it():
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, (4, 100))
    looks = (10.0 * kind[..., None] + rng.normal(size=(4, 100, 3))).astype(np.float32)
    values = np.where(kind == 1, rng.integers(0, 2, kind.shape), 0).astype(np.float32)  # half of them seen moving
    votes = vote(Superpixels(np.zeros((4, 1, 1), np.int16), looks), values)
    assert np.abs(votes[kind == 0]).max() < 1e-6
    assert 0.2 < votes[kind == 1].min() <= votes[kind == 1].max() < 0.8


# The level


def hill(size=(60, 80), frames=2):
    """Evidence that falls from 1 in the middle to 0, and how far from the middle each pixel is."""
    y, x = np.mgrid[: size[0], : size[1]]
    away = np.hypot(y - size[0] / 2, x - size[1] / 2)
    return np.broadcast_to(np.clip(1 - away / 30, 0, 1), (frames, *size)).astype(np.float32), away


@pytest.mark.parametrize("right", [0.35, 0.45, 0.5, 0.6, 0.65])
def test_the_level_is_where_the_outline_lies_on_edges(right):
    evidence, away = hill()
    edges = np.broadcast_to(np.where(np.abs(away - 30 * (1 - right)) < 0.8, 20.0, 0.5), evidence.shape)
    assert level(evidence, edges.astype(np.float32)) == pytest.approx(right, abs=0.026)


def test_the_level_is_where_the_outline_stands_still():
    # No edges to tell by. Between 0.45 and 0.7 nothing lies: within, changing the level changes nothing.
    evidence, _ = hill()
    stepped = np.where(evidence > 0.35, 0.35 + 0.5 * (evidence > 0.6) + 0.1 * evidence, evidence).astype(np.float32)
    found = level(stepped, np.ones_like(stepped))
    above = [np.mean(stepped > found + change) for change in (-0.09, 0.0, 0.09)]
    assert above[0] == above[1] == above[2] > 0
    # The ramp below it would not have done.
    assert np.mean(stepped > 0.3) > 1.5 * above[0]


def test_edges_count_more_than_standing_still():
    evidence, away = hill()
    stepped = np.where(evidence > 0.5, 0.9, 0.8 * evidence).astype(np.float32)  # nothing between 0.4 and 0.9
    ring = np.abs(away - 30 * (1 - 0.32 / 0.8)) < 0.8  # where the ramp below reaches 0.32
    edges = np.broadcast_to(np.where(ring, 40.0, 0.5), stepped.shape).astype(np.float32)
    assert level(stepped, edges) < 0.36


def disk(away, radius, *, at=0, known=None):
    """A hint at twice the size of ``away``: white within ``radius``, black where else it knows."""
    inside = (away < radius).repeat(2, 0).repeat(2, 1).astype(np.float32)
    told = np.ones_like(inside) if known is None else known.repeat(2, 0).repeat(2, 1)
    return {at: np.stack([inside * told, (1 - inside) * told]).astype(np.float32)}


@pytest.mark.parametrize("right", [0.35, 0.45, 0.55, 0.65])
def test_the_level_is_that_of_the_hints(right):
    evidence, away = hill()
    found = level(evidence, np.ones_like(evidence), [disk(away, 30 * (1 - right), at=1)])
    assert found == pytest.approx(right, abs=0.051)


def test_hints_of_several_layers_are_one_foreground():
    evidence, away = hill()
    edges = np.ones_like(evidence)
    core, shell = disk(away, 10), disk(np.where(away < 10, 99, away), 18)
    assert level(evidence, edges, [core, shell]) == pytest.approx(level(evidence, edges, [disk(away, 18)]), abs=0.026)
    assert level(evidence, edges, [core]) > level(evidence, edges, [core, shell]) + 0.1


def test_what_moves_apart_from_what_is_hinted_does_not_change_the_level(monkeypatch):
    monkeypatch.setattr(consensus, "_UNSTEADY", 0.0)
    evidence, away = hill((60, 160))
    other = evidence.copy()
    other[:, :, :40] = 0.57  # as large as the hinted thing and more
    edges, hints = np.ones_like(evidence), [disk(away, 19)]
    alone = level(evidence, edges, hints)
    assert alone < 0.45
    assert level(other, edges, hints) == alone


def test_a_hint_that_knows_nothing_changes_no_level():
    evidence, away = hill()
    edges = np.broadcast_to(np.where(np.abs(away - 15) < 0.8, 20.0, 0.5), evidence.shape).astype(np.float32)
    nothing = [disk(away, 10, known=np.zeros(away.shape))]
    assert level(evidence, edges, nothing) == level(evidence, edges)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_evidence_without_any_outline_has_a_level_too(value):
    flat = np.full((2, 8, 8), value, np.float32)
    assert 0.3 <= level(flat, np.ones_like(flat)) <= 0.7
    assert 0.3 <= level(flat, np.zeros_like(flat)) <= 0.7


def test_edges_are_sobels_over_lab_and_1_on_average():
    images = torch.rand(3, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    low, high = 0.1, 0.9
    found = outlines(images, low, high)
    assert (found.shape, found.dtype) == ((3, 20, 30), np.float32)
    expected = []
    for image in images.permute(0, 2, 3, 1).numpy():
        lab = lab_picture(image, low, high).astype(float)
        slopes = [sum(np.abs(ndimage.sobel(lab[..., c], axis, mode="mirror")) for c in range(3)) for axis in (0, 1)]
        expected.append(np.sqrt(slopes[0] ** 2 + slopes[1] ** 2))
    np.testing.assert_allclose(found, expected / np.mean(expected), rtol=1e-4, atol=1e-4)
    assert not outlines(torch.full((2, 3, 8, 8), 0.4), 0.0, 1.0).any()


def test_the_range_leaves_out_the_few_that_are_darkest_and_brightest():
    images = torch.linspace(0, 1, 1000).reshape(1, 1, 25, 40).repeat(1, 3, 4, 1)
    images[0, :, 0, 0], images[0, :, 4, 4] = -50.0, 50.0
    low, high = picture_range(images)
    assert low == pytest.approx(0.005, abs=0.03)
    assert high == pytest.approx(0.995, abs=0.03)


# The shot


def test_what_moves_is_told_from_what_does_not():
    found = shot_evidence(things_shot(RED, BLUE))
    assert (found.moving.dtype, found.claims.dtype, found.hinted.dtype) == (np.float32, np.uint8, bool)
    assert found.moving.shape == found.claims.shape == found.hinted.shape == (6, *SIZE)
    assert not found.claims.any() and not found.hinted.any()
    for position in range(6):
        moves = on(RED, position) | on(BLUE, position)
        assert ((found.moving[position] > 0) == moves).mean() > 0.99


def test_what_rests_is_known_by_what_looks_like_it():
    resting = Thing(RED.colour, RED.top, RED.left, rests=(3, 4, 5))
    frames = things_shot(resting, trust=0.0)  # without flow to carry anything
    assert float(frames.gathered_evidence(4).max()) == 0.0
    found = shot_evidence(frames).moving
    for position in (3, 4, 5):
        here = on(resting, position)
        assert found[position][here].min() > found[position][~here].max()
        assert found[position][here].mean() - found[position][~here].mean() > 0.25


def test_a_hint_makes_its_thing_the_foreground_and_not_the_other():
    found = shot_evidence(things_shot(RED, BLUE), [hint(RED, 2)], 1)
    for position in range(6):
        assert ((found.moving[position] > 0) == on(RED, position)).mean() > 0.98
    assert set(np.unique(found.claims)) == {1}


@pytest.mark.parametrize("foregrounds", [None, 2, 3])
def test_where_there_is_room_what_no_hint_claims_is_foreground_too(foregrounds):
    found = shot_evidence(things_shot(RED, BLUE), [hint(BLUE, 2)], foregrounds)
    for position in range(6):
        moving, claims = found.moving[position], found.claims[position]
        assert (moving[on(RED, position)] > 0).mean() > 0.98
        assert (moving[on(BLUE, position)] > 0).mean() > 0.98
        assert (claims[on(BLUE, position)] == 1).mean() > 0.98
        assert not claims[on(RED, position)].any()
        assert (moving[~on(RED, position) & ~on(BLUE, position)] < 0).mean() > 0.98


def test_what_is_inside_one_layer_is_outside_the_others():
    first, second = np.zeros((2, 4, 6), np.float32), np.zeros((2, 4, 6), np.float32)
    first[0, :2], first[1, 3] = 1.0, 1.0  # white above, grey, and black below
    second[0, 1:3, :3] = 0.8  # reaches into the first
    told = consensus._exclusive([{5: first}, {5: second}])
    assert [list(one) for one in told] == [[5], [5]]
    expected = first.copy()
    expected[1, 2, :3] = 0.8  # not where the first one's own picture says inside
    np.testing.assert_array_equal(told[0][5], expected)
    expected = second.copy()
    expected[1, 0] = expected[1, 1, 3:] = 1.0
    expected[1, 1, :3] = 0.2
    np.testing.assert_allclose(told[1][5], expected, atol=1e-6)


@pytest.mark.parametrize("hints", [(RED, BLUE), (BLUE, RED)])
@pytest.mark.parametrize("outside", [True, False])
def test_two_hints_keep_their_layers(hints, outside):
    found = shot_evidence(things_shot(RED, BLUE), [hint(thing, 3, outside=outside) for thing in hints], 2)
    for position in range(6):
        for layer, thing in enumerate(hints, start=1):
            assert (found.claims[position][on(thing, position)] == layer).mean() > 0.98
            assert (found.moving[position][on(thing, position)] > 0).mean() > 0.98
            assert (found.hinted[position] & on(thing, position)).any() == (position == 3)


@pytest.mark.parametrize(("third", "foregrounds", "outside"), [(True, None, True), (True, 2, True), (False, 2, False)])
def test_hints_of_two_layers_may_lie_on_different_frames(third, foregrounds, outside):
    green = Thing((0.25, 0.7, 0.2), 28, 4)
    frames = things_shot(RED, BLUE, *([green] if third else []))
    found = shot_evidence(frames, [hint(RED, 1, outside=outside), hint(BLUE, 4, outside=outside)], foregrounds)
    for position in range(6):
        moving, claims = found.moving[position], found.claims[position]
        for layer, thing in enumerate((RED, BLUE), start=1):
            assert (moving[on(thing, position)] > 0.5).mean() > 0.9
            assert (claims[on(thing, position)] == layer).mean() > 0.85
        if third:  # both hints call it outside
            assert not (claims * (moving > 0))[on(green, position)].any()


def test_what_is_hinted_is_the_sure_inside_of_its_picture():
    hinted = shot_evidence(things_shot(RED, BLUE), [hint(RED, 2)], 1).hinted
    assert not hinted[[0, 1, 3, 4, 5]].any()
    assert 0.5 < hinted[2].sum() / on(RED, 2).sum() <= 1
    assert not hinted[2][~on(RED, 2)].any()


def test_where_a_hint_does_not_know_motion_decides_as_without_it(monkeypatch):
    # Without hints the frames of the shot would vote first.
    monkeypatch.setattr(consensus, "agreed", lambda frames, cut, moving, evidence: moving)
    frames = things_shot(RED, BLUE)
    plain = shot_evidence(frames).moving[2]
    found = shot_evidence(frames, [hint(RED, 2, outside=False)], 1).moving[2]
    unknown = ~ndimage.binary_dilation(on(RED, 2), iterations=2)
    np.testing.assert_array_equal(found[unknown] > 0, plain[unknown] > 0)
    np.testing.assert_allclose(found[unknown], plain[unknown] / 2, atol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (8, 24), (24, 8)])
@pytest.mark.parametrize("hinted", [False, True])
def test_tiny_and_still_shots(count, size, hinted):
    grey = torch.full((3, *size), 0.4)
    still = net_frames(lambda position: motion_frame(position, count, size, image=grey), count, size)
    picture = np.zeros((2, 2 * size[0], 2 * size[1]), np.float32)
    picture[0, 4:12, 4:12], picture[1, 14:] = 1.0, 1.0
    found = shot_evidence(still, [{count - 1: picture}] if hinted else [], 1)
    assert found.moving.shape == (count, *size)
    assert np.isfinite(found.moving).all()
    assert (found.moving[-1, 3:5, 3:5] > 0).all() == hinted
    assert (found.moving <= 0).all() != hinted


def test_the_evidence_of_a_shot_does_not_depend_on_threads():
    frames, hints = things_shot(RED, BLUE, count=3), [hint(RED, 1), hint(BLUE, 1)]
    first = shot_evidence(frames, hints, 2)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        second = shot_evidence(frames, hints, 2)
    finally:
        torch.set_num_threads(before)
    # The still ground looks exactly alike in all frames: the last bit of a distance says which of them is asked.
    np.testing.assert_allclose(second.moving, first.moving, atol=0.02)
    np.testing.assert_array_equal(second.moving > 0, first.moving > 0)
    things = first.moving > 0
    np.testing.assert_array_equal(second.claims[things], first.claims[things])
