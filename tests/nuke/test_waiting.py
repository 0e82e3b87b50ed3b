"""Runs that share a device: one after the other, within a session and across sessions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from nuke_vdp import runs
from nuke_vdp.engine import Request
from nuke_vdp.errors import HostError
from nuke_vdp.runs import Run, process, tokens
from nuke_vdp.runs.events import Snapshot
from nuke_vdp.runs.process import Process
from nuke_vdp.runs.record import Place, Record, Stamped
from nuke_vdp.runs.tokens import Token, device_token
from nuke_vdp.runs.waiting import Queue

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the engine's stand-in is a POSIX script")

ROOT = Path(__file__).resolve().parents[2]
GONE = Process(2**22 + 1, "gone")

# Works until OUT/finish is there.
ENGINE = """#!/bin/sh
trap 'exit 143' TERM
echo $$ >>"$4/started"
while [ ! -e "$4/finish" ]; do sleep 0.02; done
echo '{"event": "result", "shot": "s"}'
"""
OTHER_NUKE = """
import sys, time
from nuke_vdp import runs
from nuke_vdp.engine import Request
runs.queue().interval = 0.02
run = runs.start(Request(plate="/p/x.####.exr", out=sys.argv[1], name="theirs", frames="", device="cuda"))
print(run.snapshot().state, flush=True)
if sys.argv[2] == "stay":
    print(run.wait(20).state, flush=True)
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of its own: an engine, a temporary folder, a quick queue; and nothing left running."""
    script = tmp_path / "vdp"
    script.write_text(ENGINE)
    script.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("VDP_ENGINE", str(script))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(runs.queue(), "interval", 0.02)
    yield
    for file in list(tmp_path.rglob("run.json")):
        (file.parent.parent.parent / "finish").write_text("")
    until(lambda: runs.queue()._thread is None)


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def start(folder: Path, device: str = "auto") -> runs.Run:
    return runs.start(
        Request(plate="/p/x.####.exr", out=folder.as_posix(), name=folder.name, frames="", device=device)
    )  # fmt: skip


def works(folder: Path) -> bool:
    return (folder / "started").exists()


def finish(folder: Path) -> None:
    (folder / "finish").write_text("")


def other_nuke(out: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-S", "-c", OTHER_NUKE, str(out), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


# Tokens


def test_a_token_has_one_holder_until_that_is_gone(tmp_path: Path) -> None:
    token = Token(tmp_path / "new" / "token")
    me = process.this_process()
    assert token.about() == ""
    assert token.take(me, "my work") and token.about() == "my work"
    assert not token.take(me, "more")
    token.hand_over(GONE, "its work")
    assert token.about() == ""
    assert token.take(me, "again") and token.about() == "again"
    token.give_back()
    assert not token.path.exists() and [file.name for file in token.path.parent.iterdir()] == []


@pytest.mark.parametrize(
    ("content", "age", "held"),
    [("", 0, True), ("", 10, False), ("{", 10, False), ("[1]", 10, False), ("{}", 10, True), ("{}", 100, False),
     ('{"host": "elsewhere"}', 10, True), ('{"host": "elsewhere"}', 100, False)],
)  # fmt: skip
def test_tokens_whose_holder_cannot_be_seen_go_by_age(tmp_path: Path, content: str, age: int, held: bool) -> None:
    token = Token(tmp_path / "token")
    token.path.write_text(content)
    os.utime(token.path, (0, time.time() - age))
    assert token.take(process.this_process()) is not held


def test_a_token_taken_between_look_and_removal_is_given_back(tmp_path: Path) -> None:
    token = Token(tmp_path / "token")
    token.take(process.this_process(), "quick")
    assert not token._clear()
    assert token.about() == "quick"


@pytest.mark.parametrize(
    ("device", "other", "same"),
    [("auto", "cuda", True), ("auto", "cuda:0", True), ("cuda:0", "cuda:1", False), ("cpu", "auto", False),
     ("cpu", "cpu", True)],
)  # fmt: skip
def test_which_devices_are_one(device: str, other: str, same: bool) -> None:
    assert (device_token(device).path == device_token(other).path) is same


def test_a_device_of_any_name_has_its_token_in_the_folder_of_the_user() -> None:
    assert device_token("cuda:0/../../x").path.parent == device_token("cpu").path.parent
    assert tokens.device_name("cuda:1") == "GPU 1"


# One session


def test_runs_on_one_device_go_one_after_the_other(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second", "third")]
    first, second, third = (
        start(folder, device) for folder, device in zip(folders, ("auto", "cuda", "cuda:0"), strict=True)
    )
    assert [run.snapshot().state for run in (first, second, third)] == ["running", "queued", "queued"]
    assert second.snapshot().message == f"waits for the GPU: VDP works on first ({folders[0].as_posix()}) there"
    assert third.wait(0.15).state == "queued" and not works(folders[1])
    finish(folders[0])
    until(lambda: works(folders[1]))
    assert first.snapshot().state == "done" and second.snapshot().state == "running"
    assert third.snapshot().state == "queued" and "second" in third.snapshot().message
    finish(folders[1])
    finish(folders[2])
    assert third.wait(5).state == "done"


def test_nobody_overtakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.queue(), "interval", 0.3)
    device = device_token("auto")
    device.take(process.this_process())
    first = start(tmp_path / "first")
    time.sleep(0.1)  # the watcher has looked, and sleeps
    device.give_back()
    second = start(tmp_path / "second")
    assert second.snapshot().state == "queued"
    until(lambda: first.snapshot().state == "running")
    assert second.snapshot().state == "queued"


def test_other_devices_do_not_wait(tmp_path: Path) -> None:
    started = [start(tmp_path / device.replace(":", ""), device) for device in ("auto", "cuda:1", "cpu")]
    assert [run.snapshot().state for run in started] == ["running"] * 3


def test_a_queued_run_can_be_taken_out_and_put_in_again(tmp_path: Path) -> None:
    first, second = start(tmp_path / "first"), start(tmp_path / "second")
    with pytest.raises(HostError, match=r"already working on .*second"):
        start(tmp_path / "second")
    second.cancel()
    assert second.snapshot().state == "stopped" and "before its turn" in second.snapshot().message
    again = start(tmp_path / "second")
    assert again.snapshot().state == "queued" == second.snapshot().state
    again.cancel()
    finish(tmp_path / "first")
    assert first.wait(5).state == "done"
    until(lambda: runs.queue()._thread is None)
    assert not works(tmp_path / "second")


def test_a_queued_run_that_cannot_start_says_so_and_the_next_one_starts(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\n")
    broken.chmod(0o755)
    start(tmp_path / "first")
    engine = os.environ["VDP_ENGINE"]
    os.environ["VDP_ENGINE"] = str(broken)  # the fixture puts it back
    second = start(tmp_path / "second")
    os.environ["VDP_ENGINE"] = engine
    third = start(tmp_path / "third")
    broken.unlink()
    finish(tmp_path / "first")
    failed = second.wait(5)
    assert failed.state == "failed" and "The engine could not be started: No such file" in failed.error
    until(lambda: works(tmp_path / "third"))
    assert third.snapshot().state == "running"


def test_a_listener_that_fails_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def fails(_run: object, _snapshot: object) -> None:
        raise RuntimeError("the node is gone")

    first = start(tmp_path / "first")
    runs.queue().watch(first, fails)
    runs.queue().watch(first, lambda _run, snapshot: heard.append(snapshot.state))
    second = start(tmp_path / "second")
    runs.queue().watch(second, fails)
    finish(tmp_path / "first")
    finish(tmp_path / "second")
    assert second.wait(5).state == "done"
    until(lambda: "done" in heard)
    assert "the node is gone" in caplog.text


def test_a_run_started_while_the_one_before_is_seen_off_is_watched(tmp_path: Path) -> None:
    class Restarted(Run):
        """Ended at the first look; somebody has started it again before the second."""

        states: ClassVar[list[str]] = ["done", "running", "running", "done", "done"]

        def snapshot(self) -> Snapshot:
            return Snapshot(self.states.pop(0))

    run = start(tmp_path / "first")
    queue, heard = Queue(interval=0.01), []
    queue.watch(Restarted(run._place, run._record), lambda _run, snapshot: heard.append(snapshot.state))
    until(lambda: queue._thread is None)
    assert heard == ["done", "running", "done"]


def test_the_watcher_ends_with_its_runs_and_comes_back(tmp_path: Path) -> None:
    for name in ("first", "second"):
        start(tmp_path / name)
        finish(tmp_path / name)
        until(lambda: runs.queue()._thread is None)
        assert runs.find(str(tmp_path / name)).snapshot().state == "done"  # type: ignore[union-attr]


def test_who_waits_for_the_end_may_start_the_next_run_at_once(tmp_path: Path) -> None:
    finish_first = tmp_path / "o"
    finish_first.mkdir()
    finish(finish_first)
    for _ in range(10):
        assert start(finish_first).wait(5).state == "done"
    assert len((finish_first / "started").read_text().splitlines()) == 10


# Several sessions


def test_two_sessions_share_a_device(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    start(mine)
    other = other_nuke(theirs, "stay")
    assert other.stdout is not None and other.stdout.readline() == "queued\n"
    found = runs.find(str(theirs))
    assert found is not None and "VDP works on mine" in found.snapshot().message
    finish(mine)
    until(lambda: works(theirs))
    waiting = start(tmp_path / "next")
    assert waiting.snapshot().state == "queued" and "theirs" in waiting.snapshot().message
    finish(theirs)
    assert other.communicate(timeout=10)[0] == "done\n"
    until(lambda: works(tmp_path / "next"))


def test_a_device_stays_taken_when_its_nuke_is_closed(tmp_path: Path) -> None:
    assert other_nuke(tmp_path / "theirs", "leave").communicate(timeout=10)[0] == "running\n"
    assert start(tmp_path / "mine").snapshot().state == "queued"
    finish(tmp_path / "theirs")
    until(lambda: works(tmp_path / "mine"))


def test_a_queued_run_of_another_session_can_be_cancelled(tmp_path: Path) -> None:
    start(tmp_path / "mine")
    other = other_nuke(tmp_path / "theirs", "stay")
    assert other.stdout is not None and other.stdout.readline() == "queued\n"
    runs.find(str(tmp_path / "theirs")).cancel()  # type: ignore[union-attr]
    assert other.communicate(timeout=10)[0] == "stopped\n"


def test_runs_that_waited_when_nuke_closed_are_stopped(tmp_path: Path) -> None:
    start(tmp_path / "mine")
    assert other_nuke(tmp_path / "theirs", "leave").communicate(timeout=10)[0] == "queued\n"
    found = runs.find(str(tmp_path / "theirs"))
    assert found is not None and found.snapshot().state == "stopped"
    assert found.snapshot().message == "Nuke was closed before its turn came: press Decompose to start it"
    finish(tmp_path / "mine")
    start(tmp_path / "theirs")


def test_a_queued_run_of_another_machine_waits_there_while_its_nuke_is_open(tmp_path: Path) -> None:
    start(tmp_path / "mine")
    start(tmp_path / "theirs")
    place = Place(tmp_path / "theirs")
    values = json.loads(place.record.read_text())
    place.record.write_text(json.dumps({**values, "host": "other", "token": "t2"}))
    found = runs.Run(place, Stamped(place.record, Record).read())
    assert found.snapshot().message == "waits for its turn on other"
    os.utime(place.record, (0, time.time() - 200))
    closed = runs.Run(place, Stamped(place.record, Record).read())
    assert closed.snapshot().state == "stopped"
    found.show_life()
    assert closed.snapshot().state == "queued"
    os.utime(place.record, (0, time.time() - 200))
    closed.cancel()
    found.cancel()
