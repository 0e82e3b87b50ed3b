"""``vdp batch`` as a process: mistakes, plans, exit codes, signals, and no job that outlives it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.fake_stages import write_plate

if os.name == "nt":
    pytest.skip("needs the signals of POSIX", allow_module_level=True)

_ROOT = Path(__file__).parents[2]
_FAKE = shlex.join([sys.executable, "-S", str(_ROOT / "tests" / "batch" / "batch_engine.py")])
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_ROOT), "VDP_FARM_ENGINE": _FAKE}
_COMMAND = [sys.executable, "-m", "vdp_engine", "batch"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder ``plates`` with one sequence."""
    write_plate(tmp_path / "plates", "a")
    return tmp_path


def manifest(folder: Path, *names: str) -> str:
    shots = "".join(f"  - {{plate: plates/a.####.exr, name: {name}}}\n" for name in names)
    (folder / "night.yaml").write_text("defaults: {out: 'layers/{name}'}\nshots:\n" + shots)
    return "night.yaml"


def vdp_batch(folder: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_COMMAND, *args, "--device", "cpu"], capture_output=True, text=True, cwd=folder, timeout=120,
        env={**_ENVIRONMENT, **environment},
    )  # fmt: skip


@pytest.fixture
def started(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A batch with two jobs at work, which obey signals, and a third that waits."""
    process = subprocess.Popen(
        [*_COMMAND, manifest(folder, "sleep1", "sleep2", "good1"), "--jobs", "2", "--device", "cpu"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, env=_ENVIRONMENT,
    )  # fmt: skip
    until(lambda: all((folder / "layers" / name / "working").exists() for name in ("sleep1", "sleep2")), process)
    yield process
    process.kill()
    process.communicate()


def until(condition: Any, process: subprocess.Popen[str] | None = None, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end and (process is None or process.poll() is None), "it did not come about"
        time.sleep(0.02)


def pids(folder: Path) -> list[int]:
    lines = [line for path in folder.glob("layers/*/tries") for line in path.read_text().splitlines()]
    return [json.loads(line)["pid"] for line in lines]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_batch_from_init_to_the_report(folder: Path) -> None:
    done = vdp_batch(folder, "--init", "plates", "--to", "night.yaml")
    assert done.returncode == 0 and "1 shot;" in done.stdout, done.stderr
    done = vdp_batch(folder, "--init", "plates", "--to", "night.yaml")
    assert done.returncode == 2 and "is there already" in done.stderr

    done = vdp_batch(folder, "night.yaml", "--dry-run")
    assert done.returncode == 0 and "waiting" in done.stdout and not (folder / "layers").exists()

    manifest(folder, "good1", "fail1", "good2")
    done = vdp_batch(folder, "night.yaml", "--jobs", "2")
    assert done.returncode == 1 and "1 of 3 shots failed: fail1" in done.stderr
    assert "frame 7: cannot read it. copy it again [plate.unreadable]" in done.stdout
    assert "Progress: 100%" in done.stdout and not any(ord(char) < 32 and char != "\n" for char in done.stdout)
    report = json.loads((folder / "batch.report.json").read_text())
    assert [shot["state"] for shot in report["shots"]] == ["done", "failed", "done"]
    assert (folder / "batch.report.html").exists()


def test_a_terminal_has_a_row_for_each_job(folder: Path) -> None:
    screen, keyboard = os.openpty()
    process = subprocess.Popen(
        [*_COMMAND, manifest(folder, "good1", "good2", "good3"), "--jobs", "2", "--device", "cpu"], stdout=keyboard,
        stderr=keyboard, cwd=folder, env={**_ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )  # fmt: skip
    os.close(keyboard)
    shown = b""
    with contextlib.suppress(OSError):  # which Linux raises at the end
        while part := os.read(screen, 65536):
            shown += part
    os.close(screen)
    assert process.wait() == 0
    last = shown.decode().rsplit("batch ", 1)[1]
    assert "3 of 3 shots" in last and "100%" in last
    assert "job 1 " in shown.decode() and "job 2 " in shown.decode() and "job 3 " not in shown.decode()


def test_all_mistakes_a_line_each_and_nothing_is_started(folder: Path) -> None:
    text = "shots:\n  - {plate: plates/a.####.exr, out: o, qualty: draft}\n  - {plate: none.####.exr, out: p}\n"
    (folder / "night.yaml").write_text(text)
    done = vdp_batch(folder, "night.yaml")
    assert done.returncode == 2 and not (folder / "o").exists()
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert [line.split(": ")[1] for line in errors[:2]] == ["night.yaml:2", "night.yaml:3"], done.stderr
    assert len(errors) == 3 and "2 mistakes in night.yaml" in errors[2]
    done = vdp_batch(folder, "night.yaml", "--progress", "json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["code"] for event in events if event["event"] == "error"] == ["usage.manifest"] * 3


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "a manifest is missing"), (["none.yaml"], "no manifest none.yaml"),
        (["a.yaml", "--init", "b"], "takes none"),
    ],
)  # fmt: skip
def test_wrong_usage(args: list[str], told: str, folder: Path) -> None:
    done = vdp_batch(folder, *args)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


def test_the_report_goes_where_it_is_asked_for(folder: Path) -> None:
    name = manifest(folder, "good1")
    done = vdp_batch(folder, name, "--report", "told/night.html")
    assert done.returncode == 2 and "JSON" in done.stderr and not (folder / "layers").exists()
    done = vdp_batch(folder, name, "--report", "told/night.json", "--progress", "json")
    assert done.returncode == 0
    assert sorted(path.name for path in (folder / "told").iterdir()) == ["night.html", "night.json"]
    (result,) = [json.loads(line) for line in done.stdout.splitlines() if '"result"' in line]
    assert result["report"] == str(folder / "told" / "night.json") and Path(result["index"]).is_file()
    assert "../layers/good1/good1.sheet.png" in (folder / "told" / "night.html").read_text()


def test_an_engine_that_is_not_there_is_told_before_anything_starts(folder: Path) -> None:
    done = vdp_batch(folder, manifest(folder, "good1"), VDP_FARM_ENGINE="/no/such/vdp")
    assert done.returncode == 2 and "/no/such/vdp is not there" in done.stderr and not (folder / "layers").exists()


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_batch_and_jobs(
    number: signal.Signals, exit_code: int, folder: Path, started: subprocess.Popen[str]
) -> None:
    began = time.monotonic()
    started.send_signal(number)
    _, err = started.communicate(timeout=60)
    assert started.returncode == exit_code and time.monotonic() - began < 3
    assert "the same command goes on from here" in err and "Traceback" not in err
    assert all((folder / "layers" / name / f"checkpoint.{number.name}").exists() for name in ("sleep1", "sleep2"))
    assert not any(alive(pid) for pid in pids(folder))
    report = json.loads((folder / "batch.report.json").read_text())
    assert report["state"] == "stopped"
    assert [shot["state"] for shot in report["shots"]] == ["stopped", "stopped", "waiting"]


def test_no_job_outlives_a_killed_batch(folder: Path, started: subprocess.Popen[str]) -> None:
    assert len(pids(folder)) == 2 and all(alive(pid) for pid in pids(folder))
    started.kill()
    started.communicate(timeout=60)
    until(lambda: not any(alive(pid) for pid in pids(folder)), seconds=10)
    if sys.platform == "linux":
        assert (folder / "layers" / "sleep1" / "checkpoint.SIGTERM").exists(), "it was asked, not cut off"
