"""``vdp farm``: hand the stages of a shot, or of the shots of a manifest, to a farm."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdp_engine.cli.options import (
    Command,
    frames_option,
    fresh_option,
    name_option,
    option,
    progress_option,
    settings_from,
    settings_options,
)
from vdp_engine.cli.session import Session
from vdp_engine.cli.stages import new_shot, save, shot_at
from vdp_engine.errors import UsageError
from vdp_engine.farm import NAMES
from vdp_engine.settings import Machine, Settings, flag

if TYPE_CHECKING:
    from vdp_engine.farm import Exporter, FarmOptions, Job
    from vdp_engine.progress import Dialect
    from vdp_engine.shot import Shot

_HEADING = "The job"
_EPILOG = """\b
Examples:
  vdp farm slurm "plates/shot.####.exr" --out shot/ --submit
  vdp farm openjd shot/                             a folder that `vdp init` or `vdp run` wrote
  vdp farm deadline --manifest batch.yaml --to jobs/
  vdp farm slurm shot/ --farm-option partition=gpu --cores 8 --memory 32G
  vdp farm opencue shot/ --path-map /mnt/shows=P:/shows --engine "C:/vdp/vdp.exe"

\b
What comes: the job's files, in SHOT/.vdp/farm/ENGINE/NAME/ or in --to. prep and render are cut into tasks of some
frames each, fit and check are one task; each step waits for all of the one before. Nothing is computed here.

What to do next: look at the files, and hand them over as the command says, or repeat it with --submit. When the farm
is done, look at NAME.sheet.png and NAME.report.json in the shot's folder. A task that failed or was killed goes on
where it was when it is tried again.
"""


def _job_options(function: Any) -> Any:
    for one in reversed(
        (
            option(
                "--engine", metavar="COMMAND", heading=_HEADING,
                help="What starts vdp on the workers, quoted. [default: $VDP_FARM_ENGINE, else what runs this command]",
            ),
            option(
                "--gpu/--no-gpu", default=True, heading=_HEADING,
                help="Whether fit asks for a GPU, and fails where it gets none; else it computes on the CPU. "
                "[default: --gpu]",
            ),
            option(
                "--prep-chunk", type=click.IntRange(1), metavar="N", heading=_HEADING,
                help="Frames a task of prep. [default: 25]",
            ),
            option(
                "--render-chunk", type=click.IntRange(1), metavar="N", heading=_HEADING,
                help="Frames a task of render. [default: 10]",
            ),
            option(
                "--cores", type=click.IntRange(0), metavar="N", heading=_HEADING,
                help="CPU cores a task; 0: what the farm gives. [default: 0]",
            ),
            option(
                "--memory", metavar="SIZE", heading=_HEADING,
                help="Memory a task, as 16G or 8000M; 0: what the farm gives. [default: 16G]",
            ),
            option(
                "--timeout", type=click.IntRange(1), metavar="MINUTES", heading=_HEADING,
                help="Minutes after which a task is surely hung. [default: 240]",
            ),
            option(
                "--farm-option", "extra", multiple=True, metavar="NAME=VALUE", heading=_HEADING,
                help="Handed through to ENGINE: its queue, pool, partition, account, priority.",
            ),
            option(
                "--path-map", multiple=True, metavar="HERE=THERE", heading=_HEADING,
                help="A folder here, and where the workers find it; the longest one that fits counts.",
            ),
            option(
                "--to", metavar="DIR", type=click.Path(path_type=Path), heading=_HEADING,
                help="Folder for the job's files. [default: .vdp/farm/ENGINE in the shot's folder]",
            ),
            option("--submit", is_flag=True, heading=_HEADING, help="Hand the job over to ENGINE."),
        )
    ):  # fmt: skip
        function = one(function)
    return function


@click.command(
    cls=Command, name="farm", epilog=_EPILOG, short_help="Hand the stages to a render farm.",
    help="""Write, and with --submit hand over, the job that decomposes a plate on a render farm.

