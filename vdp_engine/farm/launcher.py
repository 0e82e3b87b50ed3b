"""Starts one task of a farm job: ``python launcher.py STEP NUMBER``.

A copy of this file lies in a job's folder, beside ``tasks.json``: the argument list of every task by step and number.
So the command line that the farm's engine sees is the same for every shot, and no name of a plate or a folder has to
survive its parsers and shells. It knows the standard library only: a worker's Python may lack all else, and be old.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping


def arguments(folder: str, step: str, number: str) -> list[str]:
    """The argument list of a task; KeyError where the table has none such."""
    with open(os.path.join(folder, "tasks.json"), encoding="utf-8") as file:
        tasks: dict[str, dict[str, list[str]]] = json.load(file)
    return tasks[step][str(int(number))]  # engines may pad it


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The variables of the task: on OpenCue, which only tells which GPUs it booked, with these alone visible."""
    chosen = dict(given)
    if chosen.get("CUE_GPU_CORES") and "CUDA_VISIBLE_DEVICES" not in chosen:
        # OpenCue counts GPUs as nvidia-smi does; CUDA's own order may be another.
        chosen.update(CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_VISIBLE_DEVICES=chosen["CUE_GPU_CORES"])
    return chosen


def main(step: str, number: str) -> int:
    """Become the task; returns its exit code where a process cannot become another."""
    folder = os.path.dirname(os.path.abspath(__file__))
    try:
        command = arguments(folder, step, number)
    except (OSError, ValueError, KeyError) as error:
        print(f"launcher: no task {step} {number} in {folder}: {error!r}", file=sys.stderr)
        return 2
    variables = environment(os.environ)
    try:
        if os.name != "nt":
            # The farm's signals go to the task itself, and its exit code is the farm's.
            os.execvpe(command[0], command, variables)
        return subprocess.call(command, env=variables)
    except OSError as error:
        print(f"launcher: cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
