"""Stands in for ``vdp run`` where a test is about processes: does nothing, for long, and tells of it.

It writes its arguments and its process id beside the shot. The quality decides its fate: ``draft`` obeys SIGTERM as the
engine does, ``standard`` does not, ``final`` fails at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def tell(**event: object) -> None:
    """An event of the engine."""
    print(json.dumps(event), flush=True)


def stop(*_: object) -> None:
    """End as the engine does."""
    tell(event="note", message="stopped by SIGTERM: finished work is kept")
    os._exit(143)


if __name__ == "__main__":
    options = dict(arg[2:].partition("=")[::2] for arg in sys.argv[1:] if arg.startswith("--"))
    signal.signal(signal.SIGTERM, stop if options["quality"] == "draft" else signal.SIG_IGN)
    seen = Path(options["out"]) / "seen.json"
    seen.with_suffix(".new").write_text(json.dumps({"pid": os.getpid(), "arguments": sys.argv[1:]}))
    seen.with_suffix(".new").rename(seen)
    if options["quality"] == "final":
        tell(event="error", code="plate.missing_frame", message="frame 7: the plate has no file x.0007.exr", frame=7)
        sys.exit(2)
    print("a line of some library", flush=True)
    for step in range(6000):
        tell(event="progress", stage="fit", fraction=0.5, overall=min(0.1 + step / 1000, 1), message=f"step {step}")
        time.sleep(0.01)
