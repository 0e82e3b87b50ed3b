"""The command as a user calls it, and what it leaves on disk, read by other libraries than it was written with."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR

_ROOT = Path(__file__).parents[2]
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_ROOT)}
_QUICK = [sys.executable, str(Path(__file__).with_name("quick_vdp.py"))]
_MACHINE = ("--threads", "1", "--device", "cpu")

Done = subprocess.CompletedProcess[str]


def vdp(*args: str | Path, steps: int | None = 3, blocks: int | None = None, **environment: str) -> Done:
    """Run ``vdp ARGS`` to its end.

    Args:
        steps: per phase of the fit; ``None``: ``python -m vdp_engine`` as it is.
        blocks: the largest file that may be written, in units of 1024 bytes.
    """
    limited = [] if blocks is None else ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "vdp"]
    return subprocess.run(
        [*limited, *_command(args, steps)], capture_output=True, text=True, timeout=200, env=_ENVIRONMENT | environment
    )


def start(*args: str | Path, steps: int | None = 3) -> subprocess.Popen[str]:
    """The same without waiting for the end, with JSON progress on a pipe."""
    return subprocess.Popen(
        [*_command(args, steps), "--progress", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=_ENVIRONMENT,
    )  # fmt: skip


def _command(args: Sequence[str | Path], steps: int | None) -> list[str]:
    given = [str(arg) for arg in args]
    machine = [] if given[0] in ("init", "inspect", "doctor") else _MACHINE
    return [*([sys.executable, "-m", "vdp_engine"] if steps is None else [*_QUICK, str(steps)]), *given, *machine]


def together(*commands: Sequence[str | Path]) -> list[Done]:
    """Several commands, two at a time, on the two cores that a test may take."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda args: vdp(*args), commands))


def run(plate: str | Path, out: Path, *args: str, steps: int | None = 3) -> Done:
    """``vdp run`` at draft quality; fails where it does."""
    done = vdp("run", plate, "--out", out, "--quality", "draft", *args, steps=steps)
    assert done.returncode == 0, done.stderr
    return done


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What a process of ``start`` tells, as it comes."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def channels(path: Path) -> dict[str, np.ndarray]:
    """All channels of an EXR by full name, as they are stored."""
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return {name: channel.pixels.copy() for name, channel in file.channels().items()}


def header(path: Path) -> dict[str, Any]:
    """The header of an EXR."""
    with OpenEXR.File(str(path), separate_channels=True) as file:
        return dict(file.header())


def write_exr(path: Path, planes: dict[str, np.ndarray], window: tuple[int, int, int, int] | None = None,
              display: tuple[int, int, int, int] | None = None) -> None:  # fmt: skip
    """Channels (H, W) as an EXR; windows as x, y of the first and the last pixel."""
    height, width = next(iter(planes.values())).shape
    data = window or (0, 0, width - 1, height - 1)

    def box(corners: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        return np.array(corners[:2], np.int32), np.array(corners[2:], np.int32)

    head = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIPS_COMPRESSION, "dataWindow": box(data),
            "displayWindow": box(display or data)}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    OpenEXR.File(head, {name: np.ascontiguousarray(plane) for name, plane in planes.items()}).write(str(path))


def layer_files(out: Path) -> list[Path]:
    """The layer EXRs of an output folder, by frame; not what a killed process left of one."""
    return sorted(path for path in out.glob("*.exr") if not path.name.startswith("."))


def frames_of(out: Path) -> list[int]:
    """The frames that have layers."""
    return [int(path.name.split(".")[-2]) for path in layer_files(out)]


def same_pixels(out: Path, other: Path) -> bool:
    """Whether two output folders hold the same layers of the same frames, pixel by pixel, bit by bit."""
    names = [path.name for path in layer_files(out)]
    if names != [path.name for path in layer_files(other)] or not names:
        return False
    for name in names:
        one, two = channels(out / name), channels(other / name)
        if one.keys() != two.keys() or any(one[key].tobytes() != two[key].tobytes() for key in one):
            return False
    return True


def rebuilds(layers: Path, plate: Path | dict[str, np.ndarray]) -> bool:
    """The rebuild rule for a layer file, worked out in float64: within 2 half ulps everywhere, and R G B kept."""
    written, truth = channels(layers), plate if isinstance(plate, dict) else channels(plate)
    straight = header(layers)["vdp/alpha"] == "straight"
    names = {name.split(".")[0] for name in written if name.startswith(("bg.", "fg"))}
    for c in "RGB":
        light = np.asarray(truth[c], np.float64)
        total = written[f"residual.{c}"].astype(np.float64)
        for name in names:
            total += written[f"{name}.{c}"].astype(np.float64) * (written[f"{name}.A"] if straight else 1.0)
        ulps = np.abs(total - light) / np.spacing(np.abs(light).astype(np.float16)).astype(np.float64)
        if not np.array_equal(written[c].astype(np.float64), light) or not ulps.max() <= 2:
            return False
    return True


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, time of change and size of every file below, but for the log, which tells of every call."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "log.txt")
    told = {}
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # a worker is at it
            stat = path.stat()
            told[str(path.relative_to(folder))] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return told


def litter(folder: Path) -> set[str]:
    """Files below that have no place in an output folder."""
    ours = re.compile(
        r"[^.][^/]*\.-?\d+\.exr|[^.][^/]*\.(report\.json|sheet\.png)|\.vdp/(shot\.json|log\.txt|model\.safetensors"
        r"|checkpoint\.safetensors|flow/[^.][^/]*\.-?\d+\.safetensors)"
    )
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not ours.fullmatch(name)}


def copy(folder: Path, to: Path, *, plate: Path | None = None) -> Path:
    """A copy of an output folder with all its times; of the same shot, or of one whose plate lies elsewhere."""
    shutil.copytree(folder, to)
    if plate is not None:
        shot = to / ".vdp" / "shot.json"
        told = json.loads(shot.read_text(encoding="utf-8"))
        told["plate"] = str(plate / Path(told["plate"]).name)
        shot.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    return to
