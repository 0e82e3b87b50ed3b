"""Mattes and straight colours against known α: the engine beside a guided filter and PyMatting's closed form.

    python tests/bench/matting.py [--every 6] [--fitted DIR]

The clips are FRONT_over_BACK: a computer-made FRONT with known α over the clip BACK, composited in display-referred
values. All methods refine the same coarse matte, that of the engine's nets. What else moves in BACK rightly belongs
to the engine's foreground too, and its own soft edges are not known: pixels within 16 of it are left out, unless
FRONT is solid there. MSE, SAD and gradient error are those of alphamatting.com (Rhemann et al., 2009).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pymatting
import torch
from clips import CHECKOUT, CLIPS, Clip, machine, read_channel, run_engine

from vdp_engine.model import load_decomposition
from vdp_engine.shot import Shot

_AWAY = 16
_SIGMA = 1.4  # of the gradient error's derivative of a Gaussian
_COLUMNS = ("MSE x1e3", "SAD /1e3", "grad /1e3", "soft MSE x1e3", "soft SAD /1e3", "soft grad /1e3")
_COLOUR_COLUMNS = ("straight colour", "new background, soft band x1e3")


@dataclass(frozen=True)
class Sample:
    """One frame, display-referred 0 to 1.

    Attributes:
        plate, back: (H, W, 3), with and without FRONT.
        alpha: (H, W), of FRONT.
        counted: (H, W), where the truth is known.
        coarse: (h, w), the nets' matte.
        found: (H, W), the engine's.
        colour: (H, W, 3), the straight colour of the engine's foreground.
    """

    plate: np.ndarray
    back: np.ndarray
    alpha: np.ndarray
    counted: np.ndarray
    coarse: np.ndarray
    found: np.ndarray
    colour: np.ndarray

    @property
    def soft(self) -> np.ndarray:
        """Two pixels around what FRONT neither hides nor leaves."""
        band = ((self.alpha > 0) & (self.alpha < 1)).astype(np.uint8)
        return (cv2.dilate(band, np.ones((5, 5), np.uint8)) > 0) & self.counted

    @property
    def enlarged(self) -> np.ndarray:
        return cv2.resize(self.coarse, self.alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)


def samples(folder: Path, shot: Shot, every: int) -> list[Sample]:
    """Every so manieth frame of the clip in ``folder`` that ``shot`` was fitted and rendered from."""
    model = load_decomposition(shot, torch.device("cpu"))
    back = CLIPS / "layers" / folder.name.partition("_over_")[2]
    found = []
    for position, number in list(enumerate(shot.frames))[::every]:
        name = f"{position:05d}"
        others = _picture(back / "masks" / f"{name}.png")[..., 0] > 0.5
        distance = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, 5)
        alpha = _picture(folder / "alpha" / f"{name}.png")[..., 0]
        layers = shot.layer_file(number)
        found.append(Sample(
            _picture(folder / "frames" / f"{name}.jpg"), _picture(back / "frames" / f"{name}.jpg"), alpha,
            (distance >= _AWAY) | (alpha == 1), 1 - model.at(position).mattes[0].numpy(), read_channel(layers, "A"),
            _displayed(np.dstack([read_channel(layers, f"fg1.{c}") for c in "RGB"])),
        ))  # fmt: skip
    return found


def _displayed(light: np.ndarray) -> np.ndarray:
    """sRGB codes, 0 to 1, of scene-linear values (IEC 61966-2-1)."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def _picture(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    if picture is None:
        raise SystemExit(f"{path} cannot be read")
    return picture[..., ::-1].astype(np.float32) / 255


def guided(sample: Sample, gain: float) -> np.ndarray:
    """The guided filter with a colour guide (He, Sun and Tang, 2010); radius and ε the best of nine on this clip."""
    target = np.clip((sample.enlarged - 0.5) * gain + 0.5, 0, 1)
    side, guide = (33, 33), sample.plate
    mean, mean_target = cv2.blur(guide, side), cv2.blur(target, side)
    both = guide[..., :, None] * guide[..., None, :]
    together = np.dstack([cv2.blur(plane, side) for plane in np.moveaxis(both.reshape(*target.shape, 9), -1, 0)])
    covariance = together.reshape(both.shape) - mean[..., :, None] * mean[..., None, :]
    cross = cv2.blur(guide * target[..., None], side) - mean * mean_target[..., None]
    slope = np.linalg.solve(covariance + 1e-4 * np.eye(3), cross[..., None])[..., 0]
    offset = mean_target - (slope * mean).sum(-1)
    slope, offset = cv2.blur(slope, side), cv2.blur(offset, side)
    return np.clip((slope * guide).sum(-1) + offset, 0, 1)


