"""Each sign of trouble of relight is given when its numbers say so, and only then."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.check.test_signs import GOOD_LAYERS, GOOD_MOTION
from vdp_engine.check.numbers import FrameNumbers
from vdp_engine.check.relight import TASK
from vdp_engine.settings import Settings

GOOD = {
    "lift": 4.0, "noise": 0.001, "light": 0.02, "black": 0.0, "white": 0.0, "red": 0.02, "green": 0.02, "blue": 0.02,
}  # fmt: skip
SETTINGS = Settings(task="relight")


def frames(count: int = 3, flicker: float | None = 0.1, confidence: float = 0.9, **numbers: Any) -> list[FrameNumbers]:
    layers = dataclasses.replace(GOOD_LAYERS, coverage={"gain.G": 10.0}, numbers=GOOD | numbers)
    motion = dataclasses.replace(GOOD_MOTION, flicker=flicker, confidence=confidence)
    return [FrameNumbers(1001 + index, layers, motion) for index in range(count)]


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        ({"lift": 0.4}, ["relight.already_lit"]),
        ({"lift": 0.6}, []),
        ({"lift": 6.6}, ["relight.very_dark"]),
        ({"noise": 0.0041}, ["relight.noise"]),
        ({"noise": 0.0039}, []),
        ({"black": 0.06}, ["relight.black"]),
        ({"white": 0.03}, ["relight.clipped"]),
        ({"flicker": 1.1}, ["relight.unsteady"]),  # of a gain of 10
        ({"flicker": 0.9}, []),
        ({"flicker": None}, []),
        ({"red": 0.041}, ["relight.cast"]),
        ({"confidence": 0.2}, ["motion.unreliable"]),
        ({"confidence": 0.0, "count": 1}, []),
    ],
)
def test_signs(changes, codes):
    assert [sign.code for sign in TASK.signs(frames(**changes), SETTINGS)] == codes


def test_numbers_are_those_of_the_channels():
    shape = (4, 5)
    flat = {"": 0.01, "relit": 0.16, "noise": 0.002, "gain": 20.0}
    channels = {
        (f"{layer}.{c}" if layer else c): np.full(shape, value, np.float32)
        for layer, value in flat.items() for c in "RGB"
    }  # fmt: skip
    channels["R"][0, 0] = channels["G"][0, 0] = channels["B"][0, 0] = 0
    channels["R"][1, 1] = 1.0
    numbers = TASK.numbers(channels)
    assert numbers["noise"] == pytest.approx(0.002)
    assert numbers["black"] == numbers["white"] == pytest.approx(1 / 20)
    # 0.008 of clean light lit to 0.16, but for two pixels.
    assert numbers["lift"] == pytest.approx(np.log2(0.16 / 0.008), rel=0.1)


def test_report_is_for_a_person():
    summary = TASK.summary(frames())
    lines = TASK.lines({"relight": summary})
    assert any("4.00 stops" in line for line in lines)
