"""How well the clean plate brings back what is hidden, on shots without a known background.

    python tests/bench/layers.py                     # leaves fitted shots in build/bench/runs/default/seed0
    python tests/bench/clean_plate.py [SHOTS] [--clips cows dog] [--pairs 8] [--sheet clean.png]

The shot's own foreground is pasted a second time, beside itself, into every frame. What it covers there is known: the
plate. The renderer is given these plates and both foregrounds, and what it puts behind the pasted one is compared with
the plate, log-encoded, where the real foreground is well away. Motion was fitted on the plate itself.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from clips import CHECKOUT, machine, read_channel
from safetensors import safe_open

from vdp_engine.model import load_decomposition
from vdp_engine.motion import MotionFrame, follow_camera, shot_sizes
from vdp_engine.plate import Frame, log_encode
from vdp_engine.render.clean import Background
from vdp_engine.render.frame import FrameRenderer
from vdp_engine.shot import Shot

_CLEAR = 0.01  # α below this shows the background
_AWAY = 8  # pixels around the real foreground that are not scored: its matte is not the truth
_RIM = 2  # pixels on either side of the hole's edge in which a seam would lie
_COLUMNS = ("seen dB", "unseen dB", "unseen %", "seam", "seam of plate", "flicker", "flicker of plate")


@dataclass(frozen=True)
class HoldOut:
    """A shot with its foreground pasted a second time, ``shift`` away."""

    shot: Shot

    @cached_property
    def mattes(self) -> list[np.ndarray]:
        """α of the foreground as it was rendered, a frame each, (H, W)."""
        return [read_channel(self.shot.layer_file(frame), "A") for frame in self.shot.frames]

    @cached_property
    def shift(self) -> tuple[int, int]:
        """Where most of the copy lies over background, of some shares of the picture; rows and columns."""
        height, width = self.mattes[0].shape
        small = [cv2.resize(matte, (width // 8, height // 8), interpolation=cv2.INTER_AREA) for matte in self.mattes]
        covered = [matte > 0.1 for matte in small]
        rows, columns = small[0].shape
        sides = [(down * rows // 6, across * columns // 8) for down in range(-2, 3) for across in range(-5, 6)]

        def shown(by: tuple[int, int]) -> int:
            return sum(int((moved(frame.astype(np.float32), by) > 0.5)[~frame].sum()) for frame in covered)

        # Sideways before up and down: what stands on the ground stays there. As near as is as good.
        best = max(sides, key=lambda by: shown(by) * (1.0 if by[0] == 0 else 0.8) - 0.001 * abs(by[1]))
        return 8 * best[0], 8 * best[1]

    def copy(self, position: int) -> np.ndarray:
        """α of the pasted foreground, (H, W)."""
        return moved(self.mattes[position], self.shift)

    def plate(self, position: int) -> np.ndarray:
        """The plate as it is, (H, W, 3), scene-linear."""
        return self.shot.plate.read(self.shot.frames[position]).on(self.shot.plate.canvas)

    @lru_cache(maxsize=24)  # noqa: B019 - as long as the shot is at work
    def pasted(self, position: int) -> Frame:
        """The plate with the copy in it."""
        plate = self.plate(position)
        alpha = self.copy(position)[..., None]
        pixels = (1 - alpha) * plate + alpha * moved(plate, self.shift)
        return replace(self.shot.plate.read(self.shot.frames[position]), pixels=np.ascontiguousarray(pixels))

    def __hash__(self) -> int:
        return id(self)


def moved(picture: np.ndarray, by: tuple[int, int]) -> np.ndarray:
    """``picture`` (H, W[, C]) shifted by whole pixels, 0 where nothing comes in."""
    height, width = picture.shape[:2]
    y, x = by
    result = np.zeros_like(picture)
    result[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)] = picture[
        max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)
    ]
    return result


class Camera:
    """The camera's motion over the shot."""

    def __init__(self, shot: Shot) -> None:
        theta = []
        for frame in shot.frames:
            with safe_open(shot.motion_file(frame), "pt") as stored:
                gaps = stored.get_tensor("gaps").tolist()
                theta.append(stored.get_tensor("theta")[[gaps.index(1), gaps.index(-1)]].clone())
        self.theta = torch.stack(theta)
        self.fitted = MotionFrame.load(shot.motion_file(shot.frames[0]), shot.frames[0]).size
        self.scale = torch.tensor([shot.plate.canvas.width / self.fitted[1], shot.plate.canvas.height / self.fitted[0]])

    def way(self, points: np.ndarray, start: int, end: int) -> np.ndarray:
        """Where ``points`` (N, 2) of a frame, x and y in pixels of the plate, lie in another."""
        at = (torch.from_numpy(points) + 0.5) / self.scale - 0.5
        step = 1 if end > start else -1
        for position in range(start, end, step):
            at = follow_camera(at, self.theta[position, 0 if step > 0 else 1], self.fitted)
        return np.asarray(((at + 0.5) * self.scale - 0.5).numpy(), np.float32)


