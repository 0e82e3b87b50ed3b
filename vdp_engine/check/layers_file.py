"""Reading back the layer EXRs that a shot wrote, a band of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import OpenImageIO as oiio

from vdp_engine.equations import MODEL_ATTRIBUTE, SETTINGS_ATTRIBUTE
from vdp_engine.errors import CheckError

_LOSSY = ("dwaa", "dwab", "b44", "b44a")  # pxr24 is exact for half and finer than half for float
_BAND_BYTES = 24 << 20  # of one band in float32: large enough to keep the decoder's threads busy


class LayerFile:
    """One layer EXR, open for reading. A context manager.

    Attributes:
        path, frame: which file, of which frame.
        names: channel names in file order.
        x, y, width, height: its data window in pixels, y down.
        pixel_aspect: width of a pixel for its height.
        settings, model: digests of the settings and the model it was rendered with, "" where it names none.
        lossy: whether its compression changes values.
        gamma: γ of the task relight, 1 in files of others.

    Raises:
        CheckError: it is missing or damaged.
    """

    def __init__(self, path: Path, frame: int) -> None:
        self.path, self.frame = path, frame
        if not path.exists():
            raise self._fault("the layers are missing", "missing", "run `vdp render` for this frame, then check again")
        opened = oiio.ImageInput.open(str(path))
        if opened is None:
            raise self.damaged(oiio.geterror())
        self._input = opened
        spec = opened.spec()
        self.names = tuple(spec.channelnames)
        self.x, self.y, self.width, self.height = spec.x, spec.y, spec.width, spec.height
        self.pixel_aspect = float(spec.get_float_attribute("PixelAspectRatio", 1.0))
        self.settings = str(spec.get_string_attribute(SETTINGS_ATTRIBUTE))
        self.model = str(spec.get_string_attribute(MODEL_ATTRIBUTE))
        self.gamma = float(spec.get_float_attribute("vdp/gamma", 1.0))
        self.lossy = str(spec.get_string_attribute("compression")).split(":")[0] in _LOSSY

    def bands(self, multiple: int = 1) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
        """All rows in order, as bands of a ``multiple`` of rows (but for the last).

        Yields:
            The band's rows, counted from the top of the data window, and its channels, float32 (rows, W) by name.

        Raises:
            CheckError: the file is damaged here.
        """
        rows = max(1, _BAND_BYTES // (4 * self.width * len(self.names)) // multiple) * multiple
        for top in range(0, self.height, rows):
            bottom = min(top + rows, self.height)
            block = self._input.read_scanlines(
                0, 0, self.y + top, self.y + bottom, 0, 0, len(self.names), oiio.FLOAT
            )  # fmt: skip
            if block is None:
                raise self.damaged(self._input.geterror())
            planes = np.ascontiguousarray(np.moveaxis(block, -1, 0))
            yield slice(top, bottom), dict(zip(self.names, planes, strict=True))

    def damaged(self, why: str) -> CheckError:
        """The error for a file that does not hold what it should."""
        reason = " ".join(why.split()) or "its pixels cannot be read"
        return self._fault(f"the layers are damaged: {reason}", "damaged", "delete the file and run `vdp render` again")

    def stale(self, why: str) -> CheckError:
        """The error for a file that belongs to other settings or another plate."""
        return self._fault(f"the layers are out of date: {why}", "stale", "run `vdp render` for this frame again")

    def _fault(self, happened: str, code: str, remedy: str) -> CheckError:
        return CheckError(happened, code=code, path=self.path, frame=self.frame, remedy=remedy)

    def __enter__(self) -> LayerFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._input.close()
