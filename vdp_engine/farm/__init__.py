"""Hands the stages of a shot to a farm: one graph of tasks, and one exporter for each of the farm's engines.

Nothing here schedules or computes. An exporter writes the files that its engine takes, and can hand them over.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

from vdp_engine.farm.graph import Dialect, Job, Step, job_of
from vdp_engine.farm.options import FarmOptions

NAMES = ("openjd", "slurm", "opencue", "deadline", "tractor")


class Exporter(Protocol):
    """What writes jobs for one engine."""

    name: str

    def write(self, jobs: Sequence[Job], folder: Path) -> tuple[Path, ...]:
        """Write the jobs into ``folder``, each shot's files into ``folder/NAME``; returns the files.

        Raises:
            UsageError: the engine cannot say what is asked for.
            TryAgainError: the folder cannot be written.
        """
        ...

    def by_hand(self, jobs: Sequence[Job], folder: Path) -> tuple[str, ...]:
        """What a person types to hand over the jobs that ``write`` wrote, quoted for a shell."""
        ...

    def submit(self, folder: Path) -> str:
        """Hand over what ``write`` wrote; returns what the engine said, such as the number of the job.

        Raises:
            VdpError: the engine's command is not there, or it refused.
        """
        ...


def exporter(name: str) -> Exporter:
    """The exporter of an engine, by a name out of ``NAMES``; imported only now."""
    found: Exporter = import_module(f"vdp_engine.farm.{name}").EXPORTER
    return found


def exporters() -> dict[str, Exporter]:
    """All exporters by name."""
    return {name: exporter(name) for name in NAMES}


__all__ = ["NAMES", "Dialect", "Exporter", "FarmOptions", "Job", "Step", "exporter", "exporters", "job_of"]
