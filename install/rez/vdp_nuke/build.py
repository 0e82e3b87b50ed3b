"""Run by rez-build: copies the node into the package."""

import os
import shutil
from pathlib import Path

if __name__ == "__main__":
    source = Path(os.environ["REZ_BUILD_SOURCE_PATH"]).resolve().parents[2] / "nuke_vdp"
    wanted = Path(os.environ["REZ_BUILD_INSTALL_PATH" if os.environ["REZ_BUILD_INSTALL"] == "1" else "REZ_BUILD_PATH"])
    target = wanted / "nuke_vdp"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
