"""Child processes: started detached, known again, stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nuke_vdp.runs import process
from nuke_vdp.runs.process import Process

Start = Callable[[list[str]], Process]
PYTHON = [sys.executable, "-I", "-S", "-c"]
SLEEPS = [*PYTHON, "import time; print('up', flush=True); time.sleep(60)"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def start(command: list[str]) -> Process:
        child = process.start(command, tmp_path / "out", tmp_path / "err", dict(os.environ), tmp_path)
        started.append(child)
        return child

    yield start
    for child in started:
        process.kill(child)


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_output_goes_into_files_and_the_exit_code_is_known(start: Start, tmp_path: Path) -> None:
    child = start([*PYTHON, "import sys, os; print('ü', os.getcwd()); print('oh', file=sys.stderr); sys.exit(3)"])
    until(lambda: process.exit_code(child) is not None)
    assert process.exit_code(child) == 3 and not process.alive(child)
    assert (tmp_path / "out").read_text("utf-8").split() == ["ü", str(tmp_path)]
    assert (tmp_path / "err").read_text() == "oh\n"


@posix
def test_the_child_leads_a_session_of_its_own_and_stops(start: Start, tmp_path: Path) -> None:
    child = start(SLEEPS)
    until(lambda: (tmp_path / "out").read_text() == "up\n")
    assert process.alive(child) and process.exit_code(child) is None
    assert os.getsid(child.pid) == os.getpgid(child.pid) == child.pid != os.getsid(0)
    process.stop(child)
    until(lambda: not process.alive(child))
    assert process.exit_code(child) == -15


@posix
def test_all_that_the_child_started_is_stopped_with_it(start: Start, tmp_path: Path) -> None:
    code = f"import subprocess; subprocess.run({SLEEPS!r})"
    child = start([*PYTHON, code])
    until(lambda: (tmp_path / "out").read_text() == "up\n")
    told = subprocess.run(["ps", "-o", "pid=", "-g", str(child.pid)], capture_output=True, text=True)
    grandchild = next(int(pid) for pid in told.stdout.split() if int(pid) != child.pid)
    known = Process(grandchild, process._look(grandchild)[0])
    assert process.alive(known)
    process.kill(child)
    until(lambda: not process.alive(child) and not process.alive(known))


def test_a_pid_that_was_given_out_again_is_another_process(start: Start) -> None:
    child = start(SLEEPS)
    reused = Process(child.pid, "another moment")
    assert not process.alive(reused)
    process.kill(reused)
    time.sleep(0.05)
    assert process.alive(child)


def test_this_process_is_alive_and_always_the_same() -> None:
    assert process.this_process() == process.this_process()
    assert process.alive(process.this_process())
    assert not process.alive(Process(2**22 + 1, process.this_process().identity))


@posix
def test_a_zombie_is_not_alive(start: Start) -> None:
    child = subprocess.Popen([*PYTHON, ""])
    known = Process(child.pid, process._look(child.pid)[0])
    until(lambda: not process.alive(known))
    assert known.identity and Path(f"/proc/{child.pid}").exists() == Path("/proc").exists()
    child.wait()


@posix
def test_ps_knows_processes_where_there_is_no_proc(start: Start) -> None:
    child = start(SLEEPS)
    identity, runs = process._look_ps(child.pid)
    assert runs and len(identity.split()) == 5  # Mon Nov 23 03:00:00 2026
    assert process._look_ps(child.pid) == (identity, True)
    process.kill(child)
    until(lambda: not process.alive(child))
    assert process._look_ps(child.pid) == ("", False)


def test_a_command_that_is_not_there_is_an_oserror(start: Start, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        start([str(tmp_path / "gone")])
