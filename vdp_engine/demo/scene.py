"""Renders the demo shot: a furry creature flies through a town at dusk, in front of a moving camera.

Both are flat textures under similarity transforms, sampled many times while the shutter is open. Foreground and
background are blurred apart and then composited, so that X = α F + (1 − α) B holds exactly in scene-linear light.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio

from vdp_engine import files
from vdp_engine.demo.paint import OVERSAMPLING, paint_creature, paint_town

FIRST_FRAME = 1001
FRAMES_PER_SECOND = 24
_SHUTTER = 0.5  # of a frame, centred on it: a 180 degree shutter
_SAMPLES = 16  # in time and within the pixel at once
_PAN = 0.0046  # of the width, per frame
_CREATURE = 0.36  # radius of the creature's body in its texture, as a fraction of the texture
_BLACK_NOISE, _SHOT_NOISE = 0.002, 1e-4


@dataclass(frozen=True)
class Truth:
    """One frame and what it is made of; float32, scene-linear, rounded to half.

    Attributes:
        plate: (H, W, 3), equal to ``foreground + (1 - alpha) * background`` rounded to half.
        alpha: (H, W), opacity of the creature.
        foreground: (H, W, 3), premultiplied.
        background: (H, W, 3), as if the creature were not there.
        forward, backward: (H, W, 2), motion of the visible surface to the next and the previous frame, in pixels,
            u to the right and v up.
    """

    plate: np.ndarray
    alpha: np.ndarray
    foreground: np.ndarray
    background: np.ndarray
    forward: np.ndarray
    backward: np.ndarray


class Scene:
    """The demo shot, ready to be rendered frame by frame in any order.

    Args:
        width, height: size of the picture in pixels.
        frames: length of the shot.
        seed: of the textures and the noise; the same seed gives the same picture, bit for bit on one machine.
    """

    def __init__(self, width: int = 480, height: int = 270, frames: int = 24, seed: int = 7) -> None:
        self.width, self.height, self.frames, self.seed = width, height, frames, seed
        pan = _PAN * width * max(frames - 1, 1)
        self._world = (int(OVERSAMPLING * (1.14 * width + pan)), int(OVERSAMPLING * 1.22 * height))
        self._town = paint_town(np.random.default_rng([seed, 1]), self._world[1], self._world[0])
        self._radius = 0.19 * height
        size = int(OVERSAMPLING * self._radius / _CREATURE)
        self._creature = paint_creature(np.random.default_rng([seed, 2]), size)

    def render(self, index: int) -> Truth:
        """Frame ``index`` (0 is the first) with its layers and motion."""
        alpha, foreground, background = self._expose(index)
        noise = self._noise(index, foreground + (1 - alpha[..., None]) * background)
        # The same grain lies in both layers, so that it lies once in the composite.
        alpha = _half(alpha)
        foreground = _half(foreground + alpha[..., None] * noise) * (alpha[..., None] > 0)
        background = _half(background + noise)
        plate = _half(foreground + (1 - alpha[..., None]) * background)
        forward, backward = (self._flow(index, step, alpha) for step in (1, -1))
        return Truth(plate, alpha, foreground, background, forward, backward)

    def _expose(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = (self.width, self.height)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        creature = np.zeros((self.height, self.width, 4), np.float32)
        town = np.zeros((self.height, self.width, 3), np.float32)
        for sample in range(_SAMPLES):
            time = index + _SHUTTER * ((sample + 0.5) / _SAMPLES - 0.5)
            # The R2 sequence spreads the samples over the pixel whatever their number.
            jitter = (math.modf(0.5 + sample * 0.7548776662)[0] - 0.5, math.modf(0.5 + sample * 0.5698402910)[0] - 0.5)
            camera, path = (_shifted(matrix, jitter) for matrix in (self._camera(time), self._path(time)))
            town += cv2.warpAffine(self._town, camera, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            creature += cv2.warpAffine(self._creature, path, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
        creature /= _SAMPLES
        return creature[..., 3], creature[..., :3], town / _SAMPLES

    def _camera(self, time: float) -> np.ndarray:
        """Pixel to texel of the town (2, 3): a pan with a slight roll and a push in."""
        travel = self._tau(time)
        centre = (
            self._world[0] / 2 + OVERSAMPLING * _PAN * self.width * (time - (self.frames - 1) / 2),
            self._world[1] / 2 + OVERSAMPLING * 0.02 * self.height * math.sin(2.0 * travel),
        )
        middle = self.width / 2, self.height / 2
        return _similarity(middle, centre, OVERSAMPLING / (1.0 + 0.06 * travel), math.radians(2.5 * travel - 1.0))

    def _path(self, time: float) -> np.ndarray:
        """Pixel to texel of the creature (2, 3): a flying arc across the picture, tumbling a little."""
        travel = self._tau(time)
        place = (
            self.width * (0.31 + 0.36 * travel),
            self.height * (0.66 - 0.21 * math.sin(math.pi * min(max(travel, -0.2), 1.2))),
        )
        size = self._creature.shape[0]
        return _similarity(place, (size / 2, size / 2), OVERSAMPLING / (0.95 + 0.12 * travel), 0.25 - 0.55 * travel)

    def _tau(self, time: float) -> float:
        return time / max(self.frames - 1, 1)

    def _noise(self, index: int, light: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 3, index])
        sigma = np.sqrt(_BLACK_NOISE**2 + _SHOT_NOISE * np.maximum(light, 0))
        return (rng.standard_normal(light.shape, np.float32) * sigma).astype(np.float32)

    def _flow(self, index: int, step: int, alpha: np.ndarray) -> np.ndarray:
        camera = _motion(self._camera(index), self._camera(index + step), self.height, self.width)
        path = _motion(self._path(index), self._path(index + step), self.height, self.width)
        return np.where(alpha[..., None] >= 0.5, path, camera).astype(np.float32)


def make_demo(folder: Path, *, width: int = 480, height: int = 270, frames: int = 24, seed: int = 7) -> str:
    """Write ``folder/plate/demo.1001.exr …`` and ``folder/truth/demo.1001.exr …``; returns the plate's pattern.

    The truth holds ``fg1.R/G/B/A`` (premultiplied), ``clean.R/G/B`` and ``forward``/``backward.u/v``.

    Raises:
        TryAgainError: the folder cannot be written.
    """
    scene = Scene(width, height, frames, seed)
    for index in range(frames):
        truth = scene.render(index)
        name = f"demo.{FIRST_FRAME + index}.exr"
        known = {
            **{f"fg1.{c}": truth.foreground[..., i] for i, c in enumerate("RGB")},
            "fg1.A": truth.alpha,
            **{f"clean.{c}": truth.background[..., i] for i, c in enumerate("RGB")},
            **{f"forward.{c}": truth.forward[..., i] for i, c in enumerate("uv")},
            **{f"backward.{c}": truth.backward[..., i] for i, c in enumerate("uv")},
        }
        write_exr(folder / "truth" / name, known, index)
        write_exr(folder / "plate" / name, {c: truth.plate[..., i] for i, c in enumerate("RGB")}, index)
    return str(folder / "plate" / f"demo.{FIRST_FRAME}-{FIRST_FRAME + frames - 1}#.exr")


def write_exr(path: Path, channels: Mapping[str, np.ndarray], index: int) -> None:
    """Write channels (H, W) as half, ZIPS; ``index`` counts frames from the start of the shot, for the timecode.

    A file that already holds these pixels is left alone, so that what was made from it stays up to date.
    """
    pixels = np.dstack(list(channels.values())).astype(np.float16)
    if _holds(path, tuple(channels), pixels):
        return
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], len(channels), oiio.HALF)
    spec.channelnames = tuple(channels)
    spec.attribute("compression", "zips")
    spec.attribute("framesPerSecond", oiio.TypeRational, (FRAMES_PER_SECOND, 1))
    spec.attribute("smpte:TimeCode", oiio.TypeTimeCode, (_timecode(index), 0))
    with files.atomic(path) as temporary:
        output = oiio.ImageOutput.create(str(temporary))
        written = output and output.open(str(temporary), spec) and output.write_image(pixels) and output.close()
        if not written:
            raise files.disk_error(path, output.geterror() if output else oiio.geterror())


def _holds(path: Path, names: tuple[str, ...], pixels: np.ndarray) -> bool:
    if not path.exists():
        return False
    image = oiio.ImageInput.open(str(path))
    if image is None:
        return False
    stored, order = image.read_image(0, 0, 0, len(names), oiio.HALF), image.spec().channelnames
    image.close()
    if stored is None or sorted(order) != sorted(names):
        return False
    return np.array_equal(stored[..., [order.index(name) for name in names]], pixels)


def _timecode(index: int) -> int:
    """Hour 1 plus ``index`` frames, as SMPTE 12M packs it: two decimal digits a byte."""
    seconds, frame = divmod(index, FRAMES_PER_SECOND)
    fields = (frame, seconds % 60, seconds // 60 % 60, 1 + seconds // 3600)
    return sum(((value // 10) << 4 | value % 10) << (8 * place) for place, value in enumerate(fields))


def _half(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)


def _similarity(at: tuple[float, float], goes_to: tuple[float, float], scale: float, angle: float) -> np.ndarray:
    """(2, 3) matrix that turns and scales about ``at`` and carries it to ``goes_to``."""
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.column_stack([turn, np.array(goes_to) - turn @ np.array(at)])


def _shifted(matrix: np.ndarray, offset: tuple[float, float]) -> np.ndarray:
    return np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ np.array(offset)])


def _motion(now: np.ndarray, then: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where the surface under each pixel goes from ``now`` to ``then`` (pixel-to-texel matrices), (H, W, 2), y up."""
    to_pixel = np.linalg.inv(then[:, :2])
    turn = to_pixel @ now[:, :2] - np.eye(2)
    shift = to_pixel @ (now[:, 2] - then[:, 2])
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    u = turn[0, 0] * x + turn[0, 1] * y + shift[0]
    v = turn[1, 0] * x + turn[1, 1] * y + shift[1]
    return np.dstack([u, -v])
