"""The benchmark's own parts: hints, baseline, tables, calibration, and what is run again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage, stats

sys.path.insert(0, str(Path(__file__).parent))

import baseline
import calibration
import hints
import layers
import tables
from clips import Engine, Run


def test_a_hint_is_the_mask_dilated_shifted_and_blurred() -> None:
    mask = np.zeros((80, 120), bool)
    mask[30:45, 40:70] = True
    y, x = np.nonzero(mask)
    rows, columns = np.mgrid[:80, :120]
    reach = np.hypot(rows[..., None] - y, columns[..., None] - 4 - x).min(-1) <= 6
    expected = ndimage.gaussian_filter(reach.astype(float), 3)
    hint = hints.rough(mask)
    assert hint.dtype == np.uint8
    assert np.abs(hint / 255 - expected).max() < 0.02
    assert hint[38, 59] == 255 and hint[0, 0] == 0


def _texture(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 2.5)
    return np.asarray(np.clip(noise * 500 + 128, 0, 255), np.uint8)


def test_the_baseline_finds_what_the_camera_does_not_explain() -> None:
    rng = np.random.default_rng(3)
    scene, patch = (_texture(rng, shape) for shape in ((240, 350), (80, 100)))
    frames = []
    for step in range(2):
        frame = scene[:, 3 * step : 320 + 3 * step].copy()
        frame[80:160, 110 + 4 * step : 210 + 4 * step] = patch
        frames.append(frame)
    truth = np.zeros((240, 320), bool)
    truth[80:160, 110:210] = True
    matte = baseline.mattes(frames)[0] > 0.5
    assert (matte & truth).sum() / (matte | truth).sum() > 0.8


def test_a_camera_that_is_a_homography_leaves_nothing() -> None:
    x, y = np.meshgrid(np.arange(64.0), np.arange(48.0))
    scale = 1 + 1e-4 * x
    flow = np.dstack([(1.01 * x + 2) / scale - x, (0.02 * x + 0.99 * y) / scale - y]).astype(np.float32)
    assert baseline.residual(flow).max() < 0.02
    flow[10:20, 10:20, 0] += 4
    assert baseline.residual(flow)[15, 15] == pytest.approx(4, abs=0.05)


def _row(**values: Any) -> tables.Row:
    usual = {"variant": "default", "clip": "a", "seed": 0, "frames": 9, "J": 0.5, "J recall": 1.0, "F": 0.4,
             "instability": 0.02, "instability of the truth": 0.01, "seconds": 10.0, "handed seconds": 0.0,
             "peak MiB": 100.0, "threads": 0, "jobs": 1}  # fmt: skip
    return {**usual, **values}


def test_tables_are_means_over_seeds_and_then_over_clips() -> None:
    rows = [
        _row(), _row(seed=1, J=0.7, seconds=6.0, **{"handed seconds": 8.0}),
        _row(clip="b", J=0.9, instability=0.01, **{"instability of the truth": 0.02}),
    ]  # fmt: skip
    means = tables.clip_means(rows)
    assert means["a"]["J"] == pytest.approx(0.6) and means["a"]["spread"] == pytest.approx(0.2)
    assert means["a"]["seconds"] == pytest.approx(12.0) and means["a"]["ratio"] == pytest.approx(2.0)
    total = tables.overall(means)
    assert total["J"] == pytest.approx(0.75) and total["ratio"] == pytest.approx(1.0)
    assert "| a | 9 | 0.600 | 0.2000 | 1.000 | 0.400 | 0.0200 | 0.0100 | 2.00 | 12.0 | 100 |" in tables.table(rows)
    beside = tables.side_by_side([*rows, _row(variant="paper", J=0.1)])
    assert "| default | 2 | 2 | 0.750 | 0.600 (a) | 0.2000 | 1.000 | 0.400 | 1.00 | 1 | 11.0 | 12.0 |" in beside
    assert "| a | 0.600 | 0.100 |" in beside and "| b | 0.900 |  |" in beside


def test_tenths_count_what_is_right() -> None:
    counts, right = calibration.tenths(np.array([[0.0, 0.05, 0.95], [1.0, 0.95, 0.55]]), np.eye(2, 3, dtype=bool))
    assert counts.tolist() == [2, 0, 0, 0, 0, 1, 0, 0, 0, 3]
    assert right.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_rank_correlation_is_that_of_the_ranks() -> None:
    a, b = [0.1, 5.0, 2.0, 9.0], [3.0, 40.0, 50.0, 60.0]
    assert calibration.rank_correlation(a, b) == pytest.approx(stats.pearsonr(stats.rankdata(a), stats.rankdata(b))[0])
    assert calibration.rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == 0


class _Clip:
    """Stands for a clip of two frames."""

    def __init__(self, name: str) -> None:
        self.name = name

    def plate(self, scratch: Path) -> str:
        return str(scratch / self.name)

    def numbers(self) -> range:
        return range(1001, 1003)


def _task(variant: str, clip: str, seed: int) -> layers.Task:
    return layers.Task(variant, _Clip(clip), seed)  # type: ignore[arg-type]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands that an engine that only leaves motion files was given."""
    commands: list[tuple[str, ...]] = []

    def run_engine(*arguments: str, log: Path, engine: Engine) -> Run:
        out = Path(arguments[arguments.index("--out") + 1])
        commands.append((engine.digest, *arguments))
        (out / ".vdp" / "flow").mkdir(parents=True, exist_ok=True)
        (out / ".vdp" / "shot.json").write_text("{}")
        motion = out / ".vdp" / "flow" / "a.1001.safetensors"
        if not motion.exists():
            motion.write_text(f"made by {engine.digest}")
        return Run(10.0, 9.0, 100.0)

    scored = {"J": 0.5, "J recall": 1.0, "F": 0.4, "instability": 0.1, "instability of the truth": 0.1}
    monkeypatch.setattr(layers, "run_engine", run_engine)
    monkeypatch.setattr(layers, "_layers", lambda clip, out: [])
    monkeypatch.setattr(layers, "score", lambda clip, mattes: scored)
    return commands


