"""Frames of the plate that a renderer asks for more than once."""

from __future__ import annotations

from collections import OrderedDict

from vdp_engine.plate import Frame
from vdp_engine.shot import Shot

BYTES_A_PIXEL = 12


class Plates:
    """Frames of the plate by position, the last few kept: neighbours look at the same ones.

    Args:
        keep: how many to hold.
    """

    def __init__(self, shot: Shot, keep: int) -> None:
        self._shot, self._keep = shot, max(keep, 1)
        self._held: OrderedDict[int, Frame] = OrderedDict()

    def at(self, position: int) -> Frame:
        """The frame at a position of the shot; PlateError where it cannot be read."""
        if position in self._held:
            self._held.move_to_end(position)
            return self._held[position]
        if len(self._held) >= self._keep:
            self._held.popitem(last=False)
        self._held[position] = self._shot.plate.read(self._shot.frames[position])
        return self._held[position]
