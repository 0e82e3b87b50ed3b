"""What a picture takes in an OFX host, from the call of Render to its return, with the real engine behind the plug-in.

    python tests/bench/ofx_frames.py [--frames 8] [--rounds 5] [--size 1920x1080] [--output 2]

The plug-in is built as it is installed, and run in the host of the tests. Float R G B A; milliseconds, median of all
frames of a round.

- first: not shown before. The file lies in the system's cache.
- helper: shown before, and forgotten by the plug-in (PurgeCaches): the helper still has it.
- kept: shown before.
- copy: numpy copies as many bytes from one place in memory to another, which is the least that there is to do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from clips import CHECKOUT, FIRST, machine
from serve_cost import make_layers

sys.path.insert(0, str(CHECKOUT))

from tests.ofx import build
from tests.ofx.host import Host


def released(folder: Path) -> Path:
    """The plug-in, built as users get it."""
    for command in (
        ["cmake", "-S", str(build.BRIDGE), "-B", str(folder)],
        ["cmake", "--build", str(folder), "--parallel", "2"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return folder / "VDP.ofx.bundle" / "Contents" / "Linux-x86-64" / "VDP.ofx"


def rendered(host: Host, frames: range) -> float:
    """Milliseconds of a frame's Render, the median."""
    seconds = []
    for frame in frames:
        answer = host.do("render", time=frame)
        if answer.result["status"]:
            raise SystemExit(str(answer.persistent))
        seconds.append(answer.result["seconds"])
    return 1000 * median(seconds)


def copied(pixels: int) -> float:
    """Milliseconds of a copy of so many R G B A pixels, the median of 9."""
    source, target = np.ones((2, pixels, 4), np.float32)
    seconds = []
    for _ in range(9):
        began = time.perf_counter()
        target[:] = source
        seconds.append(time.perf_counter() - began)
    return 1000 * median(seconds)


def measure(host: Host, frames: range, pixels: int, rounds: int) -> None:
    """Print a table of medians, a row a round."""
    print("| round | first | helper | kept | copy | load |\n|---|---|---|---|---|---|")
    for turn in range(rounds):
        host.do("set", param="refresh")
        columns = [rendered(host, frames)]
        host.do("action", name="OfxActionPurgeCaches")
        columns += [rendered(host, frames), rendered(host, frames), copied(pixels)]
        cells = " | ".join(f"{column:.1f}" for column in columns)
        print(f"| {turn + 1} | {cells} | {os.getloadavg()[0]:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--output", type=int, default=2, help="index of the choice: 1 bg, 2 fg1, 9 recomposition …")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench" / "ofx_frames")
    chosen = parser.parse_args()
    width, height = (int(side) for side in chosen.size.split("x"))
    scratch = chosen.scratch.absolute()
    shot = make_layers(scratch / chosen.size, width, height, chosen.frames, 2, "half")
    host = Host(build.host(scratch) / "ofx_host_none", scratch, {"VDP_ENGINE": str(CHECKOUT)})
    try:
        host.do("load", path=released(scratch / "plugin"))
        host.do("create", context="General", width=width, height=height, value_shot=shot.out)
        host.do("set", param="output", value=chosen.output)
        print(f"{machine()}\n{chosen.size}, output {chosen.output}; milliseconds\n")
        measure(host, range(FIRST, FIRST + chosen.frames), width * height, chosen.rounds)
    finally:
        host.close()


if __name__ == "__main__":
    main()
