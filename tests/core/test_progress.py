"""The dialects of the reporter, line by line."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from vdp_engine import progress
from vdp_engine.errors import PlateError
from vdp_engine.progress import Reporter, make_reporter

_ERROR = PlateError("a frame is missing", code="missing_frame", frame=1006, path="/p/shot.1006.exr")


def tell_everything(reporter: Reporter) -> None:
    reporter.progress("fit", 0.42, "step 210 of 500")
    reporter.frame(1001, Path("/o/shot.1001.exr"))
    reporter.warning("motion.too_little", "hardly anything moves", frame=1003)
    reporter.note("a note")
    reporter.error(_ERROR)
    reporter.result(shot=Path("/o/.vdp/shot.json"), report=None)


def test_json_is_one_object_a_line_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    tell_everything(make_reporter("json"))
    out, err = capsys.readouterr()
    assert err == ""
    assert [json.loads(line) for line in out.splitlines()] == [
        {"event": "progress", "stage": "fit", "fraction": 0.42, "overall": 0.42, "message": "step 210 of 500"},
        {"event": "frame", "frame": 1001, "path": "/o/shot.1001.exr"},
        {"event": "warning", "code": "motion.too_little", "message": "hardly anything moves", "frame": 1003},
        {"event": "note", "message": "a note"},
        {
            "event": "error", "code": "plate.missing_frame", "message": str(_ERROR), "frame": 1006,
            "path": "/p/shot.1006.exr",
        },
        {"event": "result", "shot": "/o/.vdp/shot.json"},
    ]  # fmt: skip


@pytest.mark.parametrize("odd", ["β/Größe/日本", os.fsdecode(b"/p/\xff.exr"), "two\nlines\r", "[/red] [1]"])
def test_json_stands_any_text(odd: str, capfd: pytest.CaptureFixture[str]) -> None:
    make_reporter("json").note(odd)
    line = capfd.readouterr().out
    assert line.isascii() and line.count("\n") == 1
    assert json.loads(line)["message"] == odd


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tell_everything(make_reporter("plain"))
    out, err = capsys.readouterr()
    assert out.splitlines() == ["Progress: 42%", "shot: /o/.vdp/shot.json"]
    assert err.splitlines() == [
        "Warning: frame 1003: hardly anything moves [motion.too_little]",
        "a note",
        f"Error: {_ERROR} [plate.missing_frame]",
    ]


def test_openjd_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tell_everything(make_reporter("openjd"))
    out, _ = capsys.readouterr()
    assert out.splitlines() == [
        "openjd_progress: 42",
        "openjd_status: fit: step 210 of 500",
        f"openjd_fail: {_ERROR} [plate.missing_frame]",
        "shot: /o/.vdp/shot.json",
    ]


@pytest.mark.parametrize("dialect", ["plain", "openjd", "json", "terminal"])
def test_no_control_characters_where_there_is_no_terminal(
    dialect: progress.Dialect, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = make_reporter(dialect)
    with reporter.open():
        reporter.progress("fit", 0.1, "a\rb\nc")
        tell_everything(reporter)
    out, err = capsys.readouterr()
    assert not re.search(r"[\r\x1b]", out + err)


def test_auto_is_plain_without_a_terminal() -> None:
    assert type(make_reporter("auto")) is progress.LineReporter


def test_plain_tells_each_percent_once(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = make_reporter("plain")
    for step in range(1000):
        reporter.progress("fit", step / 1000, f"step {step}")
    assert capsys.readouterr().out.splitlines() == [f"Progress: {percent}%" for percent in range(100)]


def test_overall_spans_the_stages_of_a_run_without_going_back() -> None:
    reporter = make_reporter("json", whole_run=True)
    seen = [reporter.overall(stage, f) for stage in ("prep", "fit", "render", "check") for f in (0.0, 0.5, 1.0)]
    assert seen == sorted(seen) and seen[0] == 0.0 and seen[-1] == 1.0
    assert make_reporter("json").overall("render", 0.5) == 0.5


def test_the_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    reporter = make_reporter("json")
    for at, fraction in ((100.0, 0.5), (100.5, 0.6), (110.0, 0.75)):
        now[0] = at
        reporter.progress("fit", fraction, "")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # Resumed at a half: a quarter took ten seconds, so the quarter that is left takes ten more.
    assert [line.get("eta_s") for line in lines] == [None, None, 10.0]


@pytest.mark.parametrize("dialect", ["json", "plain", "openjd"])
@pytest.mark.parametrize("told_before", [True, False])
def test_silence_is_broken(
    dialect: progress.Dialect, told_before: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.1)
    monkeypatch.setattr(progress, "_BEAT_SECONDS", 0.1)
    reporter = make_reporter(dialect)
    with reporter.open():
        if told_before:
            reporter.progress("fit", 0.5, "a long step")
        before = len(capsys.readouterr().out.splitlines())
        time.sleep(0.7)
    assert before == (0 if not told_before else 2 if dialect == "openjd" else 1)
    assert len(capsys.readouterr().out.splitlines()) >= 2


def test_silence_stays_under_a_minute() -> None:
    assert 2 * progress._QUIET_SECONDS + progress._BEAT_SECONDS < 60


def test_the_heartbeat_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_BEAT_SECONDS", 0.05)
    with make_reporter("json").open():
        pass
    time.sleep(0.3)
    assert "vdp-heartbeat" not in {thread.name for thread in threading.enumerate()}


def test_the_log(tmp_path: Path) -> None:
    reporter = make_reporter("json")
    reporter.note("before there is a log")
    reporter.log_to(tmp_path / ".vdp" / "log.txt")
    tell_everything(reporter)
    lines = (tmp_path / ".vdp" / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in lines] == [
        "warning frame 1003 motion.too_little: hardly anything moves",
        "note a note",
        f"error plate.missing_frame: {_ERROR}",
        'result {"shot": "/o/.vdp/shot.json"}',
    ]


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    reporter = make_reporter("json")
    reporter.log_to(tmp_path / "file" / "log.txt")
    reporter.note("goes on")


def terminal_reporter() -> tuple[progress.TerminalReporter, io.StringIO]:
    reporter, screen = progress.TerminalReporter(), io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, highlight=False, color_system="standard")
    reporter._console = reporter._bars.live.console = console
    return reporter, screen


def test_a_terminal_shows_brackets_as_they_are() -> None:
    reporter, screen = terminal_reporter()
    with reporter.open():
        reporter.progress("fit", 0.5, "plate[1].exr [/red]")
        reporter.warning("plate.odd", "plate[1].exr [/red]")
        reporter.note("plate[1].exr [/red]")
        reporter.error(PlateError("plate[1].exr [/red]", code="odd"))
    assert screen.getvalue().count("plate[1].exr [/red]") >= 4


def test_results_go_to_stdout_while_bars_are_up(capsys: pytest.CaptureFixture[str]) -> None:
    reporter, screen = terminal_reporter()
    with reporter.open():
        reporter.progress("check", 1.0, "")
        reporter.result(shot=Path("/o/.vdp/shot.json"))
    assert capsys.readouterr().out == "shot: /o/.vdp/shot.json\n"
    assert "shot.json" not in screen.getvalue()


def test_no_colour_where_nobody_wants_it() -> None:
    if os.name == "nt":
        pytest.skip("needs a pseudo-terminal")
    import pty

    script = (
        "from vdp_engine.progress import make_reporter\n"
        "reporter = make_reporter('auto')\n"
        "assert type(reporter).__name__ == 'TerminalReporter'\n"
        "reporter.warning('a.b', 'careful')\n"
    )

    def shown(**variables: str) -> bytes:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", **variables}
        subprocess.run([sys.executable, "-c", script], stderr=theirs, env=environment, check=True)
        os.close(theirs)
        said = os.read(ours, 4096)
        os.close(ours)
        return said

    assert b"\x1b[33m" in shown()
    assert b"\x1b[3" not in shown(NO_COLOR="1")
