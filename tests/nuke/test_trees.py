"""The trees of Create layer nodes: they rebuild the plate, keep to their equations, and look tidy."""

from __future__ import annotations

import os
import re
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import nuke
import numpy as np
import pytest

from nuke_vdp.errors import HostError
from nuke_vdp.tree_layout import box_of
from nuke_vdp.trees import Adjustments, LayerFiles, build, create_layer_nodes
from tests.nuke.evaluator.evaluate import evaluate
from tests.nuke.evaluator.image import Image
from tests.nuke.layer_files import DATA, FORMAT, FRAMES, GAMMA, Written, write_layer_files
from tests.tools import draw_nk
from vdp_engine.equations import half_ulps, recompose

GOLDEN = Path(__file__).parent / "golden"
GIZMOS = Path(__file__).parents[2] / "nuke_vdp" / "gizmos"
FRAME = 1002


@pytest.fixture(autouse=True)
def session(nuke: ModuleType) -> None:
    """An empty script for each test."""


def files(written: dict[int, Written], **more: Any) -> LayerFiles:
    return LayerFiles(written[FRAME].file, *FRAMES, **more)


def named(nodes: list[Any], name: str) -> Any:
    return next(node for node in nodes if node.name() == name)


def built(layers: LayerFiles, adjustments: Adjustments | None = None) -> list[Any]:
    return build(layers, adjustments or Adjustments(), 300, -40)


def rebuilt(nodes: list[Any]) -> Image:
    (last,) = [node for node in nodes if "rebuilds the plate" in node["label"].value()]
    return evaluate(last, FRAME)


def same(image: Image, truth: np.ndarray) -> None:
    np.testing.assert_allclose(image.colour(), truth, rtol=1e-6, atol=1e-6 * np.abs(truth).max(axis=-1).min())


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("alpha", ["premultiplied", "straight"])
def test_layers_rebuild_the_plate_and_are_opaque(tmp_path: Path, count: int, alpha: str) -> None:
    written = write_layer_files(tmp_path, count=count, straight=alpha == "straight")
    image = rebuilt(built(files(written, count=count, alpha=alpha)))
    frame = written[FRAME]
    assert (frame.plate < 0).any() and frame.plate.max() > 20
    assert (image.data, image.format) == (DATA, FORMAT)
    same(image, recompose("layers", frame.channels, straight=alpha == "straight"))
    assert half_ulps(image.colour(), frame.plate).max() <= 2
    np.testing.assert_allclose(image.plane("rgba.alpha"), 1, atol=2e-3)


@pytest.mark.parametrize("alpha", ["premultiplied", "straight"])
def test_only_changed_gains_become_nodes_and_keep_to_the_equation(tmp_path: Path, alpha: str) -> None:
    written = write_layer_files(tmp_path, count=3, straight=alpha == "straight")
    gains = {"bg": "1", "fg1": "0.5 1.25 3 1", "fg2": "0.1"}
    nodes = built(files(written, count=3, alpha=alpha), Adjustments(gains=gains))
    assert [node.name() for node in nodes if node.Class() == "Multiply"] == ["fg1_gain", "fg2_gain"]
    numbers = {"fg1": (0.5, 1.25, 3.0), "fg2": (0.1, 0.1, 0.1)}
    image = rebuilt(nodes)
    same(image, recompose("layers", written[FRAME].channels, straight=alpha == "straight", gains=numbers))
    np.testing.assert_allclose(image.plane("rgba.alpha"), 1, atol=2e-3)


