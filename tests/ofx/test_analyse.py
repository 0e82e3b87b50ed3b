"""Analyse, Cancel and Refresh: what is sent to the engine, what the artist is told, and what the project keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ofx.conftest import Node, OpenedNode
from tests.ofx.host import OK, Answer, formula, line, quantised
from tests.ofx.test_render import DISPLAY, expected

FRAMES = range(1001, 1009)


def plate(node: Node, frame: int, kind: str = "plate", components: int = 3) -> np.ndarray:
    """What was sent to the engine, (12, 24, components) from the lowest row up."""
    return np.fromfile(node.shot / "plates" / f"{kind}.{frame}.raw", np.float32).reshape(12, 24, components)


def sent(node: Node, kind: str = "plate") -> list[int]:
    return [line["frame"] for line in node.fake.log("plate") if line["kind"] == kind]


@pytest.mark.parametrize("personality", ["plain", "nuke", "natron", "resolve", "minimal"])
def test_analyse(open_node: OpenedNode, personality: str) -> None:
    """In hosts that show progress it waits for the layers; else the engine goes on by itself."""
    node = open_node(personality, value_output="bg", value_quality="final", value_device="cpu")
    answer = node.set("analyse")
    waits = personality not in ("resolve", "minimal")
    assert sent(node) == list(FRAMES)
    for frame in FRAMES:
        np.testing.assert_array_equal(plate(node, frame), formula(DISPLAY, frame)[..., :3])
    (asked,) = node.fake.log("analyse")
    wanted = {
        "shot": str(node.shot), "frames": [[1001, 1008]], "task": "layers", "layers": "2", "flow": "dis",
        "quality": "final", "device": "cpu", "alpha": "premultiplied", "hint": [],
    }  # fmt: skip
    assert {key: asked[key] for key in wanted} == wanted
    described = node.fake.log("plate")[0]
    assert (described["window"], described["display"]) == ([0, 0, 24, 12], [24, 12])
    assert (described["pixel_aspect"], described["frame_rate"], described["components"]) == (1, 24, 3)
    assert answer.result["rerender"] and {"analyse", "generation", "analysed"} <= set(answer.result["changed"])
    if waits:
        (progress,) = answer.progress
        assert progress["updates"] >= 8 and 0.5 < progress["last"] <= 1
        assert len(node.fake.log("status")) > 3
        np.testing.assert_array_equal(node.render().pixels, expected("bg", 1003, DISPLAY))
    else:
        assert answer.progress == [] and node.fake.log("status") == []
        shown = [text for text in answer.texts if "Refresh" in text]
        assert len(shown) == (1 if personality == "resolve" else 0)


def test_in_a_background_host_it_waits_without_progress(open_node: OpenedNode) -> None:
    node = open_node(host_background=1, host_without="OfxProgressSuite")
    node.set("analyse")
    assert len(node.fake.log("status")) > 3


@pytest.mark.parametrize("suite", ["Message", "Progress", "TimeLine", "Memory", "MultiThread", "Message 2"])
def test_hosts_that_lack_a_suite(open_node: OpenedNode, suite: str) -> None:
    name, _, version = suite.partition(" ")
    node = open_node(value_output="bg", host_without=f"Ofx{name}Suite {version}".strip())
    assert node.set("analyse").result["status"] == OK
    assert node.render().status == OK
    assert node.render(1020, window=DISPLAY, bounds=DISPLAY).status != OK


def test_a_message_suite_with_nothing_in_it(open_node: OpenedNode) -> None:
    node = open_node(value_output="bg", host_null_messages=1)
    assert node.set("analyse").result["status"] == OK
    picture = node.render(1020, window=DISPLAY, bounds=DISPLAY)
    assert picture.status != OK and len(picture.answer.texts) == 1
    assert node.render(1020, window=DISPLAY, bounds=DISPLAY).answer.messages == [], "nothing is said twice"


def test_a_range_of_frames(open_node: OpenedNode) -> None:
    node = open_node(value_range="custom", value_first=1003, value_last=1005)
    node.set("analyse")
    assert sent(node) == [1003, 1004, 1005]
    assert node.fake.log("analyse")[0]["frames"] == [[1003, 1005]]


@pytest.mark.parametrize("settings", [
    {"value_shot": ""}, {"value_shot": "relative/folder"}, {"value_range": "custom", "value_first": 5, "value_last": 4},
    {"value_range": "custom", "value_first": 0, "value_last": 900000}, {"connected": False},
    {"value_hintFrames": "all of them"},
])  # fmt: skip
def test_what_cannot_be_analysed_is_told_and_starts_no_run(open_node: OpenedNode, settings: dict[str, Any]) -> None:
    node = open_node(**settings)
    answer = node.set("analyse")
    assert answer.persistent["vdp"] and node.fake.log("analyse") == []
    assert "analysed" not in answer.result["changed"]


def test_a_plate_that_is_larger_or_smaller_than_the_project(open_node: OpenedNode) -> None:
    node = open_node("nuke", connected=False)
    node.host.do("connect", region=(-4, 2, 30, 9), first=1001, last=1002)
    node.set("analyse")
    described = node.fake.log("plate")[0]
    assert (described["window"], described["display"]) == ([-4, 2, 30, 9], [24, 12])
    pixels = np.fromfile(node.shot / "plates" / "plate.1001.raw", np.float32).reshape(7, 34, 3)
    np.testing.assert_array_equal(pixels, formula((-4, 2, 30, 9), 1001)[..., :3])


@pytest.mark.parametrize("depth", ["Short", "Byte"])
@pytest.mark.parametrize("components", ["RGBA", "RGB", "Alpha"])
def test_a_plate_of_another_kind(open_node: OpenedNode, depth: str, components: str) -> None:
    """Whole numbers are 0 to 1; a clip of one channel is grey."""
    node = open_node(connected=False)
    node.host.do("connect", region=DISPLAY, first=1001, last=1001, depth=depth, components=components, padding=2)
    node.set("analyse")
    dtype = np.uint16 if depth == "Short" else np.uint8
    whole = quantised(formula(DISPLAY, 1001), dtype)
    colours = whole[..., 3:].repeat(3, axis=-1) if components == "Alpha" else whole[..., :3]
    np.testing.assert_allclose(plate(node, 1001), colours / np.iinfo(dtype).max, rtol=1e-6)


def test_pixels_that_are_not_square(open_node: OpenedNode) -> None:
    node = open_node(connected=False)
    node.host.do("connect", region=(0, 0, 24, 12), aspect=2, first=1001, last=1001)
    node.set("analyse")
    described = node.fake.log("plate")[0]
    assert (described["window"], described["display"]) == ([0, 0, 12, 12], [12, 12])
    assert described["pixel_aspect"] == 2


def write_clip(folder: Path, frames: dict[int, np.ndarray]) -> str:
    folder.mkdir()
    for frame, pixels in frames.items():
        pixels.astype(np.float32).tofile(folder / f"clip.{frame}.raw")
    return f"{folder}/clip.%d.raw"


def painted(frame: int, alpha: bool) -> np.ndarray:
    """A hint: a stroke in its alpha, or in its colours under an alpha of 1."""
    pixels = np.zeros((12, 24, 4), np.float32)
    pixels[3:7, 4:9] = [0.25, 0.5, 0.75, frame / 2048]
    if not alpha:
        pixels[..., 3] = 1
    return pixels


@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize("chosen", ["", "1003, 1005-1008"])
def test_hints(open_node: OpenedNode, tmp_path: Path, alpha: bool, chosen: str) -> None:
    """Frames on which nothing is painted are not sent; a stroke in the colours counts where alpha says nothing."""
    clip = {frame: painted(frame, alpha) for frame in FRAMES}
    for empty in (1002, 1006):
        clip[empty] = np.zeros((12, 24, 4)) + ([0, 0, 0, 0] if alpha else [0, 0, 0, 1])
    node = open_node(value_hintFrames=chosen)
    path = write_clip(tmp_path / "hints", clip)
    node.host.do("connect", clip="Hint", kind="files", path=path, region=DISPLAY, first=1001, last=1008)
    node.set("analyse")
    frames = [1003, 1005, 1007, 1008] if chosen else [1001, 1003, 1004, 1005, 1007, 1008]
    assert sent(node, "hint") == frames
    ranges = [[1003, 1003], [1005, 1005], [1007, 1008]] if chosen else [[1001, 1001], [1003, 1005], [1007, 1008]]
    assert node.fake.log("analyse")[0]["hint"] == ranges
    for frame in frames:
        truth = painted(frame, alpha)[..., 3] if alpha else painted(frame, alpha)[..., :3].mean(axis=-1)
        np.testing.assert_allclose(plate(node, frame, "hint", 1)[..., 0], truth, rtol=1e-6)


@pytest.mark.parametrize("after", [3, 9])
def test_the_artist_cancels(open_node: OpenedNode, after: int) -> None:
    """While plates are written nothing runs that would have to be stopped; later the engine is told."""
    node = open_node(fake={"steps": 6})
    node.host.do("cancel_progress", after=after)
    answer = node.set("analyse")
    assert answer.progress[0]["updates"] <= after + 2
    assert len(node.fake.log("cancel")) == (0 if after == 3 else 1)
    assert "analysed" not in answer.result["changed"]
    node.host.do("cancel_progress")
    node.set("analyse")
    assert len(node.fake.log("analyse")) == (1 if after == 3 else 2)


@pytest.mark.parametrize("update", [3, 10])
def test_what_the_artist_does_while_it_waits(open_node: OpenedNode, update: int) -> None:
    """A host that shows progress goes on with buttons, values and pictures in the middle of the plug-in's call."""
    node = open_node("natron", fake={"steps": 6}, value_output="bg")

    def analysed_with(verb: str, **arguments: Any) -> Answer:
        node.host.do("during_progress", update=update, command=line(verb, **arguments))
        return node.set("analyse")

    assert "analysed" not in analysed_with("set", param="cancel").result["changed"]
    for nested in ({"param": "analyse"}, {"param": "refresh"}, {"param": "output", "value": "fg1"}):
        before = len(node.fake.log("analyse"))
        assert "analysed" in analysed_with("set", **nested).result["changed"], nested
        assert len(node.fake.log("analyse")) == before + 1, nested
    assert "analysed" in analysed_with("render", time=1004).result["changed"]
    np.testing.assert_array_equal(node.render().pixels, expected("fg1", 1003, DISPLAY))


