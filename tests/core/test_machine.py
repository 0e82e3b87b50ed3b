"""What the machine lends: counted right, and held to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vdp_engine import machine
from vdp_engine.errors import TryAgainError, UsageError
from vdp_engine.settings import Machine

_GIB = 1 << 30
_UNLIMITED_V1 = "9223372036854771712"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8G", 8 * _GIB), ("8g", 8 * _GIB), ("8GB", 8 * _GIB), ("8GiB", 8 * _GIB), ("4096M", 4 * _GIB),
        ("1.5G", 3 * _GIB // 2), ("512K", 512 << 10), ("1T", 1 << 40), ("123456", 123456), (" 2G ", 2 * _GIB), ("0", 0),
    ],
)  # fmt: skip
def test_amounts_of_memory(text: str, size: int) -> None:
    assert machine.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "8 apples", "1,5G", "8GG", "1e9"])
def test_no_amounts_of_memory(text: str) -> None:
    with pytest.raises(UsageError, match="8G, 4096M"):
        machine.parse_bytes(text)


@pytest.mark.parametrize(("size", "text"), [(512 << 20, "512 MB"), (3 * _GIB // 2, "1.5 GB"), (0, "0 MB")])
def test_readable(size: int, text: str) -> None:
    assert machine.readable_bytes(size) == text


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system of 16 GiB (12 free) with 8 CPUs, without limits; tests write control groups into it."""
    write(tmp_path, "proc/meminfo", f"MemTotal: {16 << 20} kB\nMemFree: 1 kB\nMemAvailable: {12 << 20} kB\n")
    write(tmp_path, "proc/self/statm", "1000 500 0 0 0 0 0\n")
    monkeypatch.setattr(machine, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "_address_space", lambda: (None, None))
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_a_machine_without_limits(system: Path) -> None:
    assert machine.usable_cpus() == 8
    assert machine.total_memory() == 16 * _GIB
    assert machine.available() == 12 * _GIB
    assert machine.memory_limit(Machine.parse()) == 12 * _GIB
    assert machine.memory_limit(Machine.parse(max_memory=5)) == 5


def test_control_groups_version_2(system: Path) -> None:
    write(system, "proc/self/cgroup", "0::/farm/job\n")
    write(system, "cgroup/farm/cpu.max", "350000 100000\n")
    write(system, "cgroup/farm/memory.max", str(8 * _GIB))
    write(system, "cgroup/farm/memory.current", str(7 * _GIB))
    write(system, "cgroup/farm/memory.stat", f"anon 1\ninactive_file {3 * _GIB}\n")
    write(system, "cgroup/farm/job/cpu.max", "max 100000\n")
    write(system, "cgroup/farm/job/memory.max", "max\n")
    assert machine.usable_cpus() == 3
    assert machine.total_memory() == 8 * _GIB
    assert machine.available() == 4 * _GIB, "the page cache is given up before memory is refused"


def test_control_groups_version_1(system: Path) -> None:
    write(system, "proc/self/cgroup", "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n")
    # As inside a container: the path that the kernel names is not there, the root is the container's.
    write(system, "cgroup/memory/memory.limit_in_bytes", str(4 * _GIB))
    write(system, "cgroup/memory/memory.usage_in_bytes", str(_GIB))
    write(system, "cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000")
    write(system, "cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000")
    assert machine.usable_cpus() == 1, "half a CPU is one thread"
    assert machine.total_memory() == 4 * _GIB
    assert machine.available() == 3 * _GIB


def test_control_groups_without_limits(system: Path) -> None:
    write(system, "proc/self/cgroup", "4:memory:/\n2:cpu:/\n")
    write(system, "cgroup/memory/memory.limit_in_bytes", _UNLIMITED_V1)
    write(system, "cgroup/cpu/cpu.cfs_quota_us", "-1")
    write(system, "cgroup/cpu/cpu.cfs_period_us", "100000")
    assert machine.usable_cpus() == 8
    assert machine.total_memory() == 16 * _GIB
    assert machine.available() == 12 * _GIB


def test_what_does_not_fit_is_refused_before_it_starts(system: Path) -> None:
    machine.require(12 * _GIB, "the frame")
    with pytest.raises(TryAgainError) as caught:
        machine.require(13 * _GIB, "a frame of 8192x4320")
    assert caught.value.code == "machine.memory"
    assert str(caught.value).startswith("a frame of 8192x4320 needs 13.0 GB of memory, 12.0 GB are left")


def test_the_limit_asked_for_counts_what_is_held_already(system: Path) -> None:
    held = 500 * os.sysconf("SC_PAGE_SIZE")
    asked = Machine.parse(max_memory=_GIB)
    machine.require(_GIB - held, "the frame", asked)
    with pytest.raises(TryAgainError):
        machine.require(_GIB - held + 1, "the frame", asked)


