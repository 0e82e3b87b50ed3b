"""``quick_vdp.py`` that starts twice as fast, for tests of many processes; also many command lines in one process.

The first argument is the number of steps of each phase, the others are the command line; or ``@FILE``, a JSON list of
command lines that are run one after the other.
"""

from __future__ import annotations

import json
import runpy
import sys
import types
from pathlib import Path

import torch

# Its optimisers load torch's compiler for a second or more, to tell it to leave them alone.
_compiler = types.ModuleType("torch._dynamo")
vars(_compiler).update(disable=lambda function, *_, **__: function, graph_break=lambda *_, **__: None)
sys.modules["torch._dynamo"] = vars(torch)["_dynamo"] = _compiler

if __name__ == "__main__":
    quick = str(Path(__file__).parents[1] / "e2e" / "quick_vdp.py")
    if not sys.argv[-1].startswith("@"):
        runpy.run_path(quick, run_name="__main__")
    from vdp_engine.cli import main

    steps, file = sys.argv[1:]
    # What quick_vdp does before it calls ``main``, and then all the calls.
    main.main = lambda: None  # type: ignore[assignment,return-value]
    sys.argv = [quick, steps]
    runpy.run_path(quick, run_name="__main__")
    from vdp_engine.cli.commands import vdp

    for line in json.loads(Path(file[1:]).read_text()):
        try:
            vdp.main(line)
        except SystemExit as ended:
            print(json.dumps({"ended": ended.code}), flush=True)
