"""``vdp run``, and the stages that it is made of: ``init``, ``prep``, ``fit``, ``render``, ``check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdp_engine.cli.options import (
    Command,
    dry_run_option,
    frames_option,
    fresh_option,
    machine_from,
    machine_options,
    name_option,
    option,
    plate_argument,
    progress_option,
    settings_from,
    settings_options,
    shot_argument,
)
from vdp_engine.cli.session import Session
from vdp_engine.settings import Machine, Settings

if TYPE_CHECKING:
    from vdp_engine.progress import Dialect
    from vdp_engine.shot import Shot

_PLATE_HELP = """\b
PLATE is a sequence of frames, quoted so that the shell leaves it alone:
      "shot.####.exr"            all frames that are there
      "shot.1001-1100#.exr"      these frames
      "shot.%04d.exr"            as printf counts
      shot.1001.exr              one frame stands for its sequence
      plates/shot/               a folder that holds one sequence"""
_HINT_HELP = """\b
A hint is a rough matte of what is to become a layer, painted on one or more frames, EXR or PNG, of any resolution:
      white      inside the layer (0.75 and more; values as stored)
      black      outside of it (0.25 and less)
      grey       do not know; so are transparent pixels, NaN, and what lies outside an EXR's data window
Its file carries the number of the plate's frame: --hint rough.1010.png, or "rough.####.exr" for several. The first
--hint steers fg1, the second fg2, and so on. The matte of an EXR is its channel A, else its only channel, else Y, else
the mean of R G B. It covers the plate's display window."""
_RUN_EPILOG = f"""{_HINT_HELP}

\b
Examples:
  vdp run "plates/shot.####.exr" --out shot/
  vdp run "plates/shot.####.exr" --out shot/ --frames 1001-1100x2 --quality draft
  vdp run "plates/shot.####.exr" --out shot/ --hint rough.1010.png
  vdp run "plates/shot.####.exr" --out shot/ --layers 3 --alpha straight --dry-run

\b
What comes: OUT/NAME.1001.exr … (all layers of a frame), OUT/NAME.sheet.png (look at this first) and
OUT/NAME.report.json (how well it went, with a warning for what usually goes wrong).

What to do next: load the EXRs into your compositor. If the sheet shows too little or too much in the foreground, try
--layers 3, --quality final or --flow raft, or say what you want with a --hint. Stopped half-way? The same command goes
on from there.
"""
_INIT_EPILOG = f"""{_HINT_HELP}

\b
Example, each line on any machine that sees the folders:
  vdp init "plates/shot.####.exr" --out shot/
  vdp prep shot/ --frames 1001-1050
  vdp prep shot/ --frames 1051-1100
  vdp fit shot/                         once all of prep is done
  vdp render shot/ --frames 1001-1050
  vdp render shot/ --frames 1051-1100
  vdp check shot/                       once all of render is done

Another init into the same folder changes the settings: what they do not touch is kept.
"""
_out_option = option(
    "--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Folder of the results; may be new."
)


@click.command(cls=Command, epilog=_RUN_EPILOG, help=f"Decompose a plate: all stages, here and now.\n\n{_PLATE_HELP}")
@plate_argument
@settings_options
@machine_options
@_out_option
@name_option
@frames_option
@progress_option
@fresh_option
@dry_run_option
@click.pass_obj
def run(
    session: Session, /, plate: str, out: Path, name: str | None, frames: str | None, progress: Dialect,
    fresh: bool, dry_run: bool, **values: Any,
) -> None:  # fmt: skip
    settings, machine = settings_from(values), machine_from(values)
    with session.working(machine, progress, whole_run=True) as reporter:
        from vdp_engine import stages

        shot = new_shot(session, plate, out, name, frames, settings)
        if dry_run:
            if not fresh:
                shot.refuse_other()
            session.tell(stages.plan(shot, fresh=fresh))
            return
        save(session, shot, fresh)
        report = stages.run(shot, machine, reporter)
        reporter.result(shot=shot.file, report=shot.report_file, sheet=shot.sheet_file)
        session.tell(report)


@click.command(
    cls=Command, epilog=_INIT_EPILOG, help=f"Set a shot up without working on it, for a farm to do.\n\n{_PLATE_HELP}"
)
@plate_argument
@settings_options
@_out_option
@name_option
@frames_option
@progress_option
@fresh_option
@click.pass_obj
def init(
    session: Session, /, plate: str, out: Path, name: str | None, frames: str | None, progress: Dialect, fresh: bool,
    **values: Any,
) -> None:  # fmt: skip
    settings = settings_from(values)
    with session.working(Machine.parse(), progress) as reporter:
        shot = new_shot(session, plate, out, name, frames, settings)
        save(session, shot, fresh)
        reporter.result(shot=shot.file)


