"""From the knobs of a VDP node to what is asked of the engine."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nuke_vdp import knobs
from nuke_vdp.engine import Request
from nuke_vdp.errors import HostError

GIZMOS = Path(__file__).resolve().parents[2] / "nuke_vdp" / "gizmos"


@pytest.fixture
def vdp(nuke: ModuleType, tmp_path: Path) -> Any:
    """A VDP node on a plain Read, in a script that has a name."""
    nuke.pluginAddPath(str(GIZMOS))
    node = nuke.createNode("VDP")
    node.setInput(0, nuke.nodes.Read(file="/plates/sh010.####.exr", first=1001, last=1010, raw=True))
    nuke.root()["name"].setValue("/show/sh010/comp_v003.nk")
    return node


def with_hint(nuke: ModuleType, vdp: Any, **values: Any) -> Any:
    hint = nuke.nodes.Read(**{"file": "/hints/dog.####.png", "first": 1001, "last": 1010, **values})
    vdp.setInput(1, hint)
    return hint


def test_a_fresh_node_asks_for_the_defaults(vdp: Any) -> None:
    request, renders = knobs.request_of(vdp)
    assert request == Request("/plates/sh010.####.exr", "/show/sh010/vdp/comp_v003/VDP1", "", "1001-1010")
    assert renders == ()


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        ({"layers": "auto"}, {"layers": "auto"}),
        ({"task": "dehaze", "layers": "4"}, {"task": "dehaze", "layers": "2"}),
        ({"task": "relight"}, {"task": "relight"}),
        # A control of another task would be refused by the engine.
        ({"task": "dehaze", "alpha": "straight"}, {"alpha": "premultiplied"}),
        ({"strength": 0.5, "exposure": 1, "lock_airlight": True}, {"strength": 1.0, "exposure": 0.0, "airlight": ""}),
        (
            {"task": "dehaze", "strength": 0.7, "transmission_kind": "rgb", "exposure": 1},
            {"strength": 0.7, "transmission": "rgb", "exposure": 0.0},
        ),
        ({"task": "dehaze", "airlight_colour": [0.8, 0.82, 0.9]}, {"airlight": ""}),
        (
            {"task": "dehaze", "airlight_colour": [0.8, 0.82, 0.9], "lock_airlight": True},
            {"airlight": "0.8,0.82,0.9"},
        ),
        ({"task": "dehaze", "airlight_colour": 0.5, "lock_airlight": True}, {"airlight": "0.5,0.5,0.5"}),
        (
            {"task": "relight", "exposure": -0.5, "key_fill": 0.6, "protect": 0.3, "strength": 0.9, "gamma_lock": 1.5},
            {"exposure": -0.5, "key_fill": 0.6, "protect": 0.3, "strength": 0.9, "gamma": ""},
        ),
        ({"task": "relight", "gamma_lock": 1.5, "lock_gamma": True}, {"gamma": "1.5"}),
        ({"flow": "estimate (RAFT)", "flow_layer": "forward"}, {"flow": "raft"}),
        ({"flow": "estimate (VDP)"}, {"flow": "vdp"}),
        ({"flow_refine": True}, {"flow_refine": True}),
        ({"flow": "motion vectors of the input", "flow_refine": True}, {"flow": "vectors", "flow_refine": False}),
        (
            {"flow": "motion vectors of the input", "flow_layer": "forward"},
            {"flow": "vectors", "flow_layer": "forward"},
        ),
        ({"quality": "draft"}, {"quality": "draft"}),
        ({"device": " cuda:1 "}, {"device": "cuda:1"}),
        ({"device": ""}, {"device": "auto"}),
        ({"seed": 7}, {"seed": 7}),
        ({"plate_layer": "diffuse"}, {"plate_layer": "diffuse"}),
        ({"missing": "hold"}, {"missing": "hold"}),
        ({"alpha": "straight", "bit_depth": "float"}, {"alpha": "straight", "bit_depth": "float"}),
        ({"out_name": "sh010_[value task]"}, {"name": "sh010_layers"}),
        ({"out_dir": "/layers/[getenv VDP_TEST_SHOT]/"}, {"out": "/layers/sh 010"}),
        ({"out_dir": "//nas/show/é"}, {"out": "//nas/show/é"}),
        ({"out_dir": "[getenv VDP_TEST_ROOT]/x"}, {"out": "P:/show/x"}),
        ({"out_dir": "C:/shows/x"}, {"out": "C:/shows/x"}),
        ({"out_dir": "layers"}, {"out": "/show/sh010/layers"}),
        ({"frame_range": "custom", "first": -3, "last": 1005}, {"frames": "-3-1005", "plate": "?"}),
        ({"frame_range": "custom", "first": 1004, "last": 1004}, {"frames": "1004"}),
    ],
)
def test_each_setting_reaches_the_engine(
    vdp: Any, changed: dict[str, Any], asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VDP_TEST_SHOT", "sh 010")
    monkeypatch.setenv("VDP_TEST_ROOT", "P:\\show")
    for name, value in changed.items():
        vdp[name].setValue(value)
    request, _ = knobs.request_of(vdp)
    asked = {**asked, "plate": request.plate} if asked.get("plate") == "?" else asked
    assert {name: getattr(request, name) for name in asked} == asked


def test_global_range(nuke: ModuleType, vdp: Any) -> None:
    nuke.root()["first_frame"].setValue(1002)
    nuke.root()["last_frame"].setValue(1004)
    vdp["frame_range"].setValue("global")
    assert knobs.request_of(vdp)[0].frames == "1002-1004"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"device": "gpu"}, "device of VDP1 is 'gpu'"),
        ({"frame_range": "custom", "first": 9, "last": 3}, "9 is after 3"),
        ({"out_dir": ""}, "Set the output folder"),
        ({"out_name": "a/b"}, "cannot start file names"),
    ],
)
def test_what_cannot_be_asked_is_told_in_words(vdp: Any, changed: dict[str, Any], words: str) -> None:
    for name, value in changed.items():
        vdp[name].setValue(value)
    with pytest.raises(HostError, match=words):
        knobs.request_of(vdp)


def test_unsaved_script(nuke: ModuleType, vdp: Any) -> None:
    nuke.root()["name"].setValue("")
    with pytest.raises(HostError, match="save the script first, or set the folder"):
        knobs.out_dir(vdp)
    vdp["out_dir"].setValue("layers")
    with pytest.raises(HostError, match="relative to the script"):
        knobs.out_dir(vdp)
    vdp["out_dir"].setValue("/layers")
    assert knobs.out_dir(vdp) == "/layers"


def test_nothing_plugged_in(nuke: ModuleType, vdp: Any) -> None:
    vdp.setInput(0, nuke.nodes.Dot())
    with pytest.raises(HostError, match="Connect a plate to VDP1"):
        knobs.request_of(vdp)


def test_anything_but_a_plain_read_is_rendered(nuke: ModuleType, vdp: Any) -> None:
    grade = nuke.nodes.Grade()
    grade.setInput(0, vdp.input(0))
    vdp.setInput(0, grade)
    request, (job,) = knobs.request_of(vdp)
    assert request.name == "VDP1"
    assert request.plate == job.pattern == f"{request.out}/plates/VDP1.####.exr"
    assert (job.kind, job.frames) == (1, tuple(range(1001, 1011)))
    nuke.root()["views"].setValue("left\nright")
    with pytest.raises(HostError, match="OneView"):
        knobs.request_of(vdp)


# Hints


def test_a_plain_hint_passes_by_path(nuke: ModuleType, vdp: Any) -> None:
    with_hint(nuke, vdp)
    request, renders = knobs.request_of(vdp)
    assert (request.hints, renders) == (("/hints/dog.####.png",), ())


def test_hint_frames_are_rendered(nuke: ModuleType, vdp: Any) -> None:
    with_hint(nuke, vdp)
    vdp["hint_frames"].setValue("1001, 1005-1006")
    request, (job,) = knobs.request_of(vdp)
    assert request.hints == (f"{request.out}/plates/VDP1.hint1.####.exr",)
    assert (job.kind, job.frames) == (2, (1001, 1005, 1006))


def test_a_painted_hint_without_frames_is_taken_at_the_current_one(nuke: ModuleType, vdp: Any) -> None:
    vdp.setInput(1, nuke.nodes.Roto())
    nuke.frame(1004)
    _, (job,) = knobs.request_of(vdp)
    assert job.frames == (1004,)
    assert vdp["hint_frames"].value() == "1004"


@pytest.mark.parametrize(("layers", "kinds"), [("2", [3]), ("3", [3, 4]), ("4", [3, 4, 5]), ("auto", [3, 4, 5])])
def test_colours_of_the_hint_steer_the_layers_in_order(
    nuke: ModuleType, vdp: Any, layers: str, kinds: list[int]
) -> None:
    with_hint(nuke, vdp)
    vdp["hint_from"].setValue("red, green, blue")
    vdp["hint_frames"].setValue("1001")
    vdp["layers"].setValue(layers)
    request, renders = knobs.request_of(vdp)
    assert [job.kind for job in renders] == kinds
    names = [hint.rsplit("/", 1)[1] for hint in request.hints]
    assert names == [f"VDP1.hint{number}.####.exr" for number in range(1, len(kinds) + 1)]


def test_a_hint_of_another_format_is_refused(nuke: ModuleType, vdp: Any) -> None:
    hint = nuke.nodes.Constant()
    hint["format"].setValue(nuke.addFormat("640 480 0 0 640 480 1 vdp_small"))
    vdp.setInput(1, hint)
    with pytest.raises(HostError, match=r"hint is 640 x 480.*Reformat"):
        knobs.request_of(vdp)


# What layers are made from


def test_the_digest_follows_what_matters(nuke: ModuleType, vdp: Any) -> None:
    seen = [knobs.digest(vdp)]
    for name, value in {"layers": "3", "quality": "final", "seed": 3, "alpha": "straight"}.items():
        vdp[name].setValue(value)
        seen.append(knobs.digest(vdp))
    vdp.input(0)["file"].setValue("/plates/sh010_v2.####.exr")
    seen.append(knobs.digest(vdp))
    vdp["frame_range"].setValue("custom")
    seen.append(knobs.digest(vdp))
    with_hint(nuke, vdp)
    seen.append(knobs.digest(vdp))
    vdp["hint_frames"].setValue("1001")
    seen.append(knobs.digest(vdp))
    assert len(set(seen)) == len(seen)


def test_the_digest_does_not_follow_what_does_not_matter(nuke: ModuleType, vdp: Any) -> None:
    before = knobs.digest(vdp)
    values = {"show": "fg1", "device": "cpu", "out_dir": "/elsewhere", "out_name": "x", "fg1_gain": 2.0,
              "missing_frames": "black", "plate_depth": "32 bit float"}  # fmt: skip
    for name, value in values.items():
        vdp[name].setValue(value)
    vdp.setName("Dog")
    nuke.root()["name"].setValue("/show/sh010/comp_v004.nk")
    assert knobs.digest(vdp) == before


def test_nothing_plugged_in_has_no_digest(vdp: Any) -> None:
    vdp.setInput(0, None)
    assert knobs.digest(vdp) == ""


# Versions


def test_the_version_is_saved_and_migrated(vdp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vdp["vdp_version"].value() == knobs.VERSION
    monkeypatch.setattr(knobs, "VERSION", 3)
    done: list[int] = []
    monkeypatch.setattr(knobs, "_MIGRATIONS", {1: lambda _: done.append(1), 2: lambda _: done.append(2)})
    knobs.migrate(vdp)
    assert done == [1, 2] and vdp["vdp_version"].value() == 3
    knobs.migrate(vdp)
    assert done == [1, 2]


def test_a_node_of_a_newer_version_is_left_alone(vdp: Any) -> None:
    vdp["vdp_version"].setValue(99)
    knobs.migrate(vdp)
    assert vdp["vdp_version"].value() == 99


def test_groups_and_copies_are_known(nuke: ModuleType, vdp: Any) -> None:
    assert knobs.is_vdp(vdp) and knobs.is_vdp(vdp.makeGroup())
    assert not knobs.is_vdp(nuke.nodes.Group()) and not knobs.is_vdp(vdp.input(0))
