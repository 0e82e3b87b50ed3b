"""The contact sheet: a few frames of the shot, every layer and matte, through a display transform.

One row a frame. Layers are laid over a checkerboard, so that transparency shows; mattes and confidence are shown as
they are, black for 0 and white for 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vdp_engine import files
from vdp_engine.check.layers_file import LayerFile
from vdp_engine.check.tasks import CHECK_TASKS
from vdp_engine.equations import Channels
from vdp_engine.shot import Shot

ROWS = 6
WIDTH = 2400  # of the sheet at most, in pixels
_CELL = 480  # width of one picture at most
_GAP, _LABEL = 4, 20
_BACKGROUND, _INK = 24, 215


def write_sheet(shot: Shot) -> None:
    """Write ``shot.sheet_file`` from the layers on disk.

    Raises:
        CheckError: a layer file is missing or damaged.
        TryAgainError: the sheet cannot be written.
    """
    rows = {frame: _pictures(shot, frame) for frame in spread(shot.frames, ROWS)}
    sheet = _assemble(rows)
    _, encoded = cv2.imencode(".png", sheet[..., ::-1])
    files.write_bytes(shot.sheet_file, encoded.tobytes())


def spread(frames: Sequence[int], count: int) -> tuple[int, ...]:
    """At most ``count`` of the frames, evenly spread, the first and the last among them."""
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return tuple(frames[index] for index in chosen)


def _pictures(shot: Shot, frame: int) -> dict[str, np.ndarray]:
    """One row of the sheet: display-referred uint8 (h, w, 3) by label, all of one size."""
    settings = shot.settings
    with LayerFile(shot.layer_file(frame), frame) as file:
        shown = CHECK_TASKS[settings.task].pictures(file.names, settings)
        small = _reduced(shot, file, min(_CELL, (WIDTH - _GAP) // len(shown) - _GAP))
    return {label: show(small) for label, show in shown.items()}


def _reduced(shot: Shot, file: LayerFile, width: int) -> Channels:
    """The channels of a file on the plate's canvas, area means, float32 (h, ``width``); 0 outside the data window."""
    canvas = shot.plate.canvas
    height, whole = canvas.shape
    across = width / whole
    down = across / file.pixel_aspect
    factor = max(1, int(min(1 / across, 1 / down)))
    # Band by band to a small multiple of the final size, so that a 4K file is never in memory as a whole.
    parts = [{name: _shrink(plane, factor) for name, plane in band.items()} for _, band in file.bands(factor)]
    size = max(1, round(file.width * across)), max(1, round(file.height * down))
    left, top = round((file.x - canvas.x) * across), round((file.y - canvas.y) * down)
    reduced = {}
    for name in file.names:
        plane = cv2.resize(np.vstack([part[name] for part in parts]), size, interpolation=cv2.INTER_AREA)
        cell = np.zeros((max(1, round(height * down)), width), np.float32)
        inside = cell[max(top, 0) : top + size[1], max(left, 0) : left + size[0]]
        inside[:] = plane[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]]
        reduced[name] = cell
    return reduced


def _shrink(plane: np.ndarray, factor: int) -> np.ndarray:
    size = -(-plane.shape[1] // factor), -(-plane.shape[0] // factor)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _assemble(rows: dict[int, dict[str, np.ndarray]]) -> np.ndarray:
    """Rows of labelled pictures, uint8 RGB (H, W, 3)."""
    first = next(iter(rows.values()))
    height, width = next(iter(first.values())).shape[:2]
    step_y, step_x = height + _LABEL + _GAP, width + _GAP
    sheet = np.full((_GAP + len(rows) * step_y, _GAP + len(first) * step_x, 3), _BACKGROUND, np.uint8)
    for row, (frame, pictures) in enumerate(rows.items()):
        for column, (label, picture) in enumerate(pictures.items()):
            top, left = _GAP + row * step_y, _GAP + column * step_x
            sheet[top + _LABEL : top + _LABEL + height, left : left + width] = picture
            text = f"{label}  {frame}" if label == "plate" else label
            cv2.putText(
                sheet, text, (left + 2, top + _LABEL - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (_INK,) * 3, 1, cv2.LINE_AA
            )  # fmt: skip
    return sheet
