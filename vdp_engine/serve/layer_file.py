"""Layer EXRs as a host asks for them: a few channels of one frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import OpenImageIO as oiio
from numpy.typing import NDArray

from vdp_engine.equations import SETTINGS_ATTRIBUTE
from vdp_engine.errors import ServeError
from vdp_engine.serve.outputs import Output, outputs_of

Box = tuple[int, int, int, int]


class FileKey(NamedTuple):
    """A file as it is at a moment: written anew, it has another key."""

    path: str
    modified_ns: int
    size: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> FileKey | None:
        """``None`` where there is no such file."""
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return cls(str(path), status.st_mtime_ns, status.st_size, status.st_ino)


@dataclass(frozen=True)
class Header:
    """What a layer file says of itself.

    Attributes:
        window: x1, y1, x2, y2 of its pixels as OFX counts: y up from the lower left corner of the display window.
        display: width and height of the display window.
        alpha: state of the layers' colours.
        gamma: of relight, else ``None``.
        settings: digest of the settings it was rendered with.
        outputs: by name.
    """

    key: FileKey
    names: tuple[str, ...]
    window: Box
    display: tuple[int, int]
    pixel_aspect: float
    task: str
    alpha: str
    gamma: float | None
    settings: str
    outputs: dict[str, Output]

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the pixels."""
        x1, y1, x2, y2 = self.window
        return y2 - y1, x2 - x1


def read_header(key: FileKey, frame: int) -> Header:
    """The header of a layer file; ServeError ``damaged`` where it is none."""
    file = _opened(key, frame)
    try:
        spec = file.spec()
        task = str(spec.get_string_attribute("vdp/task", "layers"))
        alpha = str(spec.get_string_attribute("vdp/alpha", "premultiplied"))
        x, top = spec.x - spec.full_x, spec.full_height - (spec.y - spec.full_y)
        names = tuple(spec.channelnames)
        return Header(
            key=key,
            names=names,
            window=(x, top - spec.height, x + spec.width, top),
            display=(spec.full_width, spec.full_height),
            pixel_aspect=float(spec.get_float_attribute("PixelAspectRatio", 1.0)),
            task=task,
            alpha=alpha,
            gamma=float(spec.get_float_attribute("vdp/gamma", 1.0)) if task == "relight" else None,
            settings=str(spec.get_string_attribute(SETTINGS_ATTRIBUTE)),
            outputs=outputs_of(task, names, alpha),
        )
    finally:
        file.close()


def read_channels(header: Header, wanted: Sequence[str], frame: int) -> NDArray[np.float32]:
    """Channels as float32 (H, W, C) in the order wanted, rows from top to bottom; ServeError ``damaged``.

    The file is decoded once: its channels lie side by side, and the rows of all of them are compressed together.
    """
    places = [header.names.index(name) for name in wanted]
    first, end = min(places), max(places) + 1
    file = _opened(header.key, frame)
    try:
        pixels = file.read_image(0, 0, first, end, oiio.FLOAT)
        if pixels is None or pixels.shape[:2] != header.shape:
            raise _damaged(header.key, frame, file.geterror())
    finally:
        file.close()
    if places == list(range(first, end)):
        return np.asarray(pixels, np.float32)
    return np.ascontiguousarray(pixels[..., [place - first for place in places]], np.float32)


def _opened(key: FileKey, frame: int) -> Any:
    straight = oiio.ImageSpec()
    straight.attribute("oiio:UnassociatedAlpha", 1)
    opened = oiio.ImageInput.open(key.path, straight)
    if opened is None:
        raise _damaged(key, frame, oiio.geterror())
    return opened


def _damaged(key: FileKey, frame: int, why: str) -> ServeError:
    reason = " ".join(why.split()) or "its pixels cannot be read"
    return ServeError(
        f"the layers are damaged: {reason}", code="damaged", path=key.path, frame=frame,
        remedy="delete the file and analyse again",
    )  # fmt: skip
