"""``vdp serve`` whose runs are another command than ``vdp run``, the one that the arguments give, and soon killed."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    engine = tuple(sys.argv[1:])
    sys.argv[1:] = ["serve"]
    from vdp_engine.cli.main import main
    from vdp_engine.serve import runs

    runs.ENGINE, runs.GRACE_SECONDS = engine, 2.0
    main()
