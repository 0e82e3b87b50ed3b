"""What is rendered: every value, in every layout of memory that a host may have, and nothing beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.ofx.conftest import Node, OpenedNode
from tests.ofx.fake_helper import OUTPUTS, value
from tests.ofx.host import DEFAULT, FAILED, OK, formula, quantised

DISPLAY = (0, 0, 24, 12)
LABELS = {"matte": "matte as alpha"}
Box = tuple[int, int, int, int]


def expected(output: str, frame: int, bounds: Box, window: Box = DISPLAY) -> np.ndarray:
    """What the fake helper has of an output, (H, W, 4) float32 from the lowest row up; 0 outside of its window."""
    x1, y1, x2, y2 = bounds
    pixels = np.zeros((y2 - y1, x2 - x1, 4), np.float32)
    for y in range(max(y1, window[1]), min(y2, window[3])):
        for x in range(max(x1, window[0]), min(x2, window[2])):
            pixels[y - y1, x - x1] = [value(output, frame, x, y, c) for c in range(4)]
    return pixels


def show(node: Node, output: str, **settings: Any) -> None:
    node.set("output", LABELS.get(output, output))
    for name, chosen in settings.items():
        node.set(name, chosen)


@pytest.mark.parametrize("personality", ["plain", "nuke", "natron", "resolve", "minimal"])
def test_every_output_comes_value_for_value(open_node: OpenedNode, personality: str) -> None:
    node = open_node(personality)
    for output in OUTPUTS[1:]:
        show(node, output)
        picture = node.render(1004)
        assert picture.status == OK and picture.answer.result["identity"] == ""
        np.testing.assert_array_equal(picture.pixels, expected(output, 1004, DISPLAY), err_msg=output)
    assert len(node.fake.pids()) == 1, "one helper for a host"


def test_the_plate_is_source_as_it_is(open_node: OpenedNode) -> None:
    node = open_node()
    answer = node.render(1004).answer.result
    assert (answer["identity"], answer["identity_time"]) == ("Source", 1004)
    np.testing.assert_array_equal(node.render(1004, force=True).pixels, formula(DISPLAY, 1004))
    assert node.fake.log() == [], "for a plate nobody needs the engine"


@pytest.mark.parametrize("context", ["General", "Filter"])
def test_without_source_the_plate_is_that_of_the_layers(open_node: OpenedNode, context: str) -> None:
    node = open_node(context=context, connected=False)
    np.testing.assert_array_equal(node.render(1004).pixels, expected("plate", 1004, DISPLAY))


@pytest.mark.parametrize("layout", [
    {"padding": 12}, {"top_down": True}, {"padding": 4, "top_down": True, "shift": 4}, {"shift": 12},
    {"bounds": (-5, -3, 40, 20), "padding": 8}, {"window": (3, 2, 17, 9), "bounds": (3, 2, 17, 9)},
    {"window": (3, 2, 17, 9), "bounds": (1, 0, 24, 12), "top_down": True}, {"window": (5, 5, 6, 6)},
    {"window": (-4, -4, 30, 14), "bounds": (-6, -4, 30, 16)}, {"window": (7, 0, 7, 12)},
])  # fmt: skip
def test_layouts_and_windows(open_node: OpenedNode, layout: dict[str, Any]) -> None:
    """That nothing beside the window is written, and all of it is, the host sees to."""
    node = open_node()
    show(node, "fg1")
    picture = node.render(1002, **layout)
    assert picture.status == OK
    bounds, window = (tuple(int(edge) for edge in picture.answer.result[name]) for name in ("bounds", "window"))
    x, y = window[0] - bounds[0], window[1] - bounds[1]
    inside = picture.pixels[y : y + window[3] - window[1], x : x + window[2] - window[0]]
    np.testing.assert_array_equal(inside, expected("fg1", 1002, window))


def test_a_window_beyond_the_bounds_is_cut(open_node: OpenedNode) -> None:
    node = open_node()
    show(node, "fg1")
    bounds = (2, 3, 20, 10)
    picture = node.render(1002, window=(-3, -3, 22, 15), bounds=bounds, loose=True, padding=8)
    np.testing.assert_array_equal(picture.pixels, expected("fg1", 1002, bounds))


def test_an_output_without_memory_is_no_success(open_node: OpenedNode) -> None:
    node = open_node()
    show(node, "fg1")
    assert node.render(1002, without_data=True).status not in (OK, DEFAULT)
    assert node.render(1002).status == OK


def test_tiles_make_the_whole(open_node: OpenedNode) -> None:
    node = open_node("nuke", fake={"window": [-3, 2, 21, 15], "display": [24, 12]})
    show(node, "bg")
    whole = node.render(1002)
    x1, y1, x2, y2 = (int(edge) for edge in whole.answer.result["rod"])
    assembled = np.full_like(whole.pixels, np.nan)
    for y in range(y1, y2, 5):
        for x in range(x1, x2, 7):
            tile = (x, y, min(x + 7, x2), min(y + 5, y2))
            pixels = node.render(1002, window=tile, padding=4).pixels
            assembled[tile[1] - y1 : tile[3] - y1, tile[0] - x1 : tile[2] - x1] = pixels
    np.testing.assert_array_equal(assembled, whole.pixels)
    np.testing.assert_array_equal(whole.pixels, expected("bg", 1002, (x1, y1, x2, y2), (-3, 2, 21, 15)))


@pytest.mark.parametrize("window", [[-3, 2, 21, 15], [4, 3, 20, 9], [30, 0, 40, 12], [0, 0, 0, 0]])
def test_windows_that_are_not_the_display(open_node: OpenedNode, window: list[int]) -> None:
    node = open_node(fake={"window": window, "display": [24, 12]})
    show(node, "clean")
    bounds = (-8, -4, 48, 20)
    picture = node.render(1001, window=bounds, bounds=bounds)
    assert picture.status == OK
    np.testing.assert_array_equal(picture.pixels, expected("clean", 1001, bounds, tuple(window)))
    x1, y1, x2, y2 = picture.answer.result["rod"]
    if window != [0, 0, 0, 0]:
        assert x1 <= window[0] and y1 <= window[1] and window[2] <= x2 and window[3] <= y2


@pytest.mark.parametrize("depth", ["Float", "Short", "Byte"])
@pytest.mark.parametrize("components", ["RGBA", "RGB", "Alpha"])
def test_depths_and_components(open_node: OpenedNode, depth: str, components: str) -> None:
    node = open_node()
    show(node, "fg1")
    picture = node.render(1005, depth=depth, components=components, padding=3 if depth == "Byte" else 4)
    channels = {"RGBA": slice(0, 4), "RGB": slice(0, 3), "Alpha": slice(3, 4)}[components]
    truth = expected("fg1", 1005, DISPLAY)[..., channels]
    if depth != "Float":
        truth = quantised(truth, np.uint16 if depth == "Short" else np.uint8)
    np.testing.assert_array_equal(picture.pixels, truth)


ODD = [np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-42, -0.0, 65504.0]


@pytest.mark.parametrize("depth", ["Float", "Short", "Byte"])
def test_values_that_are_no_colours(open_node: OpenedNode, depth: str) -> None:
    """Bit for bit in float; in whole numbers what is no number is black, and the rest is clamped."""
    node = open_node(fake={"odd_values": ODD})
    show(node, "fg1")
    given = node.render(1005, depth=depth).pixels.ravel()[: len(ODD)]
    if depth == "Float":
        assert given.tobytes() == np.array(ODD, np.float32).tobytes()
    else:
        most = np.iinfo(given.dtype).max
        np.testing.assert_array_equal(given, [0, most, 0, most, 0, 0, 0, most])


@pytest.mark.parametrize(("asked", "shown"), [(-2, -2), (0, 0), (-1.5, -1), (1.4, 1), (-0.6, -1), (2, 2)])
def test_times_before_zero_and_between_frames(open_node: OpenedNode, asked: float, shown: int) -> None:
    """Between two frames: the nearer one, the later one in the middle."""
    node = open_node(fake={"frames": [[-2, 2]]})
    show(node, "bg")
    np.testing.assert_array_equal(node.render(asked).pixels, expected("bg", shown, DISPLAY))


def test_a_source_of_each_kind_passes_through(open_node: OpenedNode) -> None:
    for depth, dtype in {"Float": None, "Short": np.uint16, "Byte": np.uint8}.items():
        for components, channels in {"RGBA": slice(0, 4), "RGB": slice(0, 3), "Alpha": slice(3, 4)}.items():
            node = open_node(connected=False)
            source = {"depth": depth, "components": components, "padding": 8, "top_down": True}
            node.host.do("connect", region=DISPLAY, first=1001, last=1008, **source)
            picture = node.render(1004, force=True, window=(2, 1, 20, 11))
            truth = formula(DISPLAY, 1004)[..., channels]
            truth = truth if dtype is None else quantised(truth, dtype)
            np.testing.assert_array_equal(picture.pixels[1:11, 2:20], truth[1:11, 2:20], f"{depth} {components}")


def coverage(pixels: int, step: float, first: int, last: int) -> np.ndarray:
    """(pixels, last − first) float64: which share of each larger pixel each smaller one makes up."""
    edges = np.arange(pixels + 1) * step
    small = np.arange(first, last)
    low = np.maximum(edges[:-1, None], small[None])
    high = np.minimum(edges[1:, None], small[None] + 1)
    return np.clip(high - low, 0, None) / step


@pytest.mark.parametrize("scale", [(0.5, 0.5), (0.25, 0.25), (0.3, 0.3), (1 / 3, 0.5), (0.1, 0.1)])
def test_a_smaller_scale_is_the_mean_of_what_a_pixel_covers(open_node: OpenedNode, scale: tuple[float, float]) -> None:
    node = open_node(fake={"window": [2, 1, 22, 12], "display": [24, 12]})
    show(node, "fg1")
    picture = node.render(1003, scale=scale)
    height, width = picture.pixels.shape[:2]
    assert (width, height) == (int(np.ceil(24 * scale[0] - 1e-6)), int(np.ceil(12 * scale[1] - 1e-6)))
    across, down = coverage(width, 1 / scale[0], 0, 24), coverage(height, 1 / scale[1], 0, 12)
    truth = np.einsum("yv,xu,vuc->yxc", down, across, expected("fg1", 1003, DISPLAY, (2, 1, 22, 12)).astype(np.float64))
    np.testing.assert_allclose(picture.pixels, truth, atol=2e-6)
    tile = node.render(1003, scale=scale, window=(0, 1, width, height), bounds=(0, 0, width, height))
    np.testing.assert_array_equal(tile.pixels[1:], picture.pixels[1:])


def test_pixels_that_are_not_square(open_node: OpenedNode) -> None:
    """The layers' pixels are those of the clip: no filter, and a region in the host's square units."""
    node = open_node(fake={"pixel_aspect": 2.0}, connected=False)
    node.host.do("connect", region=(0, 0, 48, 12), aspect=2, first=1001, last=1008)
    show(node, "fg1")
    picture = node.render(1003)
    assert picture.answer.result["rod"] == [0, 0, 48, 12]
    np.testing.assert_array_equal(picture.pixels, expected("fg1", 1003, DISPLAY))


def test_an_animated_value_is_taken_at_its_time(open_node: OpenedNode) -> None:
    node = open_node()
    show(node, "recomposition", alpha="straight")
    for time, haze in ((1001, 0.0), (1005, 2.0)):
        node.set("haze", haze, key=time)
    node.set("mix", 0.25)
    for time in (1001, 1002, 1004, 1008):
        assert node.render(time).status == OK
    asked = {line["frame"]: line for line in node.fake.log("frame") if "buffer" in line}
    assert {frame: line["haze"] for frame, line in asked.items()} == {1001: 0, 1002: 0.5, 1004: 1.5, 1008: 2}
    assert {(line["mix"], line["alpha"], line["output"], line["shot"]) for line in asked.values()} == {
        (0.25, "straight", "recomposition", str(node.shot))
    }


def test_a_frame_without_layers_fails_the_render(open_node: OpenedNode) -> None:
    node = open_node()
    show(node, "bg")
    picture = node.render(1010, window=DISPLAY, bounds=DISPLAY)
    assert picture.status == FAILED
    assert "1010" in picture.answer.persistent["vdp"]
    again = node.render(1010, window=DISPLAY, bounds=DISPLAY)
    assert again.status == FAILED and again.answer.messages == [], "the same thing is not said twice"
    well = node.render(1008)
    assert well.status == OK and well.answer.persistent == {}


@pytest.mark.parametrize("missing", ["hold", "black", "plate"])
def test_a_frame_without_layers_may_be_held_or_black(open_node: OpenedNode, missing: str) -> None:
    node = open_node()
    node.host.do("connect", region=DISPLAY, first=1001, last=1020)
    show(node, "bg", missing=missing)
    picture = node.render(1010, window=DISPLAY, bounds=DISPLAY)
    truth = {"hold": expected("bg", 1008, DISPLAY), "black": expected("bg", 1008, DISPLAY) * 0,
             "plate": formula(DISPLAY, 1010)}  # fmt: skip
    assert picture.status == OK
    np.testing.assert_array_equal(picture.pixels, truth[missing])


@pytest.mark.parametrize("personality", ["plain", "nuke", "resolve", "minimal"])
def test_a_source_that_has_no_picture_is_black(open_node: OpenedNode, personality: str) -> None:
    node = open_node(personality)
    show(node, "bg", missing="plate")
    picture = node.render(1015, window=DISPLAY, bounds=DISPLAY)
    assert picture.status == OK and not picture.pixels.any()


def test_a_source_smaller_than_the_window_is_black_around(open_node: OpenedNode) -> None:
    node = open_node("nuke", connected=False)
    node.host.do("connect", region=(4, 2, 15, 9), first=1001, last=1020)
    show(node, "bg", missing="plate")
    picture = node.render(1015, window=DISPLAY, bounds=DISPLAY)
    truth = np.zeros((12, 24, 4), np.float32)
    truth[2:9, 4:15] = formula((4, 2, 15, 9), 1015)
    np.testing.assert_array_equal(picture.pixels, truth)


@pytest.mark.parametrize("after", [0, 1, 5])
def test_an_abort_is_obeyed(open_node: OpenedNode, after: int) -> None:
    node = open_node()
    show(node, "bg")
    node.render(1001)
    picture = node.render(1002, abort_after=after)
    assert picture.status in (OK, FAILED, DEFAULT) and picture.answer.messages == []
    assert after < picture.answer.result["aborts"] <= after + 3, "went on asking after it was told to stop"
    assert np.isnan(picture.pixels[-1]).all(), "went on rendering"
    assert node.render(1002).status == OK


def test_abort_is_asked_once_a_row(open_node: OpenedNode) -> None:
    node = open_node(fake={"window": [0, 0, 4, 300], "display": [4, 300]})
    show(node, "bg")
    node.render(1001)
    aborts = node.render(1001).answer.result["aborts"]
    assert 300 / 64 <= aborts <= 300 + 16


def test_an_instance_for_each_frame_costs_no_process(open_node: OpenedNode) -> None:
    node = open_node("nuke")
    for time in range(1001, 1009):
        name = f"clone{time}"
        node.host.do("create", instance=name, width=24, height=12, value_shot=node.shot, value_output="fg1")
        node.host.do("connect", instance=name, region=DISPLAY, first=1001, last=1008)
        np.testing.assert_array_equal(node.render(time, instance=name).pixels, expected("fg1", time, DISPLAY))
        node.host.do("destroy", instance=name)
    assert len(node.fake.pids()) == 1
