"""VDP.gizmo: the knobs that Python uses, and the pictures that its inside makes of real layer files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from nuke_vdp import knobs
from tests.nuke.evaluator.evaluate import evaluate
from tests.nuke.evaluator.image import Image, Window
from tests.nuke.layer_files import DATA, FORMAT, FRAMES, GAMMA, Written, write_layer_files
from vdp_engine.equations import recompose

GIZMO = Path(__file__).resolve().parents[2] / "nuke_vdp" / "gizmos" / "VDP.gizmo"
FRAME = 1002
RGB = ("red", "green", "blue")

ENUMERATIONS = {
    "show": knobs.SHOWN,
    "task": ("layers", "dehaze", "relight"),
    "transmission_kind": ("grey", "rgb"),
    "layers": ("2", "3", "4", "auto"),
    "frame_range": ("input", "global", "custom"),
    "flow": ("estimate (DIS)", "estimate (RAFT)", "motion vectors of the input", "estimate (VDP)"),
    "quality": ("draft", "standard", "final"),
    "hint_from": ("alpha", "red, green, blue"),
    "missing": ("error", "hold", "black"),
    "missing_frames": ("error", "black", "checkerboard", "nearest frame"),
    "alpha": ("premultiplied", "straight"),
    "bit_depth": ("half", "float"),
    "plate_depth": ("16 bit half", "32 bit float"),
    "layers_task": ("layers", "dehaze", "relight"),
    "layers_alpha": ("premultiplied", "straight"),
}
TYPES = {
    **dict.fromkeys(ENUMERATIONS, "Enumeration_Knob"),
    **dict.fromkeys(knobs.BUTTONS, "PyScript_Knob"),
    **dict.fromkeys(("bg_gain", "fg1_gain", "fg2_gain", "fg3_gain", "airlight_gain", "airlight_colour"), "Color_Knob"),
    **dict.fromkeys(
        ("haze_amount", "exposure_mix", "gamma", "strength", "exposure", "key_fill", "protect", "gamma_lock"),
        "Double_Knob",
    ),
    **dict.fromkeys(("lock_airlight", "lock_gamma", "flow_refine"), "Boolean_Knob"),
    **dict.fromkeys(
        ("first", "last", "seed", "vdp_version", "layers_first", "layers_last", "layers_count", "render_plate"),
        "Int_Knob",
    ),
    **dict.fromkeys(
        ("flow_layer", "out_name", "hint_frames", "device", "plate_layer", "run_dir", "layers_file", "layers_digest",
         "plate_file", "hint_file"),
        "EvalString_Knob",
    ),
    "out_dir": "File_Knob",
    "status": "Text_Knob",
}  # fmt: skip
DEFAULTS = {
    "show": "plate", "task": "layers", "layers": "2", "frame_range": "input", "flow": "estimate (DIS)",
    "quality": "standard", "hint_from": "alpha", "missing": "error", "missing_frames": "error",
    "alpha": "premultiplied", "bit_depth": "half", "plate_depth": "16 bit half", "device": "auto", "seed": 0,
    "bg_gain": 1, "fg3_gain": 1, "airlight_gain": 1, "haze_amount": 1, "exposure_mix": 0, "layers_file": "",
    "layers_first": 1, "layers_last": 0, "render_plate": 0, "hint_frames": "", "gamma": 1,
    "transmission_kind": "grey", "lock_airlight": False, "lock_gamma": False, "strength": 1, "exposure": 0,
    "key_fill": 0.2, "protect": 1,
}  # fmt: skip
DECORATION = {
    "vdp_tab", "advanced_tab", "decompose_line", "shot_line", "version_line", "version_info", "hint_group",
    "hint_group_end", "adjust_group", "adjust_group_end", "adjust_note", "control_group", "control_group_end",
}  # fmt: skip


@pytest.fixture
def vdp(nuke: ModuleType) -> Any:
    """A VDP node with a plate plugged in, a constant as a hook gives it."""
    nuke.pluginAddPath(str(GIZMO.parent))
    node = nuke.createNode("VDP")
    node.setInput(0, nuke.nodes.Roto(name="Plate"))
    return node


def plate(value: float = 0.25) -> Image:
    window = Window(0, 0, 16, 12)
    planes = {f"rgba.{c}": np.full(window.shape, value + i, np.float32) for i, c in enumerate((*RGB, "alpha"))}
    return Image(planes, window, FORMAT)


def picture(node: Any, frame: int = FRAME, mask: Image | None = None) -> Image:
    given = {"Plate": plate(), "Mask": mask or Image()}
    return evaluate(node, frame, {"Roto": lambda one, _: given[one.name()]})


def adopt(node: Any, written: dict[int, Written], **values: Any) -> Written:
    values = {"layers_file": written[FRAME].file, "layers_first": FRAMES[0], "layers_last": FRAMES[1], **values}
    for name, value in values.items():
        node[name].setValue(value)
    return written[FRAME]


def colour(image: Image, window: Window = DATA) -> np.ndarray:
    return np.stack([image.plane(f"rgba.{c}", window) for c in RGB], axis=-1)


# Knobs


def test_every_knob_of_python_is_in_the_gizmo_and_the_other_way_round(vdp: Any) -> None:
    named = {*knobs.BUTTONS, *knobs.SETTINGS, *knobs.ADJUSTMENTS, *knobs.HIDDEN, knobs.STATUS, knobs.SHOW}
    assert named == set(TYPES)
    user = {name for name in vdp.knobs() if f" {name} " in f" {_user_knob_names()} "}
    assert user == named | DECORATION
    assert {name: vdp[name].Class() for name in TYPES} == TYPES


def _user_knob_names() -> str:
    lines = [line.split() for line in GIZMO.read_text(encoding="utf-8").splitlines() if "addUserKnob" in line]
    return " ".join(words[2] for words in lines)


@pytest.mark.parametrize("name", ENUMERATIONS)
def test_menus_have_their_entries_in_order(vdp: Any, name: str) -> None:
    """Scripts and expressions keep them by name or number: entries may only be appended."""
    assert tuple(vdp[name].values()) == ENUMERATIONS[name]


def test_defaults(vdp: Any) -> None:
    assert {name: vdp[name].value() for name in DEFAULTS} == DEFAULTS


def test_hidden_knobs_are_hidden_and_the_others_explain_themselves(vdp: Any) -> None:
    for name in TYPES:
        assert vdp[name].visible() == (name not in knobs.HIDDEN), name
        assert vdp[name].tooltip(), name


def test_inputs_have_their_names(vdp: Any) -> None:
    assert [node.name() for node in vdp.inputNodes()] == ["plate", "hint", "mask"]


@pytest.mark.parametrize("button", knobs.BUTTONS)
def test_every_button_has_its_action(vdp: Any, button: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nuke_vdp import buttons

    pressed: list[Any] = []
    monkeypatch.setitem(buttons._ACTIONS, button, pressed.append)
    vdp[button].execute()
    assert pressed == [vdp]


def test_only_what_was_changed_is_saved(vdp: Any, nuke: ModuleType) -> None:
    text = nuke.standin.script()
    body = text[text.index("VDP {") :]
    assert "vdp_version 1" in body
    assert "layers_file" not in body and "Shuffle2" not in body


# Pictures


def test_without_layers_the_plate_passes(vdp: Any) -> None:
    image = picture(vdp)
    assert set(image.channels) == set(plate().channels)
    np.testing.assert_array_equal(colour(image, plate().data), colour(plate(), plate().data))


@pytest.mark.parametrize("frame", [FRAMES[0] - 1, FRAMES[1] + 1])
def test_outside_of_the_layers_frames_the_plate_passes(vdp: Any, tmp_path: Path, frame: int) -> None:
    adopt(vdp, write_layer_files(tmp_path, count=2), show="fg1")
    assert set(picture(vdp, frame).channels) == set(plate().channels)


def _matte(name: str) -> Callable[[dict[str, np.ndarray]], list[np.ndarray]]:
    return lambda channels: [channels[name]] * 4


def _layer(name: str) -> Callable[[dict[str, np.ndarray]], list[np.ndarray]]:
    def channels_of(channels: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [*(channels[f"{name}.{c}"] for c in "RGB"), channels.get(f"{name}.A", channels["A"])]

    return channels_of


LAYERS, DEHAZE, RELIGHT = ({"task": task} for task in ("layers", "dehaze", "relight"))
SHOWN = [
    ("fg1", LAYERS, _layer("fg1")),
    ("fg2", LAYERS, _layer("fg2")),
    ("fg3", LAYERS, _layer("fg3")),
    ("bg", LAYERS, _layer("bg")),
    ("clean", LAYERS, _layer("clean")),
    ("matte", LAYERS, _matte("A")),
    ("fg1 matte", LAYERS, _matte("fg1.A")),
    ("fg2 matte", LAYERS, _matte("fg2.A")),
    ("fg3 matte", LAYERS, _matte("fg3.A")),
    ("confidence", LAYERS, _matte("confidence.A")),
    ("residual", LAYERS, _layer("residual")),
    ("clear", DEHAZE, _layer("clear")),
    ("transmission", DEHAZE, _matte("transmission.A")),
    ("airlight", DEHAZE, _layer("airlight")),
    ("relit", RELIGHT, _layer("relit")),
    ("gain", RELIGHT, _layer("gain")),
    ("noise", RELIGHT, _layer("noise")),
]


def test_all_entries_but_two_are_looked_at_below() -> None:
    assert {"plate", "recomposition", *(show for show, _, _ in SHOWN)} == set(knobs.SHOWN)


@pytest.mark.parametrize(("show", "made", "truth"), SHOWN, ids=[show for show, _, _ in SHOWN])
def test_show(vdp: Any, tmp_path: Path, show: str, made: dict[str, str], truth: Any) -> None:
    written = adopt(vdp, write_layer_files(tmp_path, made["task"], count=4), show=show, layers_task=made["task"])
    image = picture(vdp)
    for channel, plane in zip((*RGB, "alpha"), truth(written.channels), strict=True):
        np.testing.assert_array_equal(image.plane(f"rgba.{channel}", DATA), plane, err_msg=channel)


@pytest.mark.parametrize("show", ["plate", "recomposition", "fg1 matte"])
def test_all_layers_are_channels_whatever_is_shown(vdp: Any, tmp_path: Path, show: str) -> None:
    written = adopt(vdp, write_layer_files(tmp_path, count=3), show=show)
    image = picture(vdp)
    for layer in ("bg", "fg1", "fg2", "clean", "residual"):
        for channel, short in zip(RGB, "RGB", strict=True):
            np.testing.assert_array_equal(image.plane(f"{layer}.{channel}", DATA), written.channels[f"{layer}.{short}"])


def test_plate_shown_is_what_is_plugged_in(vdp: Any, tmp_path: Path) -> None:
    adopt(vdp, write_layer_files(tmp_path))
    image = picture(vdp)
    np.testing.assert_array_equal(colour(image, plate().data), colour(plate(), plate().data))
    np.testing.assert_array_equal(image.plane("rgba.alpha", plate().data), plate().plane("rgba.alpha"))


@pytest.mark.parametrize("alpha", ["premultiplied", "straight"])
@pytest.mark.parametrize("count", [2, 4])
def test_recomposition_of_layers(vdp: Any, tmp_path: Path, alpha: str, count: int) -> None:
    written = adopt(
        vdp, write_layer_files(tmp_path, count=count, straight=alpha == "straight"), show="recomposition",
        layers_alpha=alpha,
    )  # fmt: skip
    channels = written.channels
    close(colour(picture(vdp)), recompose("layers", channels, straight=alpha == "straight"))
    gains = {"bg": (0.5, 1.0, 2.0), "fg1": (3.0, 0.0, -1.0)}
    total = np.stack([channels[f"residual.{c}"] for c in "RGB"], axis=-1).astype(np.float64)
    for layer in ("bg", "fg1", "fg2", "fg3")[:count]:
        gain = gains.get(layer, (1.0, 1.0, 1.0))
        if layer in gains:
            vdp[f"{layer}_gain"].setValue(list(gain))
        part = np.stack([channels[f"{layer}.{c}"] for c in "RGB"], axis=-1).astype(np.float64) * gain
        total += part * channels[f"{layer}.A"][..., None] if alpha == "straight" else part
    close(colour(picture(vdp)), total)


@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize("amount", [1.0, 0.0, 1.5])
def test_recomposition_of_dehaze(vdp: Any, tmp_path: Path, amount: float, rgb: bool) -> None:
    written = adopt(vdp, write_layer_files(tmp_path, "dehaze", rgb=rgb), show="recomposition", layers_task="dehaze")
    vdp["haze_amount"].setValue(amount)
    vdp["airlight_gain"].setValue([1.0, 0.5, 2.0])
    channels = {name: plane.astype(np.float64) for name, plane in written.channels.items()}
    through = [channels[f"transmission.{c}" if rgb else "transmission.A"] for c in "RGB"]
    through = np.stack(through, axis=-1) ** amount
    clear, airlight, residual = (
        np.stack([channels[f"{layer}.{c}"] for c in "RGB"], axis=-1) for layer in ("clear", "airlight", "residual")
    )
    close(colour(picture(vdp)), through * clear + (1 - through) * airlight * (1.0, 0.5, 2.0) + residual)


@pytest.mark.parametrize("mix", [0.0, 1.0, 0.3])
def test_recomposition_of_relight(vdp: Any, tmp_path: Path, mix: float) -> None:
    values = {"show": "recomposition", "layers_task": "relight", "gamma": GAMMA, "exposure_mix": mix}
    written = adopt(vdp, write_layer_files(tmp_path, "relight"), **values)
    channels = {name: plane.astype(np.float64) for name, plane in written.channels.items()}
    relit, gain, noise, residual = (
        np.stack([channels[f"{layer}.{c}"] for c in "RGB"], axis=-1) for layer in ("relit", "gain", "noise", "residual")
    )
    before = np.sign(relit) * (np.abs(relit) / gain) ** (1 / GAMMA) + noise + residual
    close(colour(picture(vdp)), (1 - mix) * before + mix * relit)


def close(found: np.ndarray, truth: np.ndarray) -> None:
    """To float32's precision: a few roundings, relative to the pixel's largest channel."""
    scale = np.abs(truth).max(axis=-1, keepdims=True) + 1e-3
    assert np.abs((found - truth) / scale).max() < 4e-6


def test_outside_of_the_mask_the_plate(vdp: Any, nuke: ModuleType, tmp_path: Path) -> None:
    written = adopt(vdp, write_layer_files(tmp_path), show="fg1")
    vdp.setInput(2, nuke.nodes.Roto(name="Mask"))
    matte = np.zeros(DATA.shape, np.float32)
    matte[:, 4:] = 1
    image = picture(vdp, mask=Image({"rgba.alpha": matte}, DATA, FORMAT))
    inside = np.stack([written.channels[f"fg1.{c}"] for c in "RGB"], axis=-1)
    np.testing.assert_array_equal(colour(image)[:, 4:], inside[:, 4:])
    np.testing.assert_array_equal(colour(image)[:, :4], colour(plate(), DATA)[:, :4])
    np.testing.assert_array_equal(image.plane("fg1.red", DATA), written.channels["fg1.R"])


# Rendering inside


@pytest.mark.parametrize(("kind", "on"), [(0, ""), (1, "WritePlate"), (2, "WriteHint"), (5, "WriteHint")])
def test_nothing_inside_is_rendered_unasked(vdp: Any, kind: int, on: str) -> None:
    vdp["render_plate"].setValue(kind)
    assert [name for name in ("WritePlate", "WriteHint") if not vdp.node(name)["disable"].value()] == [on][: bool(on)]


def test_inner_nodes_follow_the_knobs(vdp: Any) -> None:
    for name, value in {
        "plate_file": "/a/plate.####.exr", "hint_file": "/a/hint.####.exr", "layers_file": "//nas/ä b/x.####.exr",
        "plate_depth": "32 bit float", "missing_frames": "checkerboard", "layers_first": 5, "layers_last": 9,
    }.items():  # fmt: skip
        vdp[name].setValue(value)
    read, write, hint = (vdp.node(name) for name in ("Layers", "WritePlate", "WriteHint"))
    assert read["file"].evaluate(7) == "//nas/ä b/x.0007.exr"
    assert [read[name].value() for name in ("first", "last", "origfirst", "origlast")] == [5, 9, 5, 9]
    assert read["on_error"].value() == "checkerboard" and read["raw"].value()
    assert read["localizationPolicy"].value() == "off"
    assert write["file"].evaluate(7) == "/a/plate.0007.exr" and hint["file"].evaluate(7) == "/a/hint.0007.exr"
    assert write["datatype"].value() == "32 bit float" and write["channels"].value() == "all"
    assert write["raw"].value() and hint["raw"].value() and write["create_directories"].value()
