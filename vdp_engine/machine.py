"""What this machine lends to the work: CPUs, memory and a device, and how all libraries are held to it."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vdp_engine.errors import TryAgainError, UsageError
from vdp_engine.settings import Machine

if TYPE_CHECKING:
    import torch

Result = TypeVar("Result")

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


# Threads


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, further limited by the quota of its control group."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota()
    return count if quota is None else max(1, min(count, int(quota)))


def threads(machine: Machine) -> int:
    """CPU threads to work with: those asked for, else all that this process may use."""
    return machine.threads or usable_cpus()


def apply(machine: Machine) -> None:
    """Hold the libraries to ``threads(machine)``; call it before numpy and torch are imported.

    OpenBLAS, MKL and OpenMP read their variables once, at import; torch is set a second time by ``torch_device``.
    """
    count = threads(machine)
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(count)
    # Threads that wait by spinning starve each other where cores are shared: with another program on the machine the
    # small nets of a fit took fifty times as long. A user's own setting stands.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    import cv2
    import OpenImageIO as oiio

    cv2.setNumThreads(count)
    oiio.attribute("threads", count)
    # OpenEXR's own pool works beside the calling thread; -1 means no pool.
    oiio.attribute("exr_threads", count if count > 1 else -1)


class _Here(Executor):
    """Does what is submitted at once, in the thread that submits it."""

    def submit(self, work: Callable[..., Result], /, *args: Any, **rest: Any) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(work(*args, **rest))
        except Exception as error:
            future.set_exception(error)
        return future


def workers(count: int, name: str, machine: Machine) -> Executor:
    """``count`` threads beside the caller's; none where one thread is all that was asked for: a farm that packs tasks
    by their cores would find two at work.
    """
    return _Here() if threads(machine) == 1 else ThreadPoolExecutor(count, name)


def torch_device(machine: Machine) -> torch.device:
    """The device to fit and render on, with torch held to the threads asked for.

    ``torch.use_deterministic_algorithms`` is left alone: what the nets are made of repeats bit for bit on a CPU anyway
    (the tests of the fit prove it), and switching it on takes seconds and 150 MB to import torch's compiler.

    Raises:
        UsageError: a CUDA device was asked for that is not there. Falling back to the CPU in silence would turn
            minutes into hours on a farm.
    """
    import torch

    torch.set_num_threads(threads(machine))
    with contextlib.suppress(RuntimeError):  # torch allows this once, before its first parallel work
        torch.set_num_interop_threads(1)

    found = torch.cuda.device_count() if machine.device != "cpu" and torch.cuda.is_available() else 0
    asked = machine.device
    if asked == "auto":
        asked = "cuda" if found else "cpu"
    device = torch.device(asked)
    if device.type == "cuda" and (device.index or 0) >= found:
        there = ", ".join(f"cuda:{index}" for index in range(found)) or "no CUDA device that torch can use"
        raise UsageError(
            f"device {machine.device} is not there", code="device", expected=f"cpu, or one of: {there}",
            remedy="choose another --device; `vdp doctor` tells what torch sees",
        )  # fmt: skip
    return device


# Memory, in bytes


def parse_bytes(text: str) -> int:
    """``8G``, ``4096M``, ``1.5GiB`` or a plain number of bytes, as bytes; units are powers of 1024.

    Raises:
        UsageError: it is none of these.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no amount of memory", code="max_memory", expected="such as 8G, 4096M or bytes")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def readable_bytes(size: int) -> str:
    """Bytes as a person reads them: ``512 MB``, ``1.5 GB``."""
    return f"{size / _UNITS['G']:.1f} GB" if size >= _UNITS["G"] else f"{size / _UNITS['M']:.0f} MB"


def total_memory() -> int:
    """The least of physical memory, the limit of the control group, and the process's address-space limit."""
    return min(limit for limit in (_physical()[0], _cgroup_memory()[0], _address_space()[0]) if limit is not None)


def memory_limit(machine: Machine) -> int:
    """Memory that the process may grow to: what was asked for, else three quarters of ``total_memory``."""
    return machine.max_memory or total_memory() * 3 // 4


def available() -> int:
    """Memory that this process could still take now."""
    return max(0, min(left for left in (_physical()[1], _cgroup_memory()[1], _address_space()[1]) if left is not None))


