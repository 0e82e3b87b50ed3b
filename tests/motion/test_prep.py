import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from vdp_engine.motion import pending, prep
from vdp_engine.motion.cache import MotionFrame, stamp_of
from vdp_engine.motion.dis import DisFlow
from vdp_engine.motion.evidence import motion_evidence
from vdp_engine.motion.prep import shot_sizes
from vdp_engine.motion.proxy import read_proxies, shrink
from vdp_engine.plate import Window, log_encode
from vdp_engine.settings import Machine, Settings
from vdp_engine.shot import Shot

SIZE = (96, 160)


def texture(size: tuple[int, int], seed: int) -> np.ndarray:
    """Blurred noise from 0 to 1, with features that coarse-to-fine flow can follow over several pixels."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=size), (0, 0), 3)
    return np.clip(0.5 + noise * 4, 0, 1)


class FakePlate:
    """Textured ground that moves 2 pixels a frame, under a square that moves 6 pixels a frame the other way."""

    pixel_aspect = 1.0
    notes = ()

    def __init__(self, frames, size=SIZE, window=None, holes=None, still=False):
        self.frames = tuple(frames)
        self.canvas = Window(0, 0, size[1], size[0])
        self.versions = dict.fromkeys(self.frames, 0)
        self.reads: list[int] = []
        self._window = window or self.canvas  # the data window
        self._holes = holes
        self._still = still
        self._ground, self._square = texture((size[0], size[1] + 60), 0), texture((40, 40), 1)

    def picture(self, frame: int) -> np.ndarray:
        height, width = self.canvas.shape
        step = 0 if self._still else self.frames.index(frame)
        grey = self._ground[:height, 2 * step : 2 * step + width].copy()
        side = min(40, height // 2, width // 2)
        left = width // 4 + 6 * step
        shown = self._square[:side, : max(0, min(side, width - left))]
        grey[height // 4 : height // 4 + side, left : left + side] = shown
        return (grey[..., None] * [1.0, 0.7, 0.4]).astype(np.float32)

    def read(self, frame: int):
        self.reads.append(frame)
        picture, window = self.picture(frame), self._window
        if self._holes is not None:
            picture[self._holes] = 0.0
        on_canvas = np.zeros_like(picture)
        inside = np.s_[window.y : window.y + window.height, window.x : window.x + window.width]
        on_canvas[inside] = picture[inside]
        return SimpleNamespace(
            on=lambda canvas: on_canvas, holes=self._holes, header=SimpleNamespace(data_window=window)
        )

    def stamp(self, frame: int) -> str:
        return f"{frame}-{self.versions[frame]}"


class Silent:
    def __init__(self):
        self.told: list[tuple[str, float, str]] = []

    def progress(self, stage, fraction, message):
        self.told.append((stage, fraction, message))


def make_shot(out: Path, plate: FakePlate, **settings) -> Shot:
    shot = Shot(out, "shot", "/plate.####.exr", plate.frames, Settings(**{"quality": "draft", **settings}))
    shot.__dict__["plate"] = plate
    return shot


def run(shot: Shot, frames=None, threads=2) -> Silent:
    reporter = Silent()
    prep(shot, Machine(threads=threads), reporter, frames)
    return reporter


def contents(shot: Shot) -> dict[int, bytes]:
    return {frame: shot.motion_file(frame).read_bytes() for frame in shot.frames}


def test_the_square_is_found_and_the_ground_is_not(tmp_path):
    shot = make_shot(tmp_path, FakePlate(range(1001, 1006)))
    run(shot)
    motion = MotionFrame.load(shot.motion_file(1003), 1003)
    assert motion.gaps == (1, -1, 2, -2)
    assert bool(motion.present.all())
    truth = np.zeros(SIZE, np.float32)
    truth[24:64, 40 + 12 : 80 + 12] = 1.0
    found = motion.evidence.numpy() > 0.5
    assert found[truth > 0].mean() > 0.65
    assert found[truth == 0].mean() < 0.01
    # ground: the window moves right over it by 2, so it moves left
    ground = motion.flow[0, :, 70:90, 20:140].median(-1).values.median(-1).values
    np.testing.assert_allclose(ground.numpy(), [-2.0, 0.0], atol=0.1)
    np.testing.assert_allclose(motion.flow[0, 0, 34:54, 62:82].median(), 6.0, atol=0.1)


def test_the_ends_of_the_shot_have_fewer_neighbours(tmp_path):
    shot = make_shot(tmp_path, FakePlate(range(4)))
    run(shot)
    present = [MotionFrame.load(shot.motion_file(frame), frame).present.tolist() for frame in shot.frames]
    assert present == [
        [True, False, True, False], [True, True, True, False], [True, True, False, True], [False, True, False, True],
    ]  # fmt: skip


def test_chunks_threads_and_order_give_the_same_bytes_as_the_whole(tmp_path):
    frames = range(1001, 1010)
    whole = make_shot(tmp_path / "whole", FakePlate(frames), quality="final")
    run(whole, threads=2)
    chunked = make_shot(tmp_path / "chunked", FakePlate(frames), quality="final")
    for chunk, threads in (((1007, 1008, 1009), 1), ((1001, 1002), 3), ((1004,), 2), ((1003, 1005, 1006), 1)):
        run(chunked, chunk, threads)
    assert contents(whole) == contents(chunked)


def test_frames_stepped_in_the_plate_are_neighbours(tmp_path):
    stepped, dense = FakePlate([10, 20, 30]), FakePlate([1, 2, 3])
    shots = make_shot(tmp_path / "a", stepped), make_shot(tmp_path / "b", dense)
    for shot in shots:
        run(shot)
    one, other = (MotionFrame.load(shot.motion_file(frame), 0) for shot, frame in zip(shots, (20, 2), strict=True))
    assert torch.equal(one.flow, other.flow)


def test_a_second_run_does_nothing_and_a_changed_frame_redoes_its_neighbourhood(tmp_path):
    plate = FakePlate(range(10))
    shot = make_shot(tmp_path, plate)
    run(shot)
    before = {frame: shot.motion_file(frame).stat().st_mtime_ns for frame in shot.frames}
    plate.reads.clear()
    assert run(shot).told == [("prep", 1.0, "motion is up to date")]
    assert plate.reads == []

    plate.versions[4] += 1
    assert pending(shot, shot.frames) == (2, 3, 4, 5, 6)
    assert pending(shot, (1, 2, 3)) == (2, 3)
    told = run(shot).told
    changed = {frame for frame in shot.frames if shot.motion_file(frame).stat().st_mtime_ns != before[frame]}
    assert changed == {2, 3, 4, 5, 6}
    assert sorted(plate.reads) == list(range(9))
    assert [fraction for _, fraction, _ in told] == pytest.approx([0.6, 0.7, 0.8, 0.9, 1.0])


@pytest.mark.parametrize("settings", [{"quality": "final"}, {"missing": "hold"}])
def test_other_settings_are_another_result(tmp_path, settings):
    plate = FakePlate(range(3))
    run(make_shot(tmp_path, plate))
    stamps = [stamp_of(make_shot(tmp_path, plate).motion_file(frame)) for frame in range(3)]
    other = make_shot(tmp_path, plate, **settings)
    run(other)
    assert all(stamp_of(other.motion_file(frame)) not in (None, stamps[frame]) for frame in range(3))


def test_settings_of_later_stages_are_none_of_its_business(tmp_path):
    plate = FakePlate(range(3))
    run(make_shot(tmp_path, plate))
    plate.reads.clear()
    run(make_shot(tmp_path, plate, seed=5, layers=3, compression="piz"))
    assert plate.reads == []


class Witnessed(DisFlow):
    """DIS, with somebody beside it to whom nothing ever moves."""

    class witness:
        name, max_gap, witness = "blind", None, None

        @staticmethod
        def flow(source, target):
            return np.zeros((2, *source.coverage.shape), np.float32)


def without_and_with_a_witness(folder, monkeypatch):
    """The shots of one plate."""
    shots = [make_shot(folder / name, FakePlate(range(3))) for name in ("plain", "witnessed")]
    run(shots[0])
    monkeypatch.setattr(sys.modules[prep.__module__], "make_estimator", lambda *_: Witnessed())
    run(shots[1])
    return shots


def test_evidence_is_what_a_witness_has_seen_as_well_and_flow_is_none_of_its_business(tmp_path, monkeypatch):
    plain, shot = without_and_with_a_witness(tmp_path, monkeypatch)
    alone, beside = (MotionFrame.load(one.motion_file(1), 1) for one in (plain, shot))
    assert alone.evidence.max() > 0.9
    assert beside.evidence.max() == 0.0
    for name in ("flow", "confidence", "theta", "sigma", "strength"):
        assert torch.equal(getattr(alone, name), getattr(beside, name)), name
    assert stamp_of(shot.motion_file(1)) != stamp_of(plain.motion_file(1))


def test_what_both_see_alike_is_as_if_one_had_seen_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Witnessed, "witness", DisFlow())
    shots = without_and_with_a_witness(tmp_path, monkeypatch)
    alone, beside = (MotionFrame.load(one.motion_file(1), 1) for one in shots)
    torch.testing.assert_close(beside.evidence, alone.evidence, rtol=0, atol=1 / 255)


def test_damaged_files_are_redone_and_litter_is_swept(tmp_path):
    shot = make_shot(tmp_path, FakePlate(range(4)))
    run(shot)
    whole = contents(shot)
    shot.motion_file(1).write_bytes(whole[1][:1000])
    shot.motion_file(2).unlink()
    run(shot)
    assert contents(shot) == whole


def test_each_frame_is_read_once_and_few_are_held(tmp_path, monkeypatch):
    plate = FakePlate(range(12), size=(24, 40))
    pairs = []
    dis = DisFlow.flow
    monkeypatch.setattr(DisFlow, "flow", lambda self, a, b: pairs.append((a.frame, b.frame)) or dis(self, a, b))
    run(make_shot(tmp_path, plate))
    assert plate.reads == list(range(12))
    assert sorted(pairs) == sorted((a, b) for a in range(12) for b in range(12) if abs(a - b) in (1, 2))


def test_a_failure_leaves_what_was_finished_and_nothing_half_written(tmp_path):
    plate = FakePlate(range(8))
    shot = make_shot(tmp_path, plate)
    good = plate.read

    def read(frame):
        if frame == 6:
            raise OSError("gone")
        return good(frame)

    plate.read = read
    with pytest.raises(OSError, match="gone"):
        run(shot)
    written = sorted(path.name for path in shot.motion_file(0).parent.iterdir())
    assert all(name.endswith(".safetensors") and not name.startswith(".") for name in written)
    plate.read = good
    run(shot)
    whole = make_shot(tmp_path / "whole", FakePlate(range(8)))
    run(whole)
    assert contents(shot) == contents(whole)


@pytest.mark.parametrize(
    "plate",
    [
        pytest.param(FakePlate([7]), id="single frame"),
        pytest.param(FakePlate(range(3), still=True), id="held frames"),
        pytest.param(FakePlate(range(3), size=(16, 16)), id="16x16"),
        pytest.param(FakePlate(range(3), size=(3, 5)), id="3x5"),
        pytest.param(FakePlate(range(3), holes=np.ones(SIZE, bool)), id="all holes"),
    ],
)
def test_nothing_to_see_is_no_evidence_and_no_nan(tmp_path, plate):
    shot = make_shot(tmp_path, plate)
    run(shot)
    for frame in shot.frames:
        motion = MotionFrame.load(shot.motion_file(frame), frame)
        for name in ("image", "coverage", "flow", "confidence", "theta", "sigma", "strength", "evidence"):
            assert bool(torch.isfinite(getattr(motion, name)).all()), name
        if plate.canvas.shape == SIZE:
            assert motion.evidence.max() == 0.0
        assert motion.present.any() == (len(shot.frames) > 1)


def test_holes_and_what_lies_outside_the_data_window_do_not_count(tmp_path):
    holes = np.zeros(SIZE, bool)
    holes[70:76, 10:150] = True
    pierced = make_shot(tmp_path / "holes", FakePlate(range(3), holes=holes))
    cropped = make_shot(tmp_path / "crop", FakePlate(range(3), window=Window(20, 10, 120, 70)))
    for shot, outside in ((pierced, np.s_[71:75, 12:148]), (cropped, np.s_[82:, :]), (cropped, np.s_[:, :18])):
        run(shot)
        motion = MotionFrame.load(shot.motion_file(1), 1)
        assert motion.coverage[outside].max() == 0.0
        assert motion.evidence[outside].max() == 0.0
        assert motion.confidence[(slice(None), *outside)].max() == 0.0
        assert motion.coverage[30:60, 40:100].min() == 1.0
        assert motion.evidence[30:60, 62:92].median() > 0.5


def test_shrinking_is_the_mean_of_linear_light_over_what_is_covered():
    light = np.random.default_rng(1).random((8, 12, 3)).astype(np.float32) * 50
    coverage = np.ones((8, 12), np.float32)
    coverage[:, 5:] = 0.0
    light[:, 5:] = 0.0
    smaller, covered = shrink(light, coverage, (4, 3))
    blocks = light.reshape(4, 2, 3, 4, 3)
    np.testing.assert_allclose(smaller[:, 0], blocks[:, :, 0].mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(smaller[:, 1], light.reshape(4, 2, 12, 3)[:, :, 4].mean(1), rtol=1e-5)
    np.testing.assert_array_equal(smaller[:, 2], 0.0)
    np.testing.assert_allclose(covered, [[1.0, 0.25, 0.0]] * 4)


def test_proxies_are_log_encoded_means_of_light():
    plate = FakePlate([1], size=(480, 854))
    sizes = shot_sizes(make_shot(Path(), plate, quality="standard"))
    flow, motion = read_proxies(plate, 1, sizes)
    assert (flow.image.shape, motion.image.shape) == ((480, 854, 3), (240, 424, 3))
    np.testing.assert_allclose(flow.image, log_encode(plate.picture(1)), atol=1e-5)
    assert abs(float(motion.image.mean()) - float(flow.image.mean())) < 0.05


def test_bytes_are_fine_enough_for_the_shares(tmp_path):
    """Rounding the mean confidences to bytes moves the evidence by less than half a byte step."""
    shot = make_shot(tmp_path, FakePlate(range(5)))
    run(shot)
    motion = MotionFrame.load(shot.motion_file(2), 2)
    residual = motion.residual().square().sum(1).sqrt()
    again = motion_evidence(
        motion.gaps, residual, torch.ones_like(residual, dtype=torch.bool), motion.sigma,
        motion.confidence, motion.coverage,
    )  # fmt: skip
    inner = np.s_[16:-16, 16:-16]
    assert (again - motion.evidence)[inner].abs().max() < 1.0 / 255
