"""What each of several jobs at once may use of this machine: a GPU, threads, memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from vdp_engine.machine import memory_limit, threads
from vdp_engine.settings import Machine

_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Lane:
    """The machine options of one job, and what is set in its environment."""

    options: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


def deal(machine: Machine, jobs: int) -> tuple[Lane, ...]:
    """A lane for each of ``jobs``. One job gets the machine as it was asked for.

    Threads and memory are divided among several. With ``device`` ``auto`` or ``cuda`` the GPUs go round, and each job
    sees its own alone, so that no library opens a context on another.
    """
    if jobs == 1:
        return (Lane(_options(machine.device, machine.threads, machine.max_memory)),)
    count, memory = max(1, threads(machine) // jobs), memory_limit(machine) // jobs
    gpus = _gpus() if machine.device in ("auto", "cuda") else []
    if not gpus:
        return (Lane(_options(machine.device, count, memory)),) * jobs
    options = _options("cuda", count, memory)
    return tuple(Lane(options, {_VISIBLE: gpus[lane % len(gpus)]}) for lane in range(jobs))


def _options(device: str, count: int, memory: int) -> tuple[str, ...]:
    given = {"device": device, "threads": count or None, "max-memory": memory or None}
    return tuple(f"--{name}={value}" for name, value in given.items() if value is not None)


def _gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    visible = [name.strip() for name in os.environ.get(_VISIBLE, "").split(",") if name.strip()]
    return visible[:count] if visible else [str(index) for index in range(count)]
