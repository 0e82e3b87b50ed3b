"""What lies in a folder, and the manifest that is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.fake_stages import write_plate
from vdp_engine.batch import load
from vdp_engine.batch.find import find_shots, write_manifest
from vdp_engine.errors import UsageError


def names(folder: Path) -> list[str]:
    return [one.name for one in find_shots(folder)]


def test_names_are_the_plainest_that_tell_shots_apart(tmp_path: Path) -> None:
    write_plate(tmp_path / "sh010" / "plate", "a")
    write_plate(tmp_path / "sh020" / "plate", "b")
    assert names(tmp_path) == ["a", "b"]
    write_plate(tmp_path / "sh030", "b")
    assert names(tmp_path) == ["plate_a", "plate_b", "sh030_b"]
    write_plate(tmp_path / "sh040" / "plate", "b")
    assert names(tmp_path) == ["sh010_plate_a", "sh020_plate_b", "sh030_b", "sh040_plate_b"]


def test_the_folder_names_the_shot_where_plates_are_called_alike(tmp_path: Path) -> None:
    for shot in ("sh020", "sh010"):
        write_plate(tmp_path / shot, "plate")
    assert names(tmp_path) == ["sh010", "sh020"]


def test_what_is_passed_over(tmp_path: Path) -> None:
    write_plate(tmp_path / "plates", "shot")
    write_plate(tmp_path / "plates", "still", range(1, 2))
    write_plate(tmp_path / "layers", "shot")
    (tmp_path / "layers" / ".vdp").mkdir()
    write_plate(tmp_path / ".trash", "old")
    (tmp_path / "plates" / "readme.txt").touch()
    (tmp_path / "plates" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (one,) = find_shots(tmp_path)
    assert (one.name, one.frames.frames) == ("shot", (1001, 1002, 1003))
    with pytest.raises(UsageError, match="no sequences"):
        find_shots(tmp_path / "layers")
    with pytest.raises(UsageError, match="no folder"):
        find_shots(tmp_path / "none")


def test_init_writes_what_load_reads(tmp_path: Path) -> None:
    write_plate(tmp_path / "plates" / "sh 010", "Größe: [1] {x}")
    write_plate(tmp_path / "plates" / "sh020", "bg-", range(-1, 2))
    write_plate(tmp_path / "plates" / "sh020", "fg")
    path = tmp_path / "job" / "batch.yaml"
    path.parent.mkdir()
    assert write_manifest(tmp_path / "plates", path) == 3
    found, shots = find_shots(tmp_path / "plates"), load(path).shots
    assert [(one.plate, one.count) for one in shots] == [(one.plate, len(one.frames.frames)) for one in found]
    assert [one.name for one in shots] == ["Größe_ [1] {x}", "bg", "fg"]
    assert all(one.out == path.parent / "layers" / one.name for one in shots)
    text = path.read_text(encoding="utf-8")
    assert "# 3 frames: 1001-1003\n" in text and '- plate: "../plates/sh020/fg.#.exr"' in text


def test_init_never_writes_over_a_file(tmp_path: Path) -> None:
    write_plate(tmp_path / "plates")
    path = tmp_path / "batch.yaml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write_manifest(tmp_path / "plates", path)
    assert path.read_text() == "mine"
