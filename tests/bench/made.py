"""Moving tests with known truth: real clips hazed and darkened by the physical model, in scene-linear light.

    python tests/bench/made.py haze|dark OUT [--clips NAME …] [--frames 24]

writes for each clip the plate ``OUT/NAME/plate/NAME.1001.exr …`` and its truth ``OUT/NAME/truth/NAME.1001.exr …``.
What is drawn at random is drawn from the clip's name: the same files every time. All else is one rule for all clips.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from clips import Clip, layer_clips
from display import read_picture, to_linear, write_plate
from scipy import ndimage

FRAMES = 24
# How much of the light from what is farthest comes through, for the clips in turn.
VEILS = {"thin": 0.6, "medium": 0.35, "thick": 0.15}
STOPS = (3.0, 4.0, 5.0)  # down, for the clips in turn
_SHOT_NOISE, _READ_NOISE = 1e-4, 4e-4  # variance for each unit of light, and σ, where display white is 1
_HORIZON = 0.3  # of the picture's height, or what keeps the object's foot below it
_FARTHEST = 8.0  # in distances of the picture's lowest row
_UNEVEN_STOPS = 1.5  # between the brightest and the darkest place of the lighting


@dataclass(frozen=True)
class Made:
    """One clip made, scene-linear, float32.

    Attributes:
        name: of the clip.
        kind: how strongly it was degraded, in words.
        plates, truth: (H, W, 3) each.
        airlight: (3,), of a hazed one.
        maps: (H, W) each, the transmission of a hazed one, or the light (of 1) that was left of a darkened one.
    """

    name: str
    kind: str
    plates: list[np.ndarray]
    truth: list[np.ndarray]
    maps: list[np.ndarray]
    airlight: np.ndarray | None = None

    def write(self, folder: Path) -> str:
        """The plate and its truth as EXR sequences in ``folder``; the plate's pattern."""
        write_plate(folder / "truth" / self.name, self.truth)
        return write_plate(folder / "plate" / self.name, self.plates)


def veil_of(clip: Clip) -> str:
    """Which of ``VEILS`` a clip is hazed with."""
    return list(VEILS)[_turn(clip) % len(VEILS)]


def stops_of(clip: Clip) -> float:
    """How many of ``STOPS`` a clip is darkened by."""
    return STOPS[_turn(clip) % len(STOPS)]


def hazed(clip: Clip, count: int | None = FRAMES) -> Made:
    """X = T ⊙ J + (1 − T) ⊙ A and sensor noise, with T = exp(−β d), on the first ``count`` frames (none: all).

    d comes from a flat ground that ends at the horizon, and the object, which stands where its foot does.
    """
    rng, veil = _draws(clip, "haze"), veil_of(clip)
    truth = _light(clip, count)
    masks = clip.truth()[: len(truth)]
    beta = -np.log(VEILS[veil]) / _FARTHEST
    airlight = draw_airlight(rng)
    maps = [np.exp(-beta * depth).astype(np.float32) for depth in depths(masks)]
    plates = [
        _noisy(through[..., None] * clear + (1 - through[..., None]) * airlight, rng)
        for through, clear in zip(maps, truth, strict=True)
    ]
    return Made(clip.name, f"{veil} haze", plates, truth, maps, airlight)


def darkened(clip: Clip, count: int | None = FRAMES) -> Made:
    """X = J ⊙ g and sensor noise at that low level, on the first ``count`` frames (none: all).

    g is some stops down, and uneven: smooth, and drifting slowly over the picture.
    """
    rng, stops = _draws(clip, "dark"), stops_of(clip)
    truth = _light(clip, count)
    maps = [2.0**-stops * light for light in lighting(truth[0].shape[:2], len(truth), rng)]
    plates = [_noisy(gain[..., None] * clear, rng) for gain, clear in zip(maps, truth, strict=True)]
    return Made(clip.name, f"{stops:g} stops down", plates, truth, maps)


def depths(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The distance of every pixel, float32 (H, W), in distances of the picture's lowest row.

    A pinhole camera over a flat ground sees distance 1 / (row − horizon). What is above the horizon is as far as what
    is farthest. The object is as far as the ground where its lowest pixel stands, smoothed over time.

    Args:
        masks: where the object is, bool (H, W), of each frame.
    """
    height, width = masks[0].shape
    lowest = np.array([np.flatnonzero(mask.any(1))[-1] if mask.any() else height - 1 for mask in masks], np.float64)
    lowest = ndimage.gaussian_filter1d(lowest, 2.0, mode="nearest")
    horizon = min(_HORIZON * height, lowest.min() - 0.1 * height)

    def distance(row: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            far = np.where(row > horizon, (height - 1 - horizon) / np.maximum(row - horizon, 1e-6), _FARTHEST)
        return np.minimum(far, _FARTHEST)

    ground = np.repeat(distance(np.arange(height))[:, None], width, 1)
    found = []
    for mask, foot in zip(masks, lowest, strict=True):
        # An edge is as soft as a lens makes it.
        inside = cv2.GaussianBlur(mask.astype(np.float64), (0, 0), 0.7)
        found.append(((1 - inside) * ground + inside * float(distance(np.array(foot)))).astype(np.float32))
    return found


def draw_airlight(rng: np.random.Generator) -> np.ndarray:
    """A light colour, float32 (3,), 0.6 to 0.95 bright, warmer or cooler than grey by up to 15 %."""
    warmth, green = rng.uniform(-0.15, 0.15), rng.uniform(-0.04, 0.04)
    return np.float32(rng.uniform(0.6, 0.95)) * np.array([1 + warmth, 1 + green, 1 - warmth], np.float32)


def lighting(shape: tuple[int, int], count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Smooth maps (H, W), float32, around 1, that drift by a tenth of the picture's width in 24 frames."""
    height, width = shape
    y, x = np.mgrid[:height, :width] / np.float64(width)
    waves = [
        (rng.uniform(2, 6), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1)) for _ in range(4)
    ]
    heading = rng.uniform(0, 2 * np.pi)
    logs = []
    for frame in range(count):
        moved = 0.1 * frame / 24
        u, v = x - moved * np.cos(heading), y - moved * np.sin(heading)
        logs.append(sum(
            strength * np.sin(rate * (u * np.cos(angle) + v * np.sin(angle)) + phase)
            for rate, angle, phase, strength in waves
        ))  # fmt: skip
    spread = np.max(logs[0]) - np.min(logs[0])
    return [np.exp2((log - np.mean(logs[0])) * _UNEVEN_STOPS / spread).astype(np.float32) for log in logs]


def _noisy(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``light`` as a sensor counts it: noise whose variance grows with the light, and its own."""
    sigma = np.sqrt(_SHOT_NOISE * light + _READ_NOISE**2)
    return (light + sigma * rng.standard_normal(light.shape)).astype(np.float32)


def _light(clip: Clip, count: int | None) -> list[np.ndarray]:
    return [to_linear(read_picture(path)) for path in clip.pictures()[:count]]


def _draws(clip: Clip, what: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{what} {clip.name}".encode()).digest()[:8], "big"))


def _turn(clip: Clip) -> int:
    """Which of all clips this is."""
    return [one.name for one in layer_clips()].index(clip.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("haze", "dark"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="some of the clips (all)")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"of each clip, 0 for all ({FRAMES})")
    chosen = parser.parse_args()
    for clip in layer_clips(chosen.clips):
        count = chosen.frames or None
        made = hazed(clip, count) if chosen.what == "haze" else darkened(clip, count)
        print(made.write(chosen.out / clip.name), made.kind, flush=True)


if __name__ == "__main__":
    main()
