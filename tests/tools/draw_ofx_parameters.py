"""Draws the parameters of the OFX plug-in as a host may show them: draw_ofx_parameters.py OUT.png [--build FOLDER]

From what the plug-in tells the host of the tests, so that the picture in the documentation cannot lie. FOLDER keeps the
builds of host and plug-in.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.ofx import build
from tests.ofx.host import Host

SCALE = 2
WIDTH, LABEL, ROW, MARGIN = 470, 130, 26, 14
SIZE, HEAD = 11, 12
"""Font sizes in pixels of the panel."""

_BACKGROUND, _HEADER, _FIELD, _BUTTON = (50, 50, 50), (66, 66, 66), (36, 36, 36), (92, 92, 92)
_INK, _DIM = (215, 215, 215), (120, 120, 120)
_FONT, _WEIGHT = cv2.FontFace("sans"), 500
SHOT = "/shows/example/sh010/vdp/v001"

Parameter = dict[str, Any]
Colour = tuple[int, int, int]


def described(builds: Path) -> list[Parameter]:
    """The parameters of a new node, in the order of the panel, as the host's command ``parameters`` tells them."""
    host = Host(build.host(builds) / "ofx_host_none", builds)
    try:
        host.do("load", path=build.plugin(builds))
        host.do("create", value_shot=SHOT)
        shown: list[Parameter] = host.do("parameters").result
    finally:
        host.close()
    return [one for one in shown if not of(one, "OfxParamPropSecret", 0) and one["type"] != "OfxParamTypePage"]


def of(parameter: Parameter, name: str, otherwise: Any = None) -> Any:
    """The first value of a property."""
    values = parameter["properties"].get(name)
    return values[0] if values else otherwise


class Panel:
    """A picture of parameters, one below the other; buttons share a line."""

    def __init__(self, rows: int) -> None:
        self.canvas = np.full(((rows * ROW + 2 * MARGIN) * SCALE, WIDTH * SCALE, 3), _BACKGROUND, np.uint8)
        self.y = MARGIN
        self.button_x = LABEL

    def add(self, parameter: Parameter) -> None:
        kind = parameter["type"].removeprefix("OfxParamType")
        if kind == "PushButton":
            self.button(parameter)
            return
        self.end_of_buttons()
        if kind == "Group":
            self.box((MARGIN, self.y + 3, WIDTH - MARGIN, self.y + ROW - 3), _HEADER)
            self.text(of(parameter, "OfxPropLabel"), MARGIN + 8, HEAD, _INK)
        else:
            self.value(parameter, kind, _INK if of(parameter, "OfxParamPropEnabled", 1) else _DIM)
        self.y += ROW

    def value(self, parameter: Parameter, kind: str, ink: Colour) -> None:
        label = of(parameter, "OfxPropLabel")
        self.text(label, LABEL - 10 - _width(label, SIZE), SIZE, ink)
        wide = {"String": WIDTH - MARGIN, "Choice": LABEL + 170}.get(kind, LABEL + 70)
        self.box((LABEL, self.y + 3, wide, self.y + ROW - 3), _FIELD)
        shown = parameter["value"]
        if kind == "Choice":
            shown = parameter["properties"]["OfxParamPropChoiceOption"][shown]
            x, y = (wide - 14) * SCALE, (self.y + ROW // 2 - 2) * SCALE
            cv2.fillPoly(self.canvas, [np.array([(x, y), (x + 8 * SCALE, y), (x + 4 * SCALE, y + 5 * SCALE)])], ink)
        self.text(f"{shown:g}" if kind == "Double" else str(shown), LABEL + 7, SIZE, ink)
        if kind == "Double":
            self.slider(parameter, wide + 12, ink)

    def slider(self, parameter: Parameter, left: int, ink: Colour) -> None:
        low, high = of(parameter, "OfxParamPropDisplayMin"), of(parameter, "OfxParamPropDisplayMax")
        right, middle = WIDTH - MARGIN - 6, self.y + ROW // 2
        self.box((left, middle - 1, right, middle + 1), _FIELD)
        at = left + round((parameter["value"] - low) / (high - low) * (right - left))
        self.box((at - 3, middle - 7, at + 3, middle + 7), ink)

    def button(self, parameter: Parameter) -> None:
        label = of(parameter, "OfxPropLabel")
        right = self.button_x + 84
        self.box((self.button_x, self.y + 2, right, self.y + ROW - 2), _BUTTON)
        self.text(label, self.button_x + (84 - _width(label, SIZE)) // 2, SIZE, _INK)
        self.button_x = right + 8

    def end_of_buttons(self) -> None:
        if self.button_x > LABEL:
            self.y, self.button_x = self.y + ROW, LABEL

    def box(self, corners: tuple[int, int, int, int], colour: Colour) -> None:
        x1, y1, x2, y2 = (corner * SCALE for corner in corners)
        cv2.rectangle(self.canvas, (x1, y1), (x2, y2), colour, cv2.FILLED)

    def text(self, text: str, x: int, size: int, colour: Colour) -> None:
        at = (x * SCALE, (self.y + (ROW + size) // 2 - 1) * SCALE)
        cv2.putText(self.canvas, text, at, colour, _FONT, size * SCALE, _WEIGHT)


def _width(text: str, size: int) -> int:
    box = cv2.getTextSize((10_000, 1_000), text, (0, 500), _FONT, size * SCALE, _WEIGHT)
    return int(box[2] / SCALE) + 1


def draw(parameters: list[Parameter]) -> np.ndarray:
    """The panel as 8-bit BGR (H, W, 3)."""
    buttons = sum(one["type"] == "OfxParamTypePushButton" for one in parameters)
    panel = Panel(len(parameters) - buttons + (buttons > 0))
    for parameter in parameters:
        panel.add(parameter)
    return panel.canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--build", type=Path, help="keep the builds in this folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        builds: Path = arguments.build or Path(scratch)
        builds.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(arguments.out), draw(described(builds.resolve())))


if __name__ == "__main__":
    main()
