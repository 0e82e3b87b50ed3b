"""The entry point of the ``vdp`` command."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

from vdp_engine import stopping
from vdp_engine.errors import EXIT_DONE, EXIT_FAILED


def main() -> NoReturn:
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
        _leave(stopped.exit_code)
    except SystemExit as ended:
        _leave(ended.code if isinstance(ended.code, int) else EXIT_DONE)


def _leave(code: int) -> NoReturn:
    """End the process at once: to take torch down in order costs a second, too much for who waits after a signal."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # what was said did not arrive
            code = code or EXIT_FAILED
    os._exit(code)