@pytest.mark.parametrize(
    ("haze_amount", "airlight_gain"), [("1", "1"), ("0", "1"), ("0.35", "1"), ("2.5", "0.5 1 1.75")]
)
def test_dehaze_rebuilds_and_follows_its_controls(tmp_path: Path, haze_amount: str, airlight_gain: str) -> None:
    written = write_layer_files(tmp_path, "dehaze")
    adjustments = Adjustments(haze_amount=haze_amount, airlight_gain=airlight_gain)
    image = rebuilt(built(files(written, task="dehaze"), adjustments))
    gains = [float(word) for word in airlight_gain.split()] * (1 if " " in airlight_gain else 3)
    frame = written[FRAME]
    same(image, recompose("dehaze", frame.channels, haze_amount=float(haze_amount), airlight_gain=gains))
    np.testing.assert_array_equal(image.plane("rgba.alpha"), 1)
    if (haze_amount, airlight_gain) == ("1", "1"):
        assert half_ulps(image.colour(), frame.plate).max() <= 2


@pytest.mark.parametrize("mix", [0.0, 0.4, 1.0])
def test_relight_rebuilds_and_follows_its_control(tmp_path: Path, mix: float) -> None:
    written = write_layer_files(tmp_path, "relight")
    image = rebuilt(built(files(written, task="relight", gamma=GAMMA), Adjustments(exposure_mix=str(mix))))
    frame = written[FRAME]
    assert (frame.channels["relit.R"] < 0).any()
    same(image, recompose("relight", frame.channels, gamma=GAMMA, exposure_mix=mix))
    if mix == 0:
        assert half_ulps(image.colour(), frame.plate).max() <= 2


def test_the_controls_are_knobs_of_the_node(tmp_path: Path) -> None:
    written = write_layer_files(tmp_path, "dehaze")
    nodes = built(files(written, task="dehaze"))
    named(nodes, "VDP_rebuild")["haze_amount"].setValue(0)
    clear = np.stack([written[FRAME].channels[f"clear.{c}"] for c in "RGB"], axis=-1)
    residual = np.stack([written[FRAME].channels[f"residual.{c}"] for c in "RGB"], axis=-1)
    same(rebuilt(nodes), clear + residual)


def test_animated_controls_come_along(tmp_path: Path) -> None:
    written = write_layer_files(tmp_path, "dehaze")
    adjustments = Adjustments(haze_amount="{curve x1001 0 x1003 1}")
    image = rebuilt(built(files(written, task="dehaze"), adjustments))
    same(image, recompose("dehaze", written[FRAME].channels, haze_amount=0.5))


@pytest.mark.parametrize(
    ("task", "name", "channel"),
    [
        ("layers", "fg1_matte", "fg1.A"),
        ("layers", "fg2_matte", "fg2.A"),
        ("layers", "confidence_matte", "confidence.A"),
        ("dehaze", "transmission_matte", "transmission.A"),
        ("relight", "confidence_matte", "confidence.A"),
    ],
)
def test_mattes_are_in_all_four_channels(tmp_path: Path, task: str, name: str, channel: str) -> None:
    written = write_layer_files(tmp_path, task, count=3)
    image = evaluate(named(built(files(written, task=task, count=3)), name), FRAME)
    for plane in ("red", "green", "blue", "alpha"):
        np.testing.assert_array_equal(image.plane(f"rgba.{plane}"), written[FRAME].channels[channel])


@pytest.mark.parametrize(
    ("task", "name", "layer"),
    [("layers", "clean_plate", "clean"), ("dehaze", "clear_layer", "clear"), ("dehaze", "airlight_layer", "airlight"),
     ("relight", "relit_layer", "relit"), ("relight", "gain_layer", "gain")],
)  # fmt: skip
def test_pictures_are_shown_opaque(tmp_path: Path, task: str, name: str, layer: str) -> None:
    written = write_layer_files(tmp_path, task)
    image = evaluate(named(built(files(written, task=task)), name), FRAME)
    for i, c in enumerate("RGB"):
        np.testing.assert_array_equal(image.colour()[..., i], written[FRAME].channels[f"{layer}.{c}"])
    np.testing.assert_array_equal(image.plane("rgba.alpha"), 1)


