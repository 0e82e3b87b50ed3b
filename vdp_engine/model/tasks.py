"""Every task of the engine by its name."""

from __future__ import annotations

from collections.abc import Mapping

from vdp_engine.model.dehaze import model as dehaze
from vdp_engine.model.layers import model as layers
from vdp_engine.model.relight import model as relight
from vdp_engine.model.task import TaskModel
from vdp_engine.settings import Task

TASK_MODELS: Mapping[Task, TaskModel] = {
    "layers": layers.TASK,
    "dehaze": dehaze.TASK,
    "relight": relight.TASK,
}
