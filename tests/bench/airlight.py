"""The airlight against colours measured by hand in photographs, beside simpler picks.

    python tests/bench/airlight.py [--sheet FILE.png] [--steadiness]

The photographs are those of Bahat and Irani (ICCP 2016), at the engine's motion size. Angles are between
display-referred RGB vectors, as in the literature; ``linear`` is the same in scene-linear light, and ``stops`` by how
much the length differs, display-referred. ``--steadiness`` looks at a hazy clip without truth instead: how much the
airlight changes from frame to frame, before and after smoothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
from clips import CLIPS

from vdp_engine.model.dehaze import airlight
from vdp_engine.model.dehaze.airlight import estimate_airlight, shot_airlight

_AREA = 240 * 428
_DARKER = 0.86  # than the wall that is pasted in
_SHARES = (0.05, 0.1, 0.15, 0.2, 0.3)


@dataclass(frozen=True)
class Photo:
    """A photograph, display-referred 0 to 1 and scene-linear (h, w, 3), and its airlight, display-referred (3,)."""

    name: str
    shown: np.ndarray
    light: np.ndarray
    truth: np.ndarray


def photos() -> list[Photo]:
    folder = CLIPS / "airlight"
    truth = json.loads((folder / "airlight.json").read_text(encoding="utf-8"))
    return [Photo(name, *_picture(folder / name), np.array(colour)) for name, colour in truth.items()]


def _picture(path: Path) -> tuple[np.ndarray, np.ndarray]:
    codes = cv2.imread(str(path))
    if codes is None:
        raise SystemExit(f"{path} cannot be read")
    light = decoded(codes[..., ::-1] / 255).astype(np.float32)
    scale = min(1.0, (_AREA / (light.shape[0] * light.shape[1])) ** 0.5)
    light = cv2.resize(light, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return displayed(light), light


def decoded(codes: np.ndarray) -> np.ndarray:
    """Scene-linear light of sRGB codes, 0 to 1 (IEC 61966-2-1)."""
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def displayed(light: np.ndarray) -> np.ndarray:
    """The inverse of ``decoded``, above 1 too."""
    light = np.maximum(light, 0).astype(np.float64)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def engine(photo: Photo) -> np.ndarray:
    return displayed(estimate_airlight(photo.light).colour)


def dark_channel(photo: Photo) -> np.ndarray:
    """The brightest of the 0.1 % of pixels with the brightest dark channel (He, Sun and Tang, 2009)."""
    dark = cv2.erode(photo.shown.min(-1), np.ones((15, 15))).ravel()
    chosen = photo.shown.reshape(-1, 3)[np.argsort(dark)[-max(1, len(dark) // 1000) :]]
    return chosen[chosen.sum(1).argmax()]


def brightest(photo: Photo) -> np.ndarray:
    pixels = photo.shown.reshape(-1, 3)
    return pixels[pixels.sum(1).argmax()]


def quadtree(photo: Photo) -> np.ndarray:
    """The quarter of a quarter of … that is brightest less its spread (Kim et al., 2013)."""
    part = photo.shown
    while min(part.shape[:2]) > 12:
        y, x = part.shape[0] // 2, part.shape[1] // 2
        quarters = (part[:y, :x], part[:y, x:], part[y:, :x], part[y:, x:])
        part = max(quarters, key=lambda one: (one.mean((0, 1)) - one.std((0, 1))).mean())
    return part.mean((0, 1))


def grey(photo: Photo) -> np.ndarray:
    return np.full(3, photo.shown.max())


def without(**constants: float) -> Callable[[Photo], np.ndarray]:
    """The engine with some of its constants others."""

    def changed(photo: Photo) -> np.ndarray:
        with mock.patch.multiple(airlight, **constants):
            return engine(photo)

    return changed


METHODS: dict[str, Callable[[Photo], np.ndarray]] = {
    "engine": engine,
    "all pixels of a place, not its darkest": without(_DARK=1.0),
    "hazy places that do not agree kept": without(_AGREES_ANYWAY=4.0),
    "haziest places not told from hazy ones": without(_HAZIEST=0.2),
    "mean, not the brightest, as strength": without(_WHITE=0.5),
    "quadtree": quadtree,
    "dark channel": dark_channel,
    "brightest pixel": brightest,
    "grey": grey,
}


def angle(one: np.ndarray, other: np.ndarray) -> float:
    cosine = float(one @ other) / float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(min(cosine, 1.0))))


def stops(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.log2(np.linalg.norm(found) / np.linalg.norm(truth)))


def with_white_object(photo: Photo, share: float) -> Photo:
    """A bright, nearly flat wall of this share of the picture in its lower part."""
    light, (height, width) = photo.light.copy(), photo.light.shape[:2]
    rows, columns = int(height * share**0.5), int(width * share**0.5)
    wall = np.linspace(0.85, 1, columns)[:, None] * np.array([0.95, 0.95, 0.93])
    light[int(height * 0.95) - rows :, int(width * 0.3) :][:rows, :columns] = wall
    return Photo(photo.name, displayed(light), light, photo.truth)


def summary(chosen: list[Photo]) -> str:
    columns = ("median", "mean", "worst", "linear, median", "linear, worst", "stops, median", "stops, worst",
               "8 % white, mean", "stops, median")  # fmt: skip
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    walls = [with_white_object(photo, 0.08) for photo in chosen if photo.truth.max() < _DARKER]
    for name, method in METHODS.items():
        found = [(method(photo), photo.truth) for photo in chosen]
        angles = [angle(*pair) for pair in found]
        linear = [angle(decoded(one), decoded(truth)) for one, truth in found]
        lengths = [abs(stops(*pair)) for pair in found]
        beside = [(method(photo), photo.truth) for photo in walls]
        cells = (np.median(angles), np.mean(angles), max(angles), np.median(linear), max(linear), np.median(lengths),
                 max(lengths), np.mean([angle(*pair) for pair in beside]),
                 np.median([abs(stops(*pair)) for pair in beside]))  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    return "\n".join(lines)


def each(chosen: list[Photo]) -> str:
    beside = {name: METHODS[name] for name in ("quadtree", "dark channel", "brightest pixel")}
    lines = ["| photograph | engine | linear | stops | confidence | " + " | ".join(beside) + " |", "|---" * 8 + "|"]
    for photo in chosen:
        estimate = estimate_airlight(photo.light)
        found = displayed(estimate.colour)
        cells = (angle(found, photo.truth), angle(estimate.colour, decoded(photo.truth)), stops(found, photo.truth),
                 estimate.confidence, *(angle(method(photo), photo.truth) for method in beside.values()))  # fmt: skip
        lines.append(f"| {photo.name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    return "\n".join(lines)


def white_objects(chosen: list[Photo]) -> str:
    """Median and mean angle, and median stops, with a white wall pasted in, where A is clearly darker than the wall."""
    dark = [photo for photo in chosen if photo.truth.max() < _DARKER]
    methods = (engine, quadtree, dark_channel, brightest)
    names = " | ".join(one.__name__.replace("_", " ") for one in methods)
    lines = [f"| share of the picture | {names} |", "|---" * 5 + "|"]
    for share in (0.04, 0.08, 0.15):
        pasted = [with_white_object(photo, share) for photo in dark]
        cells = []
        for method in methods:
            found = [(method(photo), photo.truth) for photo in pasted]
            angles = [angle(*pair) for pair in found]
            off = float(np.median([abs(stops(*pair)) for pair in found]))
            cells.append(f"{np.median(angles):.2f}, {np.mean(angles):.2f}, {off:.2f}")
        lines.append(f"| {share:.0%} of {len(dark)} photographs | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def left_out(chosen: list[Photo]) -> str:
    """Every photograph with the share of hazy places that is best, by the mean angle, for all the others."""
    table = np.array([[angle(without(_HAZY=share)(photo), photo.truth) for photo in chosen] for share in _SHARES])
    best = [int(np.delete(table, index, 1).mean(1).argmin()) for index in range(len(chosen))]
    held = table[best, np.arange(len(chosen))]
    rows = [f"| {share} | " + " | ".join(f"{cell:.2f}" for cell in (np.median(row), row.mean(), row.max())) + " |"
            for share, row in zip(_SHARES, table, strict=True)]  # fmt: skip
    held_out = f"| left out in turn | {np.median(held):.2f} | {held.mean():.2f} | {held.max():.2f} |"
    return "\n".join(["| share of hazy places | median | mean | worst |", "|---|---|---|---|", *rows, held_out])


def sheet(chosen: list[Photo], path: Path) -> None:
    """The three worst, each above its measured airlight on the left and the engine's on the right."""
    tiles = []
    for photo in sorted(chosen, key=lambda one: -angle(engine(one), one.truth))[:3]:
        tile = cv2.resize(photo.shown, (428, 300))
        band = np.empty((80, 428, 3))
        band[:, :214], band[:, 214:] = photo.truth, engine(photo)
        tiles.append(np.vstack([tile, band]))
    cv2.imwrite(str(path), (np.clip(np.hstack(tiles)[..., ::-1], 0, 1) * 255 + 0.5).astype(np.uint8))


