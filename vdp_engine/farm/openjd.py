"""Jobs for Open Job Description: a job template, and the job bundle of AWS Deadline Cloud around it.

Specification: jobtemplate-2023-09 with the extension TASK_CHUNKING (github.com/OpenJobDescription). Every argument is
an element of a list, and the shot's folder the value of a parameter: no shell and no format string sees its name.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from vdp_engine import files
from vdp_engine.errors import UsageError, VdpError
from vdp_engine.farm import ranges, tables
from vdp_engine.farm.graph import Job, Step
from vdp_engine.plate import Sequence as Plates
from vdp_engine.plate import format_frames

TEMPLATE = "template.yaml"
PATH_MAPPING = "path_mapping.json"
# Between SIGTERM and SIGKILL. A task needs three seconds for its checkpoint; the drive may be busy.
_NOTIFY_SECONDS = 60
# Limits of the specification.
_MOST_TASKS = 1024
_LONGEST_NAME = 128
_LONGEST_TEXT = 1024

_FOLDER = "{{Param.ShotFolder}}"
_JOB_ID = re.compile(r"\bjob-[0-9a-f]{32}\b")
# Parameters of a Deadline Cloud job, by the names that its bundles know.
_DEADLINE = ("priority", "targetTaskRunStatus", "maxFailedTasksCount", "maxRetriesPerTask", "maxWorkerCount")


class OpenJd:
    """``vdp farm openjd``."""

    name = "openjd"

    def write(self, jobs: Sequence[Job], folder: Path) -> tuple[Path, ...]:
        """Write one job bundle a shot: ``template.yaml``, ``parameter_values.yaml``, ``asset_references.yaml``.

        With a path map also ``path_mapping.json``, the same as rules of Open Job Description. Options of
        ``FarmOptions.extra`` are those of a Deadline Cloud job, such as ``priority`` and ``maxRetriesPerTask``.

        Raises:
            UsageError: the specification has no way to say what is asked for.
            PlateError: the plate or a hint is gone.
            TryAgainError: the folder cannot be written.
        """
        told: dict[Path, str] = {}
        for job in jobs:
            place = folder / job.name
            told[place / TEMPLATE] = _yaml(template(job))
            told[place / "parameter_values.yaml"] = _yaml(parameter_values(job))
            told[place / "asset_references.yaml"] = _yaml(asset_references(job))
        written = [tables.remember(jobs, folder)]
        for path, text in told.items():
            files.write_text(path, text)
            written.append(path)
        for job in jobs:
            if job.options.path_map:
                written.append(folder / job.name / PATH_MAPPING)
                files.write_json(written[-1], path_mapping(job))
        return tuple(written)

    def by_hand(self, jobs: Sequence[Job], folder: Path) -> tuple[str, ...]:
        """See ``Exporter.by_hand``."""
        said: list[str] = []
        for job in jobs:
            place = folder / job.name
            here = shlex.join(["openjd", "run", str(place / TEMPLATE), "-p", f"ShotFolder={job.shot}"])
            said += [shlex.join(["deadline", "bundle", "submit", str(place)]), f"{here}   (here, to try it)"]
        return tuple(said)

    def submit(self, folder: Path) -> str:
        """Hand the bundles to AWS Deadline Cloud; returns shot and number of every job, a line each.

        Raises:
            UsageError: nothing was written here, or Deadline Cloud's command is not there.
            VdpError: Deadline Cloud refused a job.
        """
        places = tables.remembered(folder)
        program = shutil.which("deadline")
        if program is None:
            raise UsageError(
                "there is no command `deadline` on this machine", code="farm_command",
                remedy="install it (pip install deadline) and log in, or hand the template to another engine: "
                f"openjd run {shlex.quote(str(places[0] / TEMPLATE))} --help",
            )  # fmt: skip
        said: list[str] = []
        for place in places:
            done = subprocess.run(
                [program, "bundle", "submit", "--yes", str(place)],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            )  # fmt: skip
            lines = f"{done.stderr}\n{done.stdout}".split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")
            if done.returncode:
                raise VdpError(
                    f"Deadline Cloud refused {place.name}: {last}", code="farm", path=place,
                    remedy=f"already handed over: {'; '.join(said)}" if said else "",
                )  # fmt: skip
            number = _JOB_ID.search(done.stdout)
            said.append(f"{place.name}: {number[0] if number else last}")
        return "\n".join(said)


def template(job: Job) -> dict[str, Any]:
    """The job template of a shot.

    The frames of ``prep`` and ``render`` are one CHUNK[INT] parameter, cut where they are not consecutive: a chunk is
    then always ``first-last``, which ``vdp --frames`` reads alike. Where that would cut a stepped range into single
    frames, each task gets its range in the dialect of ``vdp`` instead, since ``1-10:3`` means other frames there.

    Raises:
        UsageError: there is no way to say it within the specification's limits.
    """
    tables.require_known(job.options, _DEADLINE, (), "Deadline Cloud")
    job = job.with_progress("openjd")
    chunked = all(_can_be_chunked(step) for step in job.steps)
    return {
        "specificationVersion": "jobtemplate-2023-09",
        **({"extensions": ["TASK_CHUNKING"]} if chunked else {}),
        "name": _job_name(job),
        "description": f"VDP takes the shot apart into layers: {', '.join(step.name for step in job.steps)}. "
        "Every task goes on where it was stopped, and does nothing where nothing is left to do. "
        "Exit code 75 means: try again later.",
        "parameterDefinitions": _parameters(job, chunked),
        "steps": [_step(step, chunked) for step in job.steps],
    }


def parameter_values(job: Job) -> dict[str, Any]:
    """Values of the parameters that have no default, and of Deadline Cloud's own."""
    values: list[dict[str, Any]] = [{"name": "ShotFolder", "value": str(job.shot)}]
    for name, value in job.options.extra:
        values.append({"name": f"deadline:{name}", "value": int(value) if value.isdecimal() else value})
    return {"parameterValues": values}


