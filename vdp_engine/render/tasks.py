"""Every task of the stage ``render`` by its name."""

from __future__ import annotations

from collections.abc import Mapping

from vdp_engine.render import dehaze, layers, relight
from vdp_engine.render.task import RenderTask
from vdp_engine.settings import Task

RENDER_TASKS: Mapping[Task, RenderTask] = {
    "layers": layers.TASK,
    "dehaze": dehaze.TASK,
    "relight": relight.TASK,
}
