"""Every task of the engine by its name."""

from __future__ import annotations

from collections.abc import Mapping

from vdp_engine.model import dehaze, layers_model, relight
from vdp_engine.model.task import TaskModel
from vdp_engine.settings import Task

TASK_MODELS: Mapping[Task, TaskModel] = {
    "layers": layers_model.TASK,
    "dehaze": dehaze.TASK,
    "relight": relight.TASK,
}