def steadiness(folder: Path) -> str:
    """Largest change from one frame to the next, in sRGB codes of 255: each frame's own, and smoothed."""
    paths = sorted(folder.glob("*.jpg"))
    own = [estimate_airlight(_picture(path)[1]) for path in paths]
    every = list(range(0, len(own), 4))
    courses = {
        "each frame's own": np.stack([one.colour for one in own]),
        "smoothed, all frames": shot_airlight(own, range(len(own)), len(own)),
        "smoothed, every fourth frame": shot_airlight([own[at] for at in every], every, len(own)),
    }
    lines = ["| | most from frame to frame | range over the clip | mean colour |", "|---|---|---|---|"]
    for name, course in courses.items():
        codes = 255 * displayed(course)
        mean = ", ".join(f"{value:.0f}" for value in codes.mean(0))
        lines.append(f"| {name} | {np.abs(np.diff(codes, axis=0)).max():.2f} | {np.ptp(codes, 0).max():.2f} | {mean} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path, help="picture of the three worst")
    parser.add_argument("--steadiness", action="store_true")
    chosen = parser.parse_args()
    if chosen.steadiness:
        print(steadiness(CLIPS / "dehaze" / "real_video"))
        return
    found = photos()
    print("\n\n".join([summary(found), each(found), white_objects(found), left_out(found)]))
    if chosen.sheet:
        sheet(found, chosen.sheet)


if __name__ == "__main__":
    main()