def test_the_read_takes_the_files_as_they_are() -> None:
    (read,) = [n for n in built(LayerFiles("C:\\Shots\\großer Test\\a [2]\\sh.####.exr", 7, 9)) if n.Class() == "Read"]
    assert read["file"].value() == "C:/Shots/großer Test/a \\[2]/sh.####.exr"
    assert read["file"].evaluate(8) == "C:/Shots/großer Test/a [2]/sh.0008.exr"
    values = {knob: read[knob].value() for knob in ("first", "last", "origfirst", "origlast", "raw", "on_error")}
    assert values == {"first": 7, "last": 9, "origfirst": 7, "origlast": 9, "raw": True, "on_error": "error"}
    assert (read["before"].value(), read["after"].value()) == ("black", "black")


@pytest.mark.parametrize(
    ("file", "title"),
    [("/a/sh010_v003.####.exr", "sh010_v003"), ("C:\\a\\sh 1.%04d.exr", "sh 1"), ("/a/b_10.#.exr", "b_10")],
)
def test_the_title_is_the_name_of_the_files(file: str, title: str) -> None:
    assert LayerFiles(file, 1, 2).title == title


TREES = {
    "layers": LayerFiles("/shots/sh010/layers/sh010.####.exr", 1001, 1048, count=2),
    "layers_straight": LayerFiles("/shots/sh010/layers/sh010.####.exr", 1001, 1048, count=4, alpha="straight"),
    "dehaze": LayerFiles("/shots/sh020/layers/sh020.####.exr", 1001, 1048, task="dehaze"),
    "relight": LayerFiles("/shots/sh030/layers/sh030.####.exr", 1001, 1048, task="relight", gamma=2.25),
}
CHANGED = {"layers_straight": Adjustments(gains={"fg1": "1.5", "fg3": "0.8 0.9 1 1"})}


@pytest.mark.parametrize("tree", TREES)
def test_nodes_are_named_and_placed_tidily(tree: str) -> None:
    nodes = built(TREES[tree], CHANGED.get(tree))
    names = [node.name() for node in nodes]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[A-Za-z]\w*", name) for name in names)
    *inside, backdrop = nodes
    left, top, right, bottom = box_of(backdrop)
    assert (left, top) == (300, -40)
    for one, other in combinations(inside, 2):
        a, b = box_of(one), box_of(other)
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (one.name(), other.name())
    for node in inside:
        box = box_of(node)
        assert left < box[0] and top < box[1] and box[2] < right and box[3] < bottom, node.name()


def normalised(text: str) -> list[str]:
    """A script's lines, without its version, with the variables of its stack numbered."""
    ids: dict[str, str] = {}
    numbered = re.sub(r"(?<=set )N\w+|(?<=push \$)N\w+", lambda m: ids.setdefault(m[0], f"N{len(ids)}"), text)
    return [line.rstrip() for line in numbered.splitlines() if not re.match(r"\s*(version|#!|selected)\b", line)]


@pytest.mark.parametrize("tree", TREES)
def test_the_script_of_the_tree_is_as_it_was(tree: str, tmp_path: Path) -> None:
    """VDP_WRITE_GOLDEN=1 writes the scripts anew, for a change that is meant; then draw their pictures again."""
    for node in built(TREES[tree], CHANGED.get(tree)):
        node.setSelected(True)
    copied = tmp_path / "copied.nk"
    nuke.nodeCopy(str(copied))
    golden = GOLDEN / f"{tree}.nk"
    if os.environ.get("VDP_WRITE_GOLDEN"):
        golden.write_text("\n".join(normalised(copied.read_text("utf-8"))) + "\n", "utf-8")
    assert normalised(copied.read_text("utf-8")) == normalised(golden.read_text("utf-8"))


