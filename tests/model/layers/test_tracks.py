import numpy as np
import pytest

from vdp_engine.model.layers.tracks import MOST_FOREGROUNDS, find_tracks, steered_tracks

FRAMES, HEIGHT, WIDTH = 5, 40, 60


def block(*boxes, level=0.9):
    """(T, h, w) with a box (top, left, height, width) moving 1 pixel a frame to the right for each given."""
    moving = np.zeros((FRAMES, HEIGHT, WIDTH), np.float32)
    for top, left, height, width in boxes:
        for t in range(FRAMES):
            moving[t, top : top + height, left + t : left + t + width] = level
    return moving


LARGE, MIDDLE, SMALL, TINY = (6, 6, 14, 16), (22, 34, 12, 12), (6, 40, 8, 8), (30, 8, 4, 4)


def inside(tracks, box):
    """The owners within a box, over all frames."""
    top, left, height, width = box
    return {int(o) for t in range(FRAMES) for o in
            np.unique(tracks.owner[t, top : top + height, left + t : left + t + width])}  # fmt: skip


@pytest.mark.parametrize(
    ("boxes", "foregrounds", "layers", "found", "owners"),
    [
        pytest.param([LARGE], 1, 1, 1, [{1}], id="one thing"),
        pytest.param([LARGE, MIDDLE], 1, 1, 2, [{1}, {1}], id="two things share the one layer there is"),
        pytest.param([LARGE, MIDDLE], 2, 2, 2, [{1}, {2}], id="two things, a layer each"),
        pytest.param([MIDDLE, LARGE], 2, 2, 2, [{2}, {1}], id="the larger comes first"),
        pytest.param([LARGE, MIDDLE], None, 2, 2, [{1}, {2}], id="as many as stand out"),
        pytest.param([LARGE], None, 1, 1, [{1}], id="one stands out"),
        pytest.param([LARGE, SMALL], None, 1, 1, [{1}, {1}], id="a smaller one joins"),
        pytest.param([LARGE, TINY], 1, 1, 1, [{1}, {0}], id="a tiny one is left to the background"),
        pytest.param([LARGE, TINY], 3, 3, 1, [{1}, {0}], id="even where layers are to spare"),
        pytest.param([LARGE], 3, 3, 1, [{1}], id="more layers than things"),
    ],
)
def test_tracks(boxes, foregrounds, layers, found, owners):
    tracks = find_tracks(block(*boxes), foregrounds)
    assert (tracks.layers, tracks.found) == (layers, found)
    assert [inside(tracks, box) for box in boxes] == owners
    assert tracks.owner.dtype == np.uint8
    assert tracks.owner.shape == (FRAMES, HEIGHT, WIDTH)


@pytest.mark.parametrize("foregrounds", [None, 1, 3])
def test_a_shot_without_motion_has_no_tracks(foregrounds):
    tracks = find_tracks(np.zeros((FRAMES, HEIGHT, WIDTH), np.float32), foregrounds)
    assert (tracks.layers, tracks.found) == (foregrounds or 1, 0)
    assert set(np.unique(tracks.owner)) == {1}


def test_there_are_never_more_layers_than_allowed():
    boxes = [(4 + 17 * row, 4 + 18 * column, 12, 10) for row in range(2) for column in range(3)]
    tracks = find_tracks(block(*boxes), None)
    assert (tracks.layers, tracks.found) == (MOST_FOREGROUNDS, 6)
    assert set(np.unique(tracks.owner)) == {1, 2, 3}


def test_what_belongs_to_the_layer_is_decided_over_time_too():
    # Two halves that never touch in one frame, but where one ends the other goes on.
    moving = np.zeros((4, HEIGHT, WIDTH), np.float32)
    moving[0, 10:20, 10:20] = moving[1, 10:20, 14:24] = moving[2, 10:20, 18:28] = 1.0
    moving[2, 10:20, 28:34] = moving[3, 10:20, 26:36] = 1.0
    assert find_tracks(moving, None).found == 1
    moving[1] = moving[2] = 0.0
    assert find_tracks(moving, None).found == 2


def test_a_thing_that_clings_to_the_border_counts_half():
    # As large as the one inside but for the border: it comes second, and is not left out.
    at_border = block((0, 6, 10, 16), level=1.0) + block((20, 20, 9, 16), level=1.0)
    tracks = find_tracks(at_border, 2)
    assert inside(tracks, (20, 20, 9, 16)) == {1}
    assert inside(tracks, (0, 6, 10, 16)) == {2}


def test_around_what_is_left_out_there_is_a_rim_that_nobody_owns():
    tracks = find_tracks(block(LARGE, TINY), 1)
    top, left, _, width = TINY
    cross = tracks.owner[0, top + 1, left - 5 : left + width + 5]
    np.testing.assert_array_equal(cross, [1, 1, 0, 0, 0, *[0] * width, 0, 0, 0, 1, 1])


def test_what_is_nobodys_goes_to_the_nearest():
    owner = find_tracks(block(LARGE, MIDDLE), 2).owner[0]
    assert owner[0, 0] == 1
    assert owner[-1, -1] == 2


def test_a_frame_without_any_kept_track_leaves_all_to_the_first():
    moving = block(LARGE)
    moving[2:] = 0.0
    assert set(np.unique(find_tracks(moving, 2).owner[3])) == {1}


def test_what_was_hinted_is_kept_however_small():
    hinted = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    hinted[2, 31, 11] = True  # one pixel of the tiny one
    tracks = find_tracks(block(LARGE, TINY), 1, hinted=hinted)
    assert inside(tracks, TINY) == {1}
    hinted[:] = False
    hinted[0, 0, 0] = True  # where nothing is
    assert inside(find_tracks(block(LARGE, TINY), 1, hinted=hinted), TINY) == {0}


