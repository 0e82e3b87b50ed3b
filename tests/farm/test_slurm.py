"""Slurm's batch scripts: what sbatch reads of them, what bash makes of them, and how they are handed over.

No Slurm is needed here; ``test_slurm_runs.py`` runs them on one.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.farm import sample
from vdp_engine.errors import TryAgainError, UsageError, VdpError
from vdp_engine.farm import exporter
from vdp_engine.farm.slurm import EXPORTER, quoted, script

_BEYOND_TEXT = ("new\nline", "\r\n#SBATCH --wrap=id\r\n", "tab\there", "\x01\x7f\x1b[31m", "\\n'\n", "byte\udcff", "")

# As engines: one tells its arguments, one ends with the code that is its first.
_ARGUMENTS = 'printf "%s\\0" "$0" "$@"'
_EXIT = 'exit "$0"'
_SBATCH = """#!/bin/bash
echo "sbatch $PWD $*" >> "$LOG"
count=$(grep -c ^sbatch "$LOG")
if [[ $count == "$FAILS_AT" ]]; then echo "sbatch: error: $SAYS" >&2; exit 1; fi
echo "$count;cluster"
"""


def test_every_script_is_the_golden_one() -> None:
    extra = (("account", "show ab"), ("fit.partition", "gpu"), ("fit.gres", "gpu:a100:1"), ("exclusive", ""),
             ("restarts", "07"))  # fmt: skip
    cases = {"plain": sample.job(), "rich": sample.job(name="sh 010 夜", extra=extra, cores=4, timeout=90, memory="0")}
    for name, job in cases.items():
        for step in job.steps:
            assert sample.same_as_golden(script(job, step), f"slurm/{name}/{step.name}.sh"), (name, step.name)


@pytest.mark.parametrize("step", ["prep", "check"])
def test_bash_calls_the_engine_with_the_arguments_meant(step: str, tmp_path: Path) -> None:
    path = tmp_path / f"{step}.sh"
    for part in (*sample.NASTY, *_BEYOND_TEXT):
        job = sample.job(f"/shows/{part}/{part}", engine=("sh", "-c", _ARGUMENTS, part))
        path.write_bytes(os.fsencode(script(job, job.step(step))))
        meant = job.step(step).commands()
        for task in {0, len(meant) - 1}:
            done = _run(path, task)
            assert done.returncode == 0, done.stderr
            assert os.fsdecode(done.stdout).split("\0")[:-1] == list(meant[task][3:]), part


def test_every_character_survives_bash() -> None:
    words = [f"a{chr(code)}b" for code in (*range(1, 0x250), 0x2028, 0xFEFF, 0x1F3AC)]
    done = subprocess.run(
        ["bash", "-c", "printf '%s\\0' " + " ".join(map(quoted, words))], capture_output=True, check=True
    )
    assert done.stdout.decode().split("\0")[:-1] == words
    assert all(character >= " " for word in words for character in quoted(word))


def test_what_sbatch_reads_holds_no_path_and_no_name_as_it_is() -> None:
    meant = {step.name: _head(script(sample.job(), step)) for step in sample.job().steps}
    for part in (*sample.NASTY, *_BEYOND_TEXT):
        job = sample.job(f"/shows/{part}", name=f"a{part}", engine=(f"/opt/{part}", part))
        for step in job.steps:
            name, *others = _head(script(job, step))
            assert re.fullmatch(rf"#SBATCH --job-name=[A-Za-z0-9._+-]+\.{step.name}", name, re.ASCII)
            assert others == meant[step.name][1:]


@pytest.mark.parametrize(
    ("code", "restarts", "queued"),
    [(0, 0, False), (1, 0, False), (2, 0, False), (75, 0, True), (75, 4, True), (75, 5, False), (143, 0, False)],
)
def test_the_exit_code_is_the_engines_and_75_is_queued_again(
    code: int, restarts: int, queued: bool, tmp_path: Path
) -> None:
    job = sample.job(engine=("sh", "-c", _EXIT, str(code)))
    path = tmp_path / "fit.sh"
    path.write_text(script(job, job.step("fit")))
    done = _run(path, restarts=restarts)
    assert done.returncode == code, done.stderr
    told = tmp_path / "requeued"
    assert (told.read_text() if told.exists() else "") == ("requeue 70\n" if queued else "")


@pytest.mark.parametrize(
    "extra",
    [("array", "0-9"), ("fit.output", "x"), ("dependency", "afterok:1"), ("partitions", "a\nb"), ("comment", 'a"b'),
     ("comment", "a\\"), ("shot.partition", "gpu"), ("Partition", "gpu"), ("p", "gpu\0"), ("a b", "c"), ("-p", "gpu"),
     ("", "gpu"), ("restarts", "-1"), ("restarts", "a[$(id)]")],
)  # fmt: skip
def test_options_that_would_break_the_job_are_refused(extra: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        EXPORTER.write([sample.job(extra=(extra,))], tmp_path)
    assert caught.value.code == "usage.farm_option"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts an ``sbatch`` and a ``scancel`` in place that log their calls; the log."""
    path = tmp_path / "log"
    path.touch()
    for name, text in {"sbatch": _SBATCH, "scancel": '#!/bin/sh\necho "scancel $*" >> "$LOG"\n'}.items():
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(text)
        command.chmod(0o755)
    for name, value in {"LOG": str(path), "FAILS_AT": "0", "SAYS": "", "CDPATH": "/:/tmp"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return path


def test_every_step_waits_for_the_one_before_in_its_own_shot(log: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's a $folder"
    names = ("sh010", "-it's a $shot")
    written = exporter("slurm").write([sample.job(name=name) for name in names], folder)
    scripts = [folder / name / f"{step}.sh" for name in names for step in ("prep", "fit", "render", "check")]
    assert sorted(written) == sorted([*scripts, folder / "submit.sh"])
    meant = []
    for index, name in enumerate(names):
        for number, step in enumerate(("prep", "fit", "render", "check"), 4 * index + 1):
            after = f"--dependency=afterok:{number - 1} --kill-on-invalid-dep=yes " if step != "prep" else ""
            meant.append(f"sbatch {folder / name} --parsable {after}{step}.sh")
    said = EXPORTER.submit(folder).splitlines()
    assert said[5:7] == ["-it's a $shot fit: job 6", "-it's a $shot render: job 7"]
    assert log.read_text().splitlines() == meant
    # By hand, from elsewhere.
    log.write_text("")
    subprocess.run(["bash", f"{folder.name}/submit.sh"], cwd=tmp_path, check=True, capture_output=True)
    assert log.read_text().splitlines() == meant


def test_a_refused_step_takes_back_those_before_it(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    EXPORTER.write([sample.job()], tmp_path)
    for says, kind in (
        ("Batch job submission failed: Invalid partition name specified", VdpError),
        ("Batch job submission failed: Unable to contact slurm controller (connect failure)", TryAgainError),
    ):
        log.write_text("")
        monkeypatch.setenv("FAILS_AT", "3")
        monkeypatch.setenv("SAYS", says)
        with pytest.raises(VdpError, match="Batch job submission failed") as caught:
            EXPORTER.submit(tmp_path)
        assert type(caught.value) is kind
        assert log.read_text().splitlines()[-1] == "scancel 1 2"
        assert len(log.read_text().splitlines()) == 4


def test_where_there_is_no_slurm_or_no_job_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no job to hand over"):
        EXPORTER.submit(tmp_path)
    EXPORTER.write([sample.job()], tmp_path)
    monkeypatch.setenv("PATH", os.path.dirname(shutil.which("bash") or "/bin/bash"))
    if shutil.which("sbatch") is not None:
        pytest.skip("this machine has a Slurm beside its bash")
    with pytest.raises(VdpError, match="no sbatch on this machine") as caught:
        EXPORTER.submit(tmp_path)
    assert "submit.sh" in str(caught.value)


def _head(text: str) -> list[str]:
    """What sbatch reads of a script: the lines before the first that is neither empty nor a comment."""
    lines = text.split("\n")
    head = list(itertools.takewhile(lambda line: line.startswith("#") or not line.strip(), lines))
    return [line for line in head if line.startswith("#SBATCH")]


def _run(path: Path, task: int = 0, restarts: int = 0) -> subprocess.CompletedProcess[bytes]:
    """A batch script run as Slurm runs it; its ``scontrol`` writes the file ``requeued`` beside it."""
    command = path.parent / "bin" / "scontrol"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\necho "$*" >> "{path.parent}/requeued"\n')
    command.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": str(task), "SLURM_RESTART_COUNT": str(restarts)}
    paths = f"{command.parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(path)], capture_output=True, timeout=60, env=os.environ | slurm | {"PATH": paths}
    )
