"""What `vdp serve` takes for a picture, against reading the same layer with OpenImageIO in Python.

    python tests/bench/serve_cost.py [--frames 12] [--size 1920x1080] [--bit-depth float] [--layers 4] [--output fg1]

Both read the same files in turn, frame by frame, so that what else the machine has to do weighs on both. The clock of
the helper's column runs from writing the request to having read the reply, the pixels then being in the buffer that a
plug-in has mapped. OpenImageIO's runs from opening the file to having the layer as float32.

- first: no picture was shown before. The file lies in the system's cache.
- again: pictures that were shown before; "cpu" is what the helper's threads worked for one of them, on Linux; "copy" is
  numpy copying as many bytes, which is the least that there is to do.
- playing: forward through frames that were not shown before, by a host that works for so long between two of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import OpenImageIO as oiio
from clips import CHECKOUT, FIRST, machine

from vdp_engine.demo import make_demo
from vdp_engine.plate import FrameHeader, Window, write_layers
from vdp_engine.plate.writer import BitDepth
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

_PAUSES = (0.0, 0.04, 0.15)

Pair = tuple[float, float]


def make_layers(out: Path, width: int, height: int, frames: int, layers: int, bit_depth: BitDepth) -> Shot:
    """A shot with layers as the engine writes them: the demo's, enlarged, with fresh grain, and turned for more."""
    shot = Shot(out, "serve", str(out / "plate.#.exr"), tuple(range(FIRST, FIRST + frames)), Settings())
    shot.save()
    demo = out / "demo"
    make_demo(demo, frames=frames)
    for frame in shot.frames:
        if shot.layer_file(frame).exists():
            continue
        truth = _channels(demo / "truth" / f"demo.{frame}.exr")
        large = {name: cv2.resize(plane, (width, height)) for name, plane in truth.items()}
        window = Window(0, 0, width, height)
        header = FrameHeader(frame, out, window, window, 1.0, ("R", "G", "B"), "half", "zips", False, {})
        channels = _layers(large, layers, np.random.default_rng(frame))
        write_layers(shot.layer_file(frame), channels, header, bit_depth=bit_depth, attributes={"vdp/task": "layers"})
    return shot


def _channels(path: Path) -> dict[str, np.ndarray]:
    image = oiio.ImageInput.open(str(path))
    names, pixels = image.spec().channelnames, image.read_image(oiio.FLOAT)
    image.close()
    return {name: np.ascontiguousarray(pixels[..., index]) for index, name in enumerate(names)}


