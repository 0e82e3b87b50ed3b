"""Each sign of trouble with haze is given when its numbers say so, and only then."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.check.test_signs import GOOD_LAYERS, GOOD_MOTION
from vdp_engine.check.dehaze import TASK, find_signs
from vdp_engine.check.numbers import FrameNumbers
from vdp_engine.settings import Settings

NUMBERS = {"brighter": 0.02, "black": 0.01, "doubtful": 0.05}


def _frames(count: int = 3, through: float = 0.6, **changes: Any) -> list[FrameNumbers]:
    numbers = {**NUMBERS, **{key: value for key, value in changes.items() if key in NUMBERS}}
    motion = {key: value for key, value in changes.items() if key not in NUMBERS}
    layers = dataclasses.replace(GOOD_LAYERS, coverage={"transmission.A": through}, numbers=numbers)
    return [
        FrameNumbers(frame, layers, dataclasses.replace(GOOD_MOTION, **motion)) for frame in range(1001, 1001 + count)
    ]


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        ({"through": 0.96}, ["dehaze.no_haze"]),
        ({"through": 0.94}, []),
        ({"brighter": 0.3}, ["dehaze.airlight"]),
        ({"black": 0.21}, ["dehaze.too_dark"]),
        ({"doubtful": 0.31}, ["dehaze.too_thick"]),
        ({"flicker": 0.021}, ["dehaze.unsteady"]),
        ({"flicker": None}, []),
        ({"confidence": 0.2}, ["motion.unreliable"]),
        ({"confidence": 0.0, "count": 1}, []),  # one frame has no motion
    ],
)
def test_signs(changes: dict[str, Any], codes: list[str]) -> None:
    assert [sign.code for sign in find_signs(_frames(**changes), Settings(task="dehaze"))] == codes


def test_what_was_asked_for_is_no_sign() -> None:
    assert find_signs(_frames(through=0.99), Settings(task="dehaze", strength=0.1)) == []
    assert find_signs(_frames(brighter=0.9), Settings(task="dehaze", airlight=(0.5, 0.5, 0.5))) == []


def test_numbers_of_a_picture() -> None:
    names = ("", "airlight.", "clear.")
    channels = {f"{name}{c}": np.full((4, 5), 0.5, np.float32) for name in names for c in "RGB"}
    channels["confidence.A"] = np.full((4, 5), 0.9, np.float32)
    channels["confidence.A"][0] = 0.4
    for c in "RGB":
        channels[c][:, 0] = 0.6  # brighter than the airlight
        channels[f"clear.{c}"][1] = 0  # black, and the plate is not
    found = TASK.numbers(channels)
    assert found["brighter"] == pytest.approx(0.2)
    assert found["black"] == pytest.approx(0.25)
    assert found["doubtful"] == pytest.approx(0.25)
    assert found["airlight.R"] == 0.5
