"""The benches of dehaze and relight with a stand-in for the engine: what is run, scored, kept, told and shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import display
import fidelity
import restoration
import restoration_report
from clips import Engine, Run, read_channel
from restoration import Case, Contest, Footage

_SIZE = (24, 32)
_SHARE = np.float32(0.8)  # of the truth that the stand-in finds


def _light(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((6, 8, 3), dtype=np.float32)
    return cv2.resize(coarse, _SIZE[::-1], interpolation=cv2.INTER_LINEAR)


def _clip_case(name: str = "a", count: int = 2) -> Case:
    footage = Footage([_light(1) / 4] * count, [display.to_display(_light(1))] * count)
    return Case("made", name, lambda: footage, "2 stops down")


def _write_layers(path: Path, colours: dict[str, np.ndarray]) -> None:
    names = [f"{layer}.{c}" for layer in colours for c in "RGB"]
    spec = oiio.ImageSpec(_SIZE[1], _SIZE[0], len(names), oiio.HALF)
    spec.channelnames = names
    output = oiio.ImageOutput.create(str(path))
    assert output is not None and output.open(str(path), spec)
    output.write_image(np.ascontiguousarray(np.dstack(list(colours.values()))))
    output.close()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands that a stand-in was given, which undoes two stops and adds noise of its own in a layer ``noise``."""
    commands: list[tuple[str, ...]] = []

    def run_engine(*arguments: str, log: Path, engine: Engine) -> Run:
        commands.append(arguments)
        given = dict(zip(arguments[2::2], arguments[3::2], strict=True))
        out, name = Path(given["--out"]), given["--name"]
        out.mkdir(parents=True)
        for path in sorted(Path(arguments[1]).parent.glob("*.exr")):
            plate = np.dstack([read_channel(path, c) for c in "RGB"])
            _write_layers(out / path.name, {"noise": plate, "relit": plate * 4 * _SHARE})
        report = {"rebuild": {"worst": 0.5}, "passed": True, "warnings": [{"code": "relight.dark"}]}
        (out / f"{name}.report.json").write_text(json.dumps(report))
        return Run(10.0, 9.0, 100.0)

    monkeypatch.setattr(restoration, "run_engine", run_engine)
    return commands


def _bench(scratch: Path, digest: str = "one", **changes: Any) -> restoration.Bench:
    contest = Contest(
        "relight", "relit", {"half": lambda frame: frame / 2}, {"told": lambda frame, truth: truth},
        fidelity.gain, "the gain",
    )  # fmt: skip
    return restoration.Bench(contest, scratch, Engine(scratch, digest), **changes)