@dataclass
class Sums:
    """Sums over pixels from which a clip's figures come."""

    seen: list[float]
    unseen: list[float]
    seam: list[float]
    flicker: list[float]

    @classmethod
    def empty(cls) -> Sums:
        return cls([0.0, 0.0], [0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0])

    def figures(self) -> dict[str, float]:
        count = max(self.seen[1] + self.unseen[1], 1)
        seam, flicker = (np.array(sums[:2]) / max(sums[2], 1) for sums in (self.seam, self.flicker))
        unseen = 100 * self.unseen[1] / count
        values = (decibels(*self.seen), decibels(*self.unseen), unseen, *(1000 * seam), *(1000 * flicker))
        return dict(zip(_COLUMNS, values, strict=True))


def decibels(squares: float, pixels: float) -> float:
    """PSNR with 1.0 as peak of an error given as its sum of squares over three channels."""
    return -10 * float(np.log10(max(squares / (3 * pixels), 1e-12))) if pixels else float("nan")


class Bench:
    """Renders and scores frames of one hold-out."""

    def __init__(self, shot: Shot) -> None:
        self.hold, self.camera = HoldOut(shot), Camera(shot)
        self.model = load_decomposition(shot, torch.device("cpu"))
        net = self.model.foreground.shape[1:]
        # What the fit would say of the copy is what it says of the original.
        self.copies = [
            cv2.resize(self.hold.copy(position), net[::-1], interpolation=cv2.INTER_AREA)
            for position in range(len(shot.frames))
        ]
        foreground = [
            np.maximum(frame, np.round(255 * copy).astype(np.uint8))
            for frame, copy in zip(self.model.foreground, self.copies, strict=True)
        ]
        self.renderer = FrameRenderer(
            canvas=shot.plate.canvas,
            working=shot_sizes(shot).flow,
            background=Background(self.camera.theta, self.camera.fitted, np.stack(foreground)),
            read=self.hold.pasted,
            bit_depth="float",
            alpha="premultiplied",
        )

    def clean(self, position: int) -> np.ndarray:
        """The clean plate of a frame with the copy in it, log-encoded (H, W, 3)."""
        net = self.model.at(position)
        mattes = net.mattes.clone()
        mattes[1] = torch.maximum(mattes[1], torch.from_numpy(self.copies[position]))
        mattes[0] = (1 - mattes[1:].sum(0)).clamp(min=0)
        channels = self.renderer.render(position, replace(net, mattes=mattes)).channels
        return encoded(np.dstack([channels[f"clean.{c}"] for c in "RGB"]))

    def scored(self, position: int) -> np.ndarray:
        """Bool (H, W): what only the copy hides."""
        near = np.ones((2 * _AWAY + 1, 2 * _AWAY + 1), np.uint8)
        real = cv2.dilate(self.hold.mattes[position], near)
        return (self.hold.copy(position) > 0.5) & (real < _CLEAR)

    def seen(self, position: int, hidden: np.ndarray) -> np.ndarray:
        """Bool (H, W): which of the hidden pixels another frame shows."""
        rows, columns = np.nonzero(hidden)
        points = np.column_stack([columns, rows]).astype(np.float32)
        found = np.zeros(len(points), bool)
        for other in range(len(self.hold.mattes)):
            x, y = self.camera.way(points, position, other).round().astype(int).T
            cover = np.maximum(self.hold.mattes[other], self.hold.copy(other))
            inside = (x >= 0) & (x < cover.shape[1]) & (y >= 0) & (y < cover.shape[0])
            found[inside] |= cover[y[inside], x[inside]] < _CLEAR
        result = np.zeros_like(hidden)
        result[rows, columns] = found
        return result

    def pair(self, position: int, sums: Sums) -> tuple[np.ndarray, np.ndarray]:
        """Score a frame and its steadiness to the next; gives both clean plates."""
        cleans = self.clean(position), self.clean(position + 1)
        truths = encoded(self.hold.plate(position)), encoded(self.hold.plate(position + 1))
        hidden = self.scored(position)
        seen = self.seen(position, hidden)
        squares = np.square(cleans[0] - truths[0], dtype=np.float64).sum(-1)
        for part, into in ((seen, sums.seen), (hidden & ~seen, sums.unseen)):
            into[0] += float(squares[part].sum())
            into[1] += int(part.sum())
        self._seam(cleans[0], truths[0], hidden, position, sums)
        y, x = np.indices(hidden.shape, np.float32)
        way = self.camera.way(np.dstack([x, y]).reshape(-1, 2), position, position + 1).reshape(*hidden.shape, 2)
        inside = (way >= 0).all(-1) & (way <= (hidden.shape[1] - 1, hidden.shape[0] - 1)).all(-1)
        both = hidden & inside & (carried(self.scored(position + 1).astype(np.float32), way) > 0.99)
        for index, (now, then) in enumerate((cleans, truths)):
            sums.flicker[index] += float(np.abs(now - carried(then, way)).mean(-1)[both].sum())
        sums.flicker[2] += int(both.sum())
        return cleans

    def _seam(self, clean: np.ndarray, truth: np.ndarray, hidden: np.ndarray, position: int, sums: Sums) -> None:
        square = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
        mask = hidden.astype(np.uint8)
        rim = (cv2.dilate(mask, square) - cv2.erode(mask, square)) > 0
        rim &= cv2.dilate(self.hold.mattes[position], np.ones((17, 17), np.uint8)) < _CLEAR
        sums.seam[0] += float(np.abs(gradient(clean) - gradient(truth)).mean((-1, -2))[rim].sum())
        sums.seam[1] += float(np.abs(gradient(truth)).mean((-1, -2))[rim].sum())
        sums.seam[2] += int(rim.sum())


