"""The command as a process: signals, closed pipes, lines that come at once."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_DRIVER = Path(__file__).with_name("fake_stages.py")
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_DRIVER.parents[2])}
fakes = runpy.run_path(str(_DRIVER))

if os.name == "nt":
    pytest.skip("needs the signals of POSIX", allow_module_level=True)


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    plate = fakes["write_plate"](tmp_path / "plate")
    return ["run", plate, "--out", str(tmp_path / "out")]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(started: list[subprocess.Popen[str]], deed: str, *args: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(_DRIVER), deed, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=_ENVIRONMENT,
    )  # fmt: skip
    started.append(process)
    return process


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return
    pytest.fail(f"ended without {word}")


@pytest.mark.parametrize(
    ("stage", "number", "exit_code"),
    [
        ("prep", signal.SIGTERM, 143), ("fit", signal.SIGTERM, 143), ("fit", signal.SIGINT, 130),
        ("render", signal.SIGTERM, 143), ("check", signal.SIGINT, 130),
    ],
)  # fmt: skip
def test_a_signal_ends_each_stage_tidily(
    stage: str, number: int, exit_code: int, command: list[str], started: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start(started, f"{stage}:sleep", *command)
    wait_for(process, "sleeping")
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == exit_code
    assert "the same command goes on from here" in err and "Traceback" not in err
    assert "stopped by" in (tmp_path / "out" / ".vdp" / "log.txt").read_text()


def test_the_same_command_goes_on_after_a_kill(
    command: list[str], started: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start(started, "render:sleep", *command)
    wait_for(process, "sleeping")
    process.kill()
    process.wait(timeout=20)
    again = start(started, "", *command)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert (tmp_path / "out" / "shot.report.json").exists()


def test_a_signal_while_it_starts_is_no_traceback(started: list[subprocess.Popen[str]]) -> None:
    # Slow imports are where an impatient user presses Ctrl-C first.
    script = (
        "import os, signal, sys\n"
        "class Hit:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'pydantic': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Hit())\n"
        "sys.argv = ['vdp', '--help']\n"
        "from vdp_engine.cli.main import main; main()\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_a_closed_pipe_is_quiet(command: list[str], started: list[subprocess.Popen[str]]) -> None:
    process = start(started, "prep:chatter", *command)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith("Progress: ")
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=20) == 1
    assert "Traceback" not in err and "BrokenPipe" not in err


def test_json_lines_come_at_once(command: list[str], started: list[subprocess.Popen[str]]) -> None:
    process = start(started, "fit:sleep", *command, "--progress", "json")
    assert process.stdout is not None
    stages = []
    for line in process.stdout:
        event = json.loads(line)
        stages.append(event.get("stage"))
        if event.get("stage") == "fit":
            break
    assert "prep" in stages and process.poll() is None, "read while the process still works"
    process.terminate()
    assert process.wait(timeout=20) == 143


def test_a_file_name_that_the_encoding_cannot_show(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    plate = fakes["write_plate"](tmp_path / "plate", "Größe")
    environment = {**_ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [sys.executable, str(_DRIVER), "", "run", plate, "--out", str(tmp_path / "out")],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Gr\\xf6" in result.stdout


@pytest.mark.parametrize(
    ("args", "exit_code"), [(["--version"], 0), (["--help"], 0), ([], 2), (["rnu"], 2), (["fit", "no such shot"], 2)]
)
def test_exit_codes_of_the_module(args: list[str], exit_code: int) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "vdp_engine", *args], capture_output=True, text=True, env=_ENVIRONMENT
    )
    assert result.returncode == exit_code
    assert "Traceback" not in result.stderr
