from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdp_engine.errors import PlateError, UsageError
from vdp_engine.plate import Sequence, format_frames, parse_frames


@pytest.mark.parametrize(
    "text, expected",
    [
        ("1001", (1001,)),
        ("1001-1006x2", (1001, 1003, 1005)),
        ("1,5,9-12", (1, 5, 9, 10, 11, 12)),
        ("-5-5", tuple(range(-5, 6))),
        ("-10--1x3", (-10, -7, -4, -1)),
        ("3-1", (3, 2, 1)),
        ("1-3,2-4", (1, 2, 3, 4)),
    ],
)
def test_frame_ranges(text: str, expected: tuple[int, ...]) -> None:
    assert parse_frames(text) == expected


@pytest.mark.parametrize("text", ["", "abc", "1-", "--5", "1-10x0", "1.5", "1-2x0.5", "1-999999999999"])
def test_nonsense_for_frames_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_frames(text)
    assert caught.value.code == "usage.frames"
    assert "1001-1100" in str(caught.value)


@given(st.lists(st.integers(-3000, 3000), min_size=1, max_size=40, unique=True))
def test_formatted_frames_parse_back(frames: list[int]) -> None:
    assert parse_frames(format_frames(frames)) == tuple(frames)


def test_formatted_frames_are_short() -> None:
    assert format_frames(range(1001, 1101)) == "1001-1100"
    assert format_frames([1, 3, 5, 7, 20]) == "1-7x2,20"


