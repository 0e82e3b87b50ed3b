"""What ``vdp render`` costs at 4096×2160, against what reading that plate and writing the same EXRs costs alone.

    python tests/bench/render_cost.py [--frames 4] [--rounds 3] [--threads 2] [--size 4096x2160]

Both run alternately, each in a process of its own with the same number of threads. The cost of starting the
interpreter and loading the libraries is measured too (a render with nothing left to do) and taken off the render;
the raw figures are printed as well. The plate is the demo plate, enlarged, with fresh grain so that it compresses
as footage does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import OpenImageIO as oiio
from clips import CHECKOUT, machine, run_engine

from vdp_engine.check.layers_file import LayerFile
from vdp_engine.demo.scene import Scene, write_exr
from vdp_engine.plate import write_layers
from vdp_engine.shot import Shot


def enlarged_plate(folder: Path, width: int, height: int, frames: int) -> str:
    """The demo plate at another size; its pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = Scene()
    # Frames from the middle of the demo, as far apart as they are there.
    for index in range(frames):
        path = folder / f"large.{1001 + index}.exr"
        if path.exists():
            continue
        small = scene.render((scene.frames - frames) // 2 + index).plate
        large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        rng = np.random.default_rng(index)
        large += rng.standard_normal(large.shape, np.float32) * np.sqrt(4e-6 + 1e-4 * np.maximum(large, 0))
        write_exr(path, {name: large[..., channel] for channel, name in enumerate("RGB")}, index)
    return f"{folder / 'large'}.1001-{1000 + frames}#.exr"


def copy_cost(shot: Shot, threads: int) -> float:
    """Seconds that reading the plate and writing the shot's layer files again takes, without anything between."""
    oiio.attribute("threads", threads)
    seconds = 0.0
    for frame in shot.frames:
        with LayerFile(shot.layer_file(frame), frame) as file:
            bands = [channels for _, channels in file.bands()]
            layers = {name: np.vstack([band[name] for band in bands]) for name in file.names}
        target = shot.work / "copy.exr"
        began = time.monotonic()
        plate = shot.plate.read(frame)
        write_layers(
            target, layers, plate.header, bit_depth=shot.settings.bit_depth, compression=shot.settings.compression
        )
        seconds += time.monotonic() - began
        target.unlink()
    return seconds


def _copy_in_a_process(out: Path, threads: int) -> float:
    paths = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, __file__, "--copy", str(out), "--threads", str(threads)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, env=paths).stdout))


def measure(out: Path, threads: int, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of each round for all frames: rendering, starting up only, copying."""
    shot = Shot.load(out)
    arguments = ("render", str(out), "--progress", "plain", "--threads", str(threads))
    renders, starts, copies = [], [], []
    for turn in range(rounds):
        copies.append(_copy_in_a_process(out, threads))
        for frame in shot.frames:
            shot.layer_file(frame).unlink()
        renders.append(run_engine(*arguments, log=out / "bench.log").seconds)
        starts.append(run_engine(*arguments, log=out / "bench.log").seconds)
        count = len(shot.frames)
        net = (renders[-1] - starts[-1]) / count
        print(f"round {turn + 1}: render {net:.2f} s a frame, copy {copies[-1] / count:.2f} s a frame", flush=True)
    return renders, starts, copies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--size", default="4096x2160")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench" / "render_cost")
    parser.add_argument("--copy", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.copy is not None:
        print(json.dumps(copy_cost(Shot.load(chosen.copy), chosen.threads)))
        return

    width, height = (int(side) for side in chosen.size.split("x"))
    plate = enlarged_plate(chosen.scratch / f"plate_{chosen.size}", width, height, chosen.frames)
    out = chosen.scratch / "layers"
    shutil.rmtree(out, ignore_errors=True)
    print(f"{machine()}, {chosen.threads} threads, {chosen.size}, {chosen.frames} frames", flush=True)
    run_engine(
        "run", plate, "--frames", f"1001-{1000 + chosen.frames}", "--out", str(out), "--progress", "plain",
        "--threads", str(chosen.threads), log=out.with_suffix(".log"),
    )  # fmt: skip
    renders, starts, copies = measure(out, chosen.threads, chosen.rounds)
    net = median(renders) - median(starts)
    print(f"\nrender costs {net / median(copies):.2f} times what reading and writing alone cost")
    print(f"(with the {median(starts):.1f} s that starting takes, {median(renders) / median(copies):.2f} times)")


if __name__ == "__main__":
    main()
