"""The demo: a small HDR plate whose layers are known, and how close a decomposition came to them."""

from vdp_engine.demo.scene import make_demo
from vdp_engine.demo.score import DemoScore, score_demo

__all__ = ["DemoScore", "make_demo", "score_demo"]
