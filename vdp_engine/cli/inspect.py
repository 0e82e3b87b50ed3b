"""``vdp inspect``: what a plate is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from vdp_engine.cli.options import Command, frames_option, option, plate_argument
from vdp_engine.cli.session import Session

_EPILOG = """\b
Examples:
  vdp inspect "plates/shot.####.exr"
  vdp inspect plates/shot.1001.exr --layer beauty
  vdp inspect plates/shot/ --json

What to do next: vdp run PLATE --out DIR. Ends with 2 and the reason where the plate cannot be used.
"""


@click.command(cls=Command, epilog=_EPILOG, short_help="Say what a plate is.")
@plate_argument
@frames_option
@option("--layer", metavar="NAME", help="Channel group to look at. [default: the main RGB]")
@option("--colorspace", metavar="NAME", help="OCIO colour space of the plate. [default: scene-linear]")
@option("--json", "as_json", is_flag=True, help="One JSON object on stdout, for programs.")
@click.pass_obj
def inspect(
    session: Session, /, plate: str, frames: str | None, layer: str | None, colorspace: str | None, as_json: bool
) -> None:
    """Say what a plate is: range, gaps, windows, channels, pixel type, colour, attributes.

    PLATE is a pattern ("shot.####.exr", "shot.%04d.exr"), one frame of the sequence, or a folder. Pixels are not read.
    """
    from vdp_engine.plate import Plate

    # A plate with gaps can be used (with --missing hold or black), so gaps are told of, not refused.
    opened = Plate.open(plate, frames=frames, layer=layer, colorspace=colorspace, missing="hold")
    described = opened.describe()
    if as_json:
        click.echo(json.dumps(described, default=str))
        return
    session.tell(table(described))


def table(described: Mapping[str, Any]) -> Iterator[str]:
    """Names and values in two columns; a value of many parts has a line for each."""
    width = max((len(name) for name in described), default=0) + 2
    for name, value in described.items():
        lines = list(_value_lines(value))
        if lines:
            yield f"{name.replace('_', ' '):<{width}}{lines[0]}"
        for line in lines[1:]:
            yield " " * width + line


def _value_lines(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        parts = [f"{name} {' '.join(_value_lines(inner))}" for name, inner in value.items()]
        one_line = all(isinstance(inner, (int, float)) for inner in value.values())
        yield from [", ".join(parts)] if parts and one_line else parts
    elif isinstance(value, (list, tuple)):
        parts = [" ".join(_value_lines(item)) for item in value]
        # Names and numbers stand side by side, sentences below each other.
        yield from parts if any(" " in part for part in parts) else [" ".join(parts)] if parts else []
    elif isinstance(value, bool):
        yield "yes" if value else "no"
    elif value == "":
        yield "-"
    elif value is not None:
        yield " ".join(str(value).split())