def asset_references(job: Job) -> dict[str, Any]:
    """The files that the tasks read beside the shot's folder, which is a parameter: plate and hints.

    Raises:
        PlateError: one of the sequences is gone.
    """
    frames = {frame for step in job.steps for frame in step.frames}
    names: list[str] = []
    for pattern in job.reads:
        found, _ = Plates.find(pattern)
        names += [str(found.path(frame)) for frame in found.frames if frame in frames or found.width is None]
    return {"assetReferences": {"inputs": {"filenames": names, "directories": []}, "outputs": {"directories": []}}}


def path_mapping(job: Job) -> dict[str, Any]:
    """The path map as path-mapping rules, the longest folder first."""
    rules = sorted(job.options.path_map, key=lambda rule: -len(rule[0]))
    return {
        "version": "pathmapping-1.0",
        "path_mapping_rules": [
            {
                "source_path_format": "WINDOWS" if os.name == "nt" else "POSIX",
                "source_path": source,
                "destination_path": target,
            }
            for source, target in rules
        ],
    }


def _parameters(job: Job, chunked: bool) -> list[dict[str, Any]]:
    first = job.steps[0]
    engine, rest = _fits(first.engine[0], "the engine's command"), first.engine[1:]
    before = f", which starts with the arguments {shlex.join(rest)}" if rest else ""
    found: list[dict[str, Any]] = [
        {
            "name": "ShotFolder", "type": "PATH", "objectType": "DIRECTORY", "dataFlow": "INOUT",
            "description": "The folder that vdp init wrote; the layers come there.",
            "userInterface": _shown("CHOOSE_DIRECTORY", "Shot folder"),
        },
        {
            "name": "Engine", "type": "STRING", "default": engine, "minLength": 1,
            "description": f"The program on the workers{before}.",
            "userInterface": _shown("LINE_EDIT", "Engine"),
        },
        {
            "name": "Threads", "type": "INT", "default": first.cores, "minValue": 0,
            "description": "CPU threads a task; 0: all that it may use.",
            "userInterface": _shown("SPIN_BOX", "Threads"),
        },
        {
            "name": "MaxMemory", "type": "STRING", "default": first.max_memory or "0",
            "description": "Most memory a task uses, as 8G or 4096M; 0: three quarters of what there is.",
            "userInterface": _shown("LINE_EDIT", "Memory"),
        },
    ]  # fmt: skip
    for step in job.steps if chunked else ():
        if step.frames:
            found.append(
                {
                    "name": _chunk_parameter(step), "type": "INT", "default": step.chunk, "minValue": 1,
                    "description": f"Frames a task of {step.name}.",
                    "userInterface": _shown("SPIN_BOX", f"Frames a task of {step.name}"),
                }
            )  # fmt: skip
    return found


