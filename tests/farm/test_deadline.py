"""Deadline's job files, and handing them over to a stand-in for ``deadlinecommand``."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.farm import sample
from vdp_engine.errors import UsageError, VdpError
from vdp_engine.farm import deadline, ranges, tables
from vdp_engine.plate import parse_frames

# Numbers the jobs, and keeps what it was given, read as .NET reads text: by its byte order mark, else as UTF-8.
_COMMAND = """#!{python}
import json, pathlib, sys
def read(path):
    data = pathlib.Path(path).read_bytes()
    return data.decode("utf-16" if data[:2] in (b"\\xff\\xfe", b"\\xfe\\xff") else "utf-8")
log = pathlib.Path({log!r})
given = json.loads(log.read_text()) if log.exists() else []
given.append([read(path) for path in sys.argv[1:3]] + sys.argv[3:])
if "Name=bad render" in given[-1][0]:
    print("Error: no such pool")
    sys.exit(1)
log.write_text(json.dumps(given))
print(f"Deadline Command 10.3\\n\\nResult=Success\\nJobID=66f00{{len(given)}}\\n\\nThe job was submitted successfully.")
"""


@pytest.fixture
def handed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts a ``deadlinecommand`` in place; the file that it keeps what it was given in."""
    command, log = tmp_path / "client" / "deadlinecommand", tmp_path / "handed.json"
    command.parent.mkdir()
    command.write_text(_COMMAND.format(python=sys.executable, log=str(log)))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("DEADLINE_PATH", str(command.parent))
    return log


def _pairs(text: str) -> dict[str, str]:
    """An info file as Deadline reads it: a key and a value a line, parted by the first ``=``."""
    assert text.endswith("\n")
    return dict(line.split("=", 1) for line in text.splitlines())


def test_files_are_the_golden_ones(tmp_path: Path) -> None:
    extra = (("pool", "vfx"), ("group", "linux"), ("fit.group", "gpu"), ("fit.limits", "cuda"), ("priority", "60"))
    job = sample.job(extra=extra, cores=4)
    written = deadline.EXPORTER.write([job], tmp_path)
    for path in written:
        if path.name not in ("jobs.json", tables.LAUNCHER):
            assert sample.same_as_golden(path.read_text(encoding="utf-8"), f"deadline/{path.name}"), path
    launcher = Path(tables.__file__).with_name(tables.LAUNCHER)
    assert (tmp_path / "sh010" / tables.LAUNCHER).read_bytes() == launcher.read_bytes()


def test_no_name_can_break_a_line_or_an_argument(tmp_path: Path) -> None:
    plain = sample.job()
    for name in sample.NASTY:
        job = sample.job(f"/shows/{name}/vdp", name=re.sub(r'[<>:"/\\|?*]', "", name))
        for step in job.steps:
            # The one string that Deadline parses is the same for every shot.
            assert deadline.plugin_info(job, step) == deadline.plugin_info(plain, plain.step(step.name))
            info = _pairs(deadline.job_info(job, step))
            assert info["OutputDirectory0"] == f"/shows/{name}/vdp"
            assert info["Name"] == f"{job.name} {step.name}"
            assert info.keys() == _pairs(deadline.job_info(plain, plain.step(step.name))).keys()


@pytest.mark.parametrize(
    "frames",
    [
        range(1001, 1013), range(1001, 1040, 2), (1, 2, 3, 10, 11, 50), range(-5, 6), range(0, 3), (7,),
        range(999_990, 1_000_010),
    ],
    ids=str,
)  # fmt: skip
def test_tasks_work_on_each_frame_once(frames: Any, tmp_path: Path) -> None:
    job = sample.job(frames=frames)
    deadline.EXPORTER.write([job], tmp_path)
    table = json.loads((tmp_path / "sh010" / tables.TASKS).read_text())
    for step in job.steps:
        info = _pairs(deadline.job_info(job, step))
        numbers = ranges.read(info["Frames"], "deadline")
        assert info["ChunkSize"] == "1" and min(numbers) >= 0
        commands = [table[step.name][str(number)] for number in numbers]
        assert len(commands) == len(table[step.name])
        if step.frames:
            worked = [parse_frames(command[command.index("--frames") + 1]) for command in commands]
            assert [frame for chunk in worked for frame in chunk] == list(frames)
            assert all(len(chunk) <= step.chunk for chunk in worked)
        else:
            assert "--frames" not in commands[0]