# What leaves and comes back


def colours(moving, boxes, of):
    """Cells (T, h, w): colour 7 of the ground, and each box its own."""
    cells = np.full(moving.shape, 7, np.int32)
    for (top, left, height, width), colour in zip(boxes, of, strict=True):
        for t in range(FRAMES):
            cells[t, top : top + height, left + t : left + t + width] = colour
    return cells


@pytest.mark.parametrize(
    ("of", "seen", "found"),
    [
        pytest.param((900, 900), ((0, 1), (3, 4)), 1, id="the same thing, come back"),
        pytest.param((900, 9000), ((0, 1), (3, 4)), 2, id="another colour"),
        pytest.param((900, 900), ((0, 1, 2, 3, 4), (0, 1, 2, 3, 4)), 2, id="two that are there together"),
        pytest.param((900, 900), ((0, 1, 2), (1, 2, 3, 4)), 1, id="together for a moment"),
    ],
)
def test_what_comes_back_is_the_same_thing(of, seen, found):
    boxes = (LARGE, MIDDLE)
    moving = np.zeros((FRAMES, HEIGHT, WIDTH), np.float32)
    for box, positions in zip(boxes, seen, strict=True):
        for position in positions:
            moving[position] += block(box)[position]
    tracks = find_tracks(moving, None, colours(moving, boxes, of))
    assert (tracks.layers, tracks.found) == (found, found)
    assert find_tracks(moving, None).found == 2  # nothing is joined without a look at the colours


# Steered by hints

OTHER, SPECK = (4, 44, 10, 9), (30, 8, 1, 1)


def steered(boxes, claims, hints, foregrounds, sure):
    """Tracks of boxes that the layers ``claims`` (0: none) claim; of the boxes ``sure`` a hint shows a pixel."""
    claimed, hinted = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8), np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    for (top, left, height, width), layer in zip(boxes, claims, strict=True):
        for t in range(FRAMES):
            claimed[t, top - 1 : top + height + 1, left + t - 1 : left + t + width + 1] = layer
    for top, left, _, _ in sure:
        hinted[1, top, left + 1] = True
    return steered_tracks(block(*boxes), claimed, hinted, hints, foregrounds)


@pytest.mark.parametrize(
    ("boxes", "claims", "hints", "foregrounds", "sure", "layers", "found", "owners"),
    [
        pytest.param([LARGE], [1], 1, 1, [LARGE], 1, 1, [{1}], id="one thing"),
        pytest.param([LARGE], [1], 1, None, [LARGE], 1, 1, [{1}], id="one thing, nothing else found"),
        pytest.param([LARGE], [1], 1, 3, [LARGE], 3, 1, [{1}], id="more layers than things"),
        pytest.param([LARGE, TINY], [0, 1], 1, None, [TINY], 2, 2, [{2}, {1}], id="a tiny one is hinted"),
        pytest.param([LARGE, TINY], [1, 1], 1, 1, [LARGE], 1, 1, [{1}, {1}], id="a tiny one is claimed"),
        pytest.param([LARGE, SPECK], [1, 1], 1, 1, [LARGE], 1, 1, [{1}, {0}], id="but not a speck"),
        pytest.param([LARGE, SPECK], [1, 1], 1, 1, [LARGE, SPECK], 1, 1, [{1}, {1}], id="unless it is hinted"),
        pytest.param([LARGE, MIDDLE], [2, 1], 2, 2, [LARGE, MIDDLE], 2, 2, [{2}, {1}], id="hints say the order"),
        pytest.param([LARGE, MIDDLE], [0, 1], 1, 2, [MIDDLE], 2, 2, [{2}, {1}], id="the other comes after the hinted"),
        pytest.param([LARGE, MIDDLE, OTHER], [0, 1, 0], 1, 2, [MIDDLE], 2, 3, [{2}, {1}, {2}], id="others share one"),
        pytest.param([LARGE, MIDDLE, OTHER], [0, 1, 0], 1, None, [MIDDLE], 3, 3, [{2}, {1}, {3}], id="or have two"),
        pytest.param([LARGE, MIDDLE], [1, 0], 2, None, [LARGE], 3, 3, [{1}, {3}], id="a hint that claims nothing"),
        pytest.param([LARGE, MIDDLE], [0, 0], 1, None, [], 3, 3, [{2}, {3}], id="the only hint claims nothing"),
        pytest.param(
            [LARGE, MIDDLE, OTHER, TINY], [1, 2, 3, 0], 3, None, [LARGE, MIDDLE, OTHER],
            3, 4, [{1}, {2}, {3}, {0}], id="no room for another",
        ),
    ],
)  # fmt: skip
def test_steered_tracks(boxes, claims, hints, foregrounds, sure, layers, found, owners):
    tracks = steered(boxes, claims, hints, foregrounds, sure)
    assert (tracks.layers, tracks.found) == (layers, found)
    assert [inside(tracks, box) for box in boxes] == owners
    assert tracks.owner.dtype == np.uint8
    assert int(tracks.owner.max()) <= layers


def test_a_hinted_shot_without_motion_keeps_its_layers():
    nothing = np.zeros((FRAMES, HEIGHT, WIDTH), np.float32)
    tracks = steered_tracks(nothing, nothing.astype(np.uint8), nothing > 0, 2, None)
    assert (tracks.layers, tracks.found) == (2, 2)