def test_cancel_and_refresh_where_nothing_waits(open_node: OpenedNode) -> None:
    node = open_node("resolve", fake={"steps": 3}, value_output="bg")
    node.set("analyse")
    assert "0 %" in node.set("refresh").persistent["vdp"]
    assert "33 %" in node.set("refresh").persistent["vdp"]
    node.set("cancel")
    assert len(node.fake.log("cancel")) == 1
    node.set("analyse")
    for _ in range(4):
        answer = node.set("refresh")
    assert answer.persistent == {} and node.render().status == OK


def test_an_analysis_that_fails_is_told(open_node: OpenedNode) -> None:
    node = open_node(fake={"result": "failed", "message": "there is hardly any motion in 100% of the frames"})
    answer = node.set("analyse")
    assert "here is hardly any motion in 100% of the frames" in answer.persistent["vdp"]
    assert "analysed" not in answer.result["changed"]


def test_a_refused_analysis_is_told(open_node: OpenedNode) -> None:
    refusal = {"op": "analyse", "do": "error", "code": "usage.settings", "message": "no such device: cuda:9"}
    node = open_node(fake={"behaviours": [refusal]})
    assert "no such device: cuda:9" in node.set("analyse").persistent["vdp"]


def test_a_picture_that_the_host_does_not_give(open_node: OpenedNode) -> None:
    node = open_node()
    node.host.do("fail", function="clipGetImage", status=1, after=4)
    answer = node.set("analyse")
    assert "1005" in answer.persistent["vdp"] and node.fake.log("analyse") == []


