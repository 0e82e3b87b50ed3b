"""One shot on disk: what is stored, what is found again, and what is never touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from vdp_engine.errors import PlateError, ShotError, UsageError
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot, default_name, frame_text


def write_plate(folder: Path, name: str = "shot", frames: range = range(1001, 1004)) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        image = oiio.ImageBuf(oiio.ImageSpec(4, 3, 3, "half"))
        image.set_pixels(oiio.ROI(), np.full((3, 4, 3), 0.18, np.float32))
        assert image.write(str(folder / f"{name}.{frame:04d}.exr"))
    return str(folder / f"{name}.####.exr")


@pytest.fixture
def plate(tmp_path: Path) -> str:
    return write_plate(tmp_path / "plate")


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_shot_comes_back_as_it_was(plate: str, tmp_path: Path) -> None:
    settings = Settings(quality="draft", layers=3, seed=11, alpha="straight")
    shot = Shot.create(plate, tmp_path / "out", frames="1001-1002", name="other name", settings=settings)
    assert not (tmp_path / "out").exists(), "creating a shot writes nothing"
    shot.save()
    assert tree(tmp_path / "out") == [".vdp", ".vdp/shot.json"]
    for place in (tmp_path / "out", tmp_path / "out" / ".vdp" / "shot.json"):
        found = Shot.load(place)
        assert found == shot
        assert found.frames == (1001, 1002)
        assert found.plate.frames == (1001, 1002)


def test_a_shot_is_found_from_any_folder(plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Shot.create("plate/shot.####.exr", Path("out"), settings=Settings()).save()
    monkeypatch.chdir("/")
    shot = Shot.load(tmp_path / "out")
    assert shot.plate.frames == (1001, 1002, 1003)
    assert shot.layer_file(1001) == tmp_path / "out" / "shot.1001.exr"


def test_saving_the_same_again_does_not_touch_the_file(plate: str, tmp_path: Path) -> None:
    shot = Shot.create(plate, tmp_path / "out", settings=Settings())
    shot.save()
    os.utime(shot.file, (1, 1))
    Shot.create(plate, tmp_path / "out", settings=Settings()).save()
    assert shot.file.stat().st_mtime == 1
    Shot.create(plate, tmp_path / "out", settings=Settings(seed=2)).save()
    assert Shot.load(tmp_path / "out").settings.seed == 2


def test_another_shot_in_the_folder_is_not_overwritten(plate: str, tmp_path: Path) -> None:
    Shot.create(plate, tmp_path / "out", settings=Settings()).save()
    other_plate = write_plate(tmp_path / "plate2", "other")
    for other in (
        Shot.create(other_plate, tmp_path / "out", settings=Settings()),
        Shot.create(plate, tmp_path / "out", name="renamed", settings=Settings()),
    ):
        with pytest.raises(UsageError) as caught:
            other.save()
        assert caught.value.code == "usage.other_shot"
    assert Shot.load(tmp_path / "out").name == "shot"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "name": "a"}'])
def test_a_damaged_shot_is_named_and_can_be_replaced(plate: str, tmp_path: Path, text: str) -> None:
    shot = Shot.create(plate, tmp_path / "out", settings=Settings())
    shot.save()
    shot.file.write_text(text)
    with pytest.raises(ShotError) as caught:
        Shot.load(tmp_path / "out")
    assert caught.value.code == "shot.damaged" and str(shot.file) in str(caught.value)
    shot.save()
    assert Shot.load(tmp_path / "out") == shot


@pytest.mark.parametrize("field", [("settings", {"seed": -3}), ("settings", {"new": 1}), ("frames", "abc")])
def test_a_shot_with_values_that_cannot_be_is_damaged(plate: str, tmp_path: Path, field: tuple[str, object]) -> None:
    shot = Shot.create(plate, tmp_path / "out", settings=Settings())
    shot.save()
    stored = json.loads(shot.file.read_text())
    stored[field[0]] = field[1]
    shot.file.write_text(json.dumps(stored))
    with pytest.raises(ShotError) as caught:
        Shot.load(tmp_path / "out")
    assert caught.value.code == "shot.damaged"


def test_no_shot_and_a_shot_of_another_format(plate: str, tmp_path: Path) -> None:
    with pytest.raises(ShotError) as caught:
        Shot.load(tmp_path / "nowhere")
    assert caught.value.code == "shot.not_found"
    shot = Shot.create(plate, tmp_path / "out", settings=Settings())
    shot.save()
    shot.file.write_text(json.dumps({**shot.as_dict(), "format": 99}))
    with pytest.raises(ShotError) as caught:
        Shot.load(tmp_path / "out")
    assert caught.value.code == "shot.format"


@pytest.mark.parametrize("name", ["a/b", "a\\b", "..", ".hidden", "a:b", "a\nb", "a*"])
def test_names_that_no_file_can_have(plate: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        Shot.create(plate, tmp_path / "out", name=name, settings=Settings())
    assert caught.value.code == "usage.name"


def test_the_plate_is_never_overwritten(plate: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "plate")
    for out in (tmp_path / "plate", tmp_path / "link", tmp_path / "plate" / "x" / ".."):
        with pytest.raises(UsageError) as caught:
            Shot.create(plate, out, settings=Settings())
        assert caught.value.code == "usage.out"


def test_clearing_takes_what_runs_left_and_nothing_else(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shot = Shot.create(plate, out, settings=Settings())
    shot.save()
    ours = ["shot.1001.exr", "shot.-0005.exr", "shot.sheet.png", "shot.report.json", ".vdp/flow/a"]
    others = ["shot.mov", "shot.1001.exr.bak", "shot2.1001.exr", "shot.comp.1001.exr", "notes.txt", "xshot.1001.exr"]
    for name in (*ours, *others):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).touch()
    shot.clear()
    assert tree(out) == sorted(others)


def test_clearing_takes_what_a_shot_of_another_name_left(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Shot.create(plate, out, name="old", settings=Settings()).save()
    (out / "old.1001.exr").touch()
    Shot.create(plate, out, name="new", settings=Settings()).clear()
    assert tree(out) == []


def test_clearing_leaves_a_folder_alone_where_no_run_was(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "renders"
    out.mkdir()
    (out / "shot.1001.exr").touch()
    Shot.create(plate, out, settings=Settings()).clear()
    assert tree(out) == ["shot.1001.exr"]


def test_chosen_frames(plate: str, tmp_path: Path) -> None:
    shot = Shot.create(plate, tmp_path / "out", settings=Settings())
    assert shot.chosen_frames(None) == (1001, 1002, 1003)
    assert shot.chosen_frames("1001-1003x2") == (1001, 1003)
    with pytest.raises(UsageError, match="1004-1005") as caught:
        shot.chosen_frames("1003-1005")
    assert caught.value.code == "usage.frames" and "1001-1003" in str(caught.value)


def test_negative_frames(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "plate", frames=range(-2, 3))
    shot = Shot.create(plate, tmp_path / "out", frames="-2-1", settings=Settings())
    shot.save()
    assert Shot.load(tmp_path / "out").frames == (-2, -1, 0, 1)
    assert shot.chosen_frames("-2--1") == (-2, -1)
    assert shot.layer_file(-2).name == "shot.-0002.exr"


def test_a_plate_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlateError) as caught:
        Shot.create(str(tmp_path / "no.####.exr"), tmp_path / "out", settings=Settings())
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("frame", "text"), [(1001, "1001"), (7, "0007"), (0, "0000"), (-5, "-0005"), (-12345, "-12345"), (100000, "100000")]
)
def test_frame_text(frame: int, text: str) -> None:
    assert frame_text(frame) == text


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("/a/shot.1001-1100#.exr", "shot"),
        ("/a/shot.1001-1100x2#.exr", "shot"),
        ("/a/shot.-5-5#.exr", "shot"),
        ("/a/shot.####.exr", "shot"),
        ("/a/shot.#.exr", "shot"),
        ("/a/shot.@@@.exr", "shot"),
        ("/a/shot.%04d.exr", "shot"),
        ("/a/shot_%d.exr", "shot"),
        ("/a/sc010_sh020_v003.####.exr", "sc010_sh020_v003"),
        ("/a/my shot [final].#.exr", "my shot [final]"),
        ("/a/b.c.d.#.exr", "b.c.d"),
        ("/plates/####.exr", "plates"),
        ("/plates/#.exr", "plates"),
        ("/a/still.exr", "still"),
        ("/a/still.DPX", "still"),
        ("/#.exr", "shot"),
    ],
)
def test_the_name_comes_from_the_pattern(pattern: str, name: str) -> None:
    assert default_name(pattern) == name
