"""How well an edit follows its layer: positions where they are known, pictures where they are not.

    python -m vdp_engine demo build/demo
    python tests/bench/layers.py                     # leaves fitted shots in build/bench/runs/default/seed0
    python tests/bench/propagate.py [--demo build/demo] [--shots FOLDER] [--clips dog cows] [--span 16]

Demo: distance in pixels between where the engine carries the surface under each pixel of a layer and where it is,
over the whole shot, from the first and from the middle frame. Clips: the middle frame of the plate itself is carried to
the frames around it and compared with them inside the layer: PSNR in dB, log-encoded with 1.0 as peak. Both with and
without the step that looks at the reference again (``anchor``).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from clips import CHECKOUT, machine, read_channel

from vdp_engine.motion import shot_sizes
from vdp_engine.motion.proxy import read_proxies
from vdp_engine.render import propagate as stage
from vdp_engine.render.clean import resample
from vdp_engine.render.resize import shrunk
from vdp_engine.shot import Shot

_LAYERS = ("fg1", "bg")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, help="folder that `vdp demo` wrote")
    parser.add_argument("--shots", type=Path, default=CHECKOUT / "build" / "bench" / "runs" / "default" / "seed0")
    parser.add_argument("--clips", nargs="*", default=None, help="some of the shots; none: all")
    parser.add_argument("--span", type=int, default=16, help="frames each way")
    given = parser.parse_args()
    print(f"{machine()}\n")
    if given.demo is not None:
        print("| demo | from frame | chained: mean px | 95 % | anchored: mean px | 95 % | worst frame's mean |")
        print("|---|---|---|---|---|---|---|")
        for row in demo_rows(given.demo):
            print(f"| {row} |", flush=True)
    names = sorted(path.parents[1].name for path in given.shots.glob("*/.vdp/shot.json"))
    chosen = names if given.clips is None else given.clips
    if chosen:
        print("\n| clip | layer | seen in both | chained dB | anchored dB | far: chained | far: anchored | s a frame |")
        print("|---|---|---|---|---|---|---|---|")
    for name in chosen:
        shot = Shot.load(given.shots / name)
        for layer in _LAYERS:
            print(f"| {name} | {layer} | {round_trip(shot, layer, given.span)} |", flush=True)


def demo_rows(folder: Path) -> Iterator[str]:
    """A row of the demo's table for each layer and reference frame."""
    shot = Shot.load(folder / "layers")
    everything = range(len(shot.frames))
    for layer in _LAYERS:
        steps = [_motion(folder, frame, layer) for frame in shot.frames]
        for reference in (0, len(shot.frames) // 2):
            chained, anchored = (
                np.array([_error(folder, shot, layer, steps, reference, *way) for way in ways if way[0] != reference])
                for ways in both(shot, layer, reference, everything)
            )
            figures = (*chained.mean(0), *anchored.mean(0), anchored[:, 0].max())
            yield f"{layer} | {shot.frames[reference]} | " + " | ".join(f"{figure:.2f}" for figure in figures)


def both(shot: Shot, layer: str, reference: int, wanted: range) -> tuple[Iterator, Iterator]:
    """Ways without and with the look at the reference."""
    return _chained(shot, layer, reference, wanted), stage.ways(shot, layer, reference, wanted)


def _chained(shot: Shot, layer: str, reference: int, wanted: range) -> Iterator[tuple[int, np.ndarray]]:
    anchor = stage.anchor
    stage.anchor = lambda shift, here, there: shift
    try:
        yield from list(stage.ways(shot, layer, reference, wanted))
    finally:
        stage.anchor = anchor


def _motion(folder: Path, frame: int, layer: str) -> np.ndarray:
    """(3, 3) matrix that carries pixels of the layer to the next frame: the demo's motion is linear in x and y."""
    path = folder / "truth" / f"demo.{frame}.exr"
    alpha = read_channel(path, "fg1.A")
    rows, columns = np.nonzero(alpha >= 0.5 if layer == "fg1" else alpha <= 0)
    u, v = read_channel(path, "forward.u")[rows, columns], read_channel(path, "forward.v")[rows, columns]
    here = np.column_stack([columns, rows, np.ones(len(rows))])
    matrix, *_ = np.linalg.lstsq(here, here[:, :2] + np.column_stack([u, -v]), rcond=None)
    return np.vstack([matrix.T, [0, 0, 1]])


def _error(
    folder: Path, shot: Shot, layer: str, steps: list[np.ndarray], reference: int, position: int, shift: np.ndarray
) -> tuple[float, float]:
    """Mean and 95 % quantile of the distance, over the layer where the reference's picture holds the truth."""
    matrix = np.eye(3)
    for step in range(min(position, reference), max(position, reference)):
        matrix = steps[step] @ matrix
    if position > reference:
        matrix = np.linalg.inv(matrix)
    alpha = read_channel(folder / "truth" / f"demo.{shot.frames[position]}.exr", "fg1.A")
    y, x = np.nonzero(alpha > 0.5 if layer == "fg1" else alpha < 0.5)
    truth = (matrix @ np.stack([x, y, np.ones(len(x))]))[:2].T
    inside = ((truth >= 0) & (truth <= (alpha.shape[1] - 1, alpha.shape[0] - 1))).all(1)
    distance = np.linalg.norm(np.column_stack([x, y]) + shift[y, x] - truth, axis=1)[inside]
    return float(distance.mean()), float(np.quantile(distance, 0.95))


def round_trip(shot: Shot, layer: str, span: int) -> str:
    """The cells of one clip and layer; the pixels scored are the same for both ways."""
    reference = len(shot.frames) // 2
    wanted = range(max(0, reference - span), min(len(shot.frames), reference + span + 1))
    there, matte_there = _look(shot, layer, reference)
    began = time.process_time()
    chained, anchored = (dict(one) for one in both(shot, layer, reference, wanted))
    seconds = (time.process_time() - began) / (2 * len(wanted))
    scores = []
    for position in wanted:
        if position == reference:
            continue
        here, matte = _look(shot, layer, position)
        ways = [_pixels(matte.shape) + one[position] for one in (chained, anchored)]
        seen = matte > 0.9
        total = int(seen.sum())
        for way in ways:
            seen &= resample(matte_there, way, outside=0) > 0.9
        if seen.any():
            errors = [float(np.mean((resample(there, way, cubic=True) - here)[seen] ** 2)) for way in ways]
            far = abs(position - reference) > span / 2
            scores.append((seen.sum() / total, *(-10 * np.log10(max(error, 1e-9)) for error in errors), far))
    if not scores:
        return "never seen with the reference | | | | | "
    table = np.array(scores)
    late = table[table[:, 3] > 0, 1:3].mean(0) if table[:, 3].any() else np.full(2, np.nan)
    cells = [f"{100 * table[:, 0].mean():.0f} %", *(f"{dB:.1f}" for dB in (*table[:, 1:3].mean(0), *late))]
    return " | ".join([*cells, f"{seconds:.2f}"])


def _look(shot: Shot, layer: str, position: int) -> tuple[np.ndarray, np.ndarray]:
    sizes, frame = shot_sizes(shot), shot.frames[position]
    return read_proxies(shot.plate, frame, sizes)[0].image, shrunk(stage.read_matte(shot, frame, layer), sizes.flow)


def _pixels(size: tuple[int, int]) -> np.ndarray:
    return np.dstack(np.meshgrid(np.arange(size[1], dtype=np.float32), np.arange(size[0], dtype=np.float32)))


if __name__ == "__main__":
    main()
