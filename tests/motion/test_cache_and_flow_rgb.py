import numpy as np
import pytest
import torch

from vdp_engine.errors import ShotError
from vdp_engine.motion.cache import MotionFrame, stamp_of
from vdp_engine.motion.camera import camera_flow
from vdp_engine.motion.flow_rgb import flow_rgb, shot_scale

SIZE = (24, 40)


def motion_frame(gaps=(1, -1, 2, -2), present=(True, True, True, False), seed=0, **changed) -> MotionFrame:
    generator = torch.Generator().manual_seed(seed)
    count = len(gaps)
    here = torch.tensor(present, dtype=torch.bool)

    def shares(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    values = {
        "frame": 1001,
        "gaps": gaps,
        "present": here,
        "image": shares(3, *SIZE),
        "coverage": torch.ones(SIZE),
        "flow": torch.randn(count, 2, *SIZE, generator=generator) * 5 * here[:, None, None, None],
        "confidence": shares(count, *SIZE),
        "theta": torch.randn(count, 6, 2, generator=generator) * here[:, None, None],
        "sigma": shares(count) * here,
        "strength": shares(count) * 8 * here,
        "evidence": shares(*SIZE),
    }
    return MotionFrame(**{**values, **changed})


def test_what_is_read_is_what_was_written_to_the_precision_stated(tmp_path):
    motion, path = motion_frame(), tmp_path / "flow" / "shot.1001.safetensors"
    motion.save(path, "stamp-1")
    read = MotionFrame.load(path, 1001)
    assert (read.frame, read.gaps, read.size) == (1001, (1, -1, 2, -2), SIZE)
    for name in ("present", "theta", "sigma", "strength"):
        assert torch.equal(getattr(read, name), getattr(motion, name)), name
    for name in ("image", "flow"):
        assert torch.equal(getattr(read, name), getattr(motion, name).half().float()), name
    for name in ("coverage", "confidence", "evidence"):
        assert (getattr(read, name) - getattr(motion, name)).abs().max() <= 0.5001 / 255, name
        assert getattr(read, name).dtype == torch.float32
    assert stamp_of(path) == "stamp-1"
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_what_was_read_is_written_back_the_same(tmp_path):
    motion_frame().save(tmp_path / "a", "s")
    MotionFrame.load(tmp_path / "a", 1001).save(tmp_path / "b", "s")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "garbage", "other"])
def test_missing_and_damaged_files_are_told_apart_by_code(tmp_path, damage):
    path = tmp_path / "shot.1001.safetensors"
    motion_frame().save(path, "stamp")
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": whole[:-100], "empty": b"", "garbage": b"\xff" * 900, "other": whole[:50]}[damage])
    assert stamp_of(path) is None
    with pytest.raises(ShotError) as caught:
        MotionFrame.load(path, 1001)
    assert caught.value.code == ("shot.no_motion" if damage == "missing" else "shot.damaged_motion")
    assert "vdp prep" in str(caught.value)
    assert caught.value.frame == 1001


def test_residual_is_flow_minus_camera():
    motion = motion_frame()
    residual = motion.residual()
    assert torch.equal(residual[0], (motion.flow - camera_flow(motion.theta, SIZE, SIZE))[0])
    assert torch.equal(residual[3], torch.zeros(2, *SIZE))


def still_camera(x: float, y: float, gaps=(1, -1), present=(True, True), **changed) -> MotionFrame:
    """Everything moves by (x, y) pixels a frame, under a camera that stands still."""
    flow = torch.zeros(len(gaps), 2, *SIZE)
    for index, gap in enumerate(gaps):
        if present[index]:
            flow[index, 0], flow[index, 1] = gap * x, gap * y
    return motion_frame(gaps, present, flow=flow, theta=torch.zeros(len(gaps), 6, 2), **changed)


def test_colour_is_direction_times_tanh_and_tanh():
    drawn = flow_rgb(still_camera(3.0, -4.0, gaps=(1, -1, 2, -2), present=(True,) * 4), (5.0, 20.0), (12, 20))
    assert drawn.shape == (6, 12, 20)
    near, far = np.tanh(1.0), np.tanh(0.5)
    expected = [0.6 * near, -0.8 * near, near, 0.6 * far, -0.8 * far, far]
    np.testing.assert_allclose(drawn.mean((1, 2)).numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(drawn.std((1, 2)).numpy(), 0.0, atol=1e-6)


def test_colour_keeps_at_the_ends_of_the_shot_and_is_nothing_without_motion():
    both = flow_rgb(still_camera(3.0, 1.0), (5.0, 5.0), (12, 20))
    last = flow_rgb(still_camera(3.0, 1.0, present=(False, True)), (5.0, 5.0), (12, 20))
    np.testing.assert_allclose(both.numpy(), last.numpy(), atol=1e-6)
    alone = flow_rgb(still_camera(3.0, 1.0, present=(False, False)), (5.0, 5.0), (12, 20))
    assert torch.equal(alone, torch.zeros(6, 12, 20))


def test_nothing_is_drawn_outside_the_data_window():
    coverage = torch.ones(SIZE)
    coverage[:, 20:] = 0.0
    drawn = flow_rgb(still_camera(3.0, 1.0, coverage=coverage), (5.0, 5.0), (12, 20))
    assert drawn[:, :, 10:].abs().max() == 0.0
    assert drawn[2, :, :10].min() > 0.5


def test_the_scale_is_one_per_shot_and_gap():
    frames = [
        motion_frame(seed=seed, sigma=torch.tensor([0.2, 0.2, 0.3, 0.0]), strength=torch.tensor([s, s + 1, 4 * s, 0.0]))
        for seed, s in enumerate((2.0, 4.0, 6.0))
    ]
    near = 0.5 * 4.0 / 1.5  # lower median of 2, 3, 4, 5, 6, 7
    far = 0.5 * 16.0 / 1.5  # median of 8, 16, 24: the absent direction does not count
    assert shot_scale(iter(frames)) == pytest.approx((near, far))


def test_the_scale_of_a_shot_without_motion_is_the_floor():
    alone = motion_frame(present=(False,) * 4)
    assert shot_scale([alone]) == pytest.approx((0.2, 0.4))
