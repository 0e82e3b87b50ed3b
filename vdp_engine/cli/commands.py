"""The group of all commands, and the one place where its ends become exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from vdp_engine import __version__
from vdp_engine.cli import batch, demo, doctor, farm, inspect, propagate, serve, stages
from vdp_engine.cli.endings import end
from vdp_engine.cli.session import Session
from vdp_engine.errors import EXIT_DONE

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
_ENDS = """\b
Exit codes:
  0    done
  1    failed
  2    wrong usage or bad input: change something, then try again
  75   try again later: memory, disk or device were not there
  130  stopped by SIGINT (Ctrl-C), finished work is kept
  143  stopped by SIGTERM, finished work is kept
"""


class _Vdp(click.Group):
    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        given = sys.argv[1:] if args is None else list(args)
        session = Session(given)
        extra.pop("standalone_mode", None)
        try:
            # Plates are named by patterns: no shell expansion, not on Windows either.
            code = super().main(
                given, "vdp", standalone_mode=False, windows_expand_args=False, obj=session, **extra
            )  # fmt: skip
        except SystemExit:
            raise
        except BaseException as error:
            code = end(error, session)
        sys.exit(code if isinstance(code, int) else EXIT_DONE)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer needs them, not by the alphabet."""
        return list(self.commands)


@click.group(cls=_Vdp, name="vdp", epilog=_ENDS, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="vdp")
def vdp() -> None:
    """Take one shot apart into the layers a compositor works with.

    VDP reads a sequence of frames (the plate), fits two kinds of small network on that shot alone, and writes one
    multi-layer EXR a frame: mattes, layers and a clean plate that recombine into the plate exactly.

    \b
    First steps:
      vdp doctor                                  what this machine has and lacks
      vdp demo out/                               decompose a small plate with known layers
      vdp inspect "plates/shot.####.exr"          see what a plate is
      vdp run "plates/shot.####.exr" --out shot/  everything, on this machine

    Each command tells more: vdp run --help. Repeating a command goes on where the last one stopped, and does nothing
    where nothing is left to do.
    """


for _command in (
    stages.run, inspect.inspect, propagate.propagate, batch.batch, demo.demo, doctor.doctor,
    stages.init, stages.prep, stages.fit, stages.render, stages.check, farm.farm, serve.serve,
):  # fmt: skip
    vdp.add_command(_command)
