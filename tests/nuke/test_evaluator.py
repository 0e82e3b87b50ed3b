"""The numpy evaluator of nodes, against closed forms: what the tests of trees and of the gizmo stand on."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest

from tests.nuke.evaluator.evaluate import evaluate
from tests.nuke.evaluator.expression import parse
from tests.nuke.evaluator.image import RGBA, Image, Window, chosen
from tests.nuke.evaluator.nodes_files import nuke_name, read_exr
from tests.nuke.evaluator.registry import EvaluationError
from tests.nuke.evaluator.write import write_frames
from tests.nuke.layer_files import DATA, FORMAT, FRAMES, write_layer_files

_RNG = np.random.default_rng(9)
A = tuple(_RNG.normal(0, 2, 4).astype(np.float32).tolist())
B = tuple(_RNG.normal(0, 2, 4).astype(np.float32).tolist())


@pytest.fixture(autouse=True)
def session(nuke: ModuleType) -> None:
    """An empty script for each test."""


def node(nuke: ModuleType, kind: str, *inputs: Any, **knobs: Any) -> Any:
    made = getattr(nuke.nodes, kind)()
    for name, value in knobs.items():
        made[name].setValue(value)
    for index, above in enumerate(inputs):
        if above is not None:
            assert made.setInput(index, above)
    return made


def flat(nuke: ModuleType, colour: tuple[float, ...]) -> Any:
    made = node(nuke, "Constant", color=list(colour))
    made["format"].fromScript("3 2 0 0 3 2 1 tiny")
    return made


def pixel(made: Any, frame: float = 1, **hooks: Any) -> list[float]:
    image = evaluate(made, frame, hooks)
    return [float(image.plane(channel)[0, 0]) for channel in RGBA]


_MERGES: dict[str, Callable[[float, float, float, float], float]] = {
    "plus": lambda a, b, aa, ba: a + b,
    "over": lambda a, b, aa, ba: a + b * (1 - aa),
    "under": lambda a, b, aa, ba: b + a * (1 - ba),
    "copy": lambda a, b, aa, ba: a,
    "from": lambda a, b, aa, ba: b - a,
    "minus": lambda a, b, aa, ba: a - b,
    "multiply": lambda a, b, aa, ba: a if a < 0 and b < 0 else a * b,
    "stencil": lambda a, b, aa, ba: b * (1 - aa),
    "max": lambda a, b, aa, ba: max(a, b),
}


@pytest.mark.parametrize("operation", _MERGES)
def test_merge_operations(nuke: ModuleType, operation: str) -> None:
    made = node(nuke, "Merge2", flat(nuke, B), flat(nuke, A), operation=operation)
    expected = [_MERGES[operation](a, b, A[3], B[3]) for a, b in zip(A, B, strict=True)]
    np.testing.assert_allclose(pixel(made), expected, rtol=1e-6)


def test_merge_puts_out_what_it_is_asked_for_under_mask_and_mix(nuke: ModuleType) -> None:
    b, a, mask = flat(nuke, B), flat(nuke, A), flat(nuke, (0, 0, 0, 0.25))
    only_rgb = node(nuke, "Merge2", b, a, operation="plus", output="rgb")
    assert pixel(only_rgb)[3] == B[3]
    weighed = node(nuke, "Merge2", b, a, mask, operation="plus", mix=0.5)
    np.testing.assert_allclose(pixel(weighed), [v + 0.125 * w for v, w in zip(B, A, strict=True)], rtol=1e-6)
    several = node(nuke, "Merge2", b, a, None, flat(nuke, (1, 1, 1, 1)), operation="plus")
    np.testing.assert_allclose(pixel(several), [v + w + 1 for v, w in zip(B, A, strict=True)], rtol=1e-6)


def test_merge_covers_both_windows_and_hands_on_the_other_channels_of_b(nuke: ModuleType, tmp_path: Path) -> None:
    written = write_layer_files(tmp_path)[FRAMES[0]]
    read = node(nuke, "Read", file=written.file, first=FRAMES[0], last=FRAMES[1])
    image = evaluate(node(nuke, "Merge2", flat(nuke, (1, 1, 1, 1)), read, operation="plus"), FRAMES[0])
    assert image.data == Window(-2, 0, 7, 9) and image.format == Window(0, 0, 3, 2)
    assert image.plane("rgba.red")[0, 2] == 1 and image.plane("rgba.red")[0, 6] == 0
    np.testing.assert_array_equal(image.plane("rgba.red", DATA), written.plate[..., 0])
    below = evaluate(node(nuke, "Merge2", read, flat(nuke, (1, 1, 1, 1)), operation="plus"), FRAMES[0])
    np.testing.assert_array_equal(below.plane("fg1.red", DATA), written.channels["fg1.R"])
    assert below.format == FORMAT


_FORMULAS = [
    ("1 + 2 * 3 - 8 / 4 % 3", 1 + 2 * 3 - math.fmod(8 / 4, 3)),
    ("-2 ^ 2 + (1 - 3) ** 2", -4 + 4),
    ("pow(abs(-8), 1 / 3)", 2),
    ("a < b ? 10 : a == b ? 20 : 30", 10),
    ("a > b || a > 0 && !b", 0),
    ("a <= 1 && b >= 2 && a != b", 1),
    ("min(3, a, b) + max(a, 2 * b) - clamp(7, 0, 5) + clamp(0.5)", 1 + 4 - 5 + 0.5),
    ("lerp(2, 4, .25) + step(1, 2) + sqrt(16) + exp(0) + log(1) + floor(-1.5) + ceil(1.2)", 2.5 + 1 + 4 + 1 - 2 + 2),
    ("a - b - 1", -2),
    ("1e-3 * deep.er.name", 0.004),
]


@pytest.mark.parametrize(("text", "expected"), _FORMULAS)
def test_expressions(text: str, expected: float) -> None:
    words = {"a": np.float32(1), "b": np.float32(2), "deep.er.name": np.float32(4)}
    found = parse(text)(words.__getitem__)
    assert np.asarray(found).dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("text", ["1 +", "(1", "sinus(2)", "1 2", "$", "min(1", "? 1"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)(lambda word: np.float32(0))


def test_the_expression_node_sees_channels_variables_knobs_and_coordinates(nuke: ModuleType) -> None:
    group = node(nuke, "Group")
    amount = nuke.Color_Knob("amount")
    group.addKnob(amount)
    amount.setValue([1.0, 2.0, 3.0])
    with group:
        made = node(nuke, "Expression", flat(nuke, (0.5, 0.25, 4, 1)), temp_name0="k", temp_expr0="r * 2")
        own = nuke.Double_Knob("own")
        made.addKnob(own)
        own.setValueAt(0.0, 1)
        own.setValueAt(10.0, 11)
        made["expr0"].setValue("k + rgba.blue * parent.amount.g")
        made["expr1"].setValue("own + this.own")
        made["expr2"].setValue("frame + x")
    assert pixel(made, 6) == [9, 10, 6, 1]
    with pytest.raises(EvaluationError, match="nothing called typo"):
        made["expr0"].setValue("typo")
        evaluate(made, 1)


def test_grade_multiply_add_invert_and_premult(nuke: ModuleType) -> None:
    source = flat(nuke, (0.2, -0.3, 4.0, 0.5))
    graded = node(nuke, "Grade", source, blackpoint=0.1, whitepoint=2.0, black=0.05, white=1.5, multiply=2.0, add=0.3)
    graded["gamma"].setValue(1.7)
    slope = 2 * (1.5 - 0.05) / (2 - 0.1)
    linear = [slope * v + 0.3 + 0.05 - slope * 0.1 for v in (0.2, -0.3, 4.0)]
    expected = [max(v, 0) ** (1 / 1.7) for v in linear]
    np.testing.assert_allclose(pixel(graded), [*expected, 0.5], rtol=1e-6)
    multiplied = node(nuke, "Multiply", source, value=[2, 3, 4, 9])
    np.testing.assert_allclose(pixel(multiplied), [0.4, -0.9, 16, 0.5], rtol=1e-6)
    np.testing.assert_allclose(pixel(node(nuke, "Add", source, value=1)), [1.2, 0.7, 5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(pixel(node(nuke, "Invert", source, channels="rgb")), [0.8, 1.3, -3, 0.5], rtol=1e-6)
    premult = node(nuke, "Premult", source)
    np.testing.assert_allclose(pixel(premult), [0.1, -0.15, 2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(pixel(node(nuke, "Unpremult", premult)), [0.2, -0.3, 4, 0.5], rtol=1e-6)


def test_a_mask_limits_a_colour_node(nuke: ModuleType) -> None:
    made = node(nuke, "Multiply", flat(nuke, (1, 1, 1, 1)), flat(nuke, (0, 0, 0, 0.25)), value=3)
    assert pixel(made) == [1.5, 1.5, 1.5, 1]


def test_shuffles_and_copies(nuke: ModuleType) -> None:
    a, b = flat(nuke, A), flat(nuke, B)
    swapped = node(nuke, "Shuffle2", b)
    swapped["mappings"].setValue([
        ("rgba.alpha", "rgba.red"), ("black", "rgba.green"), ("white", "rgba.blue"), ("rgba.red", "rgba.alpha"),
    ])  # fmt: skip
    np.testing.assert_allclose(pixel(swapped), [B[3], 0, 1, B[0]], rtol=1e-6)
    half_said = node(nuke, "Shuffle2", b)
    half_said["mappings"].setValue([("rgba.alpha", "rgba.red")])
    with pytest.raises(EvaluationError, match="what becomes of"):
        evaluate(half_said, 1)
    assert pixel(node(nuke, "Copy", b, a)) == [*B[:3], A[3]]
    mixed = node(nuke, "Keymix", b, a, flat(nuke, (0, 0, 0, 0.25)))
    np.testing.assert_allclose(pixel(mixed), [0.75 * v + 0.25 * w for v, w in zip(B, A, strict=True)], rtol=1e-5)


def test_switch_dissolve_and_a_disabled_node(nuke: ModuleType) -> None:
    a, b = flat(nuke, A), flat(nuke, B)
    switch = node(nuke, "Switch", a, b)
    switch["which"].setExpression("frame > 5")
    assert pixel(switch, 5) == list(A) and pixel(switch, 6) == list(B)
    dissolved = node(nuke, "Dissolve", a, b, which=0.25)
    np.testing.assert_allclose(pixel(dissolved), [0.75 * v + 0.25 * w for v, w in zip(A, B, strict=True)], rtol=1e-5)
    assert pixel(node(nuke, "Multiply", a, value=7, disable=True)) == list(A)


def test_time_and_groups(nuke: ModuleType) -> None:
    group = node(nuke, "Group", name="G")
    with group:
        node(nuke, "Input", name="one", number=1)
        node(nuke, "Input", name="zero")
        made = node(nuke, "Expression", group.node("one"), expr0="frame", expr1="g")
        node(nuke, "Output", node(nuke, "TimeOffset", made, time_offset=10))
    group.setInput(0, flat(nuke, A))
    group.setInput(1, flat(nuke, B))
    assert pixel(group, 25) == [15, *B[1:]]
    assert pixel(node(nuke, "FrameHold", group, first_frame=1011), 3) == [1001, *B[1:]]


def test_crop_reformat_and_remove(nuke: ModuleType, tmp_path: Path) -> None:
    written = write_layer_files(tmp_path)[FRAMES[0]]
    read = node(nuke, "Read", file=written.file, first=FRAMES[0], last=FRAMES[1])
    crop = evaluate(node(nuke, "Crop", read, box=[1, 4, 5, 8]), FRAMES[0])
    assert crop.data == Window(1, 4, 5, 8) and crop.format == FORMAT
    np.testing.assert_array_equal(crop.plane("rgba.green"), written.plate[1:5, 3:7, 1])
    larger = node(nuke, "Reformat", read, resize="none", center=False)
    larger["format"].fromScript("20 22 0 0 20 22 1 larger")
    assert evaluate(larger, FRAMES[0]).data == Window(-2, 13, 7, 19)
    kept = evaluate(node(nuke, "Remove", read, operation="keep", channels="rgba"), FRAMES[0])
    assert set(kept.channels) == set(RGBA)


@pytest.mark.parametrize(
    ("before", "frame", "read_as"),
    [("hold", 998, 1001), ("loop", 999, 1002), ("bounce", 1004, 1002), ("hold", 1010, 1003), ("loop", 1004, 1001)],
)
def test_outside_of_its_range_a_read_repeats(
    nuke: ModuleType, tmp_path: Path, before: str, frame: int, read_as: int
) -> None:
    written = write_layer_files(tmp_path)
    read = node(nuke, "Read", file=written[1001].file, first=1001, last=1003, before=before, after=before)
    np.testing.assert_array_equal(evaluate(read, frame).colour(), written[read_as].plate)


def test_missing_frames(nuke: ModuleType, tmp_path: Path) -> None:
    written = write_layer_files(tmp_path)
    (tmp_path / "shot.1002.exr").unlink()
    read = node(nuke, "Read", file=written[1001].file, first=1001, last=1003, after="black")
    assert not evaluate(read, 1004).colour().any()
    with pytest.raises(EvaluationError, match=r"No such file.*shot\.1002\.exr"):
        evaluate(read, 1002)
    read["on_error"].setValue("black")
    black = evaluate(read, 1002)
    assert not black.colour().any() and black.data == DATA and "fg1.red" in black.channels
    read["on_error"].setValue("checkerboard")
    assert set(np.unique(evaluate(read, 1002).colour())) == {0, 1}
    read["on_error"].setValue("nearest frame")
    np.testing.assert_array_equal(evaluate(read, 1002).colour(), written[1001].plate)


def test_unknown_is_refused(nuke: ModuleType) -> None:
    for made in (
        node(nuke, "Saturation", flat(nuke, A)),
        node(nuke, "Merge2", flat(nuke, B), flat(nuke, A), operation="screen"),
        node(nuke, "Roto"),
        node(nuke, "Read", colorspace="sRGB"),
    ):
        with pytest.raises(EvaluationError):
            evaluate(made, 1)


def test_a_hook_draws_a_roto(nuke: ModuleType) -> None:
    window = Window(0, 0, 3, 2)

    def drawn(roto: Any, frame: float) -> Image:
        return Image({"rgba.alpha": np.full(window.shape, frame, np.float32)}, window, window)

    assert pixel(node(nuke, "Roto", flat(nuke, A)), 0.5, Roto=drawn) == [*A[:3], 0.5]


@pytest.mark.parametrize("depth", ["16 bit half", "32 bit float"])
def test_a_write_renders_real_files(nuke: ModuleType, tmp_path: Path, depth: str) -> None:
    written = write_layer_files(tmp_path)
    read = node(nuke, "Read", file=written[1001].file, first=1001, last=1003)
    third = node(nuke, "Multiply", read, value=1 / 3)
    render = node(nuke, "Write", third, file=f"{tmp_path}/new folder/out.%04d.exr", file_type="exr", channels="all")
    for name, value in (("datatype", depth), ("create_directories", True), ("compression", "Zip (16 scanlines)")):
        render[name].setValue(value)
    paths = write_frames(render, 1001, 1003, 2)
    assert [Path(path).name for path in paths] == ["out.1001.exr", "out.1003.exr"]
    dtype = np.float16 if depth == "16 bit half" else np.float32
    image, given = read_exr(paths[1]), evaluate(third, 1003)
    assert (image.data, image.format, set(image.channels)) == (DATA, FORMAT, set(given.channels))
    for name in image.channels:
        np.testing.assert_array_equal(image.plane(name), given.plane(name).astype(dtype).astype(np.float32))
    file = oiio.ImageInput.open(paths[0])
    assert file is not None
    spec = file.spec()
    file.close()
    assert spec.getattribute("compression") == "zip" and {"R", "A", "fg1.red"} <= set(spec.channelnames)


def test_names_and_choices_of_channels() -> None:
    found = [nuke_name(name) for name in ("R", "A", "fg1.R", "confidence.A", "forward.u", "Z", "2nd.pass.G")]
    assert found == [
        "rgba.red", "rgba.alpha", "fg1.red", "confidence.alpha", "forward.u", "depth.Z", "nd_pass.green",
    ]  # fmt: skip
    available = [*RGBA, "fg1.red", "fg1.alpha"]
    assert chosen("all", available) == available
    assert chosen("fg1", available) == ["fg1.red", "fg1.alpha"]
    assert chosen("{rgba.red -rgba.green rgba.blue none}", available) == ["rgba.red", "rgba.blue"]
    assert chosen("alpha rgb", available) == ["rgba.alpha", *RGBA[:3]] and chosen("none", available) == []
