"""The helper process: when it starts, how it ends, and what the node says when it does not do what it should."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ofx.conftest import Node, OpenedNode
from tests.ofx.host import FAILED, OK

SHORT = {"VDP_OFX_START_SECONDS": "1", "VDP_OFX_REPLY_SECONDS": "1"}


def opened(open_node: OpenedNode, *behaviours: dict[str, Any], **arguments: Any) -> Node:
    """A node that shows a layer, with a helper that behaves so."""
    return open_node(fake={"behaviours": list(behaviours)}, value_output="bg", **arguments)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(done: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.02)
    return done()


def test_it_starts_when_it_is_needed_and_not_before(open_node: OpenedNode) -> None:
    node = open_node()
    node.host.do("render", time=1002)
    assert node.fake.pids() == [], "Source passes through without an engine"
    node.set("output", "bg")
    node.render()
    assert len(node.fake.pids()) == 1
    (start,) = node.fake.log("start")
    assert start["arguments"] == ["serve"]


def test_its_environment_is_not_the_hosts(open_node: OpenedNode) -> None:
    hosts = {
        "PYTHONPATH": "/host/python", "PYTHONHOME": "/host", "LD_LIBRARY_PATH": "/host/lib", "VIRTUAL_ENV": "/host/env",
        "QT_PLUGIN_PATH": "/host/qt", "NUKE_PATH": "/host/nuke", "OCIO": "/show/config.ocio",
    }  # fmt: skip
    node = opened(open_node, environment=hosts)
    assert node.render().status == OK
    (start,) = node.fake.log("start")
    assert hosts.keys() & start["environment"].keys() == {"OCIO"}


def test_a_helper_that_was_killed_is_started_again_once(open_node: OpenedNode) -> None:
    node = opened(open_node)
    assert node.render(1001).status == OK
    (first,) = node.fake.pids()
    os.kill(first, signal.SIGKILL)
    assert until(lambda: not alive(first))
    again = node.render(1002)
    assert again.status == OK and again.answer.persistent == {}
    second = node.fake.pids()[1]
    os.kill(second, signal.SIGKILL)
    assert until(lambda: not alive(second))
    gone = node.render(1003)
    assert gone.status == FAILED and gone.answer.persistent["vdp"]
    for _ in range(3):
        still = node.render(1003)
        assert still.status == FAILED and still.answer.messages == []
    assert len(node.fake.pids()) == 2, "not started a third time by renders"
    node.host.do("set", param="refresh")
    assert node.render(1003).status == OK and len(node.fake.pids()) == 3


def test_a_helper_that_dies_of_a_request(open_node: OpenedNode) -> None:
    """Its last words come in the message; without end it is not tried."""
    node = opened(open_node, {"op": "frame", "do": "die", "times": 9})
    picture = node.render()
    assert picture.status == FAILED and len(node.fake.pids()) == 2
    assert "the last words of the helper" in picture.answer.persistent["vdp"]


def test_a_helper_that_dies_of_one_request_answers_the_next(open_node: OpenedNode) -> None:
    node = opened(open_node, {"op": "frame", "do": "kill"})
    picture = node.render()
    assert picture.status == OK and picture.answer.messages == [] and len(node.fake.pids()) == 2


def test_a_helper_that_cannot_be_started(open_node: OpenedNode) -> None:
    node = open_node(environment={"VDP_ENGINE": "/no/such/engine"}, value_output="bg")
    picture = node.render()
    assert picture.status == FAILED and "/no/such/engine" in picture.answer.persistent["vdp"]
    assert node.render(1002).answer.messages == []


@pytest.mark.parametrize("command", ["#!/bin/sh\necho no such module >&2; exit 1\n", "no script", "#!/no/such/shell\n"])
def test_a_command_that_is_no_helper(open_node: OpenedNode, command: str) -> None:
    node = open_node(value_output="bg", environment=SHORT)
    node.fake.command.write_text(command)
    picture = node.render()
    assert picture.status == FAILED and picture.answer.persistent["vdp"]
    if "echo" in command:
        assert "no such module" in picture.answer.persistent["vdp"]


def test_a_helper_that_says_nothing_is_ended(open_node: OpenedNode) -> None:
    node = opened(open_node, {"op": "frame", "do": "hang", "times": 9}, environment=SHORT)
    began = time.monotonic()
    picture = node.render(timeout=30)
    assert picture.status == FAILED and picture.answer.persistent["vdp"]
    assert time.monotonic() - began < 20
    assert until(lambda: not any(alive(pid) for pid in node.fake.pids()))


CHATTER = [
    "loading weights …", "[]", "null", "17", '{"id": "seven"}', '{"id": 1e400}', '{"ok": true}',
    '{"id": 99999, "ok": true}', '{"id": 3, "ok": true', "{" * 5000, "[" * 100000, "\\ud800", "\x01", "",
]  # fmt: skip


def test_what_is_no_answer_is_passed_over(open_node: OpenedNode) -> None:
    """Lines that a library of the engine prints where it should not, however they look."""
    node = open_node(value_output="bg", fake={"frames": [[1001, 1100]]})
    for frame, text in enumerate(CHATTER, start=1001):
        node.fake.set(frames=[[1001, 1100]], behaviours=[{"op": "pixels", "do": "chatter", "text": text, "times": 99}])
        assert node.render(frame).status == OK, text
    assert len(node.fake.pids()) == 1


def test_an_answer_without_end_is_not_waited_for(open_node: OpenedNode) -> None:
    node = opened(open_node, {"op": "pixels", "do": "chatter", "text": "x" * 3000000})
    assert node.render().status == OK and len(node.fake.pids()) == 2


@pytest.mark.parametrize("fields", [
    {}, {"window": [0, 0, 24, 12]}, {"window": "all", "display": [24, 12]},
    {"window": [0, 0, 1 << 30, 1 << 30], "display": [24, 12], "pixel_aspect": 1, "frame": 1003, "found": True},
    {"window": [12, 0, 0, 12], "display": [24, 12], "pixel_aspect": 1, "frame": 1003, "found": True},
    {"window": [-2147483648, -2147483648, 2147483647, 2147483647], "display": [24, 12], "pixel_aspect": 1,
     "frame": 1003, "found": True},
    {"window": [0, 0, 24, 12], "display": [24, 12], "pixel_aspect": 0, "frame": 1003, "found": True},
])  # fmt: skip
def test_an_answer_that_makes_no_sense_is_no_crash(open_node: OpenedNode, fields: dict[str, Any]) -> None:
    """A window that no memory holds, corners inside out, fields that are not there: no picture, or a black one."""
    wanted = {"op": "frame", "do": "answer", "fields": fields, "times": 99}
    node = opened(open_node, wanted, environment=SHORT)
    window = (0, 0, 24, 12)
    assert node.render(window=window, bounds=window, timeout=30).status in (OK, FAILED)


def test_a_helper_of_another_protocol(open_node: OpenedNode) -> None:
    node = open_node(fake={"protocol": 2}, value_output="bg", environment=SHORT)
    picture = node.render()
    assert picture.status == FAILED and picture.answer.persistent["vdp"]


def test_an_abort_while_the_helper_is_slow(open_node: OpenedNode) -> None:
    node = opened(open_node, {"op": "pixels", "do": "slow", "seconds": 8, "times": 9})
    began = time.monotonic()
    node.host.do("render", time=1003, abort_seconds=0.2)
    assert time.monotonic() - began < 6
    assert node.fake.log("frame")


def test_it_ends_with_the_host(open_node: OpenedNode) -> None:
    node = opened(open_node)
    node.render()
    (pid,) = node.fake.pids()
    node.host.close()
    assert until(lambda: not alive(pid)) and node.fake.log("end")
    assert list(node.buffers.iterdir()) == []


def test_it_ends_with_a_host_that_was_killed(open_node: OpenedNode) -> None:
    node = opened(open_node)
    node.render()
    (pid,) = node.fake.pids()
    assert list(node.buffers.iterdir())
    node.host.kill()
    assert until(lambda: not alive(pid))
    assert until(lambda: list(node.buffers.iterdir()) == []), "the helper clears away what the host cannot"


@pytest.mark.parametrize("signals", [("CHLD", "ignore"), ("PIPE", "ignore")])
def test_the_hosts_way_with_signals(open_node: OpenedNode, signals: tuple[str, str]) -> None:
    """A host may reap all children itself, or live without SIGPIPE."""
    node = opened(open_node)
    node.host.do("signal", name=signals[0], **{"as": signals[1]})
    assert node.render(1001).status == OK
    os.kill(node.fake.pids()[0], signal.SIGKILL)
    assert until(lambda: not alive(node.fake.pids()[0]))
    assert node.render(1002).status == OK
    node.host.do("unload")


def test_the_buffers_are_the_users_alone(open_node: OpenedNode) -> None:
    node = opened(open_node)
    node.render()
    (folder,) = node.buffers.iterdir()
    assert folder.name.startswith("vdp-ofx-") and folder.stat().st_mode & 0o777 == 0o700
    node.host.do("unload")
    assert list(node.buffers.iterdir()) == []
