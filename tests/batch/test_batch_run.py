"""Who runs the shots: what each ends as, what is tried again, who may use what; with an engine that takes no time."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vdp_engine import machine as this_machine
from vdp_engine.batch import ShotSpec, lanes
from vdp_engine.batch.lanes import Lane, deal
from vdp_engine.batch.results import Result, table
from vdp_engine.batch.run import Batch
from vdp_engine.progress import SilentReporter
from vdp_engine.settings import Machine, Settings
from vdp_engine.stopping import Stopped

if os.name == "nt":
    pytest.skip("needs the signals of POSIX", allow_module_level=True)

_ENGINE = (sys.executable, "-S", str(Path(__file__).with_name("batch_engine.py")))
_LANE = Lane(("--device=cpu",))


class Recorder(SilentReporter):
    """Remembers what was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.fractions: list[float] = []

    def progress(self, stage: str, fraction: float, message: str) -> None:
        assert stage == "batch" and threading.current_thread() is threading.main_thread()
        self.fractions.append(fraction)

    def note(self, message: str) -> None:
        self.told.append(message)

    def warning(self, code: str, message: str, frame: int | None = None) -> None:
        self.told.append(f"{code} {message} {frame}")


def specs(folder: Path, *names: str) -> list[ShotSpec]:
    return [ShotSpec(name, f"/p/{name}.#.exr", folder / name, "1-4", 4, Settings(), 0) for name in names]


def batch(folder: Path, *names: str, jobs: int = 1, **options: Any) -> Batch:
    options = {"pause": 0.0, "reporter": Recorder(), **options}
    return Batch(specs(folder, *names), _ENGINE, (_LANE,) * jobs, Lane(("--device=cpu", "--alone=yes")), **options)


def tries(result: Result) -> list[dict[str, Any]]:
    path = result.spec.out / "tries"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A child of this very test that nobody has waited for.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


_NAMES = ("good1", "fail1", "busy1", "always1", "killed1", "crash1", "good2")


@pytest.mark.parametrize("jobs", [1, 3])
def test_outcome_and_order_are_those_of_the_manifest(jobs: int, tmp_path: Path) -> None:
    reporter = Recorder()
    work = batch(tmp_path, *_NAMES, jobs=jobs, reporter=reporter)
    work.run()
    told = [(one.spec.name, one.state, one.tries, one.error.code if one.error else None) for one in work.results]
    assert told == [
        ("good1", "done", 1, None), ("fail1", "failed", 1, "plate.unreadable"), ("busy1", "done", 2, None),
        ("always1", "failed", 3, "machine.memory"), ("killed1", "done", 2, None), ("crash1", "failed", 1, "vdp.ended"),
        ("good2", "done", 1, None),
    ]  # fmt: skip
    errors = {one.spec.name: one.error for one in work.results if one.error is not None}
    assert errors["fail1"].message == "frame 7: cannot read it. copy it again" and errors["fail1"].frame == 7
    assert errors["crash1"].message.endswith("it ended with 3: it broke")
    assert work.results[0].report["confidence"] == 0.75
    assert "always1: is to be tried again: memory ran out [machine.memory]" in reporter.told
    assert "always1: failed: memory ran out [machine.memory]" in reporter.told
    assert "layers.too_few good1: <one> more 2" in reporter.told
    told_of = reporter.fractions if jobs == 1 else [one for one in reporter.fractions if one]  # busy1 may end first: 0
    assert told_of[-1] == 1.0 and 0 < told_of[0] < 0.2
    lines = table(work.results)
    assert [line.split()[0] for line in lines] == ["shot", *_NAMES, "fail1:", "always1:", "crash1:"]
    assert lines[1].split()[1:3] == ["done", "4"] and "0.75" in lines[1]


def test_who_is_tried_again_is_so_at_the_end_and_alone(tmp_path: Path) -> None:
    work = batch(tmp_path, "busy1", "busy2", "good1", jobs=2)
    work.run()
    one, two, good = (tries(result) for result in work.results)
    assert [len(all_tries) for all_tries in (one, two, good)] == [2, 2, 1]
    assert good[0]["at"] < one[1]["at"] < two[1]["at"]
    assert ["--alone=yes" in try_["args"] for try_ in (*one, *two)] == [False, True, False, True]


def test_fresh_holds_for_the_first_try_only(tmp_path: Path) -> None:
    work = batch(tmp_path, "busy1", fresh=True)
    work.run()
    assert ["--fresh" in try_["args"] for try_ in tries(work.results[0])] == [True, False]
    assert tries(work.results[0])[0]["args"][:2] == ["run", "/p/busy1.#.exr"]