def _shown(control: str, label: str) -> dict[str, str]:
    return {"control": control, "label": label, "groupLabel": "VDP"}


def _step(step: Step, chunked: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"name": step.name}
    if step.needs:
        told["dependencies"] = [{"dependsOn": need} for need in step.needs]
    if step.frames:
        told["parameterSpace"] = {"taskParameterDefinitions": [_frames(step, chunked)]}
    amounts = [
        {"name": f"amount.worker.{name}", "min": least}
        for name, least in (("vcpu", step.cores), ("memory", step.memory_mb), ("gpu", int(step.gpu)))
        if least
    ]
    if amounts:
        told["hostRequirements"] = {"amounts": amounts}
    told["script"] = {
        "actions": {
            "onRun": {
                "command": "{{Param.Engine}}",
                "args": _arguments(step),
                "timeout": 60 * step.minutes,
                "cancelation": {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": _NOTIFY_SECONDS},
            }
        }
    }
    return told


def _arguments(step: Step) -> list[str]:
    for word in step.engine[1:]:
        tables.require_one_line(word, "the engine's argument")
        if "{{" in word:
            raise UsageError(
                f"Open Job Description would replace a part of the engine's argument {word!r}", code="farm_text",
                remedy="start the engine with a script of its own: --engine PATH",
            )  # fmt: skip
    own = replace(step, engine=step.engine[1:], place=_FOLDER, cores=0, memory_mb=0)
    machine = ("--threads", "{{Param.Threads}}", "--max-memory", "{{Param.MaxMemory}}")
    return [*own.command("{{Task.Param.Frames}}" if step.frames else ""), *machine]


def _frames(step: Step, chunked: bool) -> dict[str, Any]:
    if chunked:
        return {
            "name": "Frames",
            "type": "CHUNK[INT]",
            "range": ranges.write(step.frames, "openjd"),
            "chunks": {"defaultTaskCount": f"{{{{Param.{_chunk_parameter(step)}}}}}", "rangeConstraint": "CONTIGUOUS"},
        }
    tasks = [_fits(format_frames(chunk), f"a chunk of {step.name}") for chunk in step.chunks()]
    if len(tasks) > _MOST_TASKS:
        raise UsageError(
            f"{len(tasks)} tasks of {step.name} are too many for frames with gaps", code="farm_tasks",
            expected=f"at most {_MOST_TASKS}", remedy=f"raise --{step.name}-chunk",
        )  # fmt: skip
    return {"name": "Frames", "type": "STRING", "range": tasks}


def _can_be_chunked(step: Step) -> bool:
    """Whether cutting the frames where they are not consecutive leaves about as many tasks as was asked for."""
    consecutive = 0
    length = 0
    for before, frame in zip((None, *step.frames), step.frames, strict=False):
        follows = before is not None and frame == before + 1 and length < step.chunk
        consecutive, length = (consecutive, length + 1) if follows else (consecutive + 1, 1)
    return consecutive <= 2 * len(step.chunks())


def _chunk_parameter(step: Step) -> str:
    return f"{step.name.capitalize()}Chunk"


def _job_name(job: Job) -> str:
    # A name is a format string with no way to write two braces that stay.
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", job.name).replace("{{", "{ {").replace("}}", "} }")
    return f"vdp {plain}"[:_LONGEST_NAME]


def _fits(text: str, what: str) -> str:
    if len(text) > _LONGEST_TEXT:
        raise UsageError(
            f"{what} is longer than Open Job Description takes: {text[:60]} …", code="farm_text",
            expected=f"at most {_LONGEST_TEXT} characters",
        )  # fmt: skip
    return tables.require_one_line(text, what)


def _yaml(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)


EXPORTER = OpenJd()
