"""Renders on several threads, as hosts do it: of several instances, and of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.ofx.conftest import OpenedNode
from tests.ofx.host import OK, line, packed
from tests.ofx.test_render import DISPLAY, expected

TIMES = [1001, 1002, 1003, 1004]


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
@pytest.mark.parametrize("shared", [True, False])
def test_threads_get_the_right_pictures(
    open_node: OpenedNode, checked_plugin: Path, racing_plugin: Path, tmp_path: Path, sanitizer: str, shared: bool
) -> None:
    """With one helper for all. A race fails the host's end: the sanitizer's exit code."""
    plugin = checked_plugin if sanitizer == "address" else racing_plugin
    node = open_node("nuke", sanitizer=sanitizer, binary=plugin, value_output="bg")
    instances = {"vdp": "bg"}
    if not shared:
        for output in ("fg1", "clean", "confidence"):
            instances[output] = output
            node.host.do("create", instance=output, width=24, height=12, value_shot=node.shot, value_output=output)
            node.host.do("connect", instance=output, region=DISPLAY, first=1001, last=1008)
    out = tmp_path / "thread"
    options = {"instances": list(instances), "times": TIMES, "count": 4, "rounds": 2, "components": "RGBA"}
    answer = node.host.do("threads", timeout=120, depth="Float", out=out, **options)
    names = list(instances)
    for thread, results in enumerate(answer.result):
        assert [result["status"] for result in results] == [OK] * 8
        for time in TIMES:
            pixels = packed(Path(f"{out}.{thread}.{time}.raw"), results[0])
            truth = expected(instances[names[thread % len(names)]], time, DISPLAY)
            np.testing.assert_array_equal(pixels, truth)
    assert len(node.fake.pids()) == 1 and answer.messages == []


def test_a_helper_that_dies_under_several_threads(open_node: OpenedNode, racing_plugin: Path) -> None:
    behaviours = [{"op": "frame", "do": "kill"}, {"op": "frame", "do": "slow", "seconds": 0.2, "times": 3}]
    node = open_node(
        "nuke", sanitizer="thread", binary=racing_plugin, value_output="bg", fake={"behaviours": behaviours}
    )
    answer = node.host.do("threads", timeout=120, instances="vdp", times=TIMES, count=4)
    assert statuses(answer.result) == [OK] * 16 and len(node.fake.pids()) == 2
    assert answer.persistent == {}


@pytest.mark.parametrize("meanwhile", [
    {"param": "refresh"}, {"param": "haze", "value": 0.5}, {"param": "output", "value": "clean"},
    {"param": "task", "value": "dehaze"},
])  # fmt: skip
def test_an_artist_at_work_while_threads_render(
    open_node: OpenedNode, racing_plugin: Path, meanwhile: dict[str, object]
) -> None:
    node = open_node("nuke", sanitizer="thread", binary=racing_plugin, value_output="recomposition")
    working = line("set", **meanwhile)
    answer = node.host.do("threads", timeout=120, instances="vdp", times=TIMES, count=2, rounds=2, meanwhile=working)
    assert statuses(answer.result) == [OK] * 16


def statuses(results: list[list[dict[str, int]]]) -> list[int]:
    return [result["status"] for of_thread in results for result in of_thread]
