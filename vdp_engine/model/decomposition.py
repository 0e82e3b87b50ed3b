"""A fitted shot, ready to be asked for any of its frames."""

from __future__ import annotations

from typing import Any

import torch

from vdp_engine.errors import ShotError
from vdp_engine.model import store
from vdp_engine.model.fit import fit_digest, net_frames
from vdp_engine.model.task import Decomposition
from vdp_engine.model.tasks import TASK_MODELS
from vdp_engine.shot import Shot


def load_decomposition(shot: Shot, device: torch.device) -> Decomposition[Any]:
    """The shot's model, as ``fit`` wrote it; which kind of ``Decomposition`` it is follows from the task.

    Raises:
        ShotError: there is none, or it does not belong to the shot as it is now.
    """
    stored = store.load(shot.model_file, fit_digest(shot))
    if stored is None:
        raise ShotError(
            "the shot has no fitted model, or it was made with other settings, hints or frames", code="no_model",
            path=shot.model_file, remedy="run `vdp fit` on the shot first",
        )  # fmt: skip
    near, far = stored.facts["scale"]
    return TASK_MODELS[shot.settings.task].decomposition(stored, net_frames(shot, (near, far)), device)