def left(machine: Machine | None = None) -> int:
    """Memory that this process could still take now within ``memory_limit(machine)``; none: what the machine has."""
    if machine is None:
        return available()
    return min(available(), max(0, memory_limit(machine) - _resident()))


def require(needed: int, what: str, machine: Machine | None = None) -> None:
    """Refuse work that would not fit, before it starts.

    Args:
        needed: bytes that ``what`` takes on top of what the process holds now.
        what: names the work in the message, for example ``"rendering a frame of 4096x2160"``.
        machine: whose ``memory_limit`` counts; none: only what the machine has left.

    Raises:
        TryAgainError: there is less left than needed.
    """
    there = left(machine)
    if needed > there:
        raise TryAgainError(
            f"{what} needs {readable_bytes(needed)} of memory, {readable_bytes(there)} are left", code="memory",
            remedy="close other programs, raise --max-memory, or use --quality draft",
        )  # fmt: skip


# Where the numbers come from


def _physical() -> tuple[int, int]:
    """Memory of the whole machine: total, available."""
    with contextlib.suppress(OSError):
        lines = (line.split() for line in (_PROC / "meminfo").read_text().splitlines())
        kilobytes = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1}
        return kilobytes["MemTotal"] * 1024, kilobytes["MemAvailable"] * 1024
    if sys.platform == "win32":
        return _physical_windows()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total, total - _resident()


def _physical_windows() -> tuple[int, int]:
    import ctypes

    class MemoryStatus(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong), ("load", ctypes.c_ulong), ("total", ctypes.c_ulonglong),
            ("available", ctypes.c_ulonglong), ("rest", ctypes.c_ulonglong * 5),
        )  # fmt: skip

    status = MemoryStatus(length=ctypes.sizeof(MemoryStatus))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return status.total, status.available


def _cgroup_memory() -> tuple[int | None, int | None]:
    """The tightest limit of the control groups this process is in, and what is left under it."""
    limits: list[int] = []
    left: list[int] = []
    for folder in _cgroup_folders("memory"):
        limit = _number(folder, "memory.max", "memory.limit_in_bytes")
        used = _number(folder, "memory.current", "memory.usage_in_bytes")
        if limit is not None:
            limits.append(limit)
            # The page cache counts as used, but the kernel gives it up before it refuses memory.
            left.append(limit - (used or 0) + _inactive_file(folder))
    return min(limits, default=None), min(left, default=None)


def _inactive_file(folder: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            name, value = line.split()
            if name in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0


def _cpu_quota() -> float | None:
    """CPUs' worth of time that the control groups allow; none: no limit."""
    quotas: list[float] = []
    for folder in _cgroup_folders("cpu"):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            quotas.append(int(quota) / int(period))
        quota_v1, period_v1 = _number(folder, "cpu.cfs_quota_us"), _number(folder, "cpu.cfs_period_us")
        if quota_v1 is not None and quota_v1 > 0 and period_v1:
            quotas.append(quota_v1 / period_v1)
    return min(quotas, default=None)


def _cgroup_folders(controller: str) -> Iterator[Path]:
    """Folders of this process's control groups (version 2, then 1), each with its ancestors up to the root.

    Inside a container the path that the kernel names may not be there: then the root stands for the container.
    """
    with contextlib.suppress(OSError):
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = _CGROUPS / controllers if controllers else _CGROUPS
            inside = root / path.strip("/")
            for folder in (inside, *inside.parents):
                if folder.is_dir():
                    yield folder
                if folder == root:
                    break


def _number(folder: Path, *names: str) -> int | None:
    """The first of the files that is there and holds a number (``max`` is none)."""
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            return int((folder / name).read_text())
    return None


def _address_space() -> tuple[int | None, int | None]:
    """The address-space limit of this process (``ulimit -v``), and what is left under it."""
    try:
        import resource
    except ImportError:  # Windows
        return None, None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return (None, None) if limit == resource.RLIM_INFINITY else (limit, limit - _pages(0))


def _resident() -> int:
    """Memory that this process holds now."""
    return _pages(1)


def _pages(column: int) -> int:
    """A column of ``/proc/self/statm`` in bytes; 0 where there is none."""
    with contextlib.suppress(OSError):
        return int((_PROC / "self" / "statm").read_text().split()[column]) * os.sysconf("SC_PAGE_SIZE")
    return 0
