"""Runs every check of the project from its root with the Python that runs this file; arguments go to pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("vdp_engine", "nuke_vdp")
# One worker a core, the tests of a file together: they share what their fixtures made. `-n 0` runs all in one process,
# and `--pdb` does so by itself.
IN_PARALLEL = ("-n", "auto", "--dist", "loadfile")


def main(pytest_arguments: list[str]) -> int:
    """Run all checks, pytest last, whatever the earlier ones say; 1 if any failed, 130 on Ctrl-C."""
    packages = [package for package in PACKAGES if (ROOT / package / "__init__.py").is_file()]
    checks = [["ruff", "check", "."], ["mypy", *packages], ["pytest", *IN_PARALLEL, *pytest_arguments]]
    failed = []
    for name, *arguments in checks:
        print(f"== {name}", flush=True)
        # -I as in install/vdp: the checkout reaches sys.path through the environment, never through the folder.
        command = [sys.executable, "-I", "-m", name, *arguments]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    if failed:
        print(f"install/test: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
