"""The host itself: it sees every fault that an effect has, and none where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ofx.conftest import Opened
from tests.ofx.host import OK, Host, HostError, formula, quantised

SIZE = (0, 0, 24, 12)
WINDOW = (4, 3, 20, 9)

# The fault, and what the host has to say of it: in a render, else in the action that is named.
IN_RENDER = {
    "writes_left_of_the_window": "window: 24 values outside",
    "writes_below_the_window": "window: 64 values outside",
    "writes_into_padding": "memory: written into the padding of row 0 of Output",
    "leaves_pixels": "window: 64 values inside",
    "writes_into_source": "memory: the picture of Source was changed",
    "leaks_an_image": "leak: a picture of Source was not released",
    "sets_a_parameter_in_render": "forbidden call: paramSetValue of gain",
    "polls_abort_per_pixel": "abort: 102 polls for 6 rows",
    "throws": "exception: crossed the border",
    "unknown_property": "unknown property: OfxImagePropTitle of image",
    "wrong_type": "property type: OfxImagePropRowBytes of image is int, not string",
    "wrong_index": "property index: OfxImagePropBounds has 4 values",
    "dead_image": "dead handle: a property set of kind image",
    "null_handle": "handle: a null property set",
    "read_only_property": "read-only property: OfxPropTime",
    "changes_sigpipe": "process: the handler of signal 13",
    "changes_the_folder": "process: the working directory was changed to /",
    "changes_the_environment": "process: the environment was changed",
    "opens_a_descriptor": "process: a descriptor that children inherit",
    "calls_from_its_own_thread": "thread: abort on a thread that is in no action",
    "a_dialog_in_render": "forbidden call: a dialog during a render: press here",
    "no_status": "status: there is no status 77",
    "another_time": "forbidden call: a picture of another time",
    "unknown_parameter": "unknown parameter: pain",
}
IN_DESCRIBE = {
    "describes_integer_2d": "parameter type: OfxParamTypeInteger2D",
    "describes_umlauts": "label: OfxPropLabel of gain is not ASCII",
    "describes_a_lost_child": "parameter: page page has the child loss",
    "describes_a_default_out_of_range": "parameter: the default of gain lies outside",
    "describes_twice": "parameter: defined twice",
}


@pytest.fixture
def host(open_host: Opened, host_build: Path) -> Host:
    """With the offenders loaded."""
    host = open_host()
    host.do("load", path=host_build / "offenders_none.ofx")
    return host


def create(host: Host, plugin: str, **layout: Any) -> None:
    host.do("create", plugin=plugin, width=SIZE[2], height=SIZE[3])
    host.do("connect", region=SIZE, first=1, last=9, **layout)


def test_an_effect_without_a_fault_is_accused_of_nothing(host: Host) -> None:
    create(host, "none", padding=12, top_down=True)
    layouts: list[dict[str, Any]] = [{}, {"padding": 20, "shift": 4}, {"top_down": True, "padding": 8}]
    for layout in layouts:
        picture = host.render(time=3, window=WINDOW, bounds=WINDOW, **layout)
        assert picture.status == OK and picture.answer.result["fetched"] == {"Output": 1, "Source": 1}
        np.testing.assert_array_equal(picture.pixels, formula(WINDOW, 3))


@pytest.mark.parametrize("depth", ["Byte", "Short"])
@pytest.mark.parametrize("components", ["RGBA", "RGB", "Alpha"])
def test_depths_and_components(host: Host, depth: str, components: str) -> None:
    create(host, "none", depth=depth, components=components)
    picture = host.render(time=2)
    channels = {"RGBA": slice(0, 4), "RGB": slice(0, 3), "Alpha": slice(3, 4)}[components]
    dtype = np.uint8 if depth == "Byte" else np.uint16
    np.testing.assert_array_equal(picture.pixels, quantised(formula(SIZE, 2), dtype)[..., channels])


def test_every_fault_of_a_render_is_seen(open_host: Opened, host_build: Path) -> None:
    missed = []
    for fault, told in IN_RENDER.items():
        host = open_host()
        host.do("load", path=host_build / "offenders_none.ofx")
        create(host, fault)
        crimes = host.do("render", crimes=True, time=3, window=WINDOW, padding=16).crimes
        if not any(crime.startswith(told) for crime in crimes):
            missed.append((fault, crimes))
    assert not missed


def test_every_fault_of_a_description_is_seen(host: Host) -> None:
    for fault, told in IN_DESCRIBE.items():
        crimes = host.do("describe", crimes=True, plugin=fault, context="Filter").crimes
        assert any(crime.startswith(told) for crime in crimes), (fault, crimes)


def test_children_are_counted(host: Host) -> None:
    assert host.do("create", plugin="none").children == []
    assert len(host.do("create", plugin="starts_a_child_in_create", instance="other").children) == 1


@pytest.mark.parametrize("personality", ["natron", "resolve"])
def test_changes_without_end_are_seen(open_host: Opened, host_build: Path, personality: str) -> None:
    host = open_host()
    host.do("load", path=host_build / "offenders_none.ofx", host=personality)
    create(host, "none")
    host.do("set", param="gain", value=1.5)
    host.do("create", plugin="endless_changes", instance="other")
    crimes = host.do("set", crimes=True, instance="other", param="gain", value=1.5).crimes
    assert any(crime.startswith("recursion: ") for crime in crimes)


def test_a_call_that_is_to_fail_does(host: Host) -> None:
    create(host, "none")
    host.do("fail", function="clipGetImage", status=9, after=1)
    assert host.render(time=3).status != OK
    assert host.render(time=3).status == OK
    assert host.do("calls").result["clipGetImage"] == 4


@pytest.mark.parametrize(("sanitizer", "fault", "told"), [
    ("address", "reads_beyond_its_memory", "heap-buffer-overflow"), ("thread", "races", "data race"),
])  # fmt: skip
def test_sanitizers_see_into_the_effects(
    open_host: Opened, host_build: Path, sanitizer: str, fault: str, told: str
) -> None:
    host = open_host(sanitizer)
    host.do("load", path=host_build / f"offenders_{sanitizer}.ofx")
    create(host, fault)
    with pytest.raises(AssertionError, match=told):
        host.do("threads", instances="vdp", times=[1, 2, 3], count=4, rounds=3, components="RGBA", depth="Float")
        host.close()


def test_a_wrong_order_is_the_tests_own_fault(host: Host) -> None:
    create(host, "none")
    wrong: dict[str, dict[str, Any]] = {"render": {"window": (0, 0, 99, 99), "bounds": SIZE}, "set": {"param": "pain"}}
    for verb, arguments in (wrong | {"dance": {}}).items():
        with pytest.raises(HostError):
            host.do(verb, **arguments)
