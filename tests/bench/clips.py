"""Where the benchmark clips lie, how they become plates, and how the engine is run on them and measured."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio

CHECKOUT = Path(__file__).resolve().parents[2]
# The benchmarks measure the engine of this checkout, whether it is installed or not.
sys.path.insert(0, str(CHECKOUT))
CLIPS = Path(os.environ.get("VDP_TEST_CLIPS", CHECKOUT.parent / "shared" / "clips"))
FIRST = 1001  # frame number of a plate's first frame


@dataclass(frozen=True)
class Clip:
    """One sequence with ground truth: pictures in ``frames``, 0/255 masks of the same names in ``masks``."""

    name: str
    frames: Path
    masks: Path

    def pictures(self) -> list[Path]:
        """The frames in order."""
        return sorted(self.frames.glob("*.jpg"))

    def truth(self) -> list[np.ndarray]:
        """The object in every frame, bool (H, W)."""
        return [_gray(self.masks / f"{picture.stem}.png") > 127 for picture in self.pictures()]

    def numbers(self) -> range:
        """The frame numbers of its plate."""
        return range(FIRST, FIRST + len(self.pictures()))

    def flows(self) -> list[np.ndarray]:
        """Optical flow from each frame to the next, float32 (H, W, 2): what instability is measured along."""
        estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        grays = [_gray(picture) for picture in self.pictures()]
        return [
            np.asarray(estimator.calc(now, then, np.zeros((*now.shape, 2), np.float32)), np.float32)
            for now, then in itertools.pairwise(grays)
        ]

    def plate(self, scratch: Path, upscale: int | None = None) -> str:
        """The clip as a scene-linear EXR sequence in ``scratch``, converted once; its pattern."""
        folder = scratch / "plates" / (self.name if upscale is None else f"{self.name}_{upscale}")
        count = len(self.pictures())
        pattern = f"{folder / self.name}.{FIRST}-{FIRST - 1 + count}#.exr"
        if len(list(folder.glob("*.exr"))) < count:
            tool = [sys.executable, str(CHECKOUT / "tests" / "tools" / "clip_to_exr.py")]
            size = [] if upscale is None else ["--upscale", str(upscale)]
            subprocess.run([*tool, str(self.frames), str(folder / self.name), *size], check=True, capture_output=True)
        return pattern


def _gray(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise SystemExit(f"{path} cannot be read")
    return image


def layer_clips(names: list[str] | None = None) -> list[Clip]:
    """The sequences with object masks; ``names`` picks some."""
    folder = CLIPS / "layers"
    found = {path.name: Clip(path.name, path / "frames", path / "masks") for path in sorted(folder.glob("*/"))}
    if not found:
        raise SystemExit(f"no clips in {folder}: set VDP_TEST_CLIPS to the folder with layers/NAME/frames and masks")
    unknown = set(names or ()) - set(found)
    if unknown:
        raise SystemExit(f"no clip named {', '.join(sorted(unknown))}: there are {', '.join(found)}")
    return [found[name] for name in names or found]


# A child's peak memory as the system tells it includes what its parent held when it forked. So a parent that holds
# nothing starts the engine, and writes down its exit status, processor seconds and peak.
_LAUNCHER = """
import json, resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump([status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss], open(sys.argv[1], "w"))
"""


@dataclass(frozen=True)
class Run:
    """What one command cost: wall and processor seconds, and peak resident memory in MiB."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Engine:
    """The engine that is measured: the folder that holds the package ``vdp_engine``, and a digest of its files."""

    folder: Path
    digest: str

    @classmethod
    def of_checkout(cls, scratch: Path) -> Engine:
        """A copy of this checkout's engine in ``scratch``: edits made while a long benchmark runs do not reach it."""
        sources = sorted(path for path in (CHECKOUT / "vdp_engine").rglob("*") if path.is_file())
        sources = [path for path in sources if "__pycache__" not in path.parts]
        total = hashlib.sha256()
        for path in sources:
            total.update(str(path.relative_to(CHECKOUT)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        digest = total.hexdigest()[:12]
        folder = scratch / "engines" / digest
        if not folder.exists():
            copying = folder.with_name(f"{digest}.{os.getpid()}")
            for path in sources:
                target = copying / path.relative_to(CHECKOUT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
            try:
                copying.rename(folder)
            except OSError:  # another benchmark was faster with the same copy
                if not folder.exists():
                    raise
                shutil.rmtree(copying)
        return cls(folder, digest)


def run_engine(*arguments: str, log: Path, engine: Engine | None = None) -> Run:
    """Run ``vdp`` with these arguments as a child process; its output goes to ``log``.

    Args:
        engine: none: this checkout's. The child runs in the folder of a given one, so its paths must be absolute.

    Ends the benchmark where the command fails: a number from half a run is worth nothing.
    """
    # Python looks for packages in the current folder first, which may be the checkout.
    folder = None if engine is None else engine.folder
    packages = os.pathsep.join([str(folder or CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "vdp_engine", *arguments]
    return run_child(command, log=log, folder=folder, environment={**os.environ, "PYTHONPATH": packages})


def run_child(
    command: Sequence[str], *, log: Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Run:
    """Run and measure any command as ``run_engine`` does, in ``folder`` (none: here)."""
    log.parent.mkdir(parents=True, exist_ok=True)
    usage = log.with_suffix(".usage.json").absolute()
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as stream:
        subprocess.run(
            [sys.executable, "-S", "-c", _LAUNCHER, str(usage), *command],
            stdout=stream, stderr=subprocess.STDOUT, env=environment, cwd=folder, check=True,
        )  # fmt: skip
    seconds = time.monotonic() - began
    status, cpu_seconds, peak = json.loads(usage.read_text())
    if status != 0:
        raise SystemExit(f"{' '.join(command)} ended with {status}:\n{log.read_text()[-3000:]}")
    return Run(seconds, cpu_seconds, peak / (1024**2 if sys.platform == "darwin" else 1024))


def read_channel(path: Path, channel: str) -> np.ndarray:
    """One channel of an EXR, float32 (H, W)."""
    image = oiio.ImageInput.open(str(path))
    if image is None:
        raise SystemExit(f"{path}: {oiio.geterror()}")
    index = list(image.spec().channelnames).index(channel)
    pixels = image.read_image(0, 0, index, index + 1, oiio.FLOAT)
    image.close()
    return np.asarray(pixels, np.float32)[..., 0]


def machine() -> str:
    """The machine and the versions that matter, in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "numpy", "OpenImageIO"))
    return f"{model}, {cores} cores, Python {platform.python_version()}, {versions}"