@click.command(
    cls=Command,
    short_help="Stage 1: measure how things move.",
    epilog="What to do next: vdp fit DIR, once all frames are done.",
)
@shot_argument
@machine_options
@frames_option
@progress_option
@dry_run_option
@click.pass_obj
def prep(
    session: Session, /, place: str, frames: str | None, progress: Dialect, dry_run: bool, **values: Any
) -> None:  # fmt: skip
    """Measure how things move, frame by frame: chunks of frames may run on many machines at once.

    DIR is the folder that `vdp init` or `vdp run` was given as --out. Frames that are done are skipped.
    """
    machine = machine_from(values)
    with session.working(machine, progress) as reporter:
        shot = shot_at(place)
        chosen = shot.chosen_frames(frames)
        if dry_run:
            return _tell_plan(session, shot, "prep", chosen)
        session.begin(shot)
        from vdp_engine import motion

        motion.prep(shot, machine, reporter, frames=chosen)
        reporter.result(shot=shot.file)


@click.command(
    cls=Command,
    short_help="Stage 2: fit the networks.",
    epilog="What to do next: vdp render DIR, in chunks if you like.",
)
@shot_argument
@machine_options
@progress_option
@dry_run_option
@click.pass_obj
def fit(session: Session, /, place: str, progress: Dialect, dry_run: bool, **values: Any) -> None:
    """Fit the networks to the shot, on one machine; needs all frames of prep.

    DIR is the folder that `vdp init` or `vdp run` was given as --out. A stopped fit goes on from its checkpoint.
    """
    machine = machine_from(values)
    with session.working(machine, progress) as reporter:
        shot = shot_at(place)
        if dry_run:
            return _tell_plan(session, shot, "fit", None)
        session.begin(shot)
        from vdp_engine import model

        model.fit(shot, machine, reporter)
        reporter.result(shot=shot.file)


@click.command(
    cls=Command,
    short_help="Stage 3: write the layers.",
    epilog="What to do next: vdp check DIR, once all frames are there.",
)
@shot_argument
@machine_options
@frames_option
@progress_option
@dry_run_option
@click.pass_obj
def render(
    session: Session, /, place: str, frames: str | None, progress: Dialect, dry_run: bool, **values: Any
) -> None:  # fmt: skip
    """Write the layers at full resolution, frame by frame: chunks of frames may run on many machines at once.

    DIR is the folder that `vdp init` or `vdp run` was given as --out. Frames that are up to date are skipped.
    """
    machine = machine_from(values)
    with session.working(machine, progress) as reporter:
        shot = shot_at(place)
        chosen = shot.chosen_frames(frames)
        if dry_run:
            return _tell_plan(session, shot, "render", chosen)
        session.begin(shot)
        from vdp_engine.render import render as render_frames

        render_frames(shot, machine, reporter, frames=chosen)
        reporter.result(shot=shot.file)


@click.command(
    cls=Command, short_help="Stage 4: prove that the layers rebuild the plate, and report.",
    epilog="What to do next: look at NAME.sheet.png, and at the warnings in NAME.report.json.",
)  # fmt: skip
@shot_argument
@machine_options
@progress_option
@dry_run_option
@click.pass_obj
def check(session: Session, /, place: str, progress: Dialect, dry_run: bool, **values: Any) -> None:
    """Prove that the written layers rebuild the plate; write the report and the contact sheet.

    DIR is the folder that `vdp init` or `vdp run` was given as --out. Ends with 1 where a frame does not rebuild.
    """
    machine = machine_from(values)
    with session.working(machine, progress) as reporter:
        shot = shot_at(place)
        if dry_run:
            return _tell_plan(session, shot, "check", None)
        session.begin(shot)
        from vdp_engine.check import check as check_layers
        from vdp_engine.check import report_lines

        report = check_layers(shot, machine, reporter)
        reporter.result(shot=shot.file, report=shot.report_file, sheet=shot.sheet_file)
        session.tell(report_lines(report.as_dict()))


def new_shot(
    session: Session, plate: str, out: Path, name: str | None, frames: str | None, settings: Settings
) -> Shot:  # fmt: skip
    from vdp_engine.plate import format_frames
    from vdp_engine.shot import Shot

    shot = Shot.create(plate, out, frames=frames, name=name, settings=settings)
    for hint in shot.hints:
        if hint.ignored:
            outside = format_frames(hint.ignored)
            session.reporter.warning("hint.frames", f"{hint.pattern}: {outside} are not frames of the shot, left out")
    return shot


def shot_at(place: str) -> Shot:
    from vdp_engine import files
    from vdp_engine.shot import Shot

    given = Path(place).absolute()
    folder = given.parent.parent if given.name == "shot.json" else given
    if not folder.exists():
        # A wrong name lies in a folder that is there.
        files.require_drive(folder.parent, "the results")
    shot = Shot.load(given)
    files.require_drive(Path(shot.pattern).parent, "the plate")
    return shot


def save(session: Session, shot: Shot, fresh: bool) -> None:
    from vdp_engine import files

    if fresh:
        shot.clear()
    if not shot.file.exists():
        files.require_writable(shot.out)
    shot.save()
    session.begin(shot)


def _tell_plan(session: Session, shot: Shot, stage: str, frames: tuple[int, ...] | None) -> None:
    from vdp_engine import stages

    session.tell(stages.plan(shot, (stage,), frames=frames))
