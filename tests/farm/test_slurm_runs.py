"""Jobs on a real Slurm of one machine: shots through all their steps, and what goes wrong on the way."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import command
from tests.farm.slurm_cluster import Cluster, NoSlurm, cluster, until
from vdp_engine.demo import make_demo
from vdp_engine.errors import VdpError
from vdp_engine.farm import FarmOptions, job_of
from vdp_engine.farm.slurm import EXPORTER
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

_ROOT = Path(__file__).parents[2]
_STEPS = 8
_ENGINE = (sys.executable, str(_ROOT / "tests" / "e2e" / "quick_vdp.py"), str(_STEPS))

# In place of the engine: tells the step and the restart, and does in ``fit`` what the shot is named after.
_STAND_IN = """
start=${SLURM_RESTART_COUNT:-0}
echo "$1 $start" >> "$2/calls"
case "$1 ${2##*/}" in
    "fit busy twice") (( start >= 2 )) || exit 75 ;;
    "fit always busy") exit 75 ;;
    "fit long"*)
        trap 'exit 143' TERM
        (( start )) || { sleep 100 & touch "$2/ready"; wait; } ;;
esac
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        try:
            with cluster() as running:
                for name, value in {**running.environment, "PYTHONPATH": str(_ROOT)}.items():
                    patch.setenv(name, value)
                yield running
        except NoSlurm as reason:
            pytest.skip(str(reason))


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six frames, 96 by 64 pixels."""
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder, width=96, height=64, frames=6)
    return folder / "plate"


@pytest.fixture(scope="module")
def undisturbed(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a plain ``vdp run`` makes of the plate."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    command.run(plate, out, steps=_STEPS)
    return out


def _hand_over(
    plate: Path, *outs: Path, engine: tuple[str, ...] = _ENGINE, extra: tuple[tuple[str, str], ...] = (), chunk: int = 3
) -> list[str]:
    """Set shots up and hand them to Slurm together; the numbers of their jobs, four a shot."""
    jobs = []
    given = FarmOptions(
        engine=engine, gpu=False, prep_chunk=chunk, render_chunk=chunk, cores=1, memory="4G", timeout=60, extra=extra
    )
    for out in outs:
        shot = Shot.create(str(plate), out, name=out.name, settings=Settings(quality="draft"))
        shot.save()
        jobs.append(job_of(shot, given))
    folder = outs[0].parent / "farm"
    EXPORTER.write(jobs, folder)
    return [line.split()[-1] for line in EXPORTER.submit(folder).splitlines()]


def test_a_failed_chunk_stops_what_needs_it_and_once_repaired_only_the_rest_is_done(
    slurm: Cluster, plate: Path, undisturbed: Path, tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(plate, tmp_path / "the plate"))
    damaged = mine / "demo.1006.exr"
    whole = damaged.read_bytes()
    out = tmp_path / "it's $HOME `id`\n\"夜\"" / "demo"
    damaged.write_bytes(whole[:-100])
    os.utime(damaged, (1e9, 1e9))  # not one that is still being written
    numbers = _hand_over(mine, out)
    states = [job.state for job in slurm.wait(*numbers, seconds=100)]
    assert states == ["COMPLETED", "FAILED", *["CANCELLED"] * 4]
    assert "demo.1006.exr" in _log(out, "prep", f"{numbers[0]}_1")

    damaged.write_bytes(whole)
    os.utime(damaged, (1e9, 1e9))
    before = command.snapshot(out / ".vdp" / "flow")
    assert "demo.1001.safetensors" in before and "demo.1006.safetensors" not in before
    jobs = slurm.wait(*_hand_over(mine, out), seconds=200)
    assert [(job.state, job.restarts) for job in jobs] == [("COMPLETED", 0)] * 6, jobs
    after = command.snapshot(out / ".vdp" / "flow")
    assert {name: after[name] for name in before} == before
    assert command.same_pixels(out, undisturbed)
    assert (out / "demo.report.json").is_file()


def test_a_fit_goes_on_after_a_lost_node_and_after_a_requeue(
    slurm: Cluster, plate: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    numbers = _hand_over(plate, out, chunk=6)
    fit, checkpoint = numbers[1], out / ".vdp" / "checkpoint.safetensors"

    def at_work(restarts: int, after: int = 0) -> bool:
        job = slurm.jobs(fit)[0]
        assert not job.ended, job
        told = (job.state, job.restarts) == ("RUNNING", restarts) and checkpoint.exists()
        return told and checkpoint.stat().st_mtime_ns > after

    until(lambda: at_work(0), 100, lambda: f"{slurm.jobs(*numbers)}")
    slurm.lose_node()
    assert slurm.jobs(fit)[0].state == "PENDING"
    left = checkpoint.stat().st_mtime_ns
    slurm.start_node()
    until(lambda: at_work(1, left), 100, lambda: f"{slurm.jobs(*numbers)}")
    slurm.call("scontrol", "requeue", fit)
    jobs = slurm.wait(*numbers, seconds=200)
    assert [(job.state, job.restarts) for job in jobs] == [("COMPLETED", n) for n in (0, 2, 0, 0)], jobs
    told = _log(out, "fit", fit)
    assert "stopped by SIGTERM" in told and told.count("going on from step") == 2, told
    assert command.same_pixels(out, undisturbed)
    assert command.litter(out) == set()


def test_only_what_may_succeed_later_is_queued_again(slurm: Cluster, plate: Path, tmp_path: Path) -> None:
    names = ("busy twice", "always busy", "long out of time", "long cancelled")
    outs = [tmp_path / name for name in names]
    numbers = _hand_over(plate, *outs, engine=("bash", "-c", _STAND_IN, "vdp"), extra=(("restarts", "2"),))
    jobs = dict(zip(names, (numbers[at : at + 4] for at in range(0, 16, 4)), strict=True))
    until(lambda: all((out / "ready").exists() for out in outs[2:]), 60, lambda: f"{slurm.jobs(*numbers)}")
    slurm.call("scancel", "--batch", "--signal=USR1", jobs["long out of time"][1])
    slurm.call("scancel", jobs["long cancelled"][1])
    slurm.wait(*numbers, seconds=60)
    done, failed, cancelled = "COMPLETED", "FAILED", "CANCELLED"
    cases = {
        "busy twice": ([done] * 6, 2),
        "always busy": ([done, done, failed, *[cancelled] * 3], 2),
        "long out of time": ([done] * 6, 1),
        "long cancelled": ([done, done, *[cancelled] * 4], 0),
    }
    for (name, (states, restarts)), out in zip(cases.items(), outs, strict=True):
        ended = slurm.jobs(*jobs[name])
        assert [job.state for job in ended] == states, name
        assert ended[2].restarts == restarts, name
        calls = (out / "calls").read_text().splitlines()
        assert [call for call in calls if call.startswith("fit")] == [f"fit {n}" for n in range(restarts + 1)], name
        assert ("check 0" in calls) == (states[-1] == done), name


def test_a_job_that_slurm_refuses_leaves_nothing_behind(slurm: Cluster, plate: Path, tmp_path: Path) -> None:
    extra = (("prep.hold", ""), ("comment", "it's $(id)"), ("check.partition", "nowhere"))
    with pytest.raises(VdpError, match="invalid partition"):
        _hand_over(plate, tmp_path / "shot", extra=extra)
    assert slurm.call("squeue", "-h") == ""


def _log(out: Path, step: str, number: str) -> str:
    return (out.parent / "farm" / out.name / "logs" / f"{step}.{number}.log").read_text(encoding="utf-8")
