"""One set of frames, told to each engine in its own words; what each engine's own library reads in them."""

from __future__ import annotations

import pytest
from fileseq import FrameSet
from hypothesis import given, settings
from hypothesis import strategies as st

from vdp_engine.errors import UsageError
from vdp_engine.farm import ranges
from vdp_engine.plate import format_frames, parse_frames

ENGINES: tuple[ranges.Engine, ...] = ("openjd", "slurm", "opencue", "deadline", "tractor")

# vdp, Open Job Description, OpenCue, Deadline, Tractor
SAME = [
    ("1001", "1001", "1001", "1001", "1001"),
    ("1001,1002", "1001,1002", "1001,1002", "1001,1002", "1001,1002"),
    ("1001-1004", "1001-1004", "1001-1004", "1001-1004", "1001,1002,1003,1004"),
    ("1-10x3", "1-10:3", "1-10x3", "1-10x3", "1,4,7,10"),
    ("1-9x3", "1-7:3", "1-7x3", "1-7x3", "1,4,7"),
    ("1,5,9-12", "1-9:4,10-12", "1-9x4,10-12", "1-9x4,10-12", "1,5,9,10,11,12"),
    ("1001-1004,1008,1010-1012", "1001-1004,1008,1010-1012", "1001-1004,1008,1010-1012", "1001-1004,1008,1010-1012",
     "1001,1002,1003,1004,1008,1010,1011,1012"),
    ("1001-1003,1007-1011x2,1020", "1001-1003,1007-1011:2,1020", "1001-1003,1007-1011x2,1020",
     "1001-1003,1007-1011x2,1020", "1001,1002,1003,1007,1009,1011,1020"),
    ("-3-3", "-3-3", "-3-3", "-3,-2,-1,0,1,2,3", "-3,-2,-1,0,1,2,3"),
    ("-10--4x3", "-10--4:3", "-10--4x3", "-10,-7,-4", "-10,-7,-4"),
    ("-1", "-1", "-1", "-1", "-1"),
    ("0-2", "0-2", "0-2", "0-2", "0,1,2"),
    ("1-3,3,2-4", "1-4", "1-4", "1-4", "1,2,3,4"),
    ("5-1", "1-5", "1-5", "1-5", "1,2,3,4,5"),
    # vdp reads these as fileseq does: all ten in another order, and what a step leaves out
    ("1-10:3", "1-10", "1-10", "1-10", "1,2,3,4,5,6,7,8,9,10"),
    ("1-10y3", "2,3,5,6,8,9", "2,3,5,6,8,9", "2,3,5,6,8,9", "2,3,5,6,8,9"),
]  # fmt: skip


@pytest.mark.parametrize(("vdp", "openjd", "opencue", "deadline", "tractor"), SAME)
def test_the_same_frames_in_every_dialect(vdp: str, openjd: str, opencue: str, deadline: str, tractor: str) -> None:
    frames = parse_frames(vdp)
    assert ranges.write(frames, "openjd") == openjd
    assert ranges.write(frames, "opencue") == opencue
    assert ranges.write(frames, "deadline") == deadline
    assert ranges.write(frames, "tractor") == tractor


# what a text means: vdp, Open Job Description, Slurm, OpenCue, Deadline; None: refused
MEANS = [
    ("1-10x3", [1, 4, 7, 10], None, None, [1, 4, 7, 10], [1, 4, 7, 10]),
    ("1-10:3", list(range(1, 11)), [1, 4, 7, 10], [1, 4, 7, 10], list(range(1, 11)), None),
    ("1-10y3", [2, 3, 5, 6, 8, 9], None, None, [2, 3, 5, 6, 8, 9], None),
    ("10-1", list(range(1, 11)), None, None, list(range(1, 11)), list(range(1, 11))),
    ("10-1:-3", list(range(1, 11)), [1, 4, 7, 10], None, list(range(1, 11)), None),
    ("10-1x-3", [1, 4, 7, 10], None, None, [1, 4, 7, 10], [1, 4, 7, 10]),
    ("-3--1", [-3, -2, -1], [-3, -2, -1], None, [-3, -2, -1], [-3, -2, -1]),
    ("1-10step3", None, None, None, None, [1, 4, 7, 10]),
    ("0-9%4", None, None, list(range(10)), None, None),
    ("1-4x0", None, None, None, None, None),
    ("1-", None, None, None, None, None),
    ("1,,3", [1, 3], None, None, None, None),
    ("1.5", None, None, None, None, None),
    ("", None, None, None, None, None),
]


