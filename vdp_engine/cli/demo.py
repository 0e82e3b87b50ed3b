"""``vdp demo``: a plate whose layers are known, decomposed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vdp_engine.cli.options import (
    Command,
    fresh_option,
    machine_from,
    machine_options,
    progress_option,
    settings_from,
    settings_options,
)
from vdp_engine.cli.session import Session

if TYPE_CHECKING:
    from vdp_engine.progress import Dialect

_EPILOG = """\b
Examples:
  vdp demo out/
  vdp demo out/ --quality draft

\b
What comes:
  out/plate/demo.1001.exr …    the plate: camera and creature move, highlights above 10, values below 0
  out/truth/demo.1001.exr …    the layers it was made of
  out/layers/                  the layers that VDP found, with report and contact sheet

What to do next: look at out/layers/demo.sheet.png, then try a plate of your own: vdp run --help.
"""


@click.command(cls=Command, epilog=_EPILOG, short_help="Decompose a small plate whose layers are known.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@settings_options
@machine_options
@progress_option
@fresh_option
@click.pass_obj
def demo(session: Session, /, folder: Path, progress: Dialect, fresh: bool, **values: Any) -> None:
    """Write a small HDR plate with known layers into DIR, decompose it, and say how close it came to the truth."""
    settings, machine = settings_from(values), machine_from(values)
    with session.working(machine, progress, whole_run=True) as reporter:
        from vdp_engine import stages
        from vdp_engine.demo import make_demo, score_demo
        from vdp_engine.shot import Shot

        reporter.note(f"writing the demo plate into {folder / 'plate'}")
        shot = Shot.create(make_demo(folder), folder / "layers", settings=settings)
        if fresh:
            shot.clear()
        shot.save()
        session.begin(shot)
        report = stages.run(shot, machine, reporter)
        reporter.result(shot=shot.file, report=shot.report_file, sheet=shot.sheet_file)
        session.tell(report)
        session.tell(score_demo(folder, shot).lines())
