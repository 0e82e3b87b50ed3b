"""The nets of a shot: what they are, what they are asked for, how they are fitted and applied."""

from vdp_engine.model.decomposition import load_decomposition
from vdp_engine.model.fit import fit, pending
from vdp_engine.model.layers.model import LayersDecomposition, NetLayers
from vdp_engine.model.task import Decomposition

__all__ = ["Decomposition", "LayersDecomposition", "NetLayers", "fit", "load_decomposition", "pending"]
