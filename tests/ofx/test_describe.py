"""What the plug-in tells of itself, in every kind of host, and that it starts nothing before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.ofx.conftest import Opened, OpenedNode
from tests.ofx.host import DEFAULT, OK, Host

HOSTS = ["plain", "nuke", "natron", "resolve", "minimal"]

# Projects store names, types and the order of options: what is here may be added to at the end, and nothing else.
OUTPUTS = [
    "plate", "bg", "fg1", "fg2", "fg3", "clean", "residual", "confidence", "matte as alpha", "recomposition", "clear",
    "transmission", "airlight", "relit", "gain", "noise",
]  # fmt: skip
CHOICES = {
    "task": ["layers", "dehaze", "relight"],
    "layers": ["2", "3", "4", "auto"],
    "flow": ["estimate (DIS)", "estimate (RAFT)", "estimate (VDP)"],
    "quality": ["draft", "standard", "final"],
    "range": ["clip", "custom"],
    "output": OUTPUTS,
    "alpha": ["premultiplied", "straight"],
    "missing": ["error", "hold", "black", "plate"],
}
STORED = {
    **dict.fromkeys(CHOICES, "Choice"), "shot": "String", "device": "String", "first": "Integer", "last": "Integer",
    "hintFrames": "String", "haze": "Double", "mix": "Double", "generation": "Integer", "analysed": "String",
}  # fmt: skip
BUTTONS = {"analyse", "cancel", "refresh"}


@pytest.fixture
def load(open_host: Opened, checked_plugin: Path) -> Any:
    """``load(personality)``: a host with the plug-in."""

    def start(personality: str = "plain", **options: Any) -> Host:
        host = open_host("address")
        told = host.do("load", path=checked_plugin, host=personality, **options)
        assert told.children == [] and [plugin["status"] for plugin in told.result["plugins"]] == [OK]
        return host

    return start


def described(host: Host, context: str = "Filter") -> dict[str, Any]:
    answer = host.do("describe", context=context)
    assert answer.result["status"] == OK and answer.children == []
    return answer.result["effect"]


@pytest.mark.parametrize("personality", HOSTS)
def test_every_host_gets_a_description_and_an_instance(load: Any, personality: str) -> None:
    host = load(personality)
    effect = described(host)
    assert {clip["name"] for clip in effect["clips"]} == {"Source", "Output", "Hint"}
    created = host.do("create")
    assert created.result["status"] in (OK, DEFAULT) and created.children == []
    assert host.do("destroy").result["status"] in (OK, DEFAULT)


def test_who_it_is(open_host: Opened, checked_plugin: Path) -> None:
    host = open_host("address")
    (plugin,) = host.do("load", path=checked_plugin).result["plugins"]
    assert plugin == {
        "identifier": "org.vdp.VDP", "api": "OfxImageEffectPluginAPI", "api_version": 1, "major": 1, "minor": 0,
        "status": OK,
    }  # fmt: skip
    properties = described(host)["properties"]
    assert properties["OfxPropLabel"] == ["VDP"]
    assert properties["OfxImageEffectPluginPropGrouping"] == ["VDP"]
    assert set(properties["OfxImageEffectPropSupportedContexts"]) == {
        "OfxImageEffectContextFilter", "OfxImageEffectContextGeneral",
    }  # fmt: skip
    assert set(properties["OfxImageEffectPropSupportedPixelDepths"]) == {
        "OfxBitDepthFloat", "OfxBitDepthShort", "OfxBitDepthByte",
    }  # fmt: skip
    assert properties["OfxImageEffectPluginRenderThreadSafety"] == ["OfxImageEffectRenderFullySafe"]
    for name in ("Tiles", "MultiResolution"):
        assert properties[f"OfxImageEffectPropSupports{name}"] == [1], name


@pytest.mark.parametrize("context", ["Filter", "General"])
def test_the_clips(load: Any, context: str) -> None:
    clips = {clip["name"]: clip["properties"] for clip in described(load(), context)["clips"]}
    optional = {name for name, clip in clips.items() if clip["OfxImageClipPropOptional"] == [1]}
    assert optional == ({"Hint"} if context == "Filter" else {"Hint", "Source"})
    for name, clip in clips.items():
        assert clip["OfxImageEffectPropSupportedComponents"][0] == "OfxImageComponentRGBA", name
    for name in ("Source", "Output"):
        assert len(clips[name]["OfxImageEffectPropSupportedComponents"]) == 3


@pytest.mark.parametrize("context", ["Filter", "General"])
def test_what_projects_store(load: Any, context: str) -> None:
    parameters = {one["name"]: one for one in described(load(), context)["parameters"]}
    types = {name: one["type"].removeprefix("OfxParamType") for name, one in parameters.items()}
    assert {name: type for name, type in types.items() if type not in ("Group", "Page", "PushButton")} == STORED
    assert {name for name, type in types.items() if type == "PushButton"} == BUTTONS
    for name, options in CHOICES.items():
        assert parameters[name]["properties"]["OfxParamPropChoiceOption"] == options, name
    for name in STORED:
        assert parameters[name]["properties"]["OfxParamPropPersistant"] == [1], name
    hidden = {name for name in STORED if parameters[name]["properties"]["OfxParamPropSecret"] == [1]}
    assert hidden == {"generation", "analysed"}


def test_what_changes_the_picture_and_what_does_not(load: Any) -> None:
    parameters = {one["name"]: one["properties"] for one in described(load())["parameters"]}
    evaluated = {name for name in STORED if parameters[name]["OfxParamPropEvaluateOnChange"] == [1]}
    assert evaluated == {"shot", "output", "alpha", "haze", "mix", "missing", "generation"}
    animated = {name for name in STORED if parameters[name]["OfxParamPropAnimates"] == [1]}
    assert animated == {"haze", "mix"}


def test_everything_is_explained(load: Any) -> None:
    for one in described(load())["parameters"]:
        assert one["properties"]["OfxPropLabel"][0] and one["properties"]["OfxParamPropHint"][0], one["name"]


def test_unloaded_and_loaded_again(open_node: OpenedNode, checked_plugin: Path) -> None:
    node = open_node()
    node.set("output", "bg")
    first = node.render()
    assert first.status == OK and len(first.answer.children) == 1
    assert node.host.do("unload").children == []
    assert [line["op"] for line in node.fake.log()][-1] == "end"
    node.host.do("load", path=checked_plugin)
    node.host.do("create", width=24, height=12, value_shot=node.shot, value_output="bg")
    node.host.do("connect", region=(0, 0, 24, 12), first=1001, last=1008)
    again = node.render()
    assert again.status == OK and (again.pixels == first.pixels).all()
    assert len(node.fake.pids()) == 2


def test_many_rounds_leave_nothing_behind(open_node: OpenedNode, checked_plugin: Path) -> None:
    """Files, threads, children and temporary folders; memory is the sanitizer's to say."""
    node = open_node(value_output="bg")
    left = set()
    for _ in range(3):
        for name in ("one", "two"):
            node.host.do("create", instance=name, width=24, height=12, value_shot=node.shot, value_output="fg1")
            assert node.render(instance=name).status == OK
        node.set("analyse")
        node.render(1020, window=(0, 0, 24, 12), bounds=(0, 0, 24, 12))
        unloaded = node.host.do("unload")
        left.add((unloaded.files, unloaded.threads, len(unloaded.children), len(list(node.buffers.iterdir()))))
        node.host.do("load", path=checked_plugin)
        node.host.do("create", width=24, height=12, value_shot=node.shot, value_output="bg")
        node.host.do("connect", region=(0, 0, 24, 12), first=1001, last=1008)
    assert len(left) == 1 and left.pop()[1:] == (threads_of_nobody(node), 0, 0)