def test_one_that_tells_nothing_is_ended_and_the_others_go_on(tmp_path: Path) -> None:
    work = batch(tmp_path, "mute1", "good1", silent=0.7)
    work.run()
    mute, good = work.results
    assert (mute.state, mute.tries, good.state) == ("failed", 3, "done")
    assert mute.error is not None and mute.error.code == "machine.silent"
    assert all(gone(try_["pid"]) for try_ in tries(mute))


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    work = Batch(specs(tmp_path, "good1"), ("/no/such/vdp",), (_LANE,), _LANE, Recorder())
    work.run()
    error = work.results[0].error
    assert error is not None and "cannot start /no/such/vdp" in error.message


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stop_reaches_the_jobs_and_waits_for_their_checkpoints(
    number: signal.Signals, exit_code: int, tmp_path: Path
) -> None:
    changes: list[list[str]] = []
    work = batch(
        tmp_path, "sleep1", "sleep2", "good1", jobs=2,
        changed=lambda: changes.append([one.state for one in work.results]),
    )  # fmt: skip
    class Stopping(Recorder):
        def progress(self, stage: str, fraction: float, message: str) -> None:
            if all((tmp_path / name / "working").exists() for name in ("sleep1", "sleep2")):
                raise Stopped(number)

    work._reporter = Stopping()
    with pytest.raises(Stopped) as stopped:
        work.run()
    assert stopped.value.exit_code == exit_code
    assert all((tmp_path / name / f"checkpoint.{number.name}").exists() for name in ("sleep1", "sleep2"))
    assert changes[-1] == ["stopped", "stopped", "waiting"]
    assert all(gone(try_["pid"]) for result in work.results[:2] for try_ in tries(result))


def test_jobs_that_do_not_stop_are_ended(tmp_path: Path) -> None:
    work = batch(tmp_path, "stubborn1")

    class Stopping(Recorder):
        def progress(self, stage: str, fraction: float, message: str) -> None:
            raise Stopped(signal.SIGTERM)

    work._reporter = Stopping()
    began = time.monotonic()
    with pytest.raises(Stopped):
        work.run()
    assert time.monotonic() - began < 5
    until(lambda: gone(tries(work.results[0])[0]["pid"]))


@pytest.mark.parametrize(
    ("gpus", "asked", "jobs", "expected"),
    [
        (0, {}, 1, [(["--device=auto"], None)]),
        (2, {"threads": 3, "max_memory": 5}, 1, [(["--device=auto", "--threads=3", "--max-memory=5"], None)]),
        (0, {"threads": 4, "max_memory": 900}, 3, [(["--device=auto", "--threads=1", "--max-memory=300"], None)] * 3),
        (2, {"threads": 8, "max_memory": 900}, 3,
         [(["--device=cuda", "--threads=2", "--max-memory=300"], gpu) for gpu in ("4", "7", "4")]),
        (2, {"device": "cpu", "threads": 8, "max_memory": 8}, 2,
         [(["--device=cpu", "--threads=4", "--max-memory=4"], None)] * 2),
        (2, {"device": "cuda:1", "threads": 8, "max_memory": 8}, 2,
         [(["--device=cuda:1", "--threads=4", "--max-memory=4"], None)] * 2),
    ],
)  # fmt: skip
def test_the_machine_is_shared_out(
    gpus: int, asked: dict[str, Any], jobs: int, expected: list[tuple[list[str], str | None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(lanes, "_gpus", lambda: ["4", "7"][:gpus])
    told = [(list(one.options), one.environment.get("CUDA_VISIBLE_DEVICES")) for one in deal(Machine(**asked), jobs)]
    assert told == expected


def test_without_wishes_the_whole_machine_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "_gpus", list)
    one, two = deal(Machine(), 2)
    assert one == two
    each = this_machine.memory_limit(Machine()) // 2
    assert one.options[1:] == (f"--threads={max(1, this_machine.usable_cpus() // 2)}", f"--max-memory={each}")


def test_the_gpus_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert lanes._gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-5f")
    assert lanes._gpus() == ["3", "GPU-5f"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert lanes._gpus() == []


def test_each_job_sees_its_own_gpu(tmp_path: Path) -> None:
    on_gpus = [Lane(("--device=cuda",), {"CUDA_VISIBLE_DEVICES": name}) for name in ("0", "1")]
    work = Batch(specs(tmp_path, "good1", "good2", "good3"), _ENGINE, on_gpus, _LANE, Recorder())
    work.run()
    assert {tries(result)[0]["gpu"] for result in work.results} <= {"0", "1"}
    assert [tries(result)[0]["gpu"] for result in work.results[:2]] == ["0", "1"]
