"""``vdp serve``: the engine's side of a host plug-in. ofx_bridge/protocol.md is the contract.

Nothing here imports torch: a run is a process of its own, and the helper has to answer half a second after its start.
"""

from vdp_engine.serve.server import serve

__all__ = ["serve"]
