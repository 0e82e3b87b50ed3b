"""Motion vectors in plate pixels, in closed form."""

from __future__ import annotations

import numpy as np
import torch

from vdp_engine.motion import MotionFrame
from vdp_engine.render.vectors import vector_channels

SIZE = (20, 30)


def _motion(x: float, y: float, gaps: tuple[int, ...] = (1, -1, 2, -2), first: bool = False) -> MotionFrame:
    """Everything moves by x to the right and y down, in working pixels a frame; ``first``: there is none before."""
    present = torch.tensor([not (first and gap < 0) for gap in gaps])
    flow = torch.zeros(len(gaps), 2, *SIZE)
    for index, gap in enumerate(gaps):
        if present[index]:
            flow[index, 0], flow[index, 1] = gap * x, gap * y
    count = len(gaps)
    return MotionFrame(
        frame=7, gaps=gaps, present=present, image=torch.zeros(3, *SIZE), coverage=torch.ones(SIZE), flow=flow,
        confidence=torch.ones(count, *SIZE), theta=torch.zeros(count, 6, 2), sigma=torch.zeros(count),
        strength=torch.zeros(count), evidence=torch.zeros(SIZE),
    )  # fmt: skip


def test_vectors_are_in_plate_pixels_with_y_up() -> None:
    # Three plate pixels to one working pixel across, four down: an anamorphic plate.
    found = vector_channels(_motion(2.0, 1.0), (80, 90))
    expected = {"forward.u": 6.0, "forward.v": -4.0, "backward.u": -6.0, "backward.v": 4.0}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == (80, 90) and found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], value, rtol=1e-6)


def test_there_is_no_motion_towards_what_is_not_there() -> None:
    found = vector_channels(_motion(2.0, 1.0, gaps=(-1, 1), first=True), SIZE)
    assert not found["backward.u"].any() and not found["backward.v"].any()
    np.testing.assert_array_equal(found["forward.u"], 2.0)


def test_vectors_lie_where_the_motion_lies() -> None:
    motion = _motion(0.0, 0.0)
    motion.flow[0, 0, :, :] = torch.linspace(0, 1, SIZE[1])
    found = vector_channels(motion, (40, 60))["forward.u"]
    middles = (np.arange(60) + 0.5) / 2 - 0.5  # of plate pixels, in working pixels
    expected = 2 * np.clip(middles, 0, SIZE[1] - 1) / (SIZE[1] - 1)
    np.testing.assert_allclose(found, np.broadcast_to(expected, (40, 60)), atol=1e-6)
