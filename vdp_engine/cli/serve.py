"""``vdp serve``: the helper process of a host plug-in."""

from __future__ import annotations

import click

from vdp_engine.cli.options import Command, option

_EPILOG = """\b
The OFX plug-in starts this by itself, once for each Natron, Resolve, Fusion or Flame, and ends it with the host. To see
it answer:
  echo '{"id": 1, "op": "hello", "protocol": 1}' | vdp serve

What to do next: install/vdp ofx --install puts the node into the hosts. docs/ofx.md tells more.
"""


@click.command(cls=Command, epilog=_EPILOG, short_help="Serve layers to a host plug-in (the OFX node starts this).")
@option(
    "--cache", metavar="SIZE", default="1G", envvar="VDP_SERVE_CACHE", show_envvar=True,
    help="Memory for pictures that were shown before, as 512M or 4G. [default: 1G]",
)  # fmt: skip
def serve(cache: str) -> None:
    """Read layers, write plates and look after runs for a host plug-in.

    One JSON object a line on stdin and stdout; pixels pass through files that both sides map. Ends with its stdin, and
    stops the runs that it started.
    """
    from vdp_engine.machine import parse_bytes
    from vdp_engine.serve import serve as serve_host

    serve_host(parse_bytes(cache))