def test_the_real_numbers_make_sense() -> None:
    assert 0 < machine.available() <= machine.total_memory()
    assert 1 <= machine.usable_cpus() <= (os.cpu_count() or 1)


def test_an_address_space_limit_counts() -> None:
    resource = pytest.importorskip("resource")
    script = "from vdp_engine import machine; print(machine.total_memory(), machine.available())"
    limit = 2 * _GIB
    said = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    ).stdout.split()  # fmt: skip
    assert int(said[0]) == limit
    assert 0 < int(said[1]) < limit


_THREADS = """
import json, os, sys
from vdp_engine import machine
from vdp_engine.settings import Machine
asked = Machine.parse(threads=3, device="cpu")
machine.apply(asked)
device = machine.torch_device(asked)
import cv2, OpenImageIO as oiio, torch
print(json.dumps({
    "omp": os.environ["OMP_NUM_THREADS"], "blas": os.environ["OPENBLAS_NUM_THREADS"],
    "mkl": os.environ["MKL_NUM_THREADS"],
    "cv2": cv2.getNumThreads(), "oiio": oiio.get_int_attribute("threads"),
    "exr": oiio.get_int_attribute("exr_threads"), "torch": torch.get_num_threads(),
    "interop": torch.get_num_interop_threads(), "wait": os.environ["OMP_WAIT_POLICY"],
    "compiler": "torch._inductor" in sys.modules, "device": str(device),
}))
"""


def test_all_libraries_are_held_to_the_threads() -> None:
    said = subprocess.run([sys.executable, "-c", _THREADS], check=True, capture_output=True, text=True).stdout
    assert json.loads(said) == {
        "omp": "3", "blas": "3", "mkl": "3", "cv2": 3, "oiio": 3, "exr": 3, "torch": 3, "interop": 1,
        "wait": "PASSIVE", "compiler": False, "device": "cpu",
    }  # fmt: skip


_BUSY = """
import os, sys, tempfile
from vdp_engine import machine
from vdp_engine.settings import Machine
asked = Machine.parse(threads=int(sys.argv[1]), device="cpu")
machine.apply(asked)
import cv2, numpy as np, OpenImageIO as oiio, torch
machine.torch_device(asked)
image = np.random.default_rng(0).random((768, 768, 3), np.float32)
path = tempfile.mkdtemp() + "/a.exr"
matrix = torch.rand(400, 400)
def work():
    torch.mm(matrix, matrix); image.reshape(768, -1) @ image.reshape(768, -1).T
    cv2.GaussianBlur(image, (0, 0), 5)
    buffer = oiio.ImageBuf(image); buffer.specmod().attribute("compression", "piz"); buffer.write(path)
    oiio.ImageBuf(path).get_pixels("float")
work()
def ticks():
    tasks = os.listdir("/proc/self/task")
    fields = {int(task): open(f"/proc/self/task/{task}/stat").read().rsplit(")", 1)[1].split() for task in tasks}
    return {task: int(values[11]) + int(values[12]) for task, values in fields.items()}
for _ in range(3):
    work()
busy = ticks()
print(sum(used for task, used in busy.items() if task != os.getpid()) / sum(busy.values()))
"""


@pytest.mark.parametrize("count", [1, 2])
def test_one_thread_is_one_busy_thread(count: int) -> None:
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("only Linux tells the time of each thread")
    said = subprocess.run([sys.executable, "-c", _BUSY, str(count)], check=True, capture_output=True, text=True).stdout
    share_of_other_threads = float(said)
    if count == 1:
        assert share_of_other_threads < 0.02
    else:
        assert share_of_other_threads > 0.02, "the work above would show it"


@pytest.fixture
def torch() -> Iterator[Any]:
    """torch, with what ``torch_device`` sets put back afterwards."""
    import torch

    threads = torch.get_num_threads()
    yield torch
    torch.set_num_threads(threads)


def test_a_device_that_is_not_there_is_refused(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:1"):
        with pytest.raises(UsageError) as caught:
            machine.torch_device(Machine.parse(device=device))
        assert caught.value.code == "usage.device" and device in str(caught.value)
    assert machine.torch_device(Machine.parse(device="auto")).type == "cpu"


def test_a_device_of_a_higher_number_than_there_are(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert str(machine.torch_device(Machine.parse(device="auto"))) == "cuda"
    assert str(machine.torch_device(Machine.parse(device="cuda:1"))) == "cuda:1"
    with pytest.raises(UsageError, match=r"cuda:0, cuda:1"):
        machine.torch_device(Machine.parse(device="cuda:2"))
