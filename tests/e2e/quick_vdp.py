"""The real ``vdp`` with a fit of a few steps and a checkpoint after each, so that tests of all the rest take seconds.

The first argument is the number of steps of each phase, the others are the command line.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module

if __name__ == "__main__":
    steps = int(sys.argv.pop(1))
    from vdp_engine.cli.main import main
    from vdp_engine.model.dehaze import objective as dehaze
    from vdp_engine.model.layers import objective as layers
    from vdp_engine.model.relight import objective as relight

    # By its full name: as an attribute of the package, ``fit`` is the function.
    vars(import_module("vdp_engine.model.fit"))["CHECKPOINT_SECONDS"] = 0.0
    for task in (layers, dehaze, relight):
        for qualities in task.PHASES.values():
            for quality, phases in qualities.items():
                qualities[quality] = tuple(replace(phase, steps=steps) for phase in phases)
    main()
