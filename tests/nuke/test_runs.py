"""Runs from start to end, found again, refused, lost; with real processes and a stand-in for the engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nuke_vdp import runs
from nuke_vdp.engine import Request
from nuke_vdp.errors import EngineMissing, HostError
from nuke_vdp.runs import Run, process, record
from nuke_vdp.runs.events import Snapshot
from nuke_vdp.runs.process import Process
from nuke_vdp.runs.record import Place, Record, Stamped
from nuke_vdp.runs.tokens import Token

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the engine's stand-in is a POSIX script")

ROOT = Path(__file__).resolve().parents[2]

# What it does is the stem of its plate.
ENGINE = r"""
import json, os, signal, sys, time

def say(**event):
    print(json.dumps(event), flush=True)

def stop(number, frame):
    say(event="note", message="stopped by SIGTERM: finished work is kept, the same command goes on from here")
    os._exit(143)

plate, out = sys.argv[2], sys.argv[4]
mode = os.path.basename(plate).split(".")[0]
if mode == "setup":
    print("vdp: setting up in /somewhere, once: a few minutes", file=sys.stderr, flush=True)
    while not os.path.exists(os.path.join(out, "go")):
        time.sleep(0.01)
if mode == "crash":
    print("half a li", end="", flush=True)
    sys.exit("Traceback: no module named torch")
signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else stop)
with open(os.path.join(out, "started"), "a") as file:
    file.write(f"{os.getpid()} {os.environ.get('PYTHONPATH')}\n")
say(event="progress", stage="prep", fraction=0.5, overall=0.175, message="at work")
if mode == "error":
    say(event="error", code="plate.missing_frame", message="frame 1006: not there", frame=1006)
    sys.exit(2)
if mode == "killed":
    os.kill(os.getpid(), 9)
while mode in ("work", "deaf") and not os.path.exists(os.path.join(out, "finish")):
    time.sleep(0.01)
say(event="frame", frame=1001, path=os.path.join(out, "n.1001.exr"))
say(event="result", shot=os.path.join(out, ".vdp/shot.json"))
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of its own: an engine, a temporary folder, a quick queue; and nothing left running."""
    script = tmp_path / "engine" / "vdp"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable} -IS\n{ENGINE}")
    script.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("VDP_ENGINE", str(script))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(runs.queue(), "interval", 0.02)
    monkeypatch.setattr(runs.queue(), "grace", 10.0)
    yield
    for file in tmp_path.rglob("run.json"):
        known = Stamped(file, Record).read()
        if known is not None and known.state == "running":
            process.kill(known.process)
    until(lambda: runs.queue()._thread is None)


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def asked(folder: Path, mode: str) -> Request:
    return Request(plate=f"/p/{mode}.####.exr", out=folder.as_posix(), name=folder.name, frames="", device="cpu")


def at_work(run: Run) -> None:
    until(lambda: run.snapshot().message == "at work")


def finish(folder: Path) -> None:
    (folder / "finish").write_text("")


def starts(folder: Path) -> int:
    file = folder / "started"
    return len(file.read_text().splitlines()) if file.exists() else 0


ELSEWHERE = """
import sys
from pathlib import Path
from nuke_vdp import runs
from nuke_vdp.engine import Request
runs.queue().interval = 0.02
def asked(out, mode):
    return Request(plate=f"/p/{mode}.####.exr", out=out, name=Path(out).name, frames="", device="cpu")
