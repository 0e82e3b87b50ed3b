"""``vdp`` with a fit of three steps, in one thread."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.argv[1:] = ["3", *sys.argv[1:], "--threads=1"]
    runpy.run_path(str(Path(__file__).parents[1] / "e2e" / "quick_vdp.py"), run_name="__main__")