@pytest.mark.parametrize("op", ["plate", "analyse"])
def test_a_helper_that_dies_of_it_is_asked_again(open_node: OpenedNode, op: str) -> None:
    node = open_node(fake={"behaviours": [{"op": op, "do": "kill"}]})
    answer = node.set("analyse")
    assert answer.persistent == {} and len(node.fake.pids()) == 2
    for frame in FRAMES:
        np.testing.assert_array_equal(plate(node, frame), formula(DISPLAY, frame)[..., :3])


def test_new_layers_are_seen_by_the_host_and_the_node(open_node: OpenedNode) -> None:
    """The hidden generation counts up, so that a host renders again; what the node had cached goes too."""
    node = open_node(value_output="bg")
    node.render()
    node.render()
    pixels = [line for line in node.fake.log("frame") if "buffer" in line]
    assert len(pixels) == 1, "the second time it comes from the cache"
    before = node.host.do("values").result["generation"]["value"]
    answer = node.set("refresh")
    assert answer.result["rerender"]
    assert node.host.do("values").result["generation"]["value"] == before + 1
    assert len(node.fake.log("forget")) == 1
    node.fake.set(window=[0, 0, 12, 12])
    np.testing.assert_array_equal(node.render().pixels, expected("bg", 1003, DISPLAY, (0, 0, 12, 12)))


