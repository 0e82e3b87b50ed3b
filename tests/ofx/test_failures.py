"""Hosts whose functions fail: no crash, no exception, nothing leaked, and an answer that is one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ofx.conftest import OpenedNode
from tests.ofx.host import OK, STATUS, Host

# Functions that give things back, or are asked when nothing can be done about an answer: what fails there may be lost.
LOSSES = {"clipReleaseImage"}
WORSE = {"exception", "memory", "window", "status", "process", "dead handle"}
ALL = range(1, len(STATUS))


def failing(host: Host, verb: str, statuses: tuple[int, ...], **arguments: Any) -> dict[str, list[list[int]]]:
    """Runs a command with each call of each function that it makes failing; by call the statuses that came of it."""
    host.do("calls")
    host.do(verb, crimes=True, **arguments)
    calls = host.do("calls").result
    came: dict[str, list[list[int]]] = {}
    for function, count in calls.items():
        came[function] = [[] for _ in range(count)]
        # Every call with one status, every status for the first and the last call.
        first_and_last = {0, count - 1}
        for after, status in [*((n, 1) for n in range(count)), *((n, s) for n in first_and_last for s in statuses)]:
            host.do("fail", function=function, status=status, after=after)
            answer = host.do(verb, crimes=True, **arguments)
            leaked = [crime for crime in answer.crimes if crime.startswith("leak") and function not in LOSSES]
            wrong = [crime for crime in answer.crimes if crime.split(":")[0] in WORSE]
            assert not leaked + wrong, (function, after, STATUS[status], answer.crimes)
            came[function][after].append(answer.result.get("status", OK))
    return came


@pytest.mark.parametrize("missing", ["hold", "plate"])
def test_renders(open_node: OpenedNode, missing: str) -> None:
    node = open_node(value_output="fg1", value_missing=missing)
    node.host.do("connect", region=(0, 0, 24, 12), first=1001, last=1020)
    arguments = {"time": 1010, "window": (2, 2, 9, 9), "bounds": (0, 0, 24, 12), "sequence": False}
    node.host.do("render", **arguments)
    came = failing(node.host, "render", (2, 7, 8, 9, 14), **arguments)
    assert {"clipGetImage", "clipReleaseImage", "propGetPointer", "paramGetValue"} <= came.keys()
    assert OK not in came["propGetPointer"][-1], "a picture without pixels is no success"
    assert node.render(1003).status == OK


def test_an_image_that_cannot_be_fetched_fails_the_render(open_node: OpenedNode) -> None:
    node = open_node(value_output="fg1")
    for status in ALL:
        node.host.do("fail", function="clipGetImage", status=status)
        assert node.render(1003).status not in (OK, 14), STATUS[status]


def test_buttons_and_changes(open_node: OpenedNode) -> None:
    node = open_node(value_output="fg1")
    failing(node.host, "set", (8,), param="refresh")
    failing(node.host, "set", (8,), param="output", value="bg")
    assert node.render(1003).status == OK


def test_descriptions_and_instances(open_node: OpenedNode) -> None:
    node = open_node()
    node.host.do("calls")
    node.host.do("create", instance="other")
    for function, count in node.host.do("calls").result.items():
        for after in range(count):
            node.host.do("fail", function=function, status=1, after=after)
            made = node.host.do("create", crimes=True, instance=f"{function}{after}").result["status"]
            if made in (OK, 14):
                node.host.do("destroy", instance=f"{function}{after}")
    assert node.host.do("create", instance="last").result["status"] in (OK, 14)
