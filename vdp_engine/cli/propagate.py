"""``vdp propagate``: a paint or texture of one frame, carried over the shot along the motion of its layer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdp_engine import files
from vdp_engine.cli.options import (
    Command,
    dry_run_option,
    frames_option,
    machine_from,
    machine_options,
    name_option,
    option,
    progress_option,
    shot_argument,
)
from vdp_engine.cli.session import Session

if TYPE_CHECKING:
    from vdp_engine.progress import Dialect

_EPILOG = """\b
Examples:
  vdp propagate shot/ logo.exr --layer fg1 --frame 1010
  vdp propagate shot/ wall.1010.png --layer bg --frame 1010 --frames 1001-1050

\b
EDIT is the painting alone, as large as the plate's format, empty (alpha 0) where nothing is painted:
      EXR            scene-linear as the plate, premultiplied R G B A
      PNG, TIFF      display-referred (sRGB, or the plate's --colorspace), straight R G B A

What comes: DIR/edits/NAME.LAYER.1001.exr …, premultiplied scene-linear R G B A. On the painted frame it is the painting
times the layer's matte. Where the painted surface is out of sight, or was in the painted frame, there is nothing.

What to do next: Merge (over) it onto the plate. Does it slip far from the painted frame? Paint a second frame there,
and carry each over its own --frames.
"""


@click.command(cls=Command, epilog=_EPILOG, short_help="Carry a paint on one frame of a layer over the shot.")
@shot_argument
@click.argument("edit", metavar="EDIT", type=click.Path(path_type=Path))
@machine_options
@option("--layer", required=True, metavar="LAYER", help="Layer that it lies on: bg, fg1, fg2 or fg3.")
@option("--frame", required=True, metavar="N", type=int, help="Frame that it was painted on.")
@name_option
@option("--over", is_flag=True, help="Lay it over everything, also beyond the layer's matte: a hat, a sign, a wire.")
@frames_option
@progress_option
@dry_run_option
@click.pass_obj
def propagate(
    session: Session, /, place: str, edit: Path, layer: str, frame: int, name: str | None, over: bool,
    frames: str | None, progress: Dialect, dry_run: bool, **values: Any,
) -> None:  # fmt: skip
    """Carry a paint or texture, placed on one frame of a layer, over the whole shot along the layer's motion.

    DIR is the folder that `vdp run` was given as --out. The edit is held inside the layer and hidden by what stands
    before it, unless --over is given. Frames that are up to date are skipped.
    """
    machine = machine_from(values)
    stem = _stem(edit, name)
    with session.working(machine, progress) as reporter:
        from vdp_engine.plate import format_frames
        from vdp_engine.render import propagate as carrying
        from vdp_engine.shot import Shot

        shot = Shot.load(Path(place))
        chosen = shot.chosen_frames(frames)
        work = carrying.Edit(edit, layer, frame, stem, over)
        if dry_run:
            left = carrying.pending(shot, work, chosen)
            told = f"{len(left)} of {len(chosen)} frames to do: {format_frames(left)}" if left else "nothing to do"
            session.tell([f"propagate  {told}"])
            return
        session.begin(shot)
        carrying.propagate(shot, machine, reporter, work, chosen)
        reporter.result(shot=shot.file, edit=work.pattern(shot))


def _stem(edit: Path, name: str | None) -> str:
    stem = name or re.sub(r"[._-]\d+$", "", edit.stem) or edit.stem
    files.require_stem(stem)
    return stem