def test_what_the_project_keeps(open_node: OpenedNode) -> None:
    """Saved and opened again: another instance with the same values says the same, without an analysis."""
    node = open_node(value_output="bg", value_task="relight")
    node.set("analyse")
    node.set("quality", "final")
    kept = {name: told["value"] for name, told in node.host.do("values").result.items() if told["persistent"]}
    assert kept["generation"] > 0 and kept["analysed"]
    values = {f"value_{name}": value for name, value in kept.items()}
    node.host.do("create", instance="opened", width=24, height=12, **values)
    again = {name: told["value"] for name, told in node.host.do("values", instance="opened").result.items()}
    assert again == kept
    picture = node.render(instance="opened")
    np.testing.assert_array_equal(picture.pixels, expected("bg", 1003, DISPLAY))
    assert "Out of date" in picture.answer.persistent["opened"]


def test_settings_and_plates_that_changed_are_told_once(open_node: OpenedNode) -> None:
    node = open_node(value_output="bg")
    node.set("analyse")
    assert node.render().answer.persistent == {}
    assert "Out of date" in node.set("layers", "3").persistent["vdp"]
    assert node.render().answer.messages == []
    assert node.set("layers", "2").persistent == {}
    assert "Out of date" in node.host.do("connect", region=DISPLAY, first=1001, last=1004).persistent["vdp"]
    assert node.set("refresh").persistent == {}


def test_what_can_be_set_follows_what_is_chosen(open_node: OpenedNode) -> None:
    node = open_node()
    for output, shown in {"recomposition": True, "bg": False}.items():
        node.set("output", output)
        values = node.host.do("values").result
        assert (values["haze"]["enabled"], values["mix"]["enabled"]) == (shown, shown)
    for range_, shown in {"custom": True, "clip": False}.items():
        node.set("range", range_)
        values = node.host.do("values").result
        assert (values["first"]["enabled"], values["last"]["enabled"]) == (shown, shown)


def test_proxies_are_refused(open_node: OpenedNode) -> None:
    """Layers of a small picture would be taken for those of the plate."""
    node = open_node()
    answer = node.set("analyse", scale=0.5)
    assert answer.persistent["vdp"] and node.fake.log("analyse") == []


@pytest.mark.parametrize("reason", ["Time", "PluginEdited"])
def test_only_the_artist_presses_buttons(open_node: OpenedNode, reason: str) -> None:
    node = open_node()
    node.set("analyse", reason=reason)
    assert node.fake.log() == []
