"""What the engine needs from a machine: a list of examinations, each with what it found and what that means."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import vdp_engine
from vdp_engine import machine
from vdp_engine.settings import Machine

State = Literal["ok", "warn", "fail"]

_PYTHON = (3, 10)
_PACKAGES = (
    "torch", "torchvision", "numpy", "scipy", "opencv-python-headless", "OpenImageIO", "opencolorio", "fileseq",
    "safetensors", "pydantic", "rich", "click",
)  # fmt: skip
_MEMORY_WANTED = 4 << 30  # what a 2K shot takes at standard quality, with room to spare
_DISK_WANTED = 10 << 30  # some 300 frames of 2K layers


@dataclass(frozen=True)
class Finding:
    """What one examination found.

    Attributes:
        name: what was looked at.
        state: ``ok``; ``warn``: something works less well without it; ``fail``: nothing works without it.
        found: what is there.
        advice: what it means and what to do about it; empty where all is well.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def examined(examine: Callable[[], Finding]) -> Finding:
    """The finding; an examination that falls over is a finding, too."""
    try:
        return examine()
    except Exception as error:
        name = examine.__name__.strip("_").replace("_", " ")
        return Finding(name, "fail", f"{type(error).__name__}: {error}", "set the engine up again")


def _engine() -> Finding:
    return Finding("engine", "ok", f"vdp {vdp_engine.__version__}, {Path(vdp_engine.__file__).parent}")


def _python() -> Finding:
    found = f"{platform.python_version()}, {sys.executable}, {platform.platform()}"
    if sys.version_info < _PYTHON:
        return Finding("python", "fail", found, "the engine needs Python 3.10 or newer")
    return Finding("python", "ok", found)


def _packages() -> Finding:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("packages", "fail", f"missing: {', '.join(missing)}", "set the engine up again with install/vdp")
    return Finding("packages", "ok", ", ".join(found))


def _device() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding(
            "device", "warn", "no CUDA device that torch can use",
            "the CPU does everything: right, but slower; for a GPU, look to the NVIDIA driver and torch's CUDA build",
        )  # fmt: skip
    devices = []
    for index in range(torch.cuda.device_count()):
        left, total = torch.cuda.mem_get_info(index)
        sizes = f"{machine.readable_bytes(left)} of {machine.readable_bytes(total)} free"
        devices.append(f"cuda:{index} {torch.cuda.get_device_name(index)}, {sizes}")
    return Finding("device", "ok", "; ".join(devices))


def _threads() -> Finding:
    found = f"{machine.usable_cpus()} of {os.cpu_count()} CPUs may be used"
    return Finding("threads", "ok", found)


def _memory() -> Finding:
    left = machine.available()
    limit = machine.memory_limit(Machine.parse())
    found = (
        f"{machine.readable_bytes(left)} of {machine.readable_bytes(machine.total_memory())} free; "
        f"work stays under {machine.readable_bytes(limit)}"
    )
    if left < _MEMORY_WANTED:
        return Finding("memory", "warn", found, "large frames may not fit: close other programs or use --quality draft")
    return Finding("memory", "ok", found)


def _disk() -> Finding:
    left = shutil.disk_usage(Path.cwd()).free
    found = f"{machine.readable_bytes(left)} free in {Path.cwd()}"
    if left < _DISK_WANTED:
        return Finding("disk", "warn", found, "enough for a short shot; 2K layers take about 30 MB a frame")
    return Finding("disk", "ok", found)


def _exr() -> Finding:
    import numpy as np
    import OpenImageIO as oiio

    pixels = np.array([[[-0.02, 0.18, 65504.0]]], np.float16)
    with tempfile.TemporaryDirectory(prefix="vdp-") as folder:
        path = str(Path(folder) / "doctor.exr")
        image = oiio.ImageBuf(oiio.ImageSpec(1, 1, 3, "half"))
        image.set_pixels(oiio.ROI(), pixels)
        written = image.write(path) and oiio.ImageBuf(path).get_pixels("half")
    if written is False or not np.array_equal(np.asarray(written).view(np.float16), pixels):
        advice = f"OpenImageIO cannot write and read an EXR in {tempfile.gettempdir()}: {oiio.geterror()}"
        return Finding("EXR", "fail", "what was written did not come back", advice)
    return Finding("EXR", "ok", f"written and read back, OpenImageIO {oiio.VERSION_STRING}")


def _colour() -> Finding:
    from vdp_engine.plate.colour import config, config_name

    source = f"$OCIO: {config_name()}" if os.environ.get("OCIO", "").strip() else f"built in: {config_name()}"
    try:
        config().validate()
    except Exception as error:  # OCIO has several, without a common base
        return Finding("OCIO", "fail", f"{source}: {error}", "mend it, or unset OCIO to use the built-in config")
    return Finding("OCIO", "ok", f"{source}, {len(list(config().getColorSpaces()))} colour spaces")


def _flow_weights() -> Finding:
    from vdp_engine.errors import MotionError
    from vdp_engine.motion.boxed import read_weights

    try:
        net, digest = read_weights()
    except MotionError as error:
        return Finding("flow weights", "warn", error.happened, error.remedy)
    count = sum(parameter.numel() for parameter in net.parameters())
    return Finding("flow weights", "ok", f"{digest}, {count / 1e6:.2f} million, for --flow vdp")


def _raft_weights() -> Finding:
    from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights

    return _weights("RAFT weights", (Raft_Large_Weights.DEFAULT.url, Raft_Small_Weights.DEFAULT.url), "--flow raft")


def _feature_weights() -> Finding:
    from torchvision.models import VGG16_Weights

    return _weights("VGG16 weights", (VGG16_Weights.DEFAULT.url,), "perceptual features from VGG16")


def _weights(name: str, urls: tuple[str, ...], purpose: str) -> Finding:
    import torch

    cache = Path(torch.hub.get_dir()) / "checkpoints"
    files = [url.rsplit("/", 1)[1] for url in urls]
    there = [file for file in files if (cache / file).is_file()]
    if there:
        return Finding(name, "ok", f"{', '.join(there)} in {cache}")
    # Nothing needs them: the default flow and the default features have no weights.
    return Finding(name, "ok", "not there, and only needed for " + purpose, f"to use it, put {files[0]} into {cache}")


CHECKS: tuple[Callable[[], Finding], ...] = (
    _engine, _python, _packages, _device, _threads, _memory, _disk, _exr, _colour, _flow_weights, _raft_weights,
    _feature_weights,
)  # fmt: skip