def closed_form(sample: Sample) -> np.ndarray:
    """PyMatting's closed form in a band of 15 pixels on either side of the coarse edge."""
    inside = (sample.enlarged > 0.5).astype(np.uint8)
    distance = np.maximum(*(cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (inside, 1 - inside)))
    trimap = np.where(distance < 15, 0.5, inside)
    return pymatting.estimate_alpha_cf(sample.plate.astype(np.float64), trimap.astype(np.float64))


def gradient(alpha: np.ndarray) -> np.ndarray:
    """Length of the gradient by derivatives of a Gaussian, their filters of unit energy."""
    x = np.arange(-5, 6)
    bell = np.exp(-(x**2) / (2 * _SIGMA**2))
    slope = -x * bell
    unit = np.sqrt((np.outer(bell, slope) ** 2).sum())
    across, down = (cv2.sepFilter2D(alpha.astype(np.float64), -1, *pair) for pair in ((slope, bell), (bell, slope)))
    return np.hypot(across, down) / unit


def matte_errors(sample: Sample, alpha: np.ndarray) -> list[float]:
    error = alpha - sample.alpha
    slopes = gradient(alpha) - gradient(sample.alpha)
    errors: list[float] = []
    for where in (sample.counted, sample.soft):
        errors += [
            1e3 * float(np.mean(error[where] ** 2)),
            float(np.abs(error[where]).sum()) / 1e3,
            float((slopes[where] ** 2).sum()) / 1e3,
        ]
    return errors


def colour_errors(sample: Sample, alpha: np.ndarray, colour: np.ndarray) -> list[float]:
    """Mean |error| of the straight colour where α is 0.3 to 0.98; squared error over the clip's frame mirrored."""
    truth = (sample.plate - (1 - sample.alpha[..., None]) * sample.back) / np.maximum(sample.alpha, 0.3)[..., None]
    partly = sample.counted & (sample.alpha > 0.3) & (sample.alpha < 0.98)
    new = sample.back[::-1, ::-1]
    expected = sample.plate + (1 - sample.alpha[..., None]) * (new - sample.back)
    composite = alpha[..., None] * colour + (1 - alpha[..., None]) * new
    return [
        float(np.abs(colour - np.clip(truth, 0, 1))[partly].mean()),
        1e3 * float(np.mean((composite - expected)[sample.soft] ** 2)),
    ]


def table(columns: tuple[str, ...], rows: dict[str, list[list[float]]]) -> str:
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(f"{v:.3f}" for v in np.mean(rows[name], 0)) + " |" for name in rows]
    return "\n".join(lines)


def report(chosen: list[Sample]) -> None:
    """Both tables, on stdout."""
    methods: dict[str, Callable[[Sample], np.ndarray]] = {
        "coarse, enlarged": lambda sample: sample.enlarged,
        "guided filter": lambda sample: guided(sample, 1),
        "guided filter of the coarse matte sharpened": lambda sample: guided(sample, 3),
        "closed form (PyMatting)": closed_form,
        "engine": lambda sample: sample.found,
    }
    mattes = {name: [method(sample) for sample in chosen] for name, method in methods.items()}
    print(table(_COLUMNS, {
        name: [matte_errors(*pair) for pair in zip(chosen, found, strict=True)] for name, found in mattes.items()
    }))  # fmt: skip
    colours = {
        "engine's α, the plate's colour": [(s, s.found, s.plate) for s in chosen],
        "engine's α, PyMatting's colour": [(s, s.found, _multilevel(s.plate, s.found)) for s in chosen],
        "engine": [(s, s.found, s.colour) for s in chosen],
        "true α, PyMatting's colour": [(s, s.alpha, _multilevel(s.plate, s.alpha)) for s in chosen],
    }
    print("\n" + table(_COLOUR_COLUMNS, {name: [colour_errors(*at) for at in each] for name, each in colours.items()}))


def _multilevel(plate: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return pymatting.estimate_foreground_ml(plate.astype(np.float64), alpha.astype(np.float64))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--fitted", type=Path, help="a rendered shot with --alpha straight, not to run the engine")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench" / "matting")
    chosen = parser.parse_args()
    print(machine())
    for folder in sorted((CLIPS / "matting").glob("*_over_*")):
        out = chosen.fitted or chosen.scratch / folder.name
        if chosen.fitted is None:
            plate = Clip(folder.name, folder / "frames", folder / "alpha").plate(chosen.scratch)
            run_engine(
                "run", plate, "--out", str(out), "--alpha", "straight", "--progress", "plain",
                log=out.with_suffix(".log"),
            )  # fmt: skip
        print(f"\n{folder.name}, every {chosen.every}th frame\n")
        report(samples(folder, Shot.load(out), chosen.every))


if __name__ == "__main__":
    main()
