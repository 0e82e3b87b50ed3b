import numpy as np
import pytest

from vdp_engine.model.tracks import MOST_FOREGROUNDS, find_tracks

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
