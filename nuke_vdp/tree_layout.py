"""Where the nodes of a tree stand: columns and rows, a rail of dots, merges, a note and a backdrop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nuke

COLUMN, ROW = 140, 80
WIDTH, HEIGHT, DOT = 80, 18, 12
"""Pixels of a node and of a dot in the node graph."""
RAIL = 120
"""From the top of the Read, which carries a postage stamp, to the dots."""
MARGIN, TITLE = 50, 30
GAP = 60

Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


class Canvas:
    """Creates nodes in the current group at places of a grid whose upper left corner is (x, y)."""

    def __init__(self, x: int, y: int) -> None:
        self._left, self._top = x + MARGIN, y + MARGIN + TITLE
        self.nodes: list[Any] = []
        self._bottom: dict[int, int] = {}
        """By column, where there is room below what stands in it."""
        self._columns = 1

    def add(self, kind: str, name: str, column: int, y: int = 0, label: str = "", colour: int = 0) -> Any:
        """A node of class ``kind`` in a column, ``y`` pixels below the top."""
        node = getattr(nuke.nodes, kind)()
        node.setName(name)
        if label:
            node["label"].setValue(label)
        if colour:
            node["tile_color"].setValue(colour)
        node.setXYpos(self._left + column * COLUMN, self._top + y)
        self._bottom[column] = y + ROW
        self._columns = max(self._columns, column + 1)
        self.nodes.append(node)
        return node

    def rail(self, source: Any, count: int) -> list[Any]:
        """A horizontal line of dots from below ``source``, one over each column."""
        dots: list[Any] = []
        for column in range(count):
            dots.append(self._dot(dots[-1] if dots else source, column, RAIL))
            self._bottom[column] = RAIL + ROW // 2
        return dots

    def below(self, above: Any, kind: str, name: str, column: int, label: str = "", colour: int = 0) -> Any:
        """A node in the next row of a column, connected to what is above it."""
        node = self.add(kind, name, column, self._bottom[column], label, colour)
        node.setInput(0, above)
        return node

    def plus(self, under: Any, light: Any, name: str, column: int, label: str = "", colour: int = 0) -> Any:
        """A Merge2 below ``under`` (B, in column 0) that adds ``light`` (A), which comes along a row from its side."""
        row = max(self._bottom[0], self._bottom[column])
        merge = self.add("Merge2", name, 0, row, label, colour)
        merge["operation"].setValue("plus")
        merge.setInput(0, under)
        merge.setInput(1, self._dot(light, column, row))
        return merge

    def note(self, text: str) -> None:
        """An explanation beside the Read."""
        note = self.add("StickyNote", "VDP_note", 1, label=text)
        note["note_font_size"].setValue(13)

    def backdrop(self, name: str, title: str) -> None:
        """A titled backdrop around everything."""
        bottom = max(self._bottom.values())
        backdrop = nuke.nodes.BackdropNode()
        backdrop.setName(name)
        backdrop["label"].setValue(title)
        backdrop["note_font_size"].setValue(32)
        backdrop["tile_color"].setValue(0x3A3F47FF)
        backdrop["bdwidth"].setValue((self._columns - 1) * COLUMN + WIDTH + 2 * MARGIN)
        backdrop["bdheight"].setValue(TITLE + MARGIN + bottom)
        backdrop.setXYpos(self._left - MARGIN, self._top - MARGIN - TITLE)
        self.nodes.append(backdrop)

    def _dot(self, source: Any, column: int, y: int) -> Any:
        dot = nuke.nodes.Dot()
        dot.setInput(0, source)
        # Centred where a node of the same column and row has its middle.
        dot.setXYpos(self._left + column * COLUMN + (WIDTH - DOT) // 2, self._top + y + (HEIGHT - DOT) // 2)
        self.nodes.append(dot)
        return dot


def box_of(node: Any) -> Box:
    """What a node covers in the node graph. Without a window nodes have no size: then that of a plain one."""
    if node.Class() == "BackdropNode":
        width, height = int(node["bdwidth"].value()), int(node["bdheight"].value())
    else:
        width, height = max(node.screenWidth(), WIDTH), max(node.screenHeight(), HEIGHT)
    return node.xpos(), node.ypos(), node.xpos() + width, node.ypos() + height


def move_clear_of(others: Sequence[Any], nodes: Sequence[Any]) -> None:
    """Push ``nodes``, the last of them the backdrop around all, to the right until they cover none of ``others``."""
    left, top, right, bottom = box_of(nodes[-1])
    taken = [box_of(other) for other in others]
    shift = 0
    while True:
        hit = [b for b in taken if left + shift < b[2] + GAP and b[0] < right + shift and top < b[3] and b[1] < bottom]
        if not hit:
            break
        shift = max(b[2] for b in hit) + GAP - left
    for node in nodes:
        node.setXYpos(node.xpos() + shift, node.ypos())
