"""The entry point of the ``vdp`` command."""

from __future__ import annotations

import io
import sys

from vdp_engine import stopping


def main() -> None:
    """Run the command line; ends the process with the exit code."""
    # Before the slow imports: a signal during them ends the command as tidily as one later.
    stopping.install()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name that the terminal's encoding cannot show must not end the work it is mentioned in.
            stream.reconfigure(errors="backslashreplace")
    try:
        from vdp_engine.cli.commands import vdp

        vdp.main()
    except stopping.Stopped as stopped:
        sys.exit(stopped.exit_code)
