"""Slurm: a batch script a step, an array where the step is cut by frames, and one script that hands all of them over.

A shot's scripts lie in ``NAME/``, their logs in ``NAME/logs``; ``submit.sh`` beside the shots hands them to ``sbatch``.
What Slurm itself reads (the ``#SBATCH`` lines) holds no path, and what bash reads holds every word quoted.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from vdp_engine import files
from vdp_engine.errors import TryAgainError, UsageError, VdpError
from vdp_engine.farm.graph import Job, Step
from vdp_engine.plate import format_frames

_RESTARTS = "5"
_WARN_SECONDS = 60  # an engine that is told to stop needs three of them

# Stands for the frames of a task until its script is written: no argument can hold it.
_FRAMES = "\0"
# What the scripts say themselves, and rest upon.
_OURS = {"array", "chdir", "dependency", "kill-on-invalid-dep", "output", "parsable", "wrap"}
_OPTION = re.compile(r"(?:(?P<step>[a-z]+)\.)?(?P<name>[a-z][a-z0-9-]*)")
_BUSY = ("contact slurm controller", "Socket timed out", "temporarily", "Connection refused", "Transport endpoint")

_RUN = """\
# Told of the end of its time, or of being cancelled or preempted, the engine saves its checkpoint and exits with 143.
out_of_time=
"${command[@]}" &
engine=$!
trap 'kill -TERM "$engine"' TERM
trap 'out_of_time=yes; kill -TERM "$engine"' USR1
while kill -0 "$engine" 2>/dev/null; do wait "$engine"; done
wait "$engine"
code=$?
trap - TERM USR1

# 75: the machine, not the work, was in the way. Other failures would come again.
if [[ $code == 75 || ($code == 143 && -n $out_of_time) ]]; then
    if (( ${SLURM_RESTART_COUNT:-0} < restarts )); then
        echo "exit $code: to be queued again"
        scontrol requeue "$SLURM_JOB_ID"
    else
        echo "exit $code: given up after $restarts restarts"
    fi