def _layers(truth: dict[str, np.ndarray], count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """All channels of a frame, from the demo's foreground and background at this size."""
    turns = (slice(None), slice(None)), (slice(None), slice(None, None, -1)), (slice(None, None, -1), slice(None))
    clean = np.stack([truth[f"clean.{c}"] for c in "RGB"], -1)
    clean += rng.standard_normal(clean.shape, np.float32) * np.sqrt(4e-6 + 1e-4 * np.maximum(clean, 0))
    rest, mattes = np.ones_like(truth["fg1.A"]), {}
    for index, turn in enumerate(turns[: count - 1]):
        mattes[f"fg{index + 1}"] = truth["fg1.A"][turn] * rest
        rest = rest - mattes[f"fg{index + 1}"]
    mattes["bg"] = rest
    parts = {layer: matte[..., None] * clean for layer, matte in mattes.items()}
    plate = np.sum(list(parts.values()), 0).astype(np.float16).astype(np.float32)
    channels = {"A": 1 - rest, "confidence.A": 1 - rest * (1 - rest)}
    channels |= {f"{layer}.A": matte for layer, matte in mattes.items()}
    colours = {"": plate, "clean.": clean, "residual.": plate - np.sum(list(parts.values()), 0)}
    for prefix, colour in (colours | {f"{layer}.": part for layer, part in parts.items()}).items():
        channels |= {f"{prefix}{c}": colour[..., i] for i, c in enumerate("RGB")}
    return {name: np.ascontiguousarray(plane, np.float32) for name, plane in channels.items()}


class Helper:
    """A ``vdp serve`` and one buffer."""

    def __init__(self, shot: Shot, output: str, pixels: int) -> None:
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vdp_engine", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )  # fmt: skip
        self._asked = {"shot": str(shot.out), "output": output, "alpha": "premultiplied"}
        self.folder = Path(tempfile.mkdtemp(prefix="vdp-ofx-"))
        (self.folder / "buffer").write_bytes(bytes(16 * pixels))
        self.ask(op="hello", protocol=1, folder=str(self.folder))
        self.start_seconds = time.perf_counter() - self.began

    def ask(self, **request: Any) -> dict[str, Any]:
        """The reply to one request."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"id": 1, **request}).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if not answer["ok"]:
            raise SystemExit(answer["message"])
        return answer

    def frame(self, number: int) -> float:
        """Seconds that a picture takes."""
        began = time.perf_counter()
        self.ask(op="frame", frame=number, buffer=str(self.folder / "buffer"), **self._asked)
        return time.perf_counter() - began

    def processor_seconds(self) -> float:
        """What it has worked so far; nan where the system does not tell."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except FileNotFoundError:
            return float("nan")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def pixels(self) -> np.ndarray:
        """What lies in the buffer."""
        return np.fromfile(self.folder / "buffer", np.float32)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def read_layer(path: Path, output: str) -> tuple[float, np.ndarray]:
    """Seconds that OpenImageIO takes for a layer, and its pixels."""
    began = time.perf_counter()
    image = oiio.ImageInput.open(str(path))
    first = list(image.spec().channelnames).index(f"{output}.R")
    pixels = image.read_image(0, 0, first, first + 4, oiio.FLOAT)
    image.close()
    return time.perf_counter() - began, pixels


def first(helper: Helper, shot: Shot, output: str) -> list[Pair]:
    """Seconds of helper and OpenImageIO for every frame, not shown before; the pixels are compared."""
    pairs = []
    # Two steps at a time: nothing is made ahead.
    for index, frame in enumerate([*shot.frames[::2], *shot.frames[1::2]]):
        path = shot.layer_file(frame)
        if index % 2:
            own, (other, truth) = helper.frame(frame), read_layer(path, output)
        else:
            (other, truth), own = read_layer(path, output), helper.frame(frame)
        pairs.append((own, other))
        if not np.array_equal(helper.pixels().reshape(truth.shape)[::-1], truth):
            raise SystemExit("the helper gave other pixels than OpenImageIO")
    return pairs


def again(helper: Helper, shot: Shot, output: str) -> tuple[list[Pair], float]:
    """Seconds of both for every frame, shown before, three times; and what the helper worked for one of them."""
    pairs = []
    before = helper.processor_seconds()
    for _ in range(3):
        pairs += [(helper.frame(frame), read_layer(shot.layer_file(frame), output)[0]) for frame in shot.frames]
    return pairs, (helper.processor_seconds() - before) / len(pairs)


def copied(pixels: int) -> float:
    """Seconds of a copy of so many R G B A pixels, the median of 15."""
    source, target = np.ones((2, pixels, 4), np.float32)
    seconds = []
    for _ in range(15):
        began = time.perf_counter()
        target[:] = source
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def playing(helper: Helper, shot: Shot, pause: float) -> list[float]:
    """Seconds of each picture of a sequence that is played and was not shown before; the first two are not counted."""
    helper.ask(op="forget", shot=str(shot.out))
    seconds = []
    for frame in shot.frames:
        seconds.append(helper.frame(frame))
        time.sleep(pause)
    return seconds[2:]


def measure(shot: Shot, output: str, pixels: int, rounds: int) -> None:
    """Print a table of medians, a row a round."""
    columns = ["round", "start", *["first", "OpenImageIO", "ratio"], *["again", "OpenImageIO", "ratio", "cpu", "copy"]]
    columns += [*(f"playing, {1000 * pause:.0f} ms pause" for pause in _PAUSES), "load"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for turn in range(rounds):
        helper = Helper(shot, output, pixels)
        helper.ask(op="status", shot=str(shot.out))  # waits for what is left to load
        cells = [_ms(helper.start_seconds), *_compared(first(helper, shot, output))]
        pairs, worked = again(helper, shot, output)
        cells += [*_compared(pairs), _ms(worked), _ms(copied(pixels))]
        cells += [_ms(median(playing(helper, shot, pause))) for pause in _PAUSES]
        helper.close()
        print(f"| {turn + 1} | {' | '.join(cells)} | {os.getloadavg()[0]:.1f} |", flush=True)


def _compared(pairs: list[Pair]) -> list[str]:
    own, others = (median(column) for column in zip(*pairs, strict=True))
    return [_ms(own), _ms(others), f"{median(one / other for one, other in pairs):.2f}"]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--bit-depth", default="float", choices=["half", "float"])
    parser.add_argument("--output", default="fg1", help="a layer: bg, fg1 …")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench" / "serve_cost")
    chosen = parser.parse_args()
    width, height = (int(side) for side in chosen.size.split("x"))
    out = chosen.scratch.absolute() / f"{chosen.size}_{chosen.layers}_{chosen.bit_depth}"
    shot = make_layers(out, width, height, chosen.frames, chosen.layers, chosen.bit_depth)
    size = shot.layer_file(FIRST).stat().st_size / 1e6
    print(
        f"{machine()}\n{chosen.size}, {chosen.layers} layers, {chosen.bit_depth}, {size:.0f} MB a file; milliseconds\n"
    )
    measure(shot, chosen.output, width * height, chosen.rounds)


if __name__ == "__main__":
    main()