@pytest.mark.parametrize(("text", "vdp", "openjd", "slurm", "opencue", "deadline"), MEANS)
def test_one_text_means_different_frames(
    text: str, vdp: list[int] | None, openjd: list[int] | None, slurm: list[int] | None, opencue: list[int] | None,
    deadline: list[int] | None,
) -> None:  # fmt: skip
    if vdp is None:
        with pytest.raises(UsageError):
            parse_frames(text)
    else:
        assert sorted(parse_frames(text)) == vdp
    told: dict[ranges.Engine, list[int] | None] = {
        "openjd": openjd, "slurm": slurm, "opencue": opencue, "deadline": deadline,
    }  # fmt: skip
    for engine, expected in told.items():
        if expected is None:
            with pytest.raises(UsageError) as refused:
                ranges.read(text, engine)
            assert repr(text) in str(refused.value)
        else:
            assert list(ranges.read(text, engine)) == expected, engine


def test_tractor_has_no_ranges() -> None:
    assert ranges.read("1,2,-3", "tractor") == (-3, 1, 2)
    with pytest.raises(UsageError, match="Tractor cannot read the range '1-3'"):
        ranges.read("1-3", "tractor")


@pytest.mark.parametrize(("count", "at_once", "text"), [(1, 0, "0"), (2, 0, "0,1"), (10, 0, "0-9"), (10, 4, "0-9%4")])
def test_slurm_arrays_count_tasks_from_zero(count: int, at_once: int, text: str) -> None:
    assert ranges.slurm_array(count, at_once) == text
    assert ranges.read(text, "slurm") == tuple(range(count))


def test_slurm_has_no_negative_index() -> None:
    with pytest.raises(UsageError, match="no index -2"):
        ranges.write([-2, 3], "slurm")


@pytest.mark.parametrize("engine", ENGINES)
def test_no_frames_are_no_job(engine: ranges.Engine) -> None:
    with pytest.raises(UsageError, match="no frames"):
        ranges.write([], engine)


some_frames = st.sets(st.integers(-60, 60), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(some_frames)
def test_every_engines_own_library_reads_what_was_meant(frames: set[int]) -> None:
    openjd = pytest.importorskip("openjd.model")
    cue = pytest.importorskip("FileSequence")
    wanted = sorted(frames)
    assert sorted(openjd.IntRangeExpr.from_str(ranges.write(frames, "openjd"))) == wanted
    assert sorted(cue.FrameSet(ranges.write(frames, "opencue")).getAll()) == wanted
    # Deadline's and Tractor's have no library here; fileseq reads the part of Deadline's dialect that is used.
    assert sorted(int(frame) for frame in FrameSet(ranges.write(frames, "deadline"))) == wanted
    assert sorted(map(int, ranges.write(frames, "tractor").split(","))) == wanted
    assert sorted(parse_frames(format_frames(wanted))) == wanted


@settings(max_examples=150, deadline=None)
@given(some_frames, st.sampled_from(ENGINES))
def test_what_is_written_reads_back(frames: set[int], engine: ranges.Engine) -> None:
    if engine == "slurm":
        frames = {abs(frame) for frame in frames}
    assert ranges.read(ranges.write(frames, engine), engine) == tuple(sorted(frames))


run_texts = st.builds(
    lambda first, last, mark, step: f"{first}-{last}{mark}{step}" if mark else f"{first}-{last}",
    st.integers(-30, 30), st.integers(-30, 30), st.sampled_from(["", "x", "y", ":"]), st.integers(-4, 4),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(run_texts)
def test_what_opencue_and_openjd_mean_by_a_text(text: str) -> None:
    openjd = pytest.importorskip("openjd.model")
    cue = pytest.importorskip("FileSequence")
    try:
        expected: tuple[int, ...] | None = tuple(sorted(openjd.IntRangeExpr.from_str(text)))
    except Exception:
        expected = None
    assert _read(text, "openjd") == expected
    try:
        expected = tuple(sorted(set(cue.FrameSet(text).getAll())))
    except ValueError:
        expected = None
    ours = _read(text, "opencue")
    # A single frame with a step, and a step that leaves nothing: OpenCue's library and its server differ there.
    if ours is not None and expected:
        assert ours == expected


def _read(text: str, engine: ranges.Engine) -> tuple[int, ...] | None:
    try:
        return ranges.read(text, engine)
    except UsageError:
        return None
