"""Draws the node graph of a .nk as a picture: draw_nk.py IN.nk OUT.png

For documentation of trees, on machines without Nuke: nodes with class, name and label, their colours, pipes, backdrops.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nuke" / "standin"))

import nuke

SCALE = 2
MARGIN = 24
NAME, SMALL, TITLE = 11, 9, 30
"""Font sizes in pixels of the node graph."""
LINE = 13
PADDING = 5

_BACKGROUND = (50, 50, 50)
_PIPE = (190, 190, 190)
_COLOURS = {"Read": 0x9A8F6AFF, "Merge2": 0x4B6FA5FF, "Expression": 0x7A6CA8FF, "StickyNote": 0xD8CF86FF}
_PLAIN = 0xA5A5A5FF

Box = tuple[int, int, int, int]
Point = tuple[float, float]


def main() -> None:
    source, target = sys.argv[1:3]
    nuke.nodePaste(source)
    cv2.imwrite(target, draw(nuke.root().nodes()), [cv2.IMWRITE_PNG_COMPRESSION, 9])


def draw(nodes: list[Any]) -> np.ndarray:
    """The picture of nodes, uint8 (H, W, 3) in OpenCV's order of colours."""
    boxes = {node: box_of(node) for node in nodes}
    left, top = (min(box[i] for box in boxes.values()) - MARGIN for i in (0, 1))
    right, bottom = (max(box[i] for box in boxes.values()) + MARGIN for i in (2, 3))
    canvas = np.full(((bottom - top) * SCALE, (right - left) * SCALE, 3), _BACKGROUND, np.uint8)
    placed = {node: (x - left, y - top, r - left, b - top) for node, (x, y, r, b) in boxes.items()}
    for node in nodes:
        if node.Class() == "BackdropNode":
            _draw_backdrop(canvas, node, placed[node])
    for node in nodes:
        for index in range(node.inputs()):
            if node.input(index) is not None:
                _draw_pipe(canvas, placed[node.input(index)], placed[node], _pipe_name(node, index))
    for node in nodes:
        if node.Class() != "BackdropNode":
            _draw_node(canvas, node, placed[node])
    return canvas


def box_of(node: Any) -> Box:
    """Left, top, right and bottom of what is drawn of a node, in the node graph's pixels."""
    x, y, kind = node.xpos(), node.ypos(), node.Class()
    if kind == "BackdropNode":
        return x, y, x + int(node["bdwidth"].value()), y + int(node["bdheight"].value())
    if kind == "Dot":
        return x, y, x + 12, y + 12
    lines = _lines(node)
    width = max(80, *(_width(text, size) for text, size in lines)) + 2 * PADDING
    start = x if kind == "StickyNote" else x + 40 - width // 2
    return start, y, start + width, y + LINE * len(lines) + 2 * PADDING


def _lines(node: Any) -> list[tuple[str, int]]:
    label = [(line, SMALL) for line in str(node["label"].value()).split("\n") if line]
    if node.Class() == "StickyNote":
        return [(line, NAME) for line, _ in label]
    kind = node.Class().rstrip("2")
    if node.Class() == "Merge2":
        kind += f" ({node['operation'].value()})"
    return [(kind, SMALL), (node.name(), NAME), *label]


def _pipe_name(node: Any, index: int) -> str:
    return "BA"[index] if node.Class() in ("Merge2", "Keymix", "Copy") and index < 2 else ""


def _draw_backdrop(canvas: np.ndarray, node: Any, box: Box) -> None:
    colour = _bgr(int(node["tile_color"].value()) or 0x5A5A5AFF)
    _rectangle(canvas, box, colour)
    _text(canvas, str(node["label"].value()), box[0] + 14, box[1] + 12 + TITLE, TITLE, (235, 235, 235))


def _draw_node(canvas: np.ndarray, node: Any, box: Box) -> None:
    kind = node.Class()
    if kind == "Dot":
        centre = ((box[0] + box[2]) * SCALE // 2, (box[1] + box[3]) * SCALE // 2)
        cv2.circle(canvas, centre, 6 * SCALE, (160, 160, 160), cv2.FILLED, cv2.LINE_AA)
        return
    colour = _bgr(int(node["tile_color"].value()) or _COLOURS.get(kind, _PLAIN))
    _rectangle(canvas, box, colour)
    ink = (20, 20, 20) if sum(colour) > 400 else (240, 240, 240)
    for number, (text, size) in enumerate(_lines(node)):
        x = box[0] + PADDING if kind == "StickyNote" else (box[0] + box[2] - _width(text, size)) // 2
        _text(canvas, text, x, box[1] + PADDING + LINE * (number + 1) - 3, size, ink)


def _draw_pipe(canvas: np.ndarray, source: Box, target: Box, name: str) -> None:
    """A pipe between the borders of two boxes, with an arrow in the direction the picture flows."""
    tip = _edge(target, _middle(source))
    tail = _edge(source, tip)
    length = max(float(np.hypot(tip[0] - tail[0], tip[1] - tail[1])), 1.0)
    points = [tuple(round(v * SCALE) for v in point) for point in (tail, tip)]
    cv2.arrowedLine(canvas, points[0], points[1], _PIPE, SCALE, cv2.LINE_AA, tipLength=min(7 / length, 0.5))
    if name:
        off = (4, -4) if abs(tip[0] - tail[0]) > abs(tip[1] - tail[1]) else (5, -5)
        _text(canvas, name, round(tip[0] + off[0]), round(tip[1] + off[1]), SMALL, _PIPE)


def _middle(box: Box) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _edge(box: Box, towards: Point) -> Point:
    """Where a line from the middle of a box to a point leaves the box: level where the point is beside the box."""
    x, y = _middle(box)
    if box[1] < towards[1] < box[3]:
        return float(box[2] if towards[0] > x else box[0]), towards[1]
    dx, dy = towards[0] - x, towards[1] - y
    half = (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
    part = min([size / abs(d) for size, d in zip(half, (dx, dy), strict=True) if d] or [0.0])
    return x + dx * part, y + dy * part


def _rectangle(canvas: np.ndarray, box: Box, colour: tuple[int, int, int]) -> None:
    low, high = (box[0] * SCALE, box[1] * SCALE), (box[2] * SCALE, box[3] * SCALE)
    cv2.rectangle(canvas, low, high, colour, cv2.FILLED)
    cv2.rectangle(canvas, low, high, tuple(round(value * 0.6) for value in colour), 1, cv2.LINE_AA)


_FONT, _WEIGHT = cv2.FontFace("sans"), 500


def _text(canvas: np.ndarray, text: str, x: int, y: int, size: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, (x * SCALE, y * SCALE), colour, _FONT, size * SCALE, _WEIGHT)


def _width(text: str, size: int) -> int:
    box = cv2.getTextSize((10_000, 1_000), text, (0, 500), _FONT, size * SCALE, _WEIGHT)
    return int(box[2] / SCALE) + 1


def _bgr(colour: int) -> tuple[int, int, int]:
    return colour >> 8 & 255, colour >> 16 & 255, colour >> 24 & 255


if __name__ == "__main__":
    main()
