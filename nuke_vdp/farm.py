"""Send to farm: sets the shot of a VDP node up and hands it to the studio's farm. Nothing is computed here.

Which farm, the studio says: with a function (``set_submitter``), or with a command in ``VDP_FARM_SUBMIT``.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import nuke

from nuke_vdp import engine, finished, knobs, plate, runs
from nuke_vdp.engine import Request
from nuke_vdp.errors import HostError
from nuke_vdp.runs import process
from nuke_vdp.runs.events import Story

STAGES = ("prep", "fit", "render", "check")
IN_CHUNKS = ("prep", "render")

_SET_UP_SECONDS = 300.0  # reading a plate's headers over a slow network
_SUBMIT_SECONDS = 300.0


@dataclass(frozen=True)
class FarmJob:
    """One shot that is set up: what a farm has to know.

    The stages run one after the other. ``prep`` and ``render`` may be cut into chunks of frames, each on a machine of
    its own; ``fit`` and ``check`` are one task each. Every stage goes on where it was stopped, and does nothing where
    nothing is left to do.

    Attributes:
        shot: the output folder, absolute, with forward slashes; every machine must see it, and the plate.
        frames: the frames to decompose, as ``1001-1100,1105``.
        engine: the command that starts the engine on this machine.
        node: full name of the VDP node.
        script: the Nuke script that it lies in; empty where that was never saved.
        stages: their names, in order.
    """

    shot: str
    frames: str
    engine: tuple[str, ...]
    node: str
    script: str
    stages: tuple[str, ...] = STAGES

    def command(self, stage: str, frames: str = "") -> tuple[str, ...]:
        """The command line of a stage, of a chunk of ``frames`` where the stage can be cut into chunks."""
        chunk = ("--frames", frames) if frames and stage in IN_CHUNKS else ()
        return (*self.engine, stage, self.shot, *chunk)


Submitter = Callable[[FarmJob], str]
_submitter: Submitter | None = None


def set_submitter(function: Submitter | None) -> None:
    """Name the function that hands a job to the farm; ``None`` for none.

    It is called on the main thread and gives back what the artist is told, such as the number of the job. What it
    raises is shown to the artist.
    """
    global _submitter
    _submitter = function


def send_to_farm(node: Any) -> str:
    """Set the shot of a VDP node up, without working on it, and hand it to the farm. Main thread only.

    Plates that the engine cannot open itself are rendered first, as for Decompose. When the farm is done, Reload takes
    the layers.

    Returns:
        what the farm said.

    Raises:
        HostError: a knob or the plate does not allow it, VDP works on that folder just now, nothing says how to reach
            the farm, or the farm refused.
    """
    request, renders = knobs.request_of(node)
    command = engine.find()
    going_on = runs.find(request.out)
    if going_on is not None and not going_on.snapshot().ended:
        raise HostError(
            f"VDP is already working on {request.out}. Wait for it, or press Cancel, then send it to the farm."
        )
    made_from = knobs.digest(node)
    for one in renders:
        plate.render(node, one)
    _set_up(command, request)
    # So that Reload finds the layers, and the node knows what they were made from.
    finished.note_made_from(request.out, made_from, by="farm")
    with plate.no_undo():
        node[knobs.RUN_DIR].setValue(request.out)
    script = str(nuke.root()["name"].value() or "")
    return submit(FarmJob(request.out, request.frames, command, str(node.fullName()), script))


def submit(job: FarmJob) -> str:
    """Hand a job to what the studio set; gives back what that said. HostError as ``send_to_farm``."""
    if _submitter is not None:
        try:
            return str(_submitter(job) or "")
        except HostError:
            raise
        except Exception as error:
            raise HostError(f"The farm did not take the shot: {type(error).__name__}: {error}") from error
    command = os.environ.get("VDP_FARM_SUBMIT", "").strip()
    if not command:
        raise HostError(_how_to_submit(job))
    try:
        words = split(command)
    except ValueError as error:
        raise HostError(f"VDP_FARM_SUBMIT cannot be read ({error}): {command}") from None
    code, said, trouble = _run((*words, job.shot), Path(job.shot), _SUBMIT_SECONDS, "VDP_FARM_SUBMIT")
    if code:
        last = " ".join((trouble or said).split("\n")[-3:])
        raise HostError(f"The farm did not take the shot: {words[0]} ended with {code}. {last}".rstrip())
    return said.rpartition("\n")[2]


def split(command: str) -> tuple[str, ...]:
    """The words of a command, quotes as a shell has them; on Windows backslashes are part of a path.

    Raises:
        ValueError: a quote is not closed.
    """
    words = shlex.split(command, posix=not engine.WINDOWS)
    if engine.WINDOWS:
        words = [word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word for word in words]
    return tuple(words)


def _set_up(command: Sequence[str], request: Request) -> None:
    """Have the engine write the shot's settings into its folder; HostError in the engine's own words."""
    with tempfile.TemporaryDirectory(prefix="vdp-") as folder:
        arguments = (*command, *request.arguments("init"))
        code, said, trouble = _run(arguments, Path(folder), _SET_UP_SECONDS, "The engine")
    story = Story()
    for line in said.split("\n"):
        story.hear(line)
    if story.error is not None:
        frame = story.error.get("frame")
        where = "" if frame is None else f"Frame {frame}: "
        raise HostError(f"{where}{story.error.get('message', '')}")
    if code or story.result is None:
        last = " ".join(trouble.split("\n")[-3:])
        raise HostError(f"The engine could not set the shot up: it ended with {code}. {last}".rstrip())


def _run(command: Sequence[str], folder: Path, seconds: float, what: str) -> tuple[int | None, str, str]:
    """Run a command to its end; exit code, stdout and stderr. HostError where it cannot start or takes too long."""
    with tempfile.TemporaryDirectory(prefix="vdp-") as kept:
        out, errors = Path(kept, "stdout"), Path(kept, "stderr")
        try:
            child = process.start(command, out, errors, engine.environment(), folder)
        except OSError as error:
            raise HostError(f"{what} could not be started: {command[0]}: {error.strerror or error}") from None
        end = time.monotonic() + seconds
        while process.alive(child):
            if time.monotonic() > end:
                process.kill(child)
                raise HostError(f"{what} did not come to an end within {seconds:.0f} s and was stopped: {command[0]}")
            time.sleep(0.05)
        said, trouble = (path.read_text("utf-8", "replace").strip() for path in (out, errors))
        return process.exit_code(child), said, trouble


def _how_to_submit(job: FarmJob) -> str:
    lines = [
        f"Nothing says how to reach the farm. The shot is set up in {job.shot}; what is missing is one of these:",
        "- VDP_FARM_SUBMIT, an environment variable: a command that takes the shot's folder as its last argument",
        "- nuke_vdp.farm.set_submitter(function), in a studio's init.py",
        "These commands do the work, one after the other, on any machine that sees the folder; then press Reload:",
    ]
    join = subprocess.list2cmdline if engine.WINDOWS else shlex.join
    return "\n".join([*lines, *(f"  {join(job.command(stage))}" for stage in job.stages)])