def test_a_picture_is_drawn_of_a_script() -> None:
    nuke.nodePaste(str(GOLDEN / "layers.nk"))
    nodes = nuke.root().nodes()
    picture = draw_nk.draw(nodes)
    (backdrop,) = [node for node in nodes if node.Class() == "BackdropNode"]
    left, top, right, bottom = (value * draw_nk.SCALE for value in draw_nk.box_of(backdrop))
    border = draw_nk.MARGIN * draw_nk.SCALE
    assert picture.shape == (bottom - top + 2 * border, right - left + 2 * border, 3)
    coloured = [node for node in nodes if node["tile_color"].value()]
    assert len(coloured) > 5
    for node in coloured:
        x, y, *_ = (value * draw_nk.SCALE for value in draw_nk.box_of(node))
        blue, green, red = picture[y - top + border + 3, x - left + border + 3].tolist()
        assert (red << 24) + (green << 16) + (blue << 8) + 255 == node["tile_color"].value()


def test_a_pasted_tree_still_rebuilds(tmp_path: Path) -> None:
    written = write_layer_files(tmp_path / "a b", "relight")
    for node in built(files(written, task="relight", gamma=GAMMA)):
        node.setSelected(True)
    nuke.nodeCopy(str(tmp_path / "tree.nk"))
    nuke.scriptClear()
    nuke.nodePaste(str(tmp_path / "tree.nk"))
    same(rebuilt(nuke.root().nodes()), recompose("relight", written[FRAME].channels, gamma=GAMMA))


@pytest.fixture
def vdp(tmp_path: Path) -> Any:
    """A VDP node with finished layers, at (100, 200)."""
    nuke.pluginAddPath(str(GIZMOS))
    node = nuke.nodes.VDP()
    node.setXYpos(100, 200)
    written = write_layer_files(tmp_path, count=3)
    attach(node, written, count=3)
    return node


def attach(node: Any, written: dict[int, Written], count: int) -> None:
    """Give a VDP node finished layers."""
    first, last = FRAMES
    values = {"layers_file": written[FRAME].file, "layers_first": first, "layers_last": last, "layers_count": count}
    for name, value in values.items():
        node[name].setValue(value)


def test_without_layers_the_artist_is_told_what_to_do(vdp: Any) -> None:
    vdp["layers_file"].setValue("")
    before = nuke.root().nodes()
    with pytest.raises(HostError, match=r"no layers yet\. Press Decompose"):
        create_layer_nodes(vdp)
    assert nuke.root().nodes() == before


def test_create_layer_nodes_takes_the_adjustments_and_selects_what_it_made(vdp: Any) -> None:
    other = nuke.nodes.NoOp()
    other.setSelected(True)
    vdp["fg2_gain"].setValue(2.0)
    nodes = create_layer_nodes(vdp)
    assert {node for node in nuke.root().nodes() if node.isSelected()} == set(nodes)
    assert [node.name() for node in nodes if node.Class() == "Multiply"] == ["fg2_gain"]
    assert np.isfinite(rebuilt(nodes).colour()).all()
    left, *_ = box_of(nodes[-1])
    assert left > vdp.xpos() + 80


def test_a_second_tree_stands_beside_the_first_with_names_of_its_own(vdp: Any) -> None:
    first, second = create_layer_nodes(vdp), create_layer_nodes(vdp)
    a, b = box_of(first[-1]), box_of(second[-1])
    assert a[2] < b[0] and a[1] == b[1]
    assert not {node.name() for node in first} & {node.name() for node in second}


def test_one_undo_takes_the_tree_away(vdp: Any) -> None:
    before = set(nuke.root().nodes())
    create_layer_nodes(vdp)
    nuke.undo()
    assert set(nuke.root().nodes()) == before


def test_the_tree_comes_into_the_group_of_its_node(tmp_path: Path) -> None:
    nuke.pluginAddPath(str(GIZMOS))
    group = nuke.nodes.Group()
    with group:
        node = nuke.nodes.VDP()
    written = write_layer_files(tmp_path)
    attach(node, written, count=2)
    nodes = create_layer_nodes(node)
    assert all(new.parent() is group for new in nodes) and nuke.root().nodes() == [group]
    assert half_ulps(rebuilt(nodes).colour(), written[FRAME].plate).max() <= 2
