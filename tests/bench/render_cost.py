"""What ``vdp render`` costs at 4096×2160, against what reading that plate and writing the same EXRs costs alone.

    python tests/bench/render_cost.py [--frames 6] [--rounds 3] [--threads 2] [--size 4096x2160] [--option=--seed=1]

Both run alternately, each in a process of its own with the same number of threads. The cost of starting the
interpreter and loading the libraries is measured too (a render with nothing left to do) and taken off the render;
the raw figures are printed as well. Processor seconds are told beside the clock's: on a shared machine they are the
steadier of the two. The plate is the demo plate, enlarged, with fresh grain so that it compresses as footage does.
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
from typing import NamedTuple

import cv2
import numpy as np
from clips import CHECKOUT, machine, run_engine

from vdp_engine.check.layers_file import LayerFile
from vdp_engine.demo.scene import Scene, write_exr
from vdp_engine.machine import apply
from vdp_engine.plate import write_layers
from vdp_engine.settings import Machine
from vdp_engine.shot import Shot


class Cost(NamedTuple):
    """Seconds a frame, by the clock and of all processors together."""

    clock: float
    processor: float


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


def copy_cost(shot: Shot, threads: int) -> Cost:
    """What reading the plate and writing the shot's layer files again takes, without anything between."""
    apply(Machine.parse(device="cpu", threads=threads))
    clock = processor = 0.0
    for frame in shot.frames:
        layers = _as_written(shot, frame)
        target = shot.work / "copy.exr"
        clock, processor = clock - time.monotonic(), processor - time.process_time()
        plate = shot.plate.read(frame)
        write_layers(
            target, layers, plate.header, bit_depth=shot.settings.bit_depth, compression=shot.settings.compression
        )
        clock, processor = clock + time.monotonic(), processor + time.process_time()
        target.unlink()
    return Cost(clock / len(shot.frames), processor / len(shot.frames))


def _as_written(shot: Shot, frame: int) -> dict[str, np.ndarray]:
    """The channels of a layer file, in the file's own type, so that writing them again converts nothing."""
    kind = np.float16 if shot.settings.bit_depth == "half" else np.float32
    with LayerFile(shot.layer_file(frame), frame) as file:
        bands = [channels for _, channels in file.bands()]
        return {name: np.vstack([band[name] for band in bands]).astype(kind) for name in file.names}


def _copy_in_a_process(out: Path, threads: int) -> Cost:
    paths = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, __file__, "--copy", str(out), "--threads", str(threads)]
    return Cost(*json.loads(subprocess.run(command, check=True, capture_output=True, env=paths).stdout))


def measure(out: Path, threads: int, rounds: int) -> None:
    """Copy and render in turn, and print what each round and all of them say."""
    shot = Shot.load(out)
    arguments = ("render", str(out), "--progress", "plain", "--threads", str(threads))
    count = len(shot.frames)
    renders, copies = [], []
    print("| round | copy s | render s | copy cpu s | render cpu s | starting s | peak MiB |\n" + "|---" * 7 + "|")
    for turn in range(rounds):
        copies.append(_copy_in_a_process(out, threads))
        for frame in shot.frames:
            shot.layer_file(frame).unlink()
        cost, start = (run_engine(*arguments, log=out / "bench.log") for _ in range(2))
        renders.append(Cost((cost.seconds - start.seconds) / count, (cost.cpu_seconds - start.cpu_seconds) / count))
        told = (copies[-1].clock, renders[-1].clock, copies[-1].processor, renders[-1].processor, start.seconds)
        cells = [str(turn + 1), *(f"{value:.2f}" for value in told), f"{cost.peak_mib:.0f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
    # Round by round: what else the machine has to do then weighs on both.
    pairs = list(zip(renders, copies, strict=True))
    clock = median(render.clock / copy.clock for render, copy in pairs)
    processor = median(render.processor / copy.processor for render, copy in pairs)
    print(f"\nA frame of render takes {clock:.2f} times what reading and writing alone take by the clock,")
    print(f"{processor:.2f} times by processor seconds (medians of the rounds)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--size", default="4096x2160")
    parser.add_argument("--option", action="append", default=[], help="option of vdp run, as --option=--seed=1")
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
        "--threads", str(chosen.threads), *chosen.option, log=out.with_suffix(".log"),
    )  # fmt: skip
    measure(out, chosen.threads, chosen.rounds)


if __name__ == "__main__":
    main()
