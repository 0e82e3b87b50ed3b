"""How things move: optical flow, the camera's share of it, and the evidence for what moves by itself."""

from vdp_engine.motion.cache import MotionFrame, stamp_of
from vdp_engine.motion.camera import Camera, camera_flow, fit_camera, follow_camera
from vdp_engine.motion.flow_rgb import flow_rgb, shot_scale
from vdp_engine.motion.prep import pending, prep, shot_motion, shot_sizes
from vdp_engine.motion.sizes import WorkingSizes, working_sizes
from vdp_engine.motion.warp import chain, consistency, warp

__all__ = [
    "Camera",
    "MotionFrame",
    "WorkingSizes",
    "camera_flow",
    "chain",
    "consistency",
    "fit_camera",
    "flow_rgb",
    "follow_camera",
    "pending",
    "prep",
    "shot_motion",
    "shot_scale",
    "shot_sizes",
    "stamp_of",
    "warp",
    "working_sizes",
]
