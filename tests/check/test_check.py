"""``check`` on small shots whose layer files are written here: what passes, what is refused, and what is told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
import torch

from vdp_engine import files
from vdp_engine.check import Report, check, current_report, report_lines
from vdp_engine.check.sheet import spread
from vdp_engine.errors import CheckError, ShotError
from vdp_engine.model.fit import fit_digest
from vdp_engine.motion import MotionFrame
from vdp_engine.progress import SilentReporter
from vdp_engine.settings import Machine, Settings
from vdp_engine.shot import Shot

FRAMES = (1001, 1002, 1003)
HEIGHT, WIDTH = 40, 64
ORIGIN = (-6, 11)  # of the data window: x, y
Channels = dict[str, np.ndarray]


class Recorder(SilentReporter):
    """Keeps the warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: list[str] = []

    def _show_warning(self, code: str, message: str, frame: int | None) -> None:
        self.codes.append(code)


def _alpha(frame: int) -> np.ndarray:
    """A soft disk that moves two pixels a frame to the right."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.clip(9.5 - np.hypot(x - 24 - 2 * (frame - FRAMES[0]), y - 20), 0, 1).astype(np.float32)


def _layers(frame: int, straight: bool = False) -> tuple[np.ndarray, Channels]:
    """A plate (H, W, 3), from −0.01 to 300, and layers that rebuild it, all in half precision."""
    rng = np.random.default_rng(frame)
    alpha = _alpha(frame)
    background = np.exp2(rng.uniform(-6, 2, (HEIGHT, WIDTH, 3)))
    background[3, 3], background[5, 5] = 300, -0.01
    plate = np.float16(alpha[..., None] * 0.7 + (1 - alpha[..., None]) * background).astype(np.float32)
    channels = {"A": alpha, "confidence.A": np.full_like(alpha, 0.75)}
    for index, name in enumerate("RGB"):
        fg, bg = (part if straight else part * weight for part, weight in (
            (np.full_like(alpha, 0.7), alpha), (background[..., index], 1 - alpha)))  # fmt: skip
        fg, bg = np.float16(fg).astype(np.float32), np.float16(bg).astype(np.float32)
        channels |= {name: plate[..., index], f"fg1.{name}": fg, f"bg.{name}": bg, f"clean.{name}": bg}
        given = fg * np.float16(alpha) + bg * np.float16(1 - alpha) if straight else fg + bg
        channels[f"residual.{name}"] = plate[..., index] - given
    return plate, channels | {"fg1.A": alpha, "bg.A": 1 - alpha}


def _write(path: Path, channels: Channels, **header: object) -> None:
    x, y = ORIGIN
    window = (np.array([x, y], np.int32), np.array([x + WIDTH - 1, y + HEIGHT - 1], np.int32))
    header = {
        "type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIPS_COMPRESSION, "dataWindow": window,
        "displayWindow": (np.array([0, 0], np.int32), np.array([WIDTH - 1, HEIGHT + 19], np.int32)),
        **header,
    }  # fmt: skip
    planes = {name: np.ascontiguousarray(plane.astype(np.float16)) for name, plane in channels.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    OpenEXR.File(header, planes).write(str(path))


def _motion(frame: int) -> MotionFrame:
    """Motion of the disk, at half size."""
    size = (HEIGHT // 2, WIDTH // 2)
    flow = torch.zeros(2, 2, *size)
    flow[0, 0], flow[1, 0] = 1.0, -1.0
    present = torch.tensor([frame != FRAMES[-1], frame != FRAMES[0]])
    moving = cv2.resize(_alpha(frame), size[::-1], interpolation=cv2.INTER_AREA)
    return MotionFrame(
        frame=frame, gaps=(1, -1), present=present, image=torch.zeros(3, *size), coverage=torch.ones(size), flow=flow,
        confidence=torch.ones(2, *size) * 0.9, theta=torch.zeros(2, 6, 2), sigma=torch.full((2,), 0.1),
        strength=torch.full((2,), 2.0), evidence=torch.from_numpy(moving),
    )  # fmt: skip


def _made_from(shot: Shot) -> dict[str, str]:
    return {"vdp/settings": shot.settings.digest("render"), "vdp/model": fit_digest(shot)}


@pytest.fixture
def make_shot(tmp_path: Path) -> Callable[..., Shot]:
    def make(spoil: Callable[[int, Channels], None] | None = None, **chosen: str) -> Shot:
        settings = Settings.parse(**chosen)
        for frame in FRAMES:
            plate, _ = _layers(frame)
            _write(tmp_path / "plate" / f"a.{frame}.exr", {c: plate[..., i] for i, c in enumerate("RGB")})
        shot = Shot.create(str(tmp_path / "plate" / "a.####.exr"), tmp_path / "out", settings=settings)
        shot.save()
        for frame in FRAMES:
            _motion(frame).save(shot.motion_file(frame), "test")
        for frame in FRAMES:
            _, channels = _layers(frame, settings.alpha == "straight")
            if spoil is not None:
                spoil(frame, channels)
            _write(shot.layer_file(frame), channels, **_made_from(shot))
        return shot

    return make


def _check(shot: Shot, reporter: SilentReporter | None = None) -> Report:
    return check(shot, Machine(), reporter or SilentReporter())


@pytest.mark.parametrize("alpha", ["premultiplied", "straight"])
def test_sound_layers_pass_and_are_reported(make_shot: Callable[..., Shot], alpha: str) -> None:
    shot, reporter = make_shot(alpha=alpha), Recorder()
    report = _check(shot, reporter)
    assert report.passed and report.warnings == () and reporter.codes == []

    told = json.loads(shot.report_file.read_text(encoding="utf-8"))
    assert told == json.loads(json.dumps(report.as_dict()))
    assert told["passed"] and told["rebuild"]["worst"] <= 2 and told["rebuild"]["broken_frames"] == []
    areas = [float(_alpha(frame).mean()) for frame in FRAMES]
    assert told["coverage"]["fg1.A"] == pytest.approx(
        {"mean": np.mean(areas), "min": min(areas), "max": max(areas)}, rel=1e-3
    )
    # c is 0.75 everywhere, and what is missed is looked for 2 pixels around the disk, which has a radius of 9.
    assert told["confidence"] == pytest.approx(0.75 / (1 + 0.25 * ((11 / 9) ** 2 - 1)), rel=0.05)
    assert told["confidence"] == pytest.approx(np.mean([one["confidence"] for one in told["per_frame"]]))
    assert told["motion"]["flow_confidence"] == pytest.approx(0.9, abs=2e-3)
    assert told["motion"]["agreement"] > 0.9
    assert told["stability"]["flicker"] < 0.002, "the disk moves with its flow"
    assert told["layers"]["unsteadiness"] == pytest.approx(told["stability"]["flicker"] / np.mean(areas), rel=1e-3)
    assert told["layers"]["border"] == told["layers"]["left_over"] == 0
    assert told["settings"]["digests"]["render"] == shot.settings.digest("render")
    assert [one["frame"] for one in told["per_frame"]] == list(FRAMES)
    assert told["per_frame"][0]["flicker"] is None
    assert any("passed" in line for line in report_lines(told))


def test_a_report_is_current_until_something_it_is_about_changes(make_shot: Callable[..., Shot]) -> None:
    shot = make_shot()
    assert current_report(shot) is None
    report = _check(shot)
    assert current_report(shot) == json.loads(json.dumps(report.as_dict()))
    others = [replace(shot, settings=Settings(seed=1)), replace(shot, frames=FRAMES[:2]), replace(shot, name="b")]
    assert [current_report(other) for other in others] == [None] * 3

    sheet = shot.sheet_file.read_bytes()
    shot.sheet_file.unlink()
    assert current_report(shot) is None
    shot.sheet_file.write_bytes(sheet)
    assert current_report(shot) is not None
    os.utime(shot.layer_file(1002), ns=(0, 0))
    assert current_report(shot) is None

    _check(shot)
    _motion(1003).save(shot.motion_file(1003), "of another plate")
    assert current_report(shot) is None
    shot.report_file.write_text("[]", encoding="utf-8")
    assert current_report(shot) is None


def test_a_report_that_failed_is_never_current(make_shot: Callable[..., Shot]) -> None:
    shot = make_shot(lambda frame, channels: channels["residual.G"].__setitem__((7, 30), 9.0))
    with pytest.raises(CheckError):
        _check(shot)
    assert shot.report_file.exists() and current_report(shot) is None


def test_one_wrong_pixel_is_found_and_named(make_shot: Callable[..., Shot]) -> None:
    def spoil(frame: int, channels: Channels) -> None:
        if frame == 1002:
            channels["residual.G"][7, 30] += 4 * abs(np.spacing(np.float16(channels["G"][7, 30])))

    shot = make_shot(spoil)
    with pytest.raises(CheckError, match=rf"channel G at x {30 + ORIGIN[0]}, y {7 + ORIGIN[1]} .*\(1 pixels") as raised:
        _check(shot)
    assert (raised.value.code, raised.value.frame) == ("check.rebuild", 1002)
    told = json.loads(shot.report_file.read_text(encoding="utf-8"))
    assert not told["passed"] and told["rebuild"]["broken_frames"] == [1002]
    assert shot.sheet_file.exists()


def _cut_short(shot: Shot) -> None:
    path = shot.layer_file(1002)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _rewrite(shot: Shot, drop: str = "", **header: object) -> None:
    channels = _layers(1002)[1]
    channels.pop(drop, None)
    _write(shot.layer_file(1002), channels, **{**_made_from(shot), **header})


_ELSEWHERE = (np.array([0, 0], np.int32), np.array([WIDTH - 1, HEIGHT - 1], np.int32))


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda shot: shot.layer_file(1002).unlink(), "check.missing"),
        (_cut_short, "check.damaged"),
        (lambda shot: shot.layer_file(1002).write_bytes(b"no image"), "check.damaged"),
        (lambda shot: _rewrite(shot, drop="residual.B"), "check.damaged"),
        (lambda shot: _rewrite(shot, drop="confidence.A"), "check.damaged"),
        (lambda shot: _rewrite(shot, **{"vdp/settings": Settings(seed=5).digest("render")}), "check.stale"),
        (lambda shot: _rewrite(shot, **{"vdp/model": "of another fit"}), "check.stale"),
        (lambda shot: _rewrite(shot, dataWindow=_ELSEWHERE), "check.stale"),
    ],
    ids=["gone", "cut short", "no image", "no residual", "no confidence", "other settings", "other model",
         "other window"],
)
def test_files_that_cannot_be_checked(make_shot: Callable[..., Shot], harm: Callable[[Shot], None], code: str) -> None:
    shot = make_shot()
    harm(shot)
    with pytest.raises(CheckError) as raised:
        _check(shot)
    assert (raised.value.code, raised.value.frame, raised.value.path) == (code, 1002, shot.layer_file(1002))
    assert not shot.report_file.exists() and not shot.sheet_file.exists()


def test_missing_motion_is_named(make_shot: Callable[..., Shot]) -> None:
    shot = make_shot()
    shot.motion_file(1003).unlink()
    with pytest.raises(ShotError) as raised:
        _check(shot)
    assert raised.value.frame == 1003


def test_lossy_layers_warn_instead_of_failing(make_shot: Callable[..., Shot]) -> None:
    shot, reporter = make_shot(compression="dwaa"), Recorder()
    for frame in FRAMES:
        _write(
            shot.layer_file(frame), _layers(frame)[1], **_made_from(shot), compression=OpenEXR.DWAA_COMPRESSION
        )
    report = _check(shot, reporter)
    assert report.worst.layers.rebuild.worst > 2, "DWAA does change these pixels"
    assert report.passed and reporter.codes == ["check.lossy"]


def test_the_overlap_to_expect_follows_the_confidence_and_the_matte(make_shot: Callable[..., Shot]) -> None:
    def spoil(frame: int, channels: Channels) -> None:
        inside = channels["fg1.A"] > 0.5
        channels["confidence.A"] = np.where(inside, 0.5, 1.0)
        if frame == 1002:
            channels["fg1.A"], channels["bg.A"] = np.zeros_like(channels["A"]), np.ones_like(channels["A"])
        if frame == 1003:
            channels["confidence.A"] = np.where(inside, 1.0, 0.5)

    told = _check(make_shot(spoil)).as_dict()
    first, empty, last = (one["confidence"] for one in told["per_frame"])
    assert first == pytest.approx(0.5, abs=0.03), "half of the disk is right, nothing is missed"
    assert empty == 0 and told["per_frame"][1]["border"] is None
    assert last == pytest.approx(1 / (1 + 0.5 * ((11 / 9) ** 2 - 1)), abs=0.03), "half of its surroundings are missed"
    assert told["confidence"] == pytest.approx((first + empty + last) / 3)
    (line,) = (line for line in report_lines(told) if line.startswith("overlap"))
    assert "1 frames without foreground count 0" in line and "frame 1002" in line


def test_a_matte_on_the_border_is_told_unless_it_was_asked_for(make_shot: Callable[..., Shot]) -> None:
    def spoil(frame: int, channels: Channels) -> None:
        channels["fg1.A"] = np.tile((np.arange(WIDTH) < 20).astype(np.float32), (HEIGHT, 1))
        channels["bg.A"] = 1 - channels["fg1.A"]

    shot = make_shot(spoil)
    report = _check(shot)
    # At half size 10 × 20 pixels, three sides of which lie on the border: 38 of an outline of 56.
    assert report.as_dict()["layers"]["border"] == pytest.approx(38 / 56)
    assert "layers.border" in [sign.code for sign in report.warnings]
    hinted = replace(shot, settings=shot.settings.model_copy(update={"hints": ("rough.####.exr",)}))
    assert "layers.border" not in [sign.code for sign in Report.of(hinted, report.stamp, report.frames).warnings]


def test_holes_and_clamped_values_are_reported(make_shot: Callable[..., Shot], tmp_path: Path) -> None:
    def spoil(frame: int, channels: Channels) -> None:
        if frame == 1002:
            for name in channels:
                if name[-1] in "RGB":
                    channels[name][9, 9:12] = 0

    shot, reporter = make_shot(spoil), Recorder()
    plate, _ = _layers(1002)
    plate[9, 9:12] = np.nan
    _write(tmp_path / "plate" / "a.1002.exr", {c: plate[..., i] for i, c in enumerate("RGB")})
    report = _check(shot, reporter)
    assert report.passed and report.as_dict()["holes"] == 3 and reporter.codes == ["plate.holes"]


def test_the_sheet_shows_every_layer(make_shot: Callable[..., Shot]) -> None:
    shot = make_shot()
    _check(shot)
    sheet = cv2.imread(str(shot.sheet_file))
    # 3 rows; plate, bg, fg1, clean, fg1.A, confidence.A in 6 columns.
    height, width = sheet.shape[0] // 3, sheet.shape[1] // 6
    assert sheet.shape[1] <= 2400 and 0.5 < height / width < 1.2
    matte = sheet[:height, 4 * width : 5 * width]
    centre = round(24 / WIDTH * width), 24 + round(20 / HEIGHT * (height - 24))
    rim = round((24 + 9.2) / WIDTH * width), centre[1]
    assert matte[centre[1], centre[0]].min() > 250, "the disk is white in its matte"
    assert 20 < matte[rim[1], rim[0] - 3 : rim[0] + 4].mean() < 235, "and ends where it ends in the plate"
    assert matte[-10:-5, 5:10].max() == 0, "and what lies outside is black"
    confidence = sheet[:height, 5 * width :]
    assert abs(int(confidence[centre[1], centre[0], 0]) - 191) <= 1


def test_frames_of_the_sheet_are_spread() -> None:
    assert spread(range(1001, 1101), 6) == (1001, 1021, 1041, 1060, 1080, 1100)
    assert spread((5, 9), 6) == (5, 9)
    assert spread((5,), 6) == (5,)


def test_nothing_half_written_is_left(make_shot: Callable[..., Shot]) -> None:
    shot = make_shot()
    _check(shot)
    assert files.sweep(shot.out) == 0
    assert sorted(path.name for path in shot.out.iterdir() if path.suffix != ".exr") == [
        ".vdp", "a.report.json", "a.sheet.png",
    ]  # fmt: skip
