"""Jobs for Pixar's Tractor: an ``.alf`` file, which is Tcl, for ``tractor-spool``.

Written after Tractor 2's pages on job scripting, and not run on a Tractor: what is tested is that a Tcl interpreter
reads the files as meant, word by word. The steps are tasks below the job one after the other (``-serialsubtasks``),
and each chunk of a step is a task below its step; a chunk that fails does not stop its siblings, only the steps after
it.

Options of the job: ``priority``, ``projects``, ``tier``; of all steps, or of one as ``fit.service``: ``service``
(default PixarRender), ``tags``, ``envkey``.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from vdp_engine import files
from vdp_engine.errors import EXIT_TRY_AGAIN, UsageError, VdpError
from vdp_engine.farm import tables
from vdp_engine.farm.graph import Job, Step
from vdp_engine.plate import format_frames

_OF_JOB = ("priority", "projects", "tier")
_OF_STEPS = ("service", "tags", "envkey")
_PLAIN = re.compile(r"[\w./:=,+@-]+", re.ASCII)
_SPECIAL = re.compile(r'[\s\\{}\[\]$";#~]')
_FILE = "job.alf"


class Tractor:
    """``vdp farm tractor``."""

    name = "tractor"

    def write(self, jobs: Sequence[Job], folder: Path) -> tuple[Path, ...]:
        """One ``job.alf`` a shot; see ``Exporter.write``."""
        texts = [alf(job.with_progress("plain")) for job in jobs]
        written = [tables.remember(jobs, folder)]
        for job, text in zip(jobs, texts, strict=True):
            written.append(folder / job.name / _FILE)
            files.write_text(written[-1], text)
        return tuple(written)

    def by_hand(self, jobs: Sequence[Job], folder: Path) -> tuple[str, ...]:
        """See ``Exporter.by_hand``."""
        return tuple(shlex.join(["tractor-spool", str(folder / job.name / _FILE)]) for job in jobs)

    def submit(self, folder: Path) -> str:
        """Spool each job with ``tractor-spool``; see ``Exporter.submit``."""
        spool = shutil.which("tractor-spool")
        if spool is None:
            raise VdpError(
                "there is no tractor-spool here", code="farm_command", path=folder,
                remedy="set PATH so that Tractor's commands are found, or spool the .alf files elsewhere",
            )  # fmt: skip
        said: list[str] = []
        for job in tables.remembered(folder):
            done = subprocess.run([spool, str(job / _FILE)], capture_output=True, text=True)
            if done.returncode:
                reason = (done.stderr or done.stdout).strip()
                before = f"; spooled before it: {' '.join(said)}" if said else ""
                raise VdpError(f"tractor-spool refused {job.name}: {reason}{before}", code="farm_refused", path=job)
            said.append(done.stdout.strip())
        return "\n".join(said)


EXPORTER = Tractor()


def alf(job: Job) -> str:
    """The job as Tractor's job script.

    Raises:
        UsageError: an option is not known, or a path cannot be said.
    """
    tables.require_known(job.options, _OF_JOB, _OF_STEPS, "tractor")
    title = word(f"VDP {job.name}")
    lines = ["##AlfredToDo 3.0", f"Job -title {title} {_job_options(job)}-serialsubtasks 1 -subtasks {{"]
    for step in job.steps:
        commands = step.commands()
        if not step.frames:
            lines += [f"    Task {word(step.name)} -cmds {{", f"        {_command(job, step, commands[0])}", "    }"]
            continue
        lines.append(f"    Task {word(step.name)} -subtasks {{")
        for chunk, command in zip(step.chunks(), commands, strict=True):
            title = word(f"{step.name} {format_frames(chunk)}")
            lines += [f"        Task {title} -cmds {{", f"            {_command(job, step, command)}", "        }"]
        lines.append("    }")
    return "\n".join((*lines, "}", ""))


def word(text: str) -> str:
    """Text as one word of Tcl that is neither substituted nor split, inside any number of braces.

    Raises:
        UsageError: it has control characters.
    """
    tables.require_one_line(text, "the word")
    if _PLAIN.fullmatch(text):
        return text
    if "\\" not in text and _is_balanced(text):
        return f"{{{text}}}"
    # A brace after a backslash does not count where Tcl looks for the end of a braced text.
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", text)


def _is_balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _command(job: Job, step: Step, command: Iterable[str]) -> str:
    if step.engine[0].startswith("~"):
        raise UsageError("Tractor reads ~ as a home", code="farm_text", expected="an absolute path of the engine")
    # Tractor replaces %h, %D(…) and others in commands; %% is a percent sign.
    launch = " ".join(word(argument.replace("%", "%%")) for argument in command)
    said = [f"RemoteCmd {{{launch}}} -service {word(tables.value(job, step, 'service', 'PixarRender'))}"]
    for name in ("tags", "envkey"):
        if value := tables.value(job, step, name):
            said.append(f"-{name} {word(value)}")
    slots = max(step.cores, 1)
    said.append(f"-atleast {slots} -atmost {slots} -maxrunsecs {step.minutes * 60} -retryrc {{{EXIT_TRY_AGAIN}}}")
    return " ".join(said)


def _job_options(job: Job) -> str:
    named = ((name, job.options.value(name)) for name in _OF_JOB)
    return "".join(f"-{name} {word(value)} " for name, value in named if value)