def _bench(scratch: Path, digest: str = "one", **changes: Any) -> layers.Bench:
    usual = {"threads": 1, "jobs": 2, "share_prep": False, "slim": False, "fresh": False}
    return layers.Bench(scratch, Engine(scratch, digest), **{**usual, **changes})


def test_a_scored_run_is_not_run_again_by_the_same_engine(tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    tasks = [_task(variant, "a", seed) for variant in ("default", "layers=3") for seed in (0, 1)]
    rows = _bench(tmp_path).run(tasks)
    assert len(runs) == 4 and [(row["variant"], row["seed"]) for row in rows][2] == ("layers=3", 0)
    assert all(("--layers" in command) == ("layers_3" in " ".join(command)) for command in runs)
    assert _bench(tmp_path).run(tasks) == rows and len(runs) == 4
    _bench(tmp_path).run([*tasks, _task("default", "b", 0)])
    assert len(runs) == 5
    _bench(tmp_path, "two").run(tasks)
    _bench(tmp_path, "two", fresh=True).run(tasks)
    assert len(runs) == 13


def test_motion_is_handed_on_where_its_settings_agree(tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    variants = ("default", "objective=paper", "flow=raft", "flow=raft,layers=3")
    tasks = [_task(variant, "a", 0) for variant in variants]
    rows = _bench(tmp_path, share_prep=True).run(tasks)
    inodes = [next((tmp_path / task.out / ".vdp" / "flow").iterdir()).stat().st_ino for task in tasks]
    assert inodes[0] == inodes[1] != inodes[2] == inodes[3]
    assert [bool(row["handed seconds"]) for row in rows] == [False, True, False, True]
    rows = _bench(tmp_path, "two", share_prep=True).run(tasks[:1])
    assert not rows[0]["handed seconds"]
    assert next((tmp_path / tasks[0].out / ".vdp" / "flow").iterdir()).read_text() == "made by two"


def test_the_engine_is_a_copy_told_apart_by_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clips.CHECKOUT", tmp_path / "checkout")
    source = tmp_path / "checkout" / "vdp_engine" / "a.py"
    source.parent.mkdir(parents=True)
    source.write_text("1")
    first, again = (Engine.of_checkout(tmp_path / "scratch") for _ in range(2))
    source.write_text("2")
    second = Engine.of_checkout(tmp_path / "scratch")
    assert first == again != second
    assert [(one.folder / "vdp_engine" / "a.py").read_text() for one in (first, second)] == ["1", "2"]


def test_a_report_and_layers_are_judged_against_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.zeros((40, 60), bool)
    truth[10:30, 10:30] = True
    matte = np.roll(truth, 5, axis=1).astype(np.float32)
    confidence = np.where((matte > 0.5) == truth, 0.95, 0.15).astype(np.float32)
    report = {
        "confidence": 0.7, "per_frame": [{"confidence": 0.6}, {"confidence": 0.8}], "warnings": [{"code": "layers.x"}],
    }  # fmt: skip
    (tmp_path / "a.report.json").write_text(json.dumps(report))
    channels = {"A": matte, "confidence.A": confidence}
    monkeypatch.setattr(calibration, "read_channel", lambda path, channel: channels[channel])
    clip = _Clip("a")
    clip.truth = lambda: [truth, truth]  # type: ignore[attr-defined]
    judged = calibration.judge(clip, tmp_path)  # type: ignore[arg-type]
    assert judged.overlap == pytest.approx(300 / 500) and judged.told_frames == (0.6, 0.8)
    assert judged.means[1] == pytest.approx(0.75 * 0.95 + 0.25 * 0.15, abs=1e-6)
    assert judged.pixels[1] == 2 * 200 and judged.right[1] == 0 and judged.right[9] == judged.pixels[9]
    told = calibration.document([judged])
    assert "| a | 0.600 | 0.700 |" in told and "layers.x" in told
