"""What a host is told of the node, as JSON on stdout: clips and parameters with all their properties, in their order.

python -m tests.ofx.describe [--context General] [--plugin VDP.ofx]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.ofx import build
from tests.ofx.host import Host


def describe(folder: Path, plugin: Path | None, context: str) -> dict[str, Any]:
    """The description in a context; without a plug-in, of the one that is built from this checkout."""
    host = Host(build.host(folder) / "ofx_host_none", folder)
    host.do("load", path=plugin or build.plugin(folder))
    described: dict[str, Any] = host.do("describe", context=context).result["effect"]
    host.close()
    return described


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--context", choices=["Filter", "General"], default="Filter")
    parser.add_argument("--plugin", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vdp-describe-") as scratch:
        print(json.dumps(describe(Path(scratch), options.plugin, options.context), indent=1))