"""


def other_nuke(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-S", "-c", ELSEWHERE + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def found_in(folder: Path) -> Run:
    run = runs.find(str(folder))
    assert run is not None
    return run


# One run


def test_a_run_from_start_to_end(tmp_path: Path) -> None:
    out = tmp_path / "a shot ü"
    heard: list[tuple[Run, Snapshot]] = []
    run = runs.start(asked(out, "work"), lambda who, snapshot: heard.append((who, snapshot)))
    at_work(run)
    assert run.snapshot().state == "running" and run.snapshot().fraction == 0.175
    assert run.out == out.as_posix() and run.request == asked(out, "work") and abs(run.started - time.time()) < 5
    assert run.wait(0.1).state == "running"
    finish(out)
    done = run.wait(5)
    assert (done.state, done.fraction, done.frames) == ("done", 1.0, (1001,))
    assert done.result == {"shot": f"{out}/.vdp/shot.json"}
    until(lambda: bool(heard) and heard[-1][1].state == "done")
    assert {who for who, _ in heard} == {run}
    assert len({json.dumps(s.__dict__, default=str) for _, s in heard}) == len(heard)  # told only of changes
    assert "None" in (out / "started").read_text()  # no PYTHONPATH of the host


def test_an_error_of_the_engine(tmp_path: Path) -> None:
    failed = runs.start(asked(tmp_path / "o", "error")).wait(5)
    assert (failed.state, failed.error_code, failed.error_frame) == ("failed", "plate.missing_frame", 1006)
    assert failed.error == "frame 1006: not there"
    assert failed.log[-1] == "Error: frame 1006: not there [plate.missing_frame]"


def test_an_engine_that_crashes_leaves_its_last_words(tmp_path: Path) -> None:
    lost = runs.start(asked(tmp_path / "o", "crash")).wait(5)
    assert lost.state == "lost" and "exit code 1" in lost.message
    assert "no module named torch" in lost.error and "half a li" in lost.log
    killed = runs.start(asked(tmp_path / "k", "killed")).wait(5)
    assert killed.state == "lost" and "signal 9" in killed.message


def test_the_set_up_of_the_engine_is_no_error(tmp_path: Path) -> None:
    out = tmp_path / "o"
    run = runs.start(asked(out, "setup"))
    until(lambda: run.snapshot().message == "setting up the engine")
    assert run.snapshot().stage == "setup" and run.snapshot().log[0].startswith("vdp: setting up")
    (out / "go").write_text("")
    assert run.wait(5).state == "done"


def test_a_set_up_can_be_cancelled(tmp_path: Path) -> None:
    run = runs.start(asked(tmp_path / "o", "setup"))
    until(lambda: run.snapshot().stage == "setup")
    run.cancel()
    assert run.wait(3).state == "stopped"


def test_cancel_and_start_again(tmp_path: Path) -> None:
    out = tmp_path / "o"
    run = runs.start(asked(out, "work"))
    at_work(run)
    run.cancel()
    run.cancel()
    stopped = run.wait(3)
    assert stopped.state == "stopped" and "finished work is kept" in stopped.message
    assert sum("finished work is kept" in line for line in stopped.log) == 1
    finish(out)
    again = runs.start(asked(out, "work"))
    assert again.wait(5).state == "done" and starts(out) == 2
    assert run.snapshot().state == "done"  # the same folder, the same run
    again.cancel()
    assert again.snapshot().state == "done"


def test_an_engine_that_does_not_obey_is_ended_after_the_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.queue(), "grace", 0.8)
    run = runs.start(asked(tmp_path / "o", "deaf"))
    at_work(run)
    began = time.monotonic()
    run.cancel()
    assert time.monotonic() - began < 0.7 and run.snapshot().message == "stopping"
    assert run.wait(5).state == "stopped"
    assert time.monotonic() - began >= 0.8


def test_no_zombies(tmp_path: Path) -> None:
    run = runs.start(asked(tmp_path / "o", "quick"))
    run.wait(5)
    until(lambda: runs.queue()._thread is None)
    pid = int((tmp_path / "o" / "started").read_text().split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# Refusals


def test_a_folder_takes_one_run_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "o"
    at_work(runs.start(asked(out, "work")))
    with pytest.raises(HostError, match=r"already working on .*/o \(at work\)\. Wait for it, cancel it"):
        runs.start(asked(out, "work"))
    assert starts(out) == 1


def test_two_threads_at_once_start_one_child(tmp_path: Path) -> None:
    out = tmp_path / "o"
    problems: list[HostError] = []

    def press() -> None:
        try:
            runs.start(asked(out, "work"))
        except HostError as error:
            problems.append(error)

    threads = [threading.Thread(target=press) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    at_work(found_in(out))
    assert len(problems) == 5 and starts(out) == 1


def test_a_run_that_is_being_started_elsewhere_counts(tmp_path: Path) -> None:
    out = tmp_path / "o"
    starting = Token(Place(out).starting)
    starting.take(process.this_process())
    with pytest.raises(HostError, match="it is being started just now"):
        runs.start(asked(out, "quick"))
    starting.hand_over(Process(2**22 + 1, "gone"), "")
    assert runs.start(asked(out, "quick")).wait(5).state == "done"


def test_two_processes_at_once_start_one_child(tmp_path: Path) -> None:
    out = tmp_path / "o"
    code = """
while not Path(sys.argv[2]).exists(): pass
try:
    runs.start(asked(sys.argv[1], "work")), print("won")
except Exception as error:
    print(type(error).__name__, error)