def test_a_task_starts_as_deadline_starts_it(tmp_path: Path) -> None:
    place = "/shows/" + "/".join(sample.NASTY)
    job = sample.job(place, engine=(sys.executable, "-c", "import sys; print(sys.argv[1:])", *sample.NASTY))
    deadline.EXPORTER.write([job], tmp_path)
    plugin = _pairs((tmp_path / "sh010" / "render.plugin").read_text())
    arguments = plugin["Arguments"].replace("<AUXFILE0>", str(tmp_path / "sh010" / tables.LAUNCHER))
    started = [plugin["Executable"], *shlex.split(arguments.replace("<STARTFRAME>", "1005"))]
    done = subprocess.run(started, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout.strip() == str(list(job.step("render").commands()[1][3:])), done.stderr


def test_submit_links_the_steps(tmp_path: Path, handed: Path) -> None:
    nasty = "naïve {夜}"
    deadline.EXPORTER.write([sample.job(name="old")], tmp_path / "jobs")
    deadline.EXPORTER.write([sample.job(), sample.job(name=nasty)], tmp_path / "jobs")
    said = deadline.EXPORTER.submit(tmp_path / "jobs").splitlines()
    steps = [(name, step) for name in ("sh010", nasty) for step in ("prep", "fit", "render", "check")]
    assert said == [f"{name} {step}: 66f00{at}" for at, (name, step) in enumerate(steps, 1)]
    for at, ((name, step), (info, plugin, *along)) in enumerate(
        zip(steps, json.loads(handed.read_text()), strict=True), 1
    ):
        pairs = _pairs(info)
        assert (pairs["Name"], pairs["BatchName"]) == (f"{name} {step}", f"VDP {name}")
        assert pairs.get("JobDependencies") == (None if step == "prep" else f"66f00{at - 1}")
        assert _pairs(plugin)["Arguments"] == f'-I "<AUXFILE0>" {step} <STARTFRAME>'
        assert along == [str(tmp_path / "jobs" / name / file) for file in (tables.LAUNCHER, tables.TASKS)]


def test_a_refusal_tells_what_was_handed_over_before(tmp_path: Path, handed: Path) -> None:
    deadline.EXPORTER.write([sample.job(name="bad")], tmp_path / "jobs")
    told = r"refused bad render: Error: no such pool.*already .*bad prep: 66f001; bad fit: 66f002"
    with pytest.raises(VdpError, match=told):
        deadline.EXPORTER.submit(tmp_path / "jobs")


def test_submit_without_deadline_or_without_a_job_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DEADLINE_PATH", raising=False)
    deadline.EXPORTER.write([sample.job()], tmp_path / "jobs")
    with pytest.raises(VdpError, match="no deadlinecommand"):
        deadline.EXPORTER.submit(tmp_path / "jobs")
    with pytest.raises(UsageError, match="there is no job here"):
        tables.remembered(tmp_path)


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"extra": (("partition", "gpu"),)}, "no farm option partition"),
        ({"extra": (("prep.python", "python3"),)}, r"no farm option prep\.python"),
        ({"extra": (("pool", "a\nPlugin=Python"),)}, "control characters"),
        ({"place": "/shows/a\rb"}, "control characters"),
        ({"engine": ("/opt/$v/python",)}, "cannot start tasks"),
        ({"extra": (("python", 'py"thon'),)}, "cannot start tasks"),
    ],
)
def test_what_cannot_be_said_is_refused_before_anything_is_written(
    options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=reason):
        deadline.EXPORTER.write([sample.job(name="good"), sample.job(**options)], tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "engine, python",
    [
        (("/opt/vdp/bin/python3.11", "-m", "vdp_engine"), "/opt/vdp/bin/python3.11"),
        (("P:\\vdp env\\Python.exe", "-m", "vdp_engine"), "P:\\vdp env\\Python.exe"),
        (("rez", "env", "vdp", "--", "vdp"), "python3"),
        (("/opt/pythonista/vdp",), "python3"),
    ],
)
def test_the_launcher_has_a_python(engine: tuple[str, ...], python: str) -> None:
    assert tables.python(sample.job(engine=engine)) == python
    assert tables.python(sample.job(engine=engine, extra=(("python", "/usr/bin/python3"),))) == "/usr/bin/python3"