def threads_of_nobody(node: Any) -> int:
    """Threads of a host in which nothing runs: its own one, and those of the sanitizer."""
    return node.host.do("nothing").threads


@pytest.mark.parametrize("suite", ["OfxPropertySuite", "OfxImageEffectSuite", "OfxParameterSuite"])
def test_a_host_without_what_is_needed_is_told_so(open_host: Opened, checked_plugin: Path, suite: str) -> None:
    host = open_host("address")
    (plugin,) = host.do("load", path=checked_plugin, host_without=suite).result["plugins"]
    assert plugin["status"] == 4, "ErrMissingHostFeature"


def test_actions_that_nobody_knows(load: Any) -> None:
    host = load()
    host.do("create")
    assert host.do("raw", name="OfxActionDanceNow", instance="vdp").result["status"] == DEFAULT
    for action in ("OfxActionPurgeCaches", "OfxActionSyncPrivateData", "OfxActionBeginInstanceEdit"):
        assert host.do("action", name=action).result["status"] in (OK, DEFAULT), action
    for action in ("OfxActionDescribe", "OfxImageEffectActionRender", "OfxActionCreateInstance"):
        assert host.do("raw", name=action).result["status"] not in (OK, DEFAULT), f"{action} without a handle"
    without_arguments = host.do("raw", crimes=True, name="OfxImageEffectActionRender", instance="vdp")
    assert without_arguments.result["status"] not in (OK, DEFAULT)