fi
exit "$code"
"""

_SUBMIT = """\
#!/bin/bash
# Hands the steps of each shot to Slurm, and tells the number of every job. Where one is refused, those before it are
# cancelled: either all of the work is on the farm, or none.
set -eo pipefail
unset CDPATH
[[ $0 != */* ]] || cd -- "${0%/*}"

handed=()
declare -A number
trap 'if [[ $? != 0 && ${#handed[@]} != 0 ]]; then scancel "${handed[@]}"; fi' EXIT

hand() {  # hand SHOT STEP STEPS-IT-NEEDS...
    local shot=$1 step=$2 said needed after=()
    if (( $# > 2 )); then
        after=(--dependency=afterok)
        for needed in "${@:3}"; do after[0]+=":${number[$needed]}"; done
        # Else what waits for a failed task would wait for ever.
        after+=(--kill-on-invalid-dep=yes)
    fi
    mkdir -p "./$shot/logs"
    said=$(cd "./$shot" && sbatch --parsable "${after[@]}" "$step.sh")
    number[$step]=${said%%;*}
    handed+=("${number[$step]}")
    printf '%s %s: job %s\\n' "$shot" "$step" "${number[$step]}"
}

"""


class Slurm:
    """The exporter for Slurm; tested with 22.05."""

    name = "slurm"

    def write(self, jobs: Sequence[Job], folder: Path) -> tuple[Path, ...]:
        """Write the scripts of every shot, and ``submit.sh``.

        Options of ``FarmOptions.extra`` are options of ``sbatch``, for all steps (``partition``) or one
        (``fit.partition``); they come after the ones made here, so that they count. ``restarts`` is how often a task
        that exits with 75, or whose time is up, is queued again (5); restarts that Slurm makes by itself count too.

        Raises:
            UsageError: an option cannot be handed through.
            TryAgainError: the folder cannot be written.
        """
        jobs = [job.with_progress("plain") for job in jobs]
        scripts = {folder / job.name / f"{step.name}.sh": script(job, step) for job in jobs for step in job.steps}
        scripts[folder / "submit.sh"] = submission(jobs)
        for path, text in scripts.items():
            # A path may hold bytes that are no text.
            files.write_bytes(path, os.fsencode(text))
        return tuple(scripts)

    def by_hand(self, jobs: Sequence[Job], folder: Path) -> tuple[str, ...]:
        """See ``Exporter.by_hand``."""
        return (shlex.join(["bash", str(folder / "submit.sh")]),)

    def submit(self, folder: Path) -> str:
        """Run ``submit.sh``; returns shot, step and number of every job, a line each.

        Raises:
            UsageError: nothing was written here.
            TryAgainError: Slurm does not answer.
            VdpError: this machine has no Slurm, or it refused a job; none is left on the farm.
        """
        path = folder / "submit.sh"
        if not path.is_file():
            raise UsageError("there is no job to hand over", code="farm_job", path=path)
        for program in ("bash", "sbatch"):
            if shutil.which(program) is None:
                raise VdpError(
                    f"there is no {program} on this machine", code="farm_command",
                    remedy=f"run `bash {shlex.quote(str(path))}` where jobs are handed to Slurm",
                )  # fmt: skip
        done = subprocess.run(
            ["bash", path.name], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
        if done.returncode:
            said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
            if any(word in said for word in _BUSY):
                raise TryAgainError(f"Slurm does not answer: {said}", code="farm", remedy="try again later")
            raise VdpError(
                f"Slurm refused the job: {said}", code="farm", path=path,
                remedy="nothing is left on the farm; change what it names (--farm-option NAME=VALUE) and try again",
            )  # fmt: skip
        return done.stdout.strip()


def script(job: Job, step: Step) -> str:
    """The batch script of a step, for ``sbatch`` in the folder that it lies in."""
    chunks = step.chunks()
    frames = [format_frames(chunk) for chunk in chunks if chunk]
    words = [
        '"${frames[SLURM_ARRAY_TASK_ID]}"' if word == _FRAMES else quoted(word)
        for word in step.command(_FRAMES if frames else "")
    ]
    lines = ["#!/bin/bash", *(f"#SBATCH --{option}" for option in _options(job, step, len(frames))), ""]
    if frames:
        lines += ["frames=(", *(f"    {quoted(text)}" for text in frames), ")"]
    lines += ["command=(", *(f"    {word}" for word in words), ")", f"restarts={_restarts(job)}", ""]
    return "\n".join(lines) + "\n" + _RUN


def submission(jobs: Sequence[Job]) -> str:
    """The script that hands over what lies beside it."""
    calls = [f"hand {quoted(job.name)} {' '.join((step.name, *step.needs))}" for job in jobs for step in job.steps]
    return _SUBMIT + "\n".join(calls) + "\n"


def quoted(word: str) -> str:
    """A word as bash reads it back, on one line whatever it holds (``sbatch`` refuses a script with a CR LF)."""

    def odd(character: str) -> bool:
        return character < " " or character == "\x7f"

    if not any(map(odd, word)):
        return shlex.quote(word)
    return "$'" + "".join(f"\\{ord(c):03o}" if odd(c) or c in "\\'" else c for c in word) + "'"


def _options(job: Job, step: Step, tasks: int) -> Iterator[str]:
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", job.name)
    yield f"job-name={plain}.{step.name}"
    # Relative to the folder of the script: no path is in need of being quoted here.
    yield f"output=logs/{step.name}.{'%A_%a' if tasks else '%j'}.log"
    yield "open-mode=append"  # a restart does not wipe out why the one before it ended
    if tasks:
        yield f"array=0-{tasks - 1}"
    yield "ntasks=1"
    if step.cores:
        yield f"cpus-per-task={step.cores}"
    if step.memory_mb:
        yield f"mem={step.memory_mb}M"
    if step.gpu:
        yield "gres=gpu:1"
    yield f"time={step.minutes}"
    yield "requeue"
    yield f"signal=B:USR1@{_WARN_SECONDS}"
    for name, value in job.options.extra:
        if name != "restarts" and (option := _extra(job, step, name, value)) is not None:
            yield option


def _restarts(job: Job) -> str:
    value = job.options.value("restarts", _RESTARTS)
    if not re.fullmatch(r"[0-9]{1,4}", value, re.ASCII):
        raise UsageError(f"{value!r} is no number of restarts", code="farm_option", expected="a number such as 5")
    return str(int(value))


def _extra(job: Job, step: Step, name: str, value: str) -> str | None:
    """An option that is handed through; ``None`` where it is for another step."""
    told = _OPTION.fullmatch(name)
    steps = [one.name for one in job.steps]
    if told is None or told["name"] in _OURS or told["step"] not in (None, *steps):
        raise UsageError(
            f"{name!r} cannot be handed to sbatch", code="farm_option",
            expected=f"a long option such as partition, or fit.partition for one step ({', '.join(steps)}); "
            f"not one of {', '.join(sorted(_OURS))}, which the job rests upon",
        )  # fmt: skip
    if re.search(r'[\x00-\x1f\x7f"\\]', value):
        raise UsageError(
            f"the value of the option {name} cannot be handed to sbatch: {value!r}", code="farm_option",
            expected="one line without double quotes and backslashes",
        )  # fmt: skip
    if told["step"] not in (None, step.name):
        return None
    return f'{told["name"]}="{value}"' if value else told["name"]


EXPORTER = Slurm()
