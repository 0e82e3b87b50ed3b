"""The demo's score: perfect for the truth itself, and off by what the layers are off by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vdp_engine.demo import DemoScore, make_demo, score_demo
from vdp_engine.demo.scene import FIRST_FRAME, Scene
from vdp_engine.plate import write_layers
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

SIZE = {"width": 192, "height": 108, "frames": 8}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder, **SIZE)
    return folder


def _decompose(
    demo: Path, out: Path, *, shift: int = 0, grey: float = 1.0, clean: float = 0.0, straight: bool = False
) -> Shot:
    """Layers made from the truth: matte moved by ``shift`` pixels and scaled, clean plate off by a log offset."""
    settings = Settings(alpha="straight" if straight else "premultiplied")
    shot = Shot.create(str(demo / "plate"), out, settings=settings)
    scene = Scene(**SIZE)
    for frame in shot.frames:
        truth = scene.render(frame - FIRST_FRAME)
        alpha = np.roll(truth.alpha, shift, axis=1) * grey
        front = truth.foreground / np.maximum(truth.alpha, 1e-6)[..., None] if straight else truth.foreground
        back = ((1 - truth.alpha[..., None]) * truth.background).astype(np.float16).astype(np.float32)
        channels = {"A": alpha, "fg1.A": truth.alpha if straight else alpha, "bg.A": 1 - alpha}
        for index, name in enumerate("RGB"):
            channels |= {
                name: truth.plate[..., index],
                f"fg1.{name}": front[..., index],
                f"bg.{name}": back[..., index] / np.where(straight, np.maximum(1 - alpha, 1e-6), 1),
                f"clean.{name}": truth.background[..., index] * np.exp2(clean),
                f"residual.{name}": truth.plate[..., index] - truth.foreground[..., index] - back[..., index],
            }
        channels = {name: plane.astype(np.float32) for name, plane in channels.items()}
        write_layers(shot.layer_file(frame), channels, shot.plate.header(frame))
    return shot


def test_the_truth_scores_perfectly(demo: Path, tmp_path: Path) -> None:
    score = score_demo(demo, _decompose(demo, tmp_path))
    assert (score.j, score.alpha_mae, score.alpha_mse) == (1.0, 0.0, 0.0)
    assert score.clean_psnr == pytest.approx(120) and score.colour_error == 0 and score.rebuild <= 1
    assert json.loads((demo / "score.json").read_text(encoding="utf-8")) == score.as_dict()
    assert DemoScore(**score.as_dict()) == score and len(score.lines()) == 5


def test_straight_layers_score_the_same(demo: Path, tmp_path: Path) -> None:
    score = score_demo(demo, _decompose(demo, tmp_path, straight=True))
    assert score.j == 1.0 and score.colour_error < 1e-3


def test_a_shifted_matte_costs_its_overlap(demo: Path, tmp_path: Path) -> None:
    score = score_demo(demo, _decompose(demo, tmp_path, shift=5))
    scene = Scene(**SIZE)
    masks = [scene.render(index).alpha > 0.5 for index in range(SIZE["frames"])]
    overlaps = [(mask & np.roll(mask, 5, 1)).sum() / (mask | np.roll(mask, 5, 1)).sum() for mask in masks]
    assert score.j == pytest.approx(np.mean(overlaps), abs=1e-9)
    assert score.alpha_mae > 0.1


def test_a_thin_matte_is_off_in_the_soft_band_only_by_its_share(demo: Path, tmp_path: Path) -> None:
    score = score_demo(demo, _decompose(demo, tmp_path, grey=0.9))
    assert 0 < score.alpha_mse < score.alpha_mae < 0.1 and score.j < 1


def test_a_clean_plate_off_by_a_quarter_stop(demo: Path, tmp_path: Path) -> None:
    score = score_demo(demo, _decompose(demo, tmp_path, clean=0.25))
    # In the logarithmic part of the encoding every value is off by 0.25 / 17.52, darker ones by less.
    assert score.clean_psnr == pytest.approx(-20 * np.log10(0.25 / 17.52), abs=2.0)


def test_most_of_what_the_creature_hides_is_seen_elsewhere(demo: Path) -> None:
    from vdp_engine.demo import score as room

    frames = range(FIRST_FRAME, FIRST_FRAME + SIZE["frames"])
    truths = {frame: room._truth(demo, frame) for frame in frames}
    cameras = {frame: room._camera_step(truth) for frame, truth in truths.items()}
    alphas = {frame: truth["fg1.A"] for frame, truth in truths.items()}
    seen = room._hidden_but_seen(FIRST_FRAME, cameras, alphas)
    assert not seen[alphas[FIRST_FRAME] <= 0.5].any()
    assert seen.sum() > 0.8 * (alphas[FIRST_FRAME] > 0.5).sum()
    # What it says can be seen there is the same light there.
    here, there = Scene(**SIZE).render(0), Scene(**SIZE).render(7)
    rows, columns = np.nonzero(seen)
    x, y = (room._between(FIRST_FRAME, FIRST_FRAME + 7, cameras) @ [columns, rows, np.ones(len(rows))])[:2].round()
    apart = np.abs(here.background[rows, columns] - there.background[y.astype(int), x.astype(int)])
    assert np.median(apart) < 0.3 * np.median(np.abs(here.background - np.roll(here.background, 9, (0, 1))))
