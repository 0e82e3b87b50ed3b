"""What each stage of a shot costs a farm: seconds, processor seconds, memory, bytes read and written, per frame.

    python tests/bench/stage_costs.py [--sizes 4096x2160 2048x1080] [--frames 6] [--fits 12 48] [--threads 2]

Each stage runs twice: the second time it has nothing left to do, and what that takes (starting the interpreter, loading
the libraries, looking through the headers of the plate) is taken off the first and told by itself. ``check`` always
checks, so it is given the start of ``render``. Processor seconds are told beside the clock's: on a shared machine they
are the steadier of the two. Bytes are what the process asked the system to read and write (``/proc/PID/io``), from
a cache or not; files that are mapped into memory (libraries, motion files) are not among them.

``fit`` works at one size whatever the plate's, so its growth with the number of frames is measured on a small plate.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from clips import CHECKOUT, machine
from memory import loop_plate
from render_cost import enlarged_plate

from vdp_engine.demo import make_demo

_MIB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    clock: float
    processor: float
    peak_mib: float
    read_mib: float
    written_mib: float


def vdp(*arguments: str, log: Path, threads: int) -> Cost:
    """Run and measure one command; ends the benchmark where it fails."""
    options = ["--progress", "plain", "--threads", str(threads), "--device", "cpu"]
    command = [sys.executable, "-m", "vdp_engine", *arguments, *(options if arguments[0] != "init" else ())]
    began = time.monotonic()
    with log.open("a", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}
        )
        moved = {"rchar": 0, "wchar": 0}
        peak = 0  # not of wait4: that includes what the benchmark itself held when it forked

        def watch() -> None:
            nonlocal peak
            while process.returncode is None:
                with contextlib.suppress(OSError):
                    lines = Path(f"/proc/{process.pid}/io").read_text().splitlines()
                    moved.update({name: int(number) for name, number in (line.split(": ") for line in lines)})
                    peak = max(peak, _peak_kib(process.pid))
                time.sleep(0.02)

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{log.read_text()[-2000:]}")
    moved_mib = moved["rchar"] / _MIB, moved["wchar"] / _MIB
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, peak / 1024, *moved_mib)


def _peak_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def seconds_to_stop(stage: str, out: Path, delay: float, threads: int) -> float:
    """How long a stage that works goes on after SIGTERM, which is sent ``delay`` seconds after its first progress."""
    command = [sys.executable, "-m", "vdp_engine", stage, str(out), "--progress", "json", "--threads", str(threads)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert process.returncode == 143, f"{stage} was done before it was stopped: {process.returncode}"
    return time.monotonic() - began


def row(size: str, stage: str, frames: int, cost: Cost, start: Cost) -> str:
    """A line of the table: what a frame takes beyond the start."""
    each = [
        (cost.clock - start.clock) / frames, (cost.processor - start.processor) / frames,
        (cost.read_mib - start.read_mib) / frames, (cost.written_mib - start.written_mib) / frames,
    ]  # fmt: skip
    told = f"{each[0]:.2f} | {each[1]:.2f} | {cost.peak_mib:.0f} | {each[2]:.1f} | {each[3]:.1f}"
    return f"| {size} | {stage} | {told} | {start.processor:.1f} |"


def measure_size(size: str, frames: int, scratch: Path, threads: int) -> None:
    """The rows of one plate size, then how soon its longest stage stops."""
    width, height = (int(side) for side in size.split("x"))
    plate = enlarged_plate(scratch / f"plate_{size}", width, height, frames)
    out = scratch / f"layers_{size}"
    shutil.rmtree(out, ignore_errors=True)
    log = scratch / f"{size}.log"
    vdp("init", plate, "--out", str(out), log=log, threads=threads)
    starts: dict[str, Cost] = {}
    for stage in ("prep", "fit", "render", "check"):
        cost = vdp(stage, str(out), log=log, threads=threads)
        starts[stage] = starts["render"] if stage == "check" else vdp(stage, str(out), log=log, threads=threads)
        counted = 1 if stage == "fit" else frames
        print(row(size, f"{stage} ({frames} frames)" if stage == "fit" else stage, counted, cost, starts[stage]))
        sys.stdout.flush()
    for path in out.glob("*.exr"):
        path.unlink()
    layers = [seconds_to_stop("render", out, delay, threads) for delay in (0.5, 4.0)]
    print(f"| {size} | render, SIGTERM to the end: {max(layers):.1f} s at most | | | | | | |", flush=True)


def measure_fits(lengths: list[int], scratch: Path, threads: int) -> None:
    """One row of ``fit`` for each number of frames."""
    demo = scratch / "small"
    make_demo(demo, width=854, height=480, frames=min(max(lengths), 24))
    for length in lengths:
        out, log = scratch / f"fit_{length}", scratch / f"fit_{length}.log"
        shutil.rmtree(out, ignore_errors=True)
        plate = loop_plate(demo / "plate", scratch / f"loop_{length}", length)
        vdp("init", plate, "--out", str(out), log=log, threads=threads)
        prep = vdp("prep", str(out), log=log, threads=threads)
        cost = vdp("fit", str(out), log=log, threads=threads)
        start = vdp("fit", str(out), log=log, threads=threads)
        print(row("854x480", "prep", length, prep, start))
        print(row("854x480", f"fit ({length} frames)", 1, cost, start), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", default=["4096x2160", "2048x1080"])
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--fits", type=int, nargs="*", default=[12, 48])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench" / "stage_costs")
    chosen = parser.parse_args()
    chosen.scratch.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    print(f"{machine()}, {chosen.threads} threads, load {load:.1f} at the start\n")
    heads = ["plate", "stage", "s a frame", "cpu s a frame", "peak MiB", "MiB read a frame", "MiB written a frame"]
    heads.append("start cpu s")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|", flush=True)
    for size in chosen.sizes:
        measure_size(size, chosen.frames, chosen.scratch, chosen.threads)
    measure_fits(chosen.fits, chosen.scratch, chosen.threads)


if __name__ == "__main__":
    main()
