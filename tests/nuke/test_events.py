"""From lines of a growing file to what became of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nuke_vdp.engine import Request
from nuke_vdp.runs import outcome
from nuke_vdp.runs.events import LOG_LINES, Lines, Reader, Story
from nuke_vdp.runs.record import Record, Stop


def heard(*events: object) -> Story:
    story = Story()
    for event in events:
        story.hear(event if isinstance(event, str) else json.dumps(event))
    return story


def progress(
    stage: str, fraction: object, overall: object, message: str = "", eta_s: float | None = None
) -> dict[str, object]:  # fmt: skip
    event = {"event": "progress", "stage": stage, "fraction": fraction, "overall": overall, "message": message}
    return event if eta_s is None else {**event, "eta_s": eta_s}


# Lines of a file that grows


def test_a_line_is_read_once_and_only_when_whole(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "f")
    assert lines.read() == ([], False)
    with (tmp_path / "f").open("wb", buffering=0) as file:
        file.write(b"one\ntw")
        assert lines.read() == (["one"], False)
        assert lines.read() == ([], False)
        file.write(b"o\r\n\xc3")  # the first byte of an ü
        assert lines.read() == (["two"], False)
        file.write(b"\xbc\n")
        assert lines.read() == (["ü"], False)
        file.write(b"last words")
        assert lines.read() == ([], False)
        assert lines.read(last=True) == (["last words"], False)
        assert lines.read(last=True) == ([], False)


def test_a_file_that_was_cut_or_replaced_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\ntwo\nthr")
    lines = Lines(path)
    lines.read()
    path.write_bytes(b"new\n")
    assert lines.read() == (["new"], True)
    other = tmp_path / "g"
    other.write_bytes(b"newer\nand longer\n")
    other.replace(path)
    assert lines.read() == (["newer", "and longer"], True)


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xff\xfe\x00\nfine\n")
    lines, _ = Lines(tmp_path / "f").read()
    assert lines[1] == "fine" and len(lines) == 2


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * (5 << 20))
    lines = Lines(path)
    assert [len(line) for line in lines.read()[0]] == [2000]
    assert len(lines._rest) <= 1 << 20
    with path.open("ab") as file:
        file.write(b"xxx\nfine\n")
    assert lines.read() == (["fine"], False)


# What the engine tells


def test_progress_is_of_the_whole_run() -> None:
    story = heard(progress("fit", 0.42, 0.455, "step 210 of 500"))
    assert (story.stage, story.fraction, story.message) == ("fit", 0.455, "step 210 of 500")
    assert story.log == ("fit 42%: step 210 of 500",)


def test_without_an_overall_fraction_that_of_the_stage_counts() -> None:
    story = heard({"event": "progress", "stage": "fit", "fraction": 0.42, "message": "m", "eta_s": 31.0})
    assert (story.fraction, story.eta_s) == (0.42, 31.0)


def test_the_time_left_counts_the_stages_to_come() -> None:
    # prep takes 0.35 of the run; it is half done with 70 s to go, so the whole run takes 400 s, of which 70 are over.
    story = heard(progress("prep", 0.0, 0.0), progress("prep", 0.5, 0.175, eta_s=70.0))
    assert story.eta_s == pytest.approx(330.0)
    # Between stages the pace of the last one holds.
    for between in (progress("prep", 1.0, 0.35, eta_s=0.0), progress("fit", 0.0, 0.35)):
        story.hear(json.dumps(between))
        assert story.eta_s == pytest.approx(400.0 * 0.65)
    # The last stage has none after it.
    story = heard(progress("check", 0.0, 0.97), progress("check", 0.5, 0.985, eta_s=2.0))
    assert story.eta_s == pytest.approx(2.0)


@pytest.mark.parametrize("eta", [None, "soon", float("nan"), float("inf"), True])
def test_a_time_left_that_is_none_is_none(eta: object) -> None:
    assert heard({**progress("fit", 0.5, 0.5), "eta_s": eta}).eta_s is None


@pytest.mark.parametrize(("fraction", "expected"), [(2, 1.0), (-1, 0.0), ("x", 0.0), (float("nan"), 0.0), (None, 0.0)])
def test_odd_fractions_are_brought_into_range(fraction: object, expected: float) -> None:
    assert heard(progress("fit", 0.5, fraction)).fraction == expected


def test_progress_takes_one_line_of_the_log_a_stage() -> None:
    story = heard(
        progress("prep", 0.1, 0.1, "a"), progress("prep", 0.2, 0.1, "b"), {"event": "note", "message": "n"},
        progress("prep", 0.3, 0.1, "c"), progress("fit", 0, 0.35, "d"),
    )  # fmt: skip
    assert story.log == ("prep 20%: b", "n", "prep 30%: c", "fit 0%: d")


def test_frames_warnings_results_and_errors_as_the_engine_words_them() -> None:
    story = heard(
        {"event": "frame", "frame": -3, "path": "/o/n.-3.exr"}, {"event": "frame", "frame": -3, "path": "/o/n.-3.exr"},
        {"event": "warning", "code": "motion.too_little", "message": "hardly moves"},
        {"event": "warning", "code": "plate.nan", "message": "3 pixels are NaN", "frame": 1006},
        {"event": "warning", "code": "motion.too_little", "message": "hardly moves"},
        {"event": "result", "shot": "/o/.vdp/shot.json", "report": "/o/n.report.json"},
        {"event": "error", "code": "plate.missing", "message": "frame 1006: not there", "frame": 1006},
    )  # fmt: skip
    assert story.frames == {-3}
    assert list(story.warnings) == [
        ("motion.too_little", "hardly moves"), ("plate.nan", "frame 1006: 3 pixels are NaN"),
    ]  # fmt: skip
    assert story.result == {"shot": "/o/.vdp/shot.json", "report": "/o/n.report.json"}
    assert story.log[2:4] == (
        "Warning: hardly moves [motion.too_little]", "Warning: frame 1006: 3 pixels are NaN [plate.nan]",
    )  # fmt: skip
    assert story.log[-1] == "Error: frame 1006: not there [plate.missing]"


@pytest.mark.parametrize(
    "line",
    ["plain words", "[1]", "{", '{"event": 1}', '{"event": "progress"}', '{"event": "frame", "frame": "x"}',
     '{"event": "warning"}', '{"event": "error"}', '{"event": "later"}', "[" * 100_000, '{"a": NaN}', "", "\x00"],
)  # fmt: skip
def test_garbage_is_survived(line: str) -> None:
    story = heard(line, progress("fit", 0.5, 0.5, "on"))
    assert story.message == "on"


def test_the_log_is_bounded_and_readable() -> None:
    story = heard(*(f"line {index}" for index in range(1000)))
    assert len(story.log) == LOG_LINES and story.log[-1] == "line 999"
    story.hear_aside("\x1b[32m 10%\r 50%\r\x1b[0m 90% of torch  ")
    assert story.log[-1] == " 90% of torch"


def test_a_new_run_in_the_files_is_a_new_story(tmp_path: Path) -> None:
    events, stderr = tmp_path / "e", tmp_path / "s"
    events.write_text(json.dumps({"event": "error", "code": "c", "message": "a long message of the run before"}) + "\n")
    reader = Reader(events, stderr)
    assert reader.update().error is not None
    events.write_text('{"event": "note"}\n')
    assert reader.update().error is None


# What became of it

RECORD = Record("t", "running", Request("/p", "/o", "n", ""), "d", ("vdp",), "wks7", 1, "i", "auto", 0.0)
RESULT = {"event": "result", "report": "/r"}
ERROR = {"event": "error", "code": "plate.gap", "message": "frame 3: gone", "frame": 3}
KEPT = {"event": "note", "message": "stopped by SIGTERM: finished work is kept, the same command goes on from here"}
ASKED = Stop("t", 1.0)


@pytest.mark.parametrize(
    ("events", "stop", "exit_code", "state"),
    [
        ([RESULT], None, 0, "done"), ([RESULT], ASKED, None, "done"), ([ERROR], None, 2, "failed"),
        ([ERROR], ASKED, None, "failed"), ([KEPT], None, None, "stopped"), ([], ASKED, None, "stopped"),
        ([], None, 143, "stopped"), ([], None, -15, "stopped"), ([], None, None, "lost"), ([], None, 1, "lost"),
        ([progress("fit", 0.5, 0.5)], None, -9, "lost"), ([], None, 0, "lost"),
    ],
)  # fmt: skip
def test_the_end_of_a_run(events: list[object], stop: Stop | None, exit_code: int | None, state: str) -> None:
    assert outcome.ended(heard(*events), stop, exit_code=exit_code).state == state


def test_an_error_carries_words_code_and_frame() -> None:
    snapshot = outcome.ended(heard(progress("fit", 0.2, 0.4), ERROR), None, exit_code=2)
    assert (snapshot.error, snapshot.error_code, snapshot.error_frame) == ("frame 3: gone", "plate.gap", 3)
    assert snapshot.message == "frame 3: gone" and snapshot.fraction == 0.4 and snapshot.ended


def test_a_lost_run_shows_its_last_words_and_what_to_do() -> None:
    story = heard()
    story.hear_aside("vdp: pip could not get the packages:")
    story.hear_aside("vdp: The network is in the way.")
    snapshot = outcome.ended(story, None, exit_code=75)
    assert snapshot.message == "the engine did not start, exit code 75: press Decompose to go on from there"
    assert snapshot.error.splitlines()[1:] == [
        "vdp: pip could not get the packages:", "vdp: The network is in the way.",
    ]  # fmt: skip
    killed = outcome.ended(heard(progress("fit", 0.5, 0.5)), None, exit_code=-9)
    assert "ended by signal 9: memory may have run out" in killed.message
    silent = outcome.ended(heard(), None, exit_code=None, silent_host="wks7")
    assert silent.message.startswith("no word from wks7")


def test_a_run_that_goes_on_says_what_it_does() -> None:
    assert outcome.running(RECORD, heard(), None).message == "starting the engine"
    setup = outcome.running(RECORD, heard("vdp: step 1 of 2"), None)
    assert (setup.state, setup.stage, setup.message) == ("running", "setup", "setting up the engine")
    at_work = heard("vdp: set up", progress("fit", 0.5, 0.5, "step 1", eta_s=4.0))
    assert outcome.running(RECORD, at_work, None).message == "step 1"
    assert outcome.running(RECORD, at_work, ASKED).message == "stopping"
    assert outcome.running(RECORD, at_work, ASKED).eta_s is None
    assert outcome.running(RECORD, at_work, Stop("t", 0.0)).message == "stopping, once the Nuke on wks7 sees it"
