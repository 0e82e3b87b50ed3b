"""The stages of one shot as tasks that depend on each other, in the words of no particular farm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vdp_engine.farm.options import FarmOptions

if TYPE_CHECKING:
    from vdp_engine.shot import Shot

Dialect = Literal["plain", "json", "openjd"]


@dataclass(frozen=True)
class Step:
    """One stage of the shot: one task, or one for each chunk of its frames.

    Attributes:
        name: the stage, which is also the subcommand of ``vdp``.
        needs: steps all of whose tasks must have succeeded before.
        frames: the frames that it is cut by, ascending; empty: one task.
        chunk: frames a task; 0 for one task.
        gpu: whether a task wants a GPU.
        cores: CPU cores a task; 0: the farm's default.
        memory_mb: megabytes a task; 0: the farm's default.
        minutes: after which a task is surely hung.
        engine: argument list that starts ``vdp`` on a worker.
        place: the shot's folder as the workers know it.
        progress: dialect that the tasks tell their progress in.
    """

    name: str
    needs: tuple[str, ...]
    frames: tuple[int, ...]
    chunk: int
    gpu: bool
    cores: int
    memory_mb: int
    minutes: int
    engine: tuple[str, ...]
    place: str
    progress: Dialect = "plain"

    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """The frames of each task, in order; one empty chunk where the step is one task."""
        if not self.frames:
            return ((),)
        return tuple(self.frames[at : at + self.chunk] for at in range(0, len(self.frames), self.chunk))

    @property
    def max_memory(self) -> str:
        """What a task is told to stay under, as ``--max-memory`` reads it; empty: it finds out for itself."""
        # As the engine's own default: three quarters of what there is, which here is what the farm was asked for.
        return f"{self.memory_mb * 3 // 4}M" if self.memory_mb else ""

    def command(self, frames: str = "") -> tuple[str, ...]:
        """The argument list of a task; ``frames`` as ``vdp --frames`` reads them, for a task of a cut step."""
        # Without this a worker that lost its GPU would compute for days on its CPU; and the chunks of a render would
        # differ in their last bits where some workers have a GPU and others not.
        device = "cuda" if self.gpu else "cpu"
        threads = ("--threads", str(self.cores)) if self.cores else ()
        memory = ("--max-memory", self.max_memory) if self.max_memory else ()
        chosen = ("--frames", frames) if frames else ()
        return (
            *self.engine, self.name, self.place, "--progress", self.progress, *threads, "--device", device, *memory,
            *chosen,
        )  # fmt: skip

    def commands(self) -> tuple[tuple[str, ...], ...]:
        """The argument list of every task, in the order of ``chunks``."""
        # Not above: the help of the command line loads this module, and must not wait for the image libraries.
        from vdp_engine.plate import format_frames

        return tuple(self.command(format_frames(chunk) if chunk else "") for chunk in self.chunks())


@dataclass(frozen=True)
class Job:
    """One shot for a farm.

    Attributes:
        name: the shot's name.
        shot: its folder, absolute, as this machine knows it.
        steps: in order.
        options: what they were made with.
        reads: patterns of the sequences that the tasks read, absolute, as this machine knows them.
    """

    name: str
    shot: Path
    steps: tuple[Step, ...]
    options: FarmOptions
    reads: tuple[str, ...] = ()

    def with_progress(self, dialect: Dialect) -> Job:
        """The same job, whose tasks tell their progress in this dialect."""
        return replace(self, steps=tuple(replace(step, progress=dialect) for step in self.steps))

    def step(self, name: str) -> Step:
        """A step by its name."""
        return next(step for step in self.steps if step.name == name)


def job_of(shot: Shot, options: FarmOptions) -> Job:
    """The stages of a shot, each with what it needs.

    ``prep`` and ``render`` are cut by frames; ``fit`` sees the whole shot, and so does ``check``.
    """
    engine = tuple(options.mapped(word) for word in options.engine)
    place = options.mapped(shot.out)
    chunks = {"prep": options.prep_chunk, "render": options.render_chunk}
    steps: list[Step] = []
    for name in ("prep", "fit", "render", "check"):
        steps.append(
            Step(
                name=name,
                needs=tuple(step.name for step in steps[-1:]),
                frames=shot.frames if name in chunks else (),
                chunk=chunks.get(name, 0),
                gpu=options.gpu and name == "fit",
                cores=options.cores,
                memory_mb=options.memory_mb,
                minutes=options.timeout,
                engine=engine,
                place=place,
            )
        )
    return Job(shot.name, shot.out, tuple(steps), options, (shot.pattern, *shot.settings.hints))
