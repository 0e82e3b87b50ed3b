"""The options that commands share, made from the fields of ``Settings`` and ``Machine``."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from vdp_engine.settings import STAGES, Machine, Settings, Stage, flag

Function = TypeVar("Function", bound=Callable[..., Any])

_HEADINGS: dict[Stage, str] = {
    "prep": "Plate and motion (changing one does everything again)",
    "fit": "Decomposition (changing one does fit and render again)",
    "render": "Layers on disk (changing one does only render again)",
}
_MACHINE = "This machine (changes nothing in the layers)"
_COMMAND = "The command"
_METAVARS = {
    "layer": "NAME", "colorspace": "NAME", "flow_weights": "FILE", "flow_layer": "NAME", "hints": "SEQ",
    "device": "DEVICE", "threads": "N", "seed": "N", "max_memory": "SIZE", "airlight": "R,G,B", "gamma": "X",
    "strength": "SHARE", "exposure": "STOPS", "key_fill": "SHARE", "protect": "SHARE",
}  # fmt: skip


class Option(click.Option):
    """An option that knows under which heading of the help it stands."""

    def __init__(self, *declarations: Any, heading: str = _COMMAND, **rest: Any) -> None:
        self.heading = heading
        super().__init__(*declarations, **rest)


class Command(click.Command):
    """A command whose help groups its options by what they change."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click, under one heading each."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                groups.setdefault(getattr(parameter, "heading", _COMMAND), []).append(record)
        last = groups.pop(_COMMAND, [])
        for heading, records in (*groups.items(), (_COMMAND, last)):
            with formatter.section(heading):
                formatter.write_dl(records)


def option(*declarations: str, **rest: Any) -> Callable[[Function], Function]:
    """``click.option`` for an ``Option``."""
    return click.option(*declarations, cls=Option, **rest)


def settings_options(function: Function) -> Function:
    """One option for each field of ``Settings``."""
    named = list(Settings.model_fields.items())
    for stage in reversed(STAGES):
        for name, field in reversed(named):
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra["stage"] == stage:
                function = _field_option(name, field, _HEADINGS[stage])(function)
    return function


def machine_options(function: Function) -> Function:
    """One option for each field of ``Machine``."""
    for name, field in reversed(Machine.model_fields.items()):
        function = _field_option(name, field, _MACHINE)(function)
    return function


def settings_from(values: dict[str, Any]) -> Settings:
    """The settings among a command's values; UsageError as ``Settings.parse``."""
    return Settings.parse(**{name: values[name] for name in Settings.model_fields})


def machine_from(values: dict[str, Any]) -> Machine:
    """The machine among a command's values; UsageError as ``Machine.parse``."""
    return Machine.parse(**{name: values[name] for name in Machine.model_fields})


def _field_option(name: str, field: FieldInfo, heading: str) -> Callable[[Function], Function]:
    shown: dict[str, Any] = {"metavar": _METAVARS.get(name)}
    choices = _choices(field.annotation)
    if field.annotation is bool:
        shown = {"is_flag": True}
    elif choices:
        shown = {"type": click.Choice(choices)}
    elif name == "max_memory":
        shown["callback"] = _bytes
    elif name == "flow_weights":
        # The stages may run from other folders than this one.
        shown["type"] = click.Path(resolve_path=True)
    elif get_origin(field.annotation) is tuple:
        shown["multiple"] = True
    else:
        shown["type"] = next((kind for kind in (int, float) if kind in _kinds(field.annotation)), str)
    nothing = field.default in (None, False, 0, ()) and name not in ("seed", "exposure")
    default = "" if nothing else f" [default: {field.default}]"
    help_text = f"{(field.description or '')[:1].upper()}{(field.description or '')[1:]}.{default}"
    return option(flag(name), name, default=None, help=help_text, heading=heading, **shown)


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The types that a field may have."""
    parts = () if get_origin(annotation) is tuple else get_args(annotation)
    return (annotation, *(kind for part in parts for kind in _kinds(part)))


def _choices(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return [choice for part in get_args(annotation) for choice in _choices(part)]
    return []


def _bytes(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    from vdp_engine.machine import parse_bytes

    return None if text is None else parse_bytes(text)


plate_argument = click.argument("plate", metavar="PLATE")
shot_argument = click.argument("place", metavar="DIR", type=click.Path())
frames_option = option(
    "--frames", metavar="RANGE",
    help="Frames to work on, such as 1001-1100, 1001-1100x2, 1,5,9-12 or -5-5. [default: all]",
)  # fmt: skip
name_option = option(
    "--name", metavar="NAME", help="Stem of the result files. [default: that of PLATE or EDIT]"
)  # fmt: skip
progress_option = option(
    "--progress", type=click.Choice(["auto", "json", "plain", "openjd"]), default="auto",
    help="How progress is told: a bar on a terminal and plain lines elsewhere (auto), one JSON object a line on "
    "stdout, plain lines, or the lines of Open Job Description. [default: auto]",
)  # fmt: skip
dry_run_option = option("--dry-run", is_flag=True, help="Say what each stage would do; write nothing.")
fresh_option = option("--fresh", is_flag=True, help="Remove what earlier runs left of this shot in --out, then start.")
