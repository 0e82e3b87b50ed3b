import cv2
import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from tests.model.net_fakes import motion_frame, net_frames
from vdp_engine.model.frames import GATHER_REACH, NetFrame, NetFrames
from vdp_engine.motion import camera_flow, flow_rgb

SIZE = (24, 40)


def test_a_frame_at_half_size_is_the_mean_of_its_cells_with_half_the_flow():
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(4, 6, 2, generator=generator)
    motion = motion_frame(2, 5, SIZE, theta=theta, evidence=torch.rand(SIZE, generator=generator))
    motion.flow.copy_(torch.randn(4, 2, *SIZE, generator=generator))
    motion.confidence.copy_(torch.rand(4, *SIZE, generator=generator))
    small = (12, 20)
    found = NetFrame.of(motion, (1.0, 2.0), small)

    assert found.frame == 1003
    torch.testing.assert_close(found.image, avg_pool2d(motion.image, 2))
    torch.testing.assert_close(found.evidence, avg_pool2d(motion.evidence[None], 2)[0])
    torch.testing.assert_close(found.flow, avg_pool2d(motion.flow[:2], 2) / 2)
    torch.testing.assert_close(found.trust, avg_pool2d(motion.confidence[:2], 2))
    torch.testing.assert_close(found.camera, camera_flow(theta[:2], SIZE, small))
    torch.testing.assert_close(found.flow_rgb, flow_rgb(motion, (1.0, 2.0), small))


def test_flow_is_measured_in_pixels_of_its_own_axis():
    motion = motion_frame(0, 2, SIZE, move=(6.0, 4.0))
    found = NetFrame.of(motion, (1.0, 1.0), (12, 10))
    torch.testing.assert_close(found.flow[0], torch.tensor([1.5, 2.0])[:, None, None].expand(2, 12, 10))


@pytest.mark.parametrize(("position", "expected"), [(0, (1.0, 0.0)), (1, (1.0, 1.0)), (2, (0.0, 1.0))])
def test_there_is_no_trust_in_a_neighbour_that_does_not_exist(position, expected):
    trust = NetFrame.of(motion_frame(position, 3, SIZE), (1.0, 1.0), SIZE).trust
    assert tuple(trust.amax((1, 2)).tolist()) == expected


def test_gaps_may_be_stored_in_any_order():
    motion = motion_frame(1, 3, SIZE)
    order = [3, 1, 2, 0]
    shuffled = {name: getattr(motion, name)[order] for name in ("present", "flow", "confidence", "theta", "sigma")}
    shuffled |= {"gaps": tuple(motion.gaps[i] for i in order), "strength": motion.strength[order]}
    motion.flow[:, 0] = torch.tensor([1.0, -1.0, 2.0, -2.0])[:, None, None]
    shuffled["flow"] = motion.flow[order]
    other = type(motion)(**{**vars(motion), **shuffled})
    assert torch.equal(NetFrame.of(other, (1.0, 1.0), SIZE).flow, NetFrame.of(motion, (1.0, 1.0), SIZE).flow)


def test_frames_are_read_once_while_there_is_room():
    reads = []

    def read(position):
        reads.append(position)
        return motion_frame(position, 9, SIZE)

    frames = NetFrames(read, 9, (1.0, 1.0), SIZE, keep=2)
    for position in (0, 1, 0, 2, 0, 1):
        assert frames[position].frame == 1001 + position
    assert reads == [0, 1, 2, 1]  # 0 was always asked for last when something had to go


def test_a_picture_at_another_size():
    frames = net_frames(lambda position: motion_frame(position, 3, SIZE), 3, (8, 8))
    image = motion_frame(1, 3, SIZE).image
    assert frames.size == (8, 8)
    assert torch.equal(frames.picture(1, SIZE), image)
    torch.testing.assert_close(frames.picture(1, (12, 20)), avg_pool2d(image, 2))
    larger = cv2.resize(image.permute(1, 2, 0).numpy(), (60, 36), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(frames.picture(1, (36, 60)).permute(1, 2, 0).numpy(), larger, atol=1e-5)


def lone_evidence(at_position, row, column, move, count=5, confidence=1.0):
    """Frames of which one alone has evidence, at one pixel."""

    def make(position):
        evidence = torch.zeros(SIZE)
        if position == at_position:
            evidence[row, column] = 1.0
        return motion_frame(position, count, SIZE, move=move, evidence=evidence, confidence=confidence)

    return net_frames(make, count, SIZE)


@pytest.mark.parametrize("move", [(0.0, 0.0), (2.0, 0.0), (-1.0, 3.0)])
def test_evidence_of_neighbours_arrives_where_the_motion_leads(move):
    frames = lone_evidence(2, 12, 20, move)
    for position in range(5):
        gathered = frames.gathered_evidence(position)
        row, column = 12 + int((position - 2) * move[1]), 20 + int((position - 2) * move[0])
        expected = torch.zeros(SIZE)
        expected[row, column] = 1 / 5  # one frame of five, all of equal weight here
        assert float(gathered[row, column]) == pytest.approx(0.2, abs=1e-6)
        torch.testing.assert_close(gathered[row, column], gathered.max())
        assert int((gathered > 0).sum()) == 1


def test_evidence_is_gathered_over_a_limited_reach():
    count = 2 * GATHER_REACH + 5
    frames = lone_evidence(0, 12, 20, (0.0, 0.0), count)
    assert float(frames.gathered_evidence(GATHER_REACH)[12, 20]) == pytest.approx(1 / (2 * GATHER_REACH + 1))
    assert float(frames.gathered_evidence(GATHER_REACH + 1)[12, 20]) == 0.0
    assert float(frames.gathered_evidence(2, reach=1)[12, 20]) == 0.0


def test_a_neighbour_beyond_untrusted_flow_contributes_nothing():
    frames = lone_evidence(2, 12, 20, (0.0, 0.0), confidence=0.0)
    assert float(frames.gathered_evidence(2)[12, 20]) == 1.0  # its own, undiluted
    assert float(frames.gathered_evidence(1).max()) == 0.0


def test_trust_is_that_of_the_whole_way():
    confidence = {0: 0.5, 1: 0.25, 2: 1.0}

    def make(position):
        evidence = torch.full(SIZE, 1.0 if position == 2 else 0.0)
        return motion_frame(position, 3, SIZE, evidence=evidence, confidence=confidence[position])

    # weights: 1 for itself, 0.5 for the next, 0.5 * 0.25 for the one after it
    expected = 0.125 / (1 + 0.5 + 0.125)
    np.testing.assert_allclose(net_frames(make, 3, SIZE).gathered_evidence(0).numpy(), expected, rtol=1e-5)


def test_what_the_motion_carries_out_of_the_picture_is_not_asked():
    def make(position):
        return motion_frame(position, 2, SIZE, move=(10.0, 0.0), evidence=torch.full(SIZE, float(position)))

    gathered = net_frames(make, 2, SIZE).gathered_evidence(0)
    np.testing.assert_allclose(gathered[:, :30].numpy(), 0.5, atol=1e-6)
    assert float(gathered[:, 30:].max()) == 0.0
