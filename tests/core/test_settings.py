"""Settings: what they refuse, and which change redoes which stage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from vdp_engine.errors import UsageError
from vdp_engine.settings import STAGES, Machine, Settings, short_digest

# Another value than the default for every field, and the first stage whose result it changes.
_OTHER: dict[str, tuple[dict[str, Any], str]] = {
    "layer": ({"layer": "beauty"}, "prep"),
    "colorspace": ({"colorspace": "ACEScg"}, "prep"),
    "missing": ({"missing": "hold"}, "prep"),
    "quality": ({"quality": "draft"}, "prep"),
    "flow": ({"flow": "raft"}, "prep"),
    "flow_weights": ({"flow": "raft", "flow_weights": "raft.pth"}, "prep"),
    "flow_layer": ({"flow": "vectors", "flow_layer": "motion"}, "prep"),
    "flow_refine": ({"flow_refine": True}, "prep"),
    "layers": ({"layers": 3}, "fit"),
    "hints": ({"hints": ("/hints/rough.#.png",)}, "fit"),
    "objective": ({"objective": "paper"}, "fit"),
    "seed": ({"seed": 7}, "fit"),
    "bit_depth": ({"bit_depth": "float"}, "render"),
    "compression": ({"compression": "zip"}, "render"),
    "alpha": ({"alpha": "straight"}, "render"),
    "vectors": ({"vectors": True}, "render"),
    "task": ({"task": "dehaze"}, "fit"),
    "airlight": ({"task": "dehaze", "airlight": (0.8, 0.82, 0.9)}, "fit"),
    "transmission": ({"task": "dehaze", "transmission": "rgb"}, "fit"),
    "gamma": ({"task": "relight", "gamma": 1.5}, "fit"),
    "strength": ({"task": "dehaze", "strength": 0.5}, "render"),
    "exposure": ({"task": "relight", "exposure": -0.5}, "render"),
    "key_fill": ({"task": "relight", "key_fill": 0.6}, "render"),
    "protect": ({"task": "relight", "protect": 0.2}, "render"),
}


def test_every_field_is_covered_here() -> None:
    assert set(Settings.model_fields) == set(_OTHER)


def test_an_option_of_another_task_is_refused_and_does_not_count() -> None:
    with pytest.raises(UsageError, match=r"--airlight belongs to the task dehaze, this is layers"):
        Settings.parse(airlight="0.8,0.82,0.9")
    with pytest.raises(UsageError, match=r"--strength belongs to the task dehaze and relight, this is layers"):
        Settings.parse(strength=0.5)
    # The digest of a shot of layers is what it was before there were other tasks: its work is still good.
    assert Settings().digest("render") == "11e8705b182fa24c"


def test_an_airlight_is_three_numbers_however_it_is_written() -> None:
    assert Settings.parse(task="dehaze", airlight="0.8, 0.82,0.9").airlight == (0.8, 0.82, 0.9)
    assert Settings.parse(task="dehaze", airlight=[0.8, 0.82, 0.9]).airlight == (0.8, 0.82, 0.9)
    for wrong in ("0.8,0.9", "0.8,x,0.9", "0.8,0,0.9", "nan,1,1"):
        with pytest.raises(UsageError, match="airlight"):
            Settings.parse(task="dehaze", airlight=wrong)


def test_every_field_has_a_stage_and_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert isinstance(field.json_schema_extra, dict), name
        assert field.json_schema_extra["stage"] in STAGES, name
        assert field.description, name


@pytest.mark.parametrize("name", _OTHER)
def test_a_change_redoes_its_stage_and_those_after_it_and_no_more(name: str) -> None:
    values, first = _OTHER[name]
    # Between two tasks everything may differ: against the default of the same one.
    of_task = {} if name == "task" else {key: value for key, value in values.items() if key == "task"}
    changed, default = Settings(**values), Settings(**of_task)
    for stage in STAGES:
        redone = STAGES.index(stage) >= STAGES.index(first)
        assert (changed.digest(stage) != default.digest(stage)) == redone, stage


def test_the_digest_is_the_same_in_every_process() -> None:
    assert short_digest({"b": 1, "a": [None, "x"]}) == short_digest({"a": [None, "x"], "b": 1})
    assert short_digest({}) == "44136fa355b3678a"  # sha256 of "{}"


def test_settings_survive_json() -> None:
    for values, _ in _OTHER.values():
        settings = Settings(**values)
        assert Settings(**json.loads(json.dumps(settings.model_dump(mode="json")))) == settings


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"quality": "best"}, ("quality", "draft", "standard", "final", "'best'")),
        ({"layers": 5}, ("layers", "5")),
        ({"compression": "zipper"}, ("compression", "'zips'", "'dwaa'", "'zipper'")),
        ({"seed": -1}, ("seed", "-1")),
        ({"seed": 2**31}, ("seed",)),
        ({"flow_weights": "raft.pth"}, ("flow_weights needs flow=raft",)),
        ({"flow_layer": "motion", "flow": "raft"}, ("flow_layer needs flow=vectors",)),
        ({"flow_refine": True, "flow": "vectors"}, ("flow_refine needs flow=dis, vdp or raft",)),
        ({"colour": "red"}, ("colour",)),
        ({"hints": ("a", "b")}, ("2 hint", "--layers 3")),
        ({"hints": ("a", "b", "c"), "layers": 3}, ("3 hint", "--layers 4")),
        ({"hints": ("a", "b", "c", "d"), "layers": "auto"}, ("4 hints are too many", "3 foreground layers")),
        ({"quality": "best", "alpha": "odd"}, ("quality", "alpha")),
    ],
)
def test_what_is_refused_is_named(values: dict[str, Any], named: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.parse(**values)
    assert caught.value.code == "usage.settings"
    for word in named:
        assert word in str(caught.value)


def test_none_means_the_default() -> None:
    assert Settings.parse(quality=None, layers=None, seed=3) == Settings(seed=3)


@pytest.mark.parametrize(
    ("hints", "layers", "least"),
    [(0, 2, 2), (0, "auto", 2), (1, 2, 2), (1, "auto", 2), (2, 3, 3), (2, 4, 4), (2, "auto", 3), (3, "auto", 4)],
)
def test_each_hint_has_a_layer(hints: int, layers: Any, least: int) -> None:
    settings = Settings.parse(hints=tuple("abc"[:hints]), layers=layers)
    assert settings.least_layers == least


def test_without_hints_the_digest_is_what_it_was_before_there_were_any() -> None:
    later = ("hints", "flow_refine", "airlight", "transmission", "gamma", "strength", "exposure", "key_fill", "protect")
    before = {name: value for name, value in Settings().model_dump().items() if name not in later}
    assert Settings().digest("render") == short_digest(before)
    assert Settings(hints=("a",)).digest("fit") != Settings(hints=("b",)).digest("fit")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_devices(device: str) -> None:
    assert Machine.parse(device=device).device == device


@pytest.mark.parametrize("values", [{"device": "gpu"}, {"device": "cuda:"}, {"threads": -1}, {"max_memory": -1}])
def test_machines_that_cannot_be(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        Machine.parse(**values)
