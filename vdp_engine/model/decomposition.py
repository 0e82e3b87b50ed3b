"""A fitted shot, ready to be asked for any of its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vdp_engine.errors import ShotError
from vdp_engine.model import store
from vdp_engine.model.fit import fit_digest, net_frames
from vdp_engine.model.layers import LayersNets, NetLayers, apply_layers
from vdp_engine.shot import Shot


@dataclass(frozen=True)
class Decomposition:
    """The model of a shot.

    Attributes:
        digest: what it was made from.
        count: layers, the background included.
        facts: what the fit found out: ``found``, ``features``, ``key_frames``, ….
        foreground: (T, h, w), 0 to 255, how surely each pixel of each frame belongs to a foreground layer, at net size.
        at: the layers of the frame at a position of the shot, at net size.
    """

    digest: str
    count: int
    facts: dict[str, object]
    foreground: NDArray[np.uint8]
    at: Callable[[int], NetLayers]


def load_decomposition(shot: Shot, device: torch.device) -> Decomposition:
    """The shot's model, as ``fit`` wrote it.

    Raises:
        ShotError: there is none, or it does not belong to the shot as it is now.
    """
    stored = store.load(shot.model_file, fit_digest(shot))
    if stored is None:
        raise ShotError(
            "the shot has no fitted model, or it was made with other settings, hints or frames", code="no_model",
            path=shot.model_file, remedy="run `vdp fit` on the shot first",
        )  # fmt: skip
    nets = LayersNets(stored.facts["layers"])
    nets.load_state_dict(stored.group("nets"))
    nets.to(device).eval()
    near, far = stored.facts["scale"]
    frames = net_frames(shot, (near, far))
    kept = stored.group("shot")
    owner = kept["owner"] if stored.facts["objective"] == "vdp" else None
    return Decomposition(
        digest=stored.facts["digest"],
        count=nets.count,
        facts=stored.facts,
        foreground=kept["foreground"].numpy(),
        at=lambda position: apply_layers(nets, kept["evidence"], owner, frames, position),
    )
