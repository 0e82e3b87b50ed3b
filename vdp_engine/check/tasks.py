"""Every task of the stage ``check`` by its name."""

from __future__ import annotations

from collections.abc import Mapping

from vdp_engine.check import dehaze, layers, relight
from vdp_engine.check.task import CheckTask
from vdp_engine.settings import Task

CHECK_TASKS: Mapping[Task, CheckTask] = {
    "layers": layers.TASK,
    "dehaze": dehaze.TASK,
    "relight": relight.TASK,
}
