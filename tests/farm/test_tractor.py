"""Tractor's job scripts, read by a Tcl interpreter."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.farm import sample
from vdp_engine.errors import UsageError, VdpError
from vdp_engine.farm import tractor

# Job, Task and RemoteCmd as procedures that tell what they were given: one line a command, its words as hexadecimal.
_READER = r"""
proc hex {text} { binary encode hex [encoding convertto utf-8 $text] }
proc tell {kind words} { set told $kind; foreach word $words { append told " x[hex $word]" }; puts $told }
proc under {script} { tell begin {}; eval $script; tell end {} }
proc Job {args} { tell Job $args; under [dict get $args -subtasks] }
proc Task {title args} {
    tell Task [list $title]
    foreach name {-subtasks -cmds} { if {[dict exists $args $name]} { under [dict get $args $name] } }
}
proc RemoteCmd {launch args} { tell RemoteCmd $launch; tell Options $args }
set file [open [lindex $argv 0]]
fconfigure $file -encoding utf-8
eval [read $file]
"""

needs_tcl = pytest.mark.skipif(shutil.which("tclsh") is None, reason="there is no tclsh")


def _read(script: Path) -> list[tuple[str, list[str]]]:
    """What a Tcl interpreter finds in a job script, each command with its words."""
    done = subprocess.run(
        ["tclsh", "/dev/stdin", str(script)], input=_READER, capture_output=True, text=True, check=True
    )  # fmt: skip
    lines = [line.split(" ") for line in done.stdout.splitlines()]
    return [(line[0], [bytes.fromhex(word[1:]).decode() for word in line[1:]]) for line in lines]


def _commands(read: list[tuple[str, list[str]]]) -> list[list[str]]:
    # As Tractor's own pass over a command leaves it.
    return [[word.replace("%%", "%") for word in words] for kind, words in read if kind == "RemoteCmd"]


def test_job_script_is_the_golden_one() -> None:
    extra = (("priority", "50"), ("service", "Linux64"), ("fit.service", "Linux64 && GPU"), ("tags", "vdp"))
    assert sample.same_as_golden(tractor.alf(sample.job(cores=4, extra=extra)), "tractor/job.alf")


@needs_tcl
def test_the_words_of_every_command_come_through(tmp_path: Path) -> None:
    jobs = [
        sample.job(f"/shows/{place}/vdp", name=f"sh{at}", frames=[1], engine=("/opt/vdp", place.lstrip("~")))
        for at, place in enumerate(sample.NASTY)
    ]
    scripts = [path for path in tractor.EXPORTER.write(jobs, tmp_path) if path.suffix == ".alf"]
    together = tmp_path / "all.alf"
    together.write_text("".join(path.read_text(encoding="utf-8") for path in scripts), encoding="utf-8")
    expected = [list(command) for job in jobs for step in job.steps for command in step.commands()]
    assert _commands(_read(together)) == expected


@needs_tcl
def test_steps_follow_each_other_and_chunks_do_not(tmp_path: Path) -> None:
    job = sample.job(frames=(-2, -1, 0, 5, 9, 13), cores=0)
    tractor.EXPORTER.write([job], tmp_path)
    depth, told = 0, []
    for kind, words in _read(tmp_path / "sh010" / "job.alf"):
        depth += {"begin": 1, "end": -1}.get(kind, 0)
        if kind == "Task":
            told.append((depth, words[0]))
        if kind == "Job":
            assert words[words.index("-serialsubtasks") + 1] == "1"
        if kind == "Options":
            options = dict(zip(words[::2], words[1::2], strict=True))
            assert (options["-atleast"], options["-atmost"]) == ("1", "1")
            assert (options["-retryrc"], options["-maxrunsecs"]) == ("75", str(240 * 60))
    assert told == [
        (1, "prep"), (2, "prep -2-0,5,9"), (2, "prep 13"), (1, "fit"),
        (1, "render"), (2, "render -2-0,5"), (2, "render 9,13"), (1, "check"),
    ]  # fmt: skip


@needs_tcl
def test_a_word_is_one_word_at_any_depth() -> None:
    texts = [*sample.NASTY, ""]
    # Once as a word of a command in two nested scripts, once as an element of a list there.
    shown = "\n".join(f"show {tractor.word(text)}; show [lindex {{{tractor.word(text)} x}} 0]" for text in texts)
    script = (
        "proc show {text} {puts x[binary encode hex [encoding convertto utf-8 $text]]}\n"
        f"encoding system utf-8\neval {{if 1 {{\n{shown}\n}}}}\n"
    )
    done = subprocess.run(["tclsh"], input=script, capture_output=True, text=True, encoding="utf-8")
    read = [bytes.fromhex(line[1:]).decode() for line in done.stdout.splitlines()]
    assert read == [text for text in texts for _ in range(2)], done.stderr


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"extra": (("pool", "gpu"),)}, "pool"),
        ({"place": "/shows/a\nb"}, "control characters"),
        ({"engine": ("~/vdp",)}, "home"),
    ],
)
def test_what_cannot_be_said_is_refused_before_anything_is_written(
    options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=reason):
        tractor.EXPORTER.write([sample.job(name="good"), sample.job(**options)], tmp_path)
    assert not list(tmp_path.iterdir())


def test_two_shots_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two shots are called sh010"):
        tractor.EXPORTER.write([sample.job(), sample.job("/elsewhere")], tmp_path)


def test_submit_spools_every_job_and_tells_what_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = tmp_path / "bin" / "tractor-spool"
    spool.parent.mkdir()
    spool.write_text(
        f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\nsys.exit('bad' in sys.argv[1])\n"
    )
    spool.chmod(0o755)
    monkeypatch.setenv("PATH", str(spool.parent))
    tractor.EXPORTER.write([sample.job(name="old")], tmp_path / "jobs")
    tractor.EXPORTER.write([sample.job(name="b b"), sample.job(name="a")], tmp_path / "jobs")
    said = tractor.EXPORTER.submit(tmp_path / "jobs").splitlines()
    assert [json.loads(line) for line in said] == [
        [str(tmp_path / "jobs" / "b b" / "job.alf")], [str(tmp_path / "jobs" / "a" / "job.alf")],
    ]  # fmt: skip
    tractor.EXPORTER.write([sample.job(name="good"), sample.job(name="bad")], tmp_path / "jobs")
    with pytest.raises(VdpError, match=r"refused bad.*spooled before it"):
        tractor.EXPORTER.submit(tmp_path / "jobs")


def test_submit_without_tractor_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tractor.EXPORTER.write([sample.job()], tmp_path)
    with pytest.raises(VdpError, match="no tractor-spool"):
        tractor.EXPORTER.submit(tmp_path)