"""
    others = [other_nuke(code, out, tmp_path / "gate") for _ in range(3)]
    time.sleep(0.3)
    (tmp_path / "gate").write_text("")
    told = sorted(other.communicate(timeout=10)[0].split()[0] for other in others)
    assert told == ["HostError", "HostError", "won"]
    until(lambda: starts(out) == 1)
    found_in(out).cancel()
    assert found_in(out).wait(5).state == "stopped"


def test_what_cannot_be_started_is_told_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "o"
    before = runs.start(asked(out, "error")).wait(5)
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/python\n")
    broken.chmod(0o755)
    monkeypatch.setenv("VDP_ENGINE", str(broken))
    events = Place(out).events.read_bytes()
    with pytest.raises(HostError, match="The engine could not be started"):
        runs.start(asked(out, "error"))
    assert Place(out).events.read_bytes() == events and before.state == "failed"
    found = found_in(out).snapshot()
    assert found.state == "failed" and "could not be started" in found.error
    monkeypatch.setenv("VDP_ENGINE", str(tmp_path / "nowhere"))
    with pytest.raises(EngineMissing):
        runs.start(asked(tmp_path / "new", "quick"))
    assert not (tmp_path / "new").exists()
    assert not [path.name for path in Place(out).folder.iterdir() if path.suffix == ".before"]


def test_odd_output_folders_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="must be a full path"):
        runs.start(Request(plate="/p/x.####.exr", out="", name="", frames=""))
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot be written"):
        runs.start(asked(tmp_path / "file" / "o", "quick"))


# Found again


def test_a_run_outlives_its_nuke_and_is_found_watched_and_cancelled(tmp_path: Path) -> None:
    out = tmp_path / "o"
    code = "run = runs.start(asked(sys.argv[1], 'work')); print(run.snapshot().state)"
    assert other_nuke(code, out).communicate(timeout=10)[0] == "running\n"
    found = found_in(out)
    at_work(found)
    heard: list[Snapshot] = []
    runs.queue().watch(found, lambda run, snapshot: heard.append(snapshot))
    until(lambda: bool(heard))
    with pytest.raises(HostError, match="already working"):
        runs.start(asked(out, "work"))
    code = "run = runs.find(sys.argv[1]); run.cancel(); print(run.wait(5).state)"
    assert other_nuke(code, out).communicate(timeout=10)[0] == "stopped\n"
    assert found.wait(5).state == "stopped"
    until(lambda: heard[-1].state == "stopped")


def test_a_nuke_that_ends_does_not_wait_for_its_runs(tmp_path: Path) -> None:
    began = time.monotonic()
    other_nuke("runs.start(asked(sys.argv[1], 'work'), print)", tmp_path / "o").communicate(timeout=10)
    assert time.monotonic() - began < 3
    at_work(found_in(tmp_path / "o"))


def test_a_process_id_given_out_again_is_not_the_run(tmp_path: Path) -> None:
    out = tmp_path / "o"
    sleeper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        time.sleep(0.05)  # the system counts in hundredths of a second
        run = runs.start(asked(out, "killed"))
        assert run.wait(5).state == "lost"
        values = json.loads(Place(out).record.read_text())
        Place(out).record.write_text(json.dumps({**values, "pid": sleeper.pid}))
        found = found_in(out)
        found.cancel()
        snapshot = found.snapshot()
        assert snapshot.state == "lost" and "process gone" in snapshot.message
        assert "press Decompose to go on" in snapshot.message
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"token": "t", "state": "running"}', "\x00\xff"])
def test_a_damaged_record_counts_as_none_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    out = tmp_path / "o"
    Place(out).folder.mkdir(parents=True)
    assert runs.find(str(out)) is None and not caplog.records
    Place(out).record.write_text(text, "latin-1")
    assert runs.find(str(out)) is None
    assert "run.json is damaged" in caplog.text
    assert runs.start(asked(out, "quick")).wait(5).state == "done"


def test_a_run_on_another_machine_is_alive_while_it_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "o"
    run = runs.start(asked(out, "work"))
    at_work(run)
    values = json.loads(Place(out).record.read_text())
    Place(out).record.write_text(json.dumps({**values, "host": "other", "token": "t2", "pid": 1}))
    found = found_in(out)
    assert found.snapshot().state == "running"
    for file in (Place(out).record, Place(out).events, Place(out).stderr):
        os.utime(file, (0, time.time() - 200))
    silent = Run(Place(out), found._record).snapshot()
    assert silent.state == "lost" and "no word from other" in silent.message
    with Place(out).events.open("a") as events:
        events.write('{"event": "progress", "stage": "fit", "fraction": 0.1, "message": "again"}\n')
    assert found.snapshot().message == "again"
    found.cancel()
    assert found.snapshot().message == "stopping, once the Nuke on other sees it"
    with Place(out).events.open("a") as events:
        events.write('{"event": "result", "shot": "s"}\n')
    assert found.snapshot().state == "done"
    process.kill(Process(values["pid"], values["identity"]))


def test_a_stop_asked_for_elsewhere_is_carried_out_by_the_nuke_of_the_run(tmp_path: Path) -> None:
    out = tmp_path / "o"
    run = runs.start(asked(out, "work"))
    at_work(run)
    token = json.loads(Place(out).record.read_text())["token"]
    record.write(Place(out).stop, record.Stop(token, 0.0))
    assert run.wait(5).state == "stopped"
