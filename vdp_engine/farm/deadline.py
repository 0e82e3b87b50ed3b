"""Jobs for Thinkbox Deadline 10: one job of its CommandLine plug-in a step, each waiting for the one before.

Written after Deadline 10's manual (job info files, the CommandLine plug-in, auxiliary files), and not run on a
Deadline: what is tested are the files, and the order and linking of the jobs against a stand-in for
``deadlinecommand``.

The plug-in's arguments are one string that it splits, and in which it maps paths and replaces tokens. So no path is
in it: launcher and table of tasks travel with the job as auxiliary files, and the arguments are the same for every
shot. A task that fails, exit 75 included, is tried again until it has failed ``errors`` times.

Options of all steps, or of one as ``fit.group``: ``pool``, ``secondary_pool``, ``group``, ``limits``,
``machine_limit``, ``priority``, ``department``, ``comment``, ``errors`` (default 3); of the job: ``python`` (on the
workers). Deadline books machines, not GPUs: give the machines that have one a group, and let each run one task.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vdp_engine import files
from vdp_engine.errors import VdpError
from vdp_engine.farm import ranges, tables
from vdp_engine.farm.graph import Job, Step

_KEYS = {
    "pool": "Pool", "secondary_pool": "SecondaryPool", "group": "Group", "limits": "LimitGroups",
    "machine_limit": "MachineLimit", "priority": "Priority", "department": "Department", "comment": "Comment",
}  # fmt: skip
_OF_STEPS = (*_KEYS, "errors")
_JOB_ID = re.compile(r"^JobID=(\S+)", re.MULTILINE)
_STEPS = "steps.json"


class Deadline:
    """``vdp farm deadline``."""

    name = "deadline"

    def write(self, jobs: Sequence[Job], folder: Path) -> tuple[Path, ...]:
        """``STEP.job`` and ``STEP.plugin`` for each step of each shot, and what travels with them."""
        told = [[(step, job_info(job, step), plugin_info(job, step)) for step in job.steps] for job in jobs]
        written = [tables.remember(jobs, folder)]
        for job, steps in zip(jobs, told, strict=True):
            place = folder / job.name
            written += tables.write(job.with_progress("plain"), place)
            for step, info, plugin in steps:
                for suffix, text in ((".job", info), (".plugin", plugin)):
                    written.append(place / f"{step.name}{suffix}")
                    files.write_text(written[-1], text)
            written.append(place / _STEPS)
            files.write_json(written[-1], {step.name: list(step.needs) for step in job.steps})
        return tuple(written)

    def by_hand(self, jobs: Sequence[Job], folder: Path) -> tuple[str, ...]:
        """See ``Exporter.by_hand``; there is no one command for it."""
        return tuple(f"with the tools of your farm, from {folder / job.name}" for job in jobs)

    def submit(self, folder: Path) -> str:
        """Hand over step by step, as the number of one job has to stand in the next; see ``Exporter.submit``."""
        command = _deadlinecommand()
        said: list[str] = []
        for place in tables.remembered(folder):
            numbers: dict[str, str] = {}
            for step, needs in json.loads((place / _STEPS).read_text(encoding="utf-8")).items():
                numbers[step] = _submit(command, place, step, [numbers[need] for need in needs], said)
                said.append(f"{place.name} {step}: {numbers[step]}")
        return "\n".join(said)


EXPORTER = Deadline()


def job_info(job: Job, step: Step) -> str:
    """The job info file of a step, without the jobs that it waits for: these have no numbers yet.

    Raises:
        UsageError: an option is not known, or a name cannot be said.
    """
    tables.require_known(job.options, ("python",), _OF_STEPS, "deadline")
    values = {key: tables.value(job, step, name) for name, key in _KEYS.items()}
    pairs = {
        "Plugin": "CommandLine",
        "Name": f"{job.name} {step.name}",
        "BatchName": f"VDP {job.name}",
        **{key: value for key, value in values.items() if value},
        "Frames": ranges.write(tables.numbers(step), "deadline"),
        "ChunkSize": "1",
        "ConcurrentTasks": "1",
        "EnableAutoTimeout": "False",
        "TaskTimeoutMinutes": str(step.minutes),
        "OnTaskTimeout": "Error",
        "OverrideTaskFailureDetection": "True",
        "FailureDetectionTaskErrors": tables.value(job, step, "errors", "3"),
        "ResumeOnCompleteDependencies": "True",
        "ResumeOnFailedDependencies": "False",
        "ResumeOnDeletedDependencies": "False",
        "OutputDirectory0": step.place,
    }
    return _lines(pairs)


def plugin_info(job: Job, step: Step) -> str:
    """The plug-in info file of a step; UsageError where the Python cannot be said."""
    return _lines(
        {
            "Executable": tables.python(job),
            "Arguments": f'-I "<AUXFILE0>" {step.name} <STARTFRAME>',
            "Shell": "default",
            "ShellExecute": "False",
            "SingleFramesOnly": "True",
        }
    )


def _lines(pairs: dict[str, str]) -> str:
    return "".join(f"{key}={tables.require_one_line(value, key)}\n" for key, value in pairs.items())


def _deadlinecommand() -> str:
    # Deadline's installer sets DEADLINE_PATH, and not always PATH.
    found = shutil.which("deadlinecommand") or shutil.which("deadlinecommand", path=os.environ.get("DEADLINE_PATH"))
    if found is None:
        raise VdpError(
            "there is no deadlinecommand here", code="farm_command",
            remedy="install the Deadline client, or set DEADLINE_PATH to the folder that has it",
        )  # fmt: skip
    return found


def _submit(command: str, place: Path, step: str, needs: Sequence[str], said: Sequence[str]) -> str:
    """Hand over one step, after those of which ``said`` tells; returns the number of its job."""
    info = (place / f"{step}.job").read_text(encoding="utf-8")
    if needs:
        info += f"JobDependencies={','.join(needs)}\n"
    with tempfile.TemporaryDirectory() as temporary:
        pair = []
        for suffix, text in ((".job", info), (".plugin", (place / f"{step}.plugin").read_text(encoding="utf-8"))):
            pair.append(Path(temporary) / f"{step}{suffix}")
            # As Deadline's own submitters write what is not plain ASCII.
            pair[-1].write_text(text, encoding="ascii" if text.isascii() else "utf-16")
        along = [place / tables.LAUNCHER, place / tables.TASKS]
        done = subprocess.run([command, *map(str, (*pair, *along))], capture_output=True, text=True, errors="replace")
    number = _JOB_ID.search(done.stdout)
    if done.returncode or number is None:
        reason = (done.stdout + done.stderr).strip() or f"exit code {done.returncode}"
        raise VdpError(
            f"deadlinecommand refused {place.name} {step}: {reason}", code="farm_refused", path=place,
            remedy=f"already handed over: {'; '.join(said)}" if said else "",
        )  # fmt: skip
    return number[1]
