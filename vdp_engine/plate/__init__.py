"""Plates: finding sequences, reading frames, windows, colour encoding, and writing layers as OpenEXR."""

from vdp_engine.plate.colour import config_name, log_decode, log_encode, to_display
from vdp_engine.plate.header import Attribute, FrameHeader
from vdp_engine.plate.reader import Frame, Plate
from vdp_engine.plate.sequence import Sequence, format_frames, parse_frames
from vdp_engine.plate.windows import Window, cut, place
from vdp_engine.plate.writer import to_half, write_layers

__all__ = [
    "Attribute",
    "Frame",
    "FrameHeader",
    "Plate",
    "Sequence",
    "Window",
    "config_name",
    "cut",
    "format_frames",
    "log_decode",
    "log_encode",
    "parse_frames",
    "place",
    "to_display",
    "to_half",
    "write_layers",
]