def encoded(plate: np.ndarray) -> np.ndarray:
    return np.asarray(log_encode(np.maximum(plate, 0)), np.float32)


def gradient(picture: np.ndarray) -> np.ndarray:
    """Differences down and across, (H, W, 3, 2)."""
    return np.stack([np.gradient(picture, axis=axis) for axis in (0, 1)], -1)


def carried(picture: np.ndarray, way: np.ndarray) -> np.ndarray:
    return cv2.remap(picture, way[..., 0], way[..., 1], cv2.INTER_LINEAR)


def positions(count: int, pairs: int) -> list[int]:
    """First frames of so many pairs, spread over the shot."""
    return sorted({int(at) for at in np.linspace(1, count - 3, min(pairs, count - 3))})


def table(rows: dict[str, dict[str, float]]) -> str:
    """One Markdown table with the mean of the clips."""
    lines = ["| clip | " + " | ".join(_COLUMNS) + " |", "|---" * (len(_COLUMNS) + 1) + "|"]
    mean = {column: float(np.nanmean([row[column] for row in rows.values()])) for column in _COLUMNS}
    for name, row in [*rows.items(), ("**mean**", mean)]:
        lines.append(f"| {name} | " + " | ".join(f"{row[column]:.2f}" for column in _COLUMNS) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = CHECKOUT / "build" / "bench" / "runs" / "default" / "seed0"
    parser.add_argument("shots", type=Path, nargs="?", default=default, help="folder of decomposed shots")
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="some of them (all)")
    parser.add_argument("--pairs", type=int, default=8, help="pairs of neighbouring frames a clip (8)")
    parser.add_argument("--sheet", type=Path, help="PNG: plate with the copy, clean plate, and plate")
    chosen = parser.parse_args()

    print(f"{machine()}\n", flush=True)
    torch.set_num_threads(1)
    rows: dict[str, dict[str, float]] = {}
    strips = []
    for folder in sorted(path.parent for path in chosen.shots.glob("*/.vdp")):
        if chosen.clips is not None and folder.name not in chosen.clips:
            continue
        bench, sums = Bench(Shot.load(folder)), Sums.empty()
        for position in positions(len(bench.hold.shot.frames), chosen.pairs):
            clean, _ = bench.pair(position, sums)
        rows[folder.name] = sums.figures()
        pictures = [encoded(bench.hold.pasted(position).pixels), clean, encoded(bench.hold.plate(position))]
        strips.append(np.hstack(pictures))
        print(folder.name, rows[folder.name], flush=True)
    print(f"\n{table(rows)}")
    if chosen.sheet is not None:
        width = min(strip.shape[1] for strip in strips)
        sheet = np.vstack([cv2.resize(s, (width, round(s.shape[0] * width / s.shape[1]))) for s in strips])
        cv2.imwrite(str(chosen.sheet), np.clip(sheet[..., ::-1] * (255 / 0.6), 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
