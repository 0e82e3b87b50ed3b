"""Peak memory of ``vdp run`` for a short and a long shot of the same size: it must not grow with the shot.

    python tests/bench/memory.py [--lengths 50 200] [--size 960x540] [--option=--quality=draft]

The frames are those of the demo plate, played to and fro.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from clips import CHECKOUT, machine, run_engine

from vdp_engine.demo import make_demo


def loop_plate(source: Path, folder: Path, length: int) -> str:
    """``length`` frames that run to and fro through the frames of ``source``, as hard links; the pattern."""
    frames = sorted(source.glob("*.exr"))
    there_and_back = frames + frames[-2:0:-1]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for index in range(length):
        os.link(there_and_back[index % len(there_and_back)], folder / f"loop.{1001 + index}.exr")
    return f"{folder / 'loop'}.1001-{1000 + length}#.exr"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--size", default="960x540", help="WIDTHxHEIGHT of the plate")
    parser.add_argument("--option", action="append", default=[], help="option of vdp run, as --option=--quality=draft")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench" / "memory")
    chosen = parser.parse_args()

    width, height = (int(side) for side in chosen.size.split("x"))
    demo = chosen.scratch / f"demo_{chosen.size}"
    make_demo(demo, width=width, height=height)
    print(f"{machine()}\n\n| frames | seconds | peak MiB |\n|---|---|---|", flush=True)
    peaks = []
    for length in chosen.lengths:
        plate = loop_plate(demo / "plate", chosen.scratch / f"loop_{length}", length)
        out = chosen.scratch / f"layers_{length}"
        shutil.rmtree(out, ignore_errors=True)
        cost = run_engine(
            "run", plate, "--out", str(out), "--progress", "plain", *chosen.option, log=out.with_suffix(".log")
        )
        peaks.append(cost.peak_mib)
        print(f"| {length} | {cost.seconds:.1f} | {cost.peak_mib:.0f} |", flush=True)
    print(f"\n{chosen.lengths[-1]} frames take {peaks[-1] / peaks[0]:.3f} times the memory of {chosen.lengths[0]}")


if __name__ == "__main__":
    main()
