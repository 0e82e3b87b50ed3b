"""What the exporters share that hand their engine a number where a task's frames are meant.

Engines disagree about chunks: which frames the last one has, what a step or a gap does to them, whether -5 is a number.
So theirs are not used. Each task has a number, ``tasks.json`` says which argument list it stands for, and the launcher
beside it looks that up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from importlib import resources
from pathlib import Path

from vdp_engine import files, stages
from vdp_engine.errors import UsageError
from vdp_engine.farm.graph import Job, Step
from vdp_engine.farm.options import FarmOptions

TASKS = "tasks.json"
LAUNCHER = "launcher.py"
_MOST = 999_999  # OpenCue's names of frames have six digits
_PYTHON = re.compile(r"python[\d.]*(\.exe)?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def numbers(step: Step) -> tuple[int, ...]:
    """The number of each task: the first frame of its chunk, so that the farm's lists read like the plate.

    1, 2, 3 … where the step is one task, or where its frames are negative or longer than engines take.
    """
    chunks = step.chunks()
    if not step.frames or min(step.frames) < 0 or max(step.frames) > _MOST:
        return tuple(range(1, len(chunks) + 1))
    return tuple(chunk[0] for chunk in chunks)


def write(job: Job, folder: Path) -> tuple[Path, Path]:
    """Write the launcher and its table into ``folder``."""
    table = {
        step.name: {str(number): list(command) for number, command in zip(numbers(step), step.commands(), strict=True)}
        for step in job.steps
    }
    launcher, tasks = folder / LAUNCHER, folder / TASKS
    files.write_json(tasks, table)
    files.write_text(launcher, resources.files(__package__).joinpath(LAUNCHER).read_text(encoding="utf-8"))
    return launcher, tasks


def python(job: Job) -> str:
    """The Python that runs the launcher on a worker: the engine's where that is one, else ``python3``.

    Raises:
        UsageError: its path has characters that a shell could read as something else.
    """
    first = job.steps[0].engine[0]
    is_python = _PYTHON.fullmatch(re.split(r"[\\/]", first)[-1])
    chosen = job.options.value("python") or (first if is_python else "python3")
    if not re.fullmatch(r"[\w.:/\\ +-]+", chosen, re.ASCII) or chosen.startswith("-"):
        raise UsageError(
            f"{chosen!r} cannot start tasks on a farm", code="farm_python", expected="a plain path of a Python",
            remedy="name one with --farm-option python=PATH",
        )  # fmt: skip
    return chosen


def require_known(options: FarmOptions, known: Collection[str], of_steps: Collection[str], engine: str) -> None:
    """Refuse options that the engine's exporter does not read: a mistyped pool would run on the wrong machines.

    Args:
        known: options of the job.
        of_steps: options of the steps; ``fit.pool`` is the pool of the step fit alone.

    Raises:
        UsageError: names all of them, and what there is.
    """
    allowed = {*known, *of_steps, *(f"{stage}.{name}" for stage in stages.ALL for name in of_steps)}
    unknown = sorted({name for name, _ in options.extra} - allowed)
    if unknown:
        of_one = f" (fit.{min(of_steps)}: that of fit alone)" if of_steps else ""
        raise UsageError(
            f"{engine} has no farm option {', '.join(unknown)}", code="farm_option",
            expected=", ".join(sorted({*known, *of_steps})) + of_one,
        )  # fmt: skip


def value(job: Job, step: Step, name: str, default: str = "") -> str:
    """An option of a step: its own, else that of all steps."""
    return job.options.value(f"{step.name}.{name}", job.options.value(name, default))


def require_one_line(text: str, what: str) -> str:
    """``text``, where a file of lines can hold it as one.

    Raises:
        UsageError: it has control characters.
    """
    if _CONTROL.search(text):
        raise UsageError(f"{what} {text!r} has control characters, which no farm's files hold", code="farm_text")
    return text


def remember(jobs: Sequence[Job], folder: Path) -> Path:
    """Write which jobs ``folder`` holds, in order: older ones that lie there too are not to be handed over again.

    Raises:
        UsageError: two shots have the same name, and so the same folder.
    """
    names = [job.name for job in jobs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two shots are called {', '.join(twice)}", code="farm_names", remedy="give each its own name")
    path = folder / "jobs.json"
    files.write_json(path, names)
    return path


def remembered(folder: Path) -> list[Path]:
    """The folders of the jobs that ``write`` put into ``folder``, in order.

    Raises:
        UsageError: there are none.
    """
    path = folder / "jobs.json"
    try:
        return [folder / name for name in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        raise UsageError("there is no job here", code="farm_no_job", path=path, remedy="write it first") from None