def test_every_method_is_scored_on_the_same_plate(tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    rows = _bench(tmp_path).run([_clip_case()], ["default", "gamma=2.2,key_fill=1"])
    assert [row["method"] for row in rows] == ["untouched", "half", "told", "default", "gamma=2.2,key_fill=1"]
    assert [command[-4:] for command in runs][1] == ("--gamma", "2.2", "--key-fill", "1")
    assert all(command[2:4] == ("--task", "relight") for command in runs)
    truth = display.to_display(_light(1))
    untouched, _, told, ours, _ = rows
    assert untouched["PSNR"] == pytest.approx(fidelity.psnr(display.to_display(_light(1) / 4), truth))
    assert told["PSNR"] == pytest.approx(120)
    # The layers are half floats.
    assert ours["PSNR"] == pytest.approx(fidelity.psnr(display.to_display(_light(1) * _SHARE), truth), abs=0.02)
    assert (ours["seconds"], ours["peak MiB"], ours["rebuild"], ours["warnings"]) == (10, 100, 0.5, ["relight.dark"])


def test_what_flickers_is_over_its_bound() -> None:
    contest = _bench(Path()).contest
    footage = Footage([_light(1) / 4] * 3, None)
    steady = restoration.judge([2 * frame for frame in footage.shown], footage, contest)
    assert steady == {"warp error": 0.0, "warp error bound": 0.0}
    noisy = Footage([_light(1) / 4, _light(1) / 4 + 0.01, _light(1) / 4], None)
    doubled = restoration.judge([2 * frame for frame in noisy.shown], noisy, contest)
    assert doubled["warp error"] == pytest.approx(doubled["warp error bound"], rel=1e-4)
    assert doubled["warp error"] > 0.01
    flickering = restoration.judge([frame + 0.2 * (i % 2) for i, frame in enumerate(noisy.shown)], noisy, contest)
    assert flickering["warp error"] > 2 * flickering["warp error bound"]


def test_what_is_scored_is_not_run_again_by_the_same_engine(tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    cases = [_clip_case("a"), _clip_case("b")]
    rows = _bench(tmp_path).run(cases, ["default"])
    assert _bench(tmp_path).run(cases, ["default"]) == rows and len(runs) == 2
    _bench(tmp_path, "two").run(cases, ["default"])
    _bench(tmp_path, "two", fresh=True).run(cases, ["default"])
    assert len(runs) == 6
    assert not list(tmp_path.rglob("*.exr"))


def test_a_missing_frame_ends_the_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_engine(*arguments: str, log: Path, engine: Engine) -> Run:
        out = Path(arguments[arguments.index("--out") + 1])
        out.mkdir(parents=True)
        (out / "a.report.json").write_text("{}")
        return Run(1.0, 1.0, 1.0)

    monkeypatch.setattr(restoration, "run_engine", run_engine)
    with pytest.raises(SystemExit, match="holds 0 frames of a, not 2"):
        _bench(tmp_path).run([_clip_case()], ["default"])


def test_variants_are_settings() -> None:
    assert restoration.settings_of("default") == {}
    assert restoration.settings_of("objective=paper,key_fill=0.5") == {"objective": "paper", "key-fill": "0.5"}
    with pytest.raises(SystemExit, match="SETTING=VALUE"):
        restoration.settings_of("paper")


def test_a_limit_takes_cases_evenly_from_each_set() -> None:
    cases = [Case(group, str(index), lambda: Footage([], None)) for group in "ab" for index in range(6)]
    assert [case.name for case in restoration.spread_out(cases, 3)] == ["0", "2", "4"] * 2
    assert restoration.spread_out(cases, None) == cases


def _row(**values: Any) -> dict[str, Any]:
    usual = {"group": "LOL", "case": "a", "how": "", "method": "default", "frames": 1, "PSNR": 20.0, "SSIM": 0.9,
             "ΔE": 5.0, "seconds": 3.0}  # fmt: skip
    return {**usual, **values}


def test_tables_are_means_over_pictures_and_over_clips(tmp_path: Path) -> None:
    cost = {"peak MiB": 100.0, "rebuild": 0.5, "rebuilt": True, "warnings": ["relight.dark"]}
    moving = {"group": "made", "how": "3 stops down", "frames": 9, "warp error bound": 0.02, **cost}
    rows = [
        _row(method="untouched"), _row(**cost), _row(case="b", PSNR=10.0, SSIM=0.7, **{"ΔE": 9.0}, **cost),
        _row(case="c", PSNR=30.0, **cost), _row(case="cows", **moving, **{"warp error": 0.03}),
        _row(case="dog", PSNR=24.0, **{**moving, "rebuilt": False}, **{"warp error": 0.01}),
    ]  # fmt: skip
    told = restoration_report.document(_bench(tmp_path), rows)
    assert "| **LOL** | 3 pictures | 20.00 / 0.900 / 5.0 | 20.00 / 0.833 / 6.3 |" in told
    assert "| cows | 3 stops down |  | 20.00 / 0.900 / 5.0 |" in told
    assert "| **made** | 2 clips |  | 22.00 / 0.900 / 5.0 |" in told
    assert "LOL: b (10.0 dB), a (20.0 dB), c (30.0 dB)." in told
    assert "| cows |  |  | **30.0 (20.0)** |" in told and "| dog |  |  | 10.0 (20.0) |" in told
    assert "| **made** | 2 clips | ours | 3.0 | 3.0 | 100 | 0.50 | **no** | relight.dark ×2 |" in told


def test_sheets_show_plate_ours_and_truth_and_mark_the_worst(tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    bench, cases = _bench(tmp_path / "scratch"), [_clip_case(name) for name in "abcd"]
    rows = bench.run(cases, ["default"])
    rows = [{**row, "PSNR": 50.0} if row["case"] == "b" else row for row in rows]
    (path,) = restoration_report.write_sheets(tmp_path / "sheets", bench, cases, rows, "default")
    sheet = display.read_picture(path)
    tile, bar = 240, 18
    assert sheet.shape[1] == 4 * 324 and sheet.shape[0] == 4 * (tile + bar + 4)
    line = sheet[bar:tile]
    truth = cv2.resize(display.to_display(_light(1)), (320, tile), interpolation=cv2.INTER_AREA)[: tile - bar]
    # Plate, the simple method, ours, truth.
    for index, share in ((0, 1 / 4), (2, _SHARE), (3, 1)):
        shown = line[:, 324 * index : 324 * index + 320]
        expected = display.to_display(display.to_linear(truth) * share)
        assert np.abs(shown - expected).mean() < 0.01
    marks = [sheet[row * (tile + bar + 4) + 2, 2] for row in range(4)]
    assert [mark[0] > 0.9 and mark[1] < 0.2 for mark in marks] == [True, False, True, True]


def test_the_worst_pictures_have_a_sheet_of_their_own(tmp_path: Path, runs: list[tuple[str, ...]]) -> None:
    bench, cases = _bench(tmp_path / "scratch"), [_clip_case(name, 1) for name in "abcd"]
    rows = bench.run(cases, ["default"])
    written = restoration_report.write_sheets(tmp_path / "sheets", bench, cases, rows, "default")
    assert [path.name for path in written] == ["relight_made_1.png", "relight_worst.png"]
    # Three of four, and neither the simple method nor a mark.
    assert display.read_picture(written[1]).shape == (3 * (240 + 18 + 4), 3 * 324, 3)
