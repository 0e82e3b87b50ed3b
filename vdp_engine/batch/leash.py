"""Starts a command that is asked to end (SIGTERM) when the process that started it dies. Linux only.

A script, run as ``python leash.py PARENT COMMAND …``: by the time it has asked the kernel for the signal, its parent
may be gone, so the parent's process id is compared. The command takes this process over.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_CANNOT_START = 127

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(128 + signal.SIGTERM)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        print(f"cannot start {sys.argv[2]}: {error.strerror}", file=sys.stderr)
        sys.exit(_CANNOT_START)
