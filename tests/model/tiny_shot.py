"""A tiny shot for the tests of fit and render: textured ground that pans, a textured square that goes the other way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.plate import plate_files
from vdp_engine.model.layers.objective import PHASES
from vdp_engine.model.task import Phase
from vdp_engine.motion.sizes import _AREAS
from vdp_engine.progress import SilentReporter
from vdp_engine.settings import Machine, Settings
from vdp_engine.shot import Shot

HEIGHT, WIDTH = 64, 96
FIRST = 1001
CPU = Machine(device="cpu", threads=1)
STEPS = (6, 4)
AREAS = (48 * 72, 48 * 72, 32 * 48)  # of flow, motion and nets, all smaller than the plate


def texture(height: int, width: int, seed: int) -> np.ndarray:
    """Blurred noise (H, W, 3) from about 0.05 to 1."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    return np.clip(0.4 + 1.5 * cv2.GaussianBlur(noise, (0, 0), 2), 0.05, 1.2).astype(np.float32)


def picture(index: int, squares: int = 1) -> np.ndarray:
    """Frame ``index`` (H, W, 3), scene-linear."""
    image = texture(HEIGHT, WIDTH + 20, 0)[:, index : index + WIDTH].copy()
    for number in range(squares):
        square = texture(20, 20, 1 + number) * np.array([2.0, 0.6, 0.3])
        left = 20 + 3 * index if number == 0 else 70 - 4 * index
        image[6 + 30 * number : 26 + 30 * number, left : left + 20] = square
    return image


def write_plate(
    folder: Path, frames: int = 6, *, squares: int = 1, change: Callable[[int, np.ndarray], None] | None = None
) -> str:
    """Half-float EXRs of the shot; ``change`` edits a picture in place. Returns the pattern."""
    for index in range(frames):
        image = picture(index, squares)
        if change is not None:
            change(index, image)
        channels = {name: image[..., c].astype(np.float16) for c, name in enumerate("RGB")}
        plate_files.write(folder / f"shot.{FIRST + index}.exr", channels)
    return str(folder / "shot.####.exr")


def shot_of(pattern: str, out: Path, **settings: object) -> Shot:
    return Shot.create(pattern, out, settings=Settings(**{"quality": "draft", **settings}))  # type: ignore[arg-type]


@contextmanager
def small() -> Iterator[None]:
    """Working sizes and a number of steps that suit the shot."""
    with pytest.MonkeyPatch.context() as patch:
        evidence, joint = STEPS
        patch.setitem(_AREAS, "draft", AREAS)
        patch.setitem(PHASES["vdp"], "draft", (Phase("evidence", evidence, 5e-3), Phase("joint", joint, 3e-3)))
        patch.setitem(PHASES["paper"], "draft", (Phase("paper", evidence, 2e-3),))
        yield


class Recorder(SilentReporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[tuple[str, int | None]] = []
        self.frames: list[int] = []
        self.messages: list[str] = []

    def progress(self, stage: str, fraction: float, message: str) -> None:
        self.messages.append(message)

    def note(self, message: str) -> None:
        self.messages.append(message)

    def frame(self, number: int, path: Path) -> None:
        self.frames.append(number)

    def warning(self, code: str, message: str, frame: int | None = None) -> None:
        self.warnings.append((code, frame))
