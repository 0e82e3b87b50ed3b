"""The nets of a shot: what they are, what they are asked for, how they are fitted and applied."""

from vdp_engine.model.decomposition import Decomposition, load_decomposition
from vdp_engine.model.fit import fit, pending
from vdp_engine.model.layers import NetLayers

__all__ = ["Decomposition", "NetLayers", "fit", "load_decomposition", "pending"]
