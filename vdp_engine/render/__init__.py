"""From fitted nets to finished layers: mattes, colours and clean plate at full resolution, written as EXR."""

from vdp_engine.render.stage import pending, render, require_memory

__all__ = ["pending", "render", "require_memory"]