\b
ENGINE is openjd (Open Job Description, AWS Deadline Cloud), slurm, opencue, deadline (Thinkbox) or tractor.
PLATE is a sequence of frames, as for `vdp run`, with --out; or the folder of a shot that `vdp init` or `vdp run` wrote,
whose settings then stand. With --manifest it is left out.""",
)  # fmt: skip
@click.argument("engine_name", metavar="ENGINE", type=click.Choice(NAMES))
@click.argument("plate", metavar="[PLATE]", required=False)
@settings_options
@_job_options
@option(
    "--manifest", metavar="FILE", type=click.Path(path_type=Path),
    help="The shots of a batch (see `vdp batch`), a job each, instead of PLATE.",
)  # fmt: skip
@option(
    "--out", metavar="DIR", type=click.Path(path_type=Path),
    help="Folder of the results; may be new. With --manifest: the folder above those of its shots that name none.",
)  # fmt: skip
@name_option
@frames_option
@progress_option
@fresh_option
@click.pass_obj
def farm(
    session: Session, /, engine_name: str, plate: str | None, manifest: Path | None, to: Path | None, submit: bool,
    progress: Dialect, fresh: bool, **values: Any,
) -> None:  # fmt: skip
    with session.working(Machine.parse(), progress) as reporter:
        from vdp_engine.farm import exporter, job_of

        options = _farm_options(values)
        shots = _shots(session, plate, manifest, fresh, values)
        jobs = [job_of(shot, options) for shot in shots]
        chosen = exporter(engine_name)
        if fresh:
            # What the engine cannot say is to be found out before earlier results are removed.
            with tempfile.TemporaryDirectory(prefix="vdp-") as nowhere:
                chosen.write(jobs, Path(nowhere))
        for shot in shots:
            save(session, shot, fresh)
            _warn_of_paths(session, shot, options)
        written = _write(chosen, jobs, to)
        session.tell(_summary(chosen, jobs, written, submit))
        said = [chosen.submit(folder) for folder in written] if submit else []
        for shot, job in zip(shots, jobs, strict=True):
            reporter.result(shot=shot.file, job=_folder(chosen, job, to) / job.name)
        # Last: a program that starts this command shows the last line to its user.
        session.tell(line for told in said for line in told.split("\n"))


def _farm_options(values: dict[str, Any]) -> FarmOptions:
    from vdp_engine.farm.options import FarmOptions, split_command

    plain = ("gpu", "prep_chunk", "render_chunk", "cores", "memory", "timeout")
    given: dict[str, Any] = {name: values[name] for name in plain if values[name] is not None}
    if values["engine"] is not None:
        given["engine"] = split_command(values["engine"])
    return FarmOptions(
        extra=tuple(_pair(text, "--farm-option", "NAME=VALUE") for text in values["extra"]),
        path_map=tuple(_mapping(text) for text in values["path_map"]),
        **given,
    )


def _pair(text: str, flag: str, expected: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name.strip() and equals and value):
        raise UsageError(f"cannot read {flag} {text!r}", code="farm_option", expected=expected)
    return name.strip(), value


def _mapping(text: str) -> tuple[str, str]:
    expected = "/folder/here=/folder/there, both whole paths"
    pair = _pair(text, "--path-map", expected)
    if not all(re.match(r"[/\\]|[A-Za-z]:", folder) for folder in pair):
        raise UsageError(f"cannot read --path-map {text!r}", code="farm_option", expected=expected)
    return pair


def _warn_of_paths(session: Session, shot: Shot, options: FarmOptions) -> None:
    """Paths that the workers may not find although the job maps paths."""
    if options.path_map and options.mapped(shot.out) == str(shot.out):
        session.reporter.warning("farm.path_map", f"{shot.out} lies in none of the folders of --path-map")
    for pattern in (shot.pattern, *shot.settings.hints):
        if options.mapped(pattern) != pattern:
            session.reporter.warning(
                "farm.path_map",
                f"the shot names {pattern} as this machine knows it, and the workers must find it there: where they "
                "cannot, run `vdp init` on one of them instead",
            )


def _shots(
    session: Session, plate: str | None, manifest: Path | None, fresh: bool, values: dict[str, Any]
) -> list[Shot]:  # fmt: skip
    """The shots to make jobs of, all of them looked through; nothing is written."""
    settings = {name: values[name] for name in Settings.model_fields}
    if manifest is not None:
        _refuse("a manifest says it for each shot", {"PLATE": plate, **_flags(values, "name", "frames", **settings)})
        from vdp_engine.batch import manifest as manifests

        return [spec.create() for spec in manifests.load(manifest, out=values["out"], fresh=fresh).shots]
    if plate is None:
        raise UsageError("there is neither a PLATE nor a --manifest", code="command", remedy="see `vdp farm --help`")
    place = Path(plate)
    if place.name == "shot.json" or (place / ".vdp" / "shot.json").is_file():
        given = {**_flags(values, "out", "name", "frames", **settings), "--fresh": fresh or None}
        _refuse(f"{plate} is a shot with its own settings", given)
        shot = shot_at(plate)
        _ = shot.plate, shot.hints  # whatever is wrong with them is told here, not by the farm
        return [shot]
    if values["out"] is None:
        raise UsageError(
            f"{plate} is no shot that is set up, and as a plate it needs --out, the folder of the results",
            code="command", remedy="give --out, or the folder that `vdp init` or `vdp run` wrote",
        )  # fmt: skip
    shot = new_shot(session, plate, values["out"], values["name"], values["frames"], settings_from(values))
    if not fresh:
        shot.refuse_other()
    return [shot]


def _flags(values: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    given = {name: values[name] for name in names} | more
    return {flag(name): value for name, value in given.items()}


def _refuse(reason: str, given: dict[str, Any]) -> None:
    named = [name for name, value in given.items() if value not in (None, ())]
    if named:
        raise UsageError(f"{', '.join(named)} cannot be given here: {reason}", code="command")


def _folder(chosen: Exporter, job: Job, to: Path | None) -> Path:
    return to.absolute() if to is not None else job.shot / ".vdp" / "farm" / chosen.name


def _write(chosen: Exporter, jobs: list[Job], to: Path | None) -> dict[Path, tuple[Path, ...]]:
    """Write the jobs; returns the files of each folder that can be handed over."""
    together: dict[Path, list[Job]] = {}
    for job in jobs:
        together.setdefault(_folder(chosen, job, to), []).append(job)
    return {folder: chosen.write(these, folder) for folder, these in together.items()}


def _summary(chosen: Exporter, jobs: list[Job], written: dict[Path, tuple[Path, ...]], submit: bool) -> list[str]:
    lines = []
    for job in jobs:
        tasks = [f"{step.name} {len(step.chunks())}{' on a GPU' if step.gpu else ''}" for step in job.steps]
        lines.append(f"{job.name}: {sum(len(step.chunks()) for step in job.steps)} tasks ({', '.join(tasks)})")
    for folder, paths in written.items():
        lines.append(f"written {folder}: {', '.join(str(path.relative_to(folder)) for path in paths)}")
    if not submit:
        lines += ["", "Nothing was handed over yet. Next: the same command with --submit, or by hand:"]
        for folder in written:
            here = [job for job in jobs if (folder / job.name).is_dir()]
            lines += [f"  {command}" for command in chosen.by_hand(here, folder)]
    return lines