def folder_with(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


SHOT = ("shot.0999.exr", "shot.1000.exr", "shot.1001.exr", "shot.10000.exr")
UNPADDED = ("s.8.exr", "s.9.exr", "s.10.exr", "s.100.exr")
C_STYLE = ("s.-005.exr", "s.0000.exr", "s.0003.exr")
HOUDINI = ("s.-0005.exr", "s.0000.exr", "s.0003.exr")


@pytest.mark.parametrize(
    "names, text, frames, named",
    [
        (SHOT, "shot.####.exr", (999, 1000, 1001, 10000), None),
        (SHOT, "shot.#.exr", (999, 1000, 1001, 10000), None),
        (SHOT, "shot.@@@@.exr", (999, 1000, 1001, 10000), None),
        (SHOT, "shot.%04d.exr", (999, 1000, 1001, 10000), None),
        (SHOT, "shot.$F4.exr", (999, 1000, 1001, 10000), None),
        (SHOT, "shot.1000-1003x3#.exr", (999, 1000, 1001, 10000), (1000, 1003)),
        (SHOT, "shot.1000.exr", (999, 1000, 1001, 10000), None),
        (UNPADDED, "s.@.exr", (8, 9, 10, 100), None),
        (UNPADDED, "s.%d.exr", (8, 9, 10, 100), None),
        (UNPADDED, "s.#.exr", (8, 9, 10, 100), None),
        (UNPADDED, "s.100.exr", (8, 9, 10, 100), None),
        (C_STYLE, "s.#.exr", (-5, 0, 3), None),
        (C_STYLE, "s.-005.exr", (-5, 0, 3), None),
        (C_STYLE, "s.0003.exr", (-5, 0, 3), None),
        (C_STYLE, "s.-5-3#.exr", (-5, 0, 3), tuple(range(-5, 4))),
        (HOUDINI, "s.####.exr", (-5, 0, 3), None),
        (("0001.exr", "0002.exr"), "0001.exr", (1, 2), None),
        (("0001.exr", "0002.exr"), "####.exr", (1, 2), None),
        (("a b [x] é.001.exr", "a b [x] é.002.exr"), "a b [x] é.###.exr", (1, 2), None),
        (("a b [x] é.001.exr", "a b [x] é.002.exr"), "a b [x] é.002.exr", (1, 2), None),
        (("we@home#1.0001.exr", "we@home#1.0002.exr"), "we@home#1.####.exr", (1, 2), None),
        (("shot.0001.left.exr", "shot.0002.left.exr"), "shot.####.left.exr", (1, 2), None),
        (("shot-1001.exr", "shot-1002.exr"), "shot-1001.exr", (1001, 1002), None),
        (("shot-1001.exr", "shot-1002.exr"), "shot-1001-1002#.exr", (1001, 1002), (1001, 1002)),
        (("plate_v01.exr", "plate_v02.exr"), "plate_v02.exr", (1,), None),
        (("still.exr", "other.0001.exr"), "still.exr", (1,), None),
        (("a.1.exr", "a.2.exr", "a.0001.exr"), "a.2.exr", (1, 2), None),
        (("a.1.exr", "a.2.exr", "a.0001.exr"), "a.0001.exr", (1,), None),
        (("a.0001.exr", "a.0002.exr", "a.0001.dpx", "b.0003.exr"), "a.0001.exr", (1, 2), None),
    ],
)
def test_patterns_and_frames_find_their_sequence(
    tmp_path: Path, names: tuple[str, ...], text: str, frames: tuple[int, ...], named: tuple[int, ...] | None
) -> None:
    folder = folder_with(tmp_path / "plates", *names)
    sequence, found = Sequence.find(folder / text)
    assert (sequence.frames, found) == (frames, named)
    for frame in frames:
        assert sequence.path(frame).is_file()
    again, _ = Sequence.find(sequence.pattern)
    assert again == sequence


@pytest.mark.parametrize(
    "names, frame, expected",
    [(SHOT, 7, "shot.0007.exr"), (UNPADDED, 11, "s.11.exr"), (C_STYLE, -4, "s.-004.exr")],
)
def test_a_missing_frame_has_the_name_it_would_have(
    tmp_path: Path, names: tuple[str, ...], frame: int, expected: str
) -> None:
    sequence, _ = Sequence.find(folder_with(tmp_path / "plates", *names))
    assert sequence.path(frame).name == expected


@pytest.mark.parametrize("names", [SHOT, UNPADDED, C_STYLE, HOUDINI, ("still.exr",)])
def test_a_folder_with_one_sequence_is_that_sequence(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = folder_with(tmp_path / "plates", *names, "notes.txt", ".hidden.0001.exr")
    sequence, _ = Sequence.find(folder)
    assert len(sequence.frames) == len(names)


def test_a_folder_with_several_sequences_lists_them(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "plates", "a.0001.exr", "a.0002.exr", "b.7.exr", "c.exr", "a.1.exr")
    with pytest.raises(PlateError) as caught:
        Sequence.find(folder)
    assert caught.value.code == "plate.ambiguous"
    for listed in ("4 sequences", "a.#.exr (1-2)", "a.@.exr (1)", "b.@.exr (7)", "c.exr"):
        assert listed in str(caught.value)


@pytest.mark.parametrize(
    "text, code, told",
    [
        ("shot.####.dpx", "plate.not_found", "shot.0999.exr"),
        ("nowhere/shot.####.exr", "plate.not_found", "does not exist"),
        ("shot.7777.exr", "plate.not_found", "shot.0999.exr"),
        ("shot.mov", "plate.movie", "EXR frames"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path: Path, text: str, code: str, told: str) -> None:
    folder = folder_with(tmp_path / "plates", *SHOT)
    with pytest.raises(PlateError) as caught:
        Sequence.find(folder / text)
    assert caught.value.code == code
    assert told in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlateError, match="no images") as caught:
        Sequence.find(folder_with(tmp_path / "plates", "readme.txt"))
    assert caught.value.code == "plate.not_found"


def test_relative_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_with(tmp_path / "plates", *SHOT)
    monkeypatch.chdir(tmp_path)
    sequence, _ = Sequence.find("plates/shot.####.exr")
    assert sequence.pattern == str(tmp_path / "plates" / "shot.#.exr")
