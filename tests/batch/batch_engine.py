"""A stand-in for ``vdp run`` that does what the name of the shot says, in no time; for tests of who runs it.

    good…       writes its report and ends with 0
    fail…       tells an error and ends with 2
    busy…       ends with 75 the first time, then is good
    always…     ends with 75 every time
    killed…     is ended by SIGKILL the first time, then is good
    crash…      ends with 3 and a line on stderr
    mute…       tells nothing and stays
    sleep…      works until SIGTERM or SIGINT, then saves a checkpoint and ends with 143 or 130
    stubborn…   works, whatever signal comes
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def tell(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def stop(number: int, _frame: object) -> None:
    (OUT / f"checkpoint.{signal.Signals(number).name}").touch()
    os._exit(128 + number)


def good() -> None:
    tell("progress", stage="fit", fraction=0.5, overall=0.5, message="step 1 of 2")
    tell("warning", code="layers.too_few", message="<one> more", frame=2)
    report = {"passed": True, "confidence": 0.75, "warnings": [{"code": "layers.too_few", "message": "<one> more"}]}
    (OUT / f"{NAME}.report.json").write_text(json.dumps(report))
    (OUT / f"{NAME}.sheet.png").touch()
    tell("result", shot="…")


def first_time() -> bool:
    return len(TRIES.read_text().splitlines()) == 1


if __name__ == "__main__":
    options = dict(arg[2:].split("=", 1) for arg in sys.argv if arg.startswith("--") and "=" in arg)
    OUT, NAME = Path(options["out"]), options["name"]
    OUT.mkdir(parents=True, exist_ok=True)
    TRIES = OUT / "tries"
    with TRIES.open("a") as tries:
        told = {"pid": os.getpid(), "args": sys.argv[1:], "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
                "at": time.monotonic()}  # fmt: skip
        tries.write(json.dumps(told) + "\n")
    print("a line of some library", flush=True)
    if NAME.startswith(("sleep", "stubborn")):
        handler = stop if NAME.startswith("sleep") else signal.SIG_IGN
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handler)
        (OUT / "working").touch()
        while True:
            tell("progress", stage="fit", fraction=0.1, overall=0.4, message="a step")
            time.sleep(0.05)
    if NAME.startswith("mute"):
        time.sleep(60)
    if NAME.startswith("fail"):
        told = "frame 7: cannot read it. copy it again"
        tell("error", code="plate.unreadable", message=told, frame=7, path="/p.7.exr")
        sys.exit(2)
    if NAME.startswith("always") or (NAME.startswith("busy") and first_time()):
        tell("error", code="machine.memory", message="memory ran out")
        sys.exit(75)
    if NAME.startswith("killed") and first_time():
        os.kill(os.getpid(), signal.SIGKILL)
    if NAME.startswith("crash"):
        print("Traceback …\nit broke", file=sys.stderr)
        sys.exit(3)
    good()
