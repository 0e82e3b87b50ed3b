import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdp_engine.plate import Window, cut, place

windows = st.builds(Window, st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 20), st.integers(1, 20))


def pixels_of(window: Window) -> set[tuple[int, int]]:
    return {(x, y) for x in range(window.x, window.x_end) for y in range(window.y, window.y_end)}


@given(windows, windows)
def test_intersection_holds_the_pixels_of_both(a: Window, b: Window) -> None:
    shared = a.intersect(b)
    assert (pixels_of(shared) if shared else set()) == pixels_of(a) & pixels_of(b)


@given(windows, windows)
def test_union_is_the_smallest_window_around_both(a: Window, b: Window) -> None:
    both = pixels_of(a) | pixels_of(b)
    united = a.union(b)
    assert (united.x, united.y) == (min(x for x, _ in both), min(y for _, y in both))
    assert (united.x_end - 1, united.y_end - 1) == (max(x for x, _ in both), max(y for _, y in both))
    assert united.contains(a) and united.contains(b)


@given(windows, windows)
def test_contains_says_whether_all_pixels_are_inside(a: Window, b: Window) -> None:
    assert a.contains(b) == (pixels_of(b) <= pixels_of(a))


@given(windows, windows)
def test_placed_pixels_keep_their_coordinates(window: Window, canvas: Window) -> None:
    rows, columns = np.mgrid[window.y : window.y_end, window.x : window.x_end]
    placed = place(np.stack([columns, rows], axis=-1), window, canvas, fill=99)
    assert placed.shape == (*canvas.shape, 2)
    for row in range(canvas.height):
        for column in range(canvas.width):
            x, y = canvas.x + column, canvas.y + row
            expected = (x, y) if (x, y) in pixels_of(window) else (99, 99)
            assert tuple(placed[row, column]) == expected


def test_cut_undoes_place() -> None:
    window, canvas = Window(-3, 5, 4, 2), Window(-10, 0, 30, 20)
    pixels = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert np.array_equal(cut(place(pixels, window, canvas), canvas, window), pixels)


def test_placing_on_the_same_window_copies_nothing() -> None:
    pixels = np.zeros((2, 4))
    assert place(pixels, Window(1, 1, 4, 2), Window(1, 1, 4, 2)) is pixels


def test_an_exr_box_is_inclusive() -> None:
    window = Window.from_exr(-2, 3, 1919, 1079)
    assert (window.x, window.y, window.width, window.height) == (-2, 3, 1922, 1077)
    assert window.shape == (1077, 1922) and window.area == 1922 * 1077
    assert str(window) == "1922x1077-2+3"


@pytest.mark.parametrize("width, height", [(0, 5), (5, 0), (-1, 5)])
def test_an_empty_window_is_no_window(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        Window(0, 0, width, height)


def test_pixels_that_do_not_cover_their_window_are_refused() -> None:
    with pytest.raises(ValueError, match="do not cover"):
        place(np.zeros((3, 3)), Window(0, 0, 4, 3), Window(0, 0, 9, 9))
    with pytest.raises(ValueError, match="is not inside"):
        cut(np.zeros((3, 3)), Window(0, 0, 3, 3), Window(1, 1, 3, 3))
