"""``vdp doctor``: what this machine has, what is missing, what it means."""

from __future__ import annotations

import dataclasses
import json
import os

import click

from vdp_engine.cli.options import Command, option
from vdp_engine.errors import EXIT_FAILED

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(cls=Command, epilog="What to do next: mend each line that says fail, then try: vdp demo out/")
@option("--json", "as_json", is_flag=True, help="One JSON object on stdout, for programs.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Say what this machine has, what is missing, and what it means.

    Ends with 1 where something needed is missing.
    """
    from vdp_engine import diagnosis

    findings = []
    for examine in diagnosis.CHECKS:
        finding = diagnosis.examined(examine)
        findings.append(finding)
        if not as_json:
            # click drops colours where stdout is no terminal, but does not know of NO_COLOR.
            colour = None if os.environ.get("NO_COLOR") else _COLOURS[finding.state]
            state = click.style(f"{finding.state:<6}", fg=colour)
            click.echo(f"{state}{finding.name:<18}{finding.found}")
            if finding.advice:
                click.echo(f"{'':<24}{finding.advice}")
    if as_json:
        click.echo(json.dumps({"checks": [dataclasses.asdict(finding) for finding in findings]}))
    if any(finding.state == "fail" for finding in findings):
        context.exit(EXIT_FAILED)
