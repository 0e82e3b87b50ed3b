"""Open Job Description: the templates by its own checker, the tasks by its own library, and a whole job for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.command import frames_of, litter, rebuilds, snapshot
from vdp_engine.demo import make_demo
from vdp_engine.errors import UsageError
from vdp_engine.farm import FarmOptions, Job, exporter, job_of
from vdp_engine.farm.openjd import asset_references, parameter_values, path_mapping, template
from vdp_engine.plate import format_frames, parse_frames
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

model = pytest.importorskip("openjd.model")
sessions = pytest.importorskip("openjd.sessions")

_ROOT = Path(__file__).parents[2]
_QUICK = (sys.executable, str(_ROOT / "tests" / "e2e" / "quick_vdp.py"), "3")
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
_PATIENCE = 250.0
_CHUNKING = ["TASK_CHUNKING"]
# Names that a shell, a format string, YAML or an argument parser could take for something else.
ODD = "o'ut {{Param.Engine}} $HOME \"; x: #&é-5"


def job(frames: str = "1001-1020", out: str = "/shows/out", name: str = "demo", **options: Any) -> Job:
    shot = Shot(Path(out), name, "/shows/plate/demo.#.exr", parse_frames(frames), Settings())
    return job_of(shot, FarmOptions(**{"engine": ("vdp",)} | options))


def created(told: dict[str, Any], **values: str) -> Any:
    """The job that Open Job Description's library makes of a template."""
    decoded = model.decode_job_template(template=told, supported_extensions=_CHUNKING)
    parameters = model.preprocess_job_parameters(
        job_template=decoded, job_parameter_values={"ShotFolder": "/shows/out"} | values,
        job_template_dir=Path("/"), current_working_dir=Path("/"),
    )  # fmt: skip
    return model.create_job(job_template=decoded, job_parameter_values=parameters), parameters


def tasks(step: Any) -> list[str]:
    """What each task of a step gives to ``--frames``."""
    if step.parameterSpace is None:
        return [""]
    return [one["Frames"].value for one in model.StepParameterSpaceIterator(space=step.parameterSpace)]


# frames, frames a task; what the tasks of render get
CUT = [
    ("1001-1020", 10, ["1001-1010", "1011-1020"]),
    ("1001-1012", 10, None),
    ("7", 10, ["7-7"]),
    ("-5-4", 5, ["-5--1", "0-4"]),
    ("1001-1010,1021-1030", 10, ["1001-1010", "1021-1030"]),
    ("1001-1010,1012", 10, ["1001-1010", "1012-1012"]),
    ("1001-1039x2", 10, ["1001-1019x2", "1021-1039x2"]),
    ("1-10x3", 2, ["1-1", "4-4", "7-7", "10-10"]),
    ("1-16x3", 3, ["1-7x3", "10-16x3"]),
    ("1001-1039x2", 1, None),
    ("-9-9x3", 3, ["-9--3x3", "0-6x3", "9"]),
]


@pytest.mark.parametrize(("frames", "chunk", "expected"), CUT)
def test_the_tasks_get_every_frame_once_in_the_words_of_vdp(
    frames: str, chunk: int, expected: list[str] | None
) -> None:  # fmt: skip
    made = job(frames, prep_chunk=chunk, render_chunk=chunk)
    by_name = {step.name: step for step in created(template(made))[0].steps}
    for name in ("prep", "render"):
        got = tasks(by_name[name])
        if expected is not None:
            assert got == expected
        done = [frame for text in got for frame in parse_frames(text)]
        assert sorted(done) == sorted(made.step(name).frames)
        assert max(len(parse_frames(text)) for text in got) <= chunk
        assert len(got) <= 2 * len(made.step(name).chunks())
    assert tasks(by_name["fit"]) == tasks(by_name["check"]) == [""]


def test_chunk_sizes_can_be_changed_when_the_job_is_handed_over() -> None:
    made, _ = created(template(job()), PrepChunk="20", RenderChunk="7")
    by_name = {step.name: step for step in made.steps}
    assert tasks(by_name["prep"]) == ["1001-1020"]
    assert len(tasks(by_name["render"])) == 3


@pytest.mark.parametrize(
    "options",
    [{}, {"gpu": False}, {"cores": 8, "memory": "0"}, {"engine": (sys.executable, "-I", "-m", "vdp_engine")},
     {"frames": "1-99x2"}, {"name": ODD}, {"name": "x" * 200}, {"extra": (("priority", "9"),)}],
)  # fmt: skip
def test_openjd_check_passes(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(yaml.safe_dump(template(job(**options))), encoding="utf-8")
    done = openjd("check", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_step_waits_and_says_what_it_needs() -> None:
    told = template(job(cores=8, memory="32G", timeout=30))
    assert [step.get("dependencies") for step in told["steps"]] == [
        None, [{"dependsOn": "prep"}], [{"dependsOn": "fit"}], [{"dependsOn": "render"}],
    ]  # fmt: skip
    needs = [{one["name"]: one["min"] for one in step["hostRequirements"]["amounts"]} for step in told["steps"]]
    machine = {"amount.worker.vcpu": 8, "amount.worker.memory": 32 * 1024}
    assert needs == [machine, machine | {"amount.worker.gpu": 1}, machine, machine]
    for step in told["steps"]:
        run = step["script"]["actions"]["onRun"]
        assert run["timeout"] == 30 * 60
        assert run["cancelation"]["mode"] == "NOTIFY_THEN_TERMINATE"
        assert run["cancelation"]["notifyPeriodInSeconds"] >= 10
        assert run["args"][:4] == [step["name"], "{{Param.ShotFolder}}", "--progress", "openjd"]
    assert all("hostRequirements" not in step for step in template(job(gpu=False, memory="0"))["steps"])
    for one in told["parameterDefinitions"]:
        assert one["userInterface"]["label"] and one["description"]


def test_chunking_is_only_asked_of_engines_where_it_is_used() -> None:
    assert template(job())["extensions"] == _CHUNKING
    assert "extensions" not in template(job("1-99x2"))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"frames": "1-9999x2", "render_chunk": 4}, "--render-chunk"),
    ({"engine": ("vdp", "{{x}}")}, "--engine"),
    ({"engine": ("vdp", "a\nb")}, "control characters"),
    ({"engine": ("v" * 2000,)}, "1024"),
    ({"extra": (("pool", "a"),)}, "maxRetriesPerTask"),
]


@pytest.mark.parametrize(("options", "told"), REFUSED)
def test_what_the_specification_cannot_say_is_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        exporter("openjd").write([job(**options)], tmp_path)
    assert told in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_the_bundle_of_deadline_cloud(tmp_path: Path) -> None:
    make_demo(tmp_path, width=96, height=64, frames=5)
    plate = tmp_path / "plate"
    shot = Shot.create(str(plate / "demo.####.exr"), tmp_path / "out", frames="1001-1003", settings=Settings())
    made = job_of(shot, FarmOptions(extra=(("priority", "70"), ("targetTaskRunStatus", "SUSPENDED"))))
    assert parameter_values(made) == {
        "parameterValues": [
            {"name": "ShotFolder", "value": str(tmp_path / "out")},
            {"name": "deadline:priority", "value": 70},
            {"name": "deadline:targetTaskRunStatus", "value": "SUSPENDED"},
        ]
    }
    inputs = asset_references(made)["assetReferences"]["inputs"]["filenames"]
    assert inputs == [str(plate / f"demo.{frame}.exr") for frame in (1001, 1002, 1003)]
    written = exporter("openjd").write([made], tmp_path / "jobs")
    assert {path.name for path in written} >= {"template.yaml", "parameter_values.yaml", "asset_references.yaml"}
    assert all(path.is_file() for path in written)
    assert yaml.safe_load((tmp_path / "jobs/demo/template.yaml").read_text()) == template(made)


def test_path_mapping_rules_are_the_librarys_own() -> None:
    rules = path_mapping(job(path_map=(("/mnt", "/a"), ("/mnt/shows", "/b"))))["path_mapping_rules"]
    first, second = (sessions.PathMappingRule.from_dict(rule) for rule in rules)
    assert first.apply(path="/mnt/shows/x") == (True, "/b/x")
    assert second.apply(path="/mnt/x") == (True, "/a/x")


@dataclass
class Farm:
    """Runs a job as a farm would, by ``openjd.sessions``: a failed task stops the steps after its own, no sibling.

    Every task has a session of its own, as on another worker. The first try of ``fit`` is canceled.
    """

    progress: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    canceled: dict[str, int] = field(default_factory=dict)
    _task: str = ""
    _heard: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self, told: dict[str, Any], shot: Path, between: Callable[[str], None]) -> None:
        made, parameters = created(told, ShotFolder=str(shot))
        for step in made.steps:
            between(step.name)
            if any(self.failed_step(need.dependsOn) for need in step.dependencies or ()):
                return
            for values in self._task_values(step):
                self._task = f"{step.name} {values['Frames'].value}" if values else step.name
                for cancel in (True, False) if step.name == "fit" else (False,):
                    self._work(step, parameters, values, cancel)

    def _work(self, step: Any, parameters: Any, values: Any, cancel: bool) -> None:
        extensions = model.RevisionExtensions(
            spec_rev=model.SpecificationRevision.v2023_09, supported_extensions=_CHUNKING
        )
        self.progress[self._task] = []
        self._heard.clear()
        self._ended.clear()
        with sessions.Session(
            session_id=step.name, job_parameter_values=parameters, callback=self._hear, os_env_vars=_ENVIRONMENT,
            revision_extensions=extensions,
        ) as worker:  # fmt: skip
            worker.run_task(step_script=step.script, task_parameter_values=values)
            if cancel:
                assert self._heard.wait(_PATIENCE)
                worker.cancel_action()
            assert self._ended.wait(_PATIENCE)

    def failed_step(self, name: str) -> bool:
        return any(task.split()[0] == name for task in self.failed)

    @staticmethod
    def _task_values(step: Any) -> Iterator[Any]:
        if step.parameterSpace is None:
            return iter([{}])
        return iter(model.StepParameterSpaceIterator(space=step.parameterSpace))

    def _hear(self, _session: str, status: Any) -> None:
        if status.progress is not None:
            self.progress[self._task].append(status.progress)
            self._heard.set()
        if status.state == sessions.ActionState.CANCELED:
            self.canceled[self._task] = status.exit_code
        if status.state == sessions.ActionState.FAILED:
            self.failed[self._task] = f"{status.fail_message} ({status.exit_code})"
        if status.state != sessions.ActionState.RUNNING:
            self._ended.set()


def openjd(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openjd", *map(str, args)], capture_output=True, text=True, timeout=280,
        env=_ENVIRONMENT,
    )  # fmt: skip


def test_a_job_with_a_damaged_frame_then_mended_and_resumed_elsewhere(tmp_path: Path) -> None:
    make_demo(tmp_path / "demo", width=96, height=64, frames=4)
    plate = tmp_path / "p'late {{x}} $y"
    (tmp_path / "demo" / "plate").rename(plate)
    here = tmp_path / "here"
    out = here / ODD
    shot = Shot.create(str(plate / "demo.####.exr"), out, settings=Settings.parse(quality="draft"))
    shot.save()
    there = tmp_path / "there"
    options = FarmOptions(
        engine=_QUICK, gpu=False, prep_chunk=4, render_chunk=2, cores=1, memory="0",
        path_map=((str(here), str(there)),),
    )  # fmt: skip
    exporter("openjd").write([job_of(shot, options)], tmp_path / "jobs")
    path = tmp_path / "jobs" / "demo" / "template.yaml"

    damaged = plate / "demo.1003.exr"
    whole, stat = damaged.read_bytes(), damaged.stat()

    def damage(step: str) -> None:
        if step == "render":
            damaged.write_bytes(whole[: len(whole) // 2])
            os.utime(damaged, (0, 0))  # long enough ago not to be taken for a plate still being written

    farm = Farm()
    farm.run(yaml.safe_load(path.read_text(encoding="utf-8")), out, damage)

    assert farm.canceled == {"fit": 143}, "stopped by SIGTERM, well before SIGKILL"
    # the frame is named by every task that reads it (a clean plate looks at other frames), and check did not run
    assert "render 1003-1004" in farm.failed
    assert {task.split()[0] for task in farm.failed} == {"render"}
    for told in farm.failed.values():
        assert "frame 1003" in told and "plate.unreadable" in told and told.endswith("(2)")
    assert list(farm.progress) == ["prep 1001-1004", "fit", "render 1001-1002", "render 1003-1004"]
    assert 1003 not in frames_of(out)
    for task, values in farm.progress.items():
        assert values == sorted(values) and all(0 <= value <= 100 for value in values), task
        assert (task in farm.failed) == (100 not in values)
    assert len(set(farm.progress["fit"])) > 3

    # mended, and resumed by workers that know the folder under another name
    damaged.write_bytes(whole)
    os.utime(damaged, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    here.rename(there)
    out = there / ODD
    before = snapshot(out)
    done = openjd(
        "run", path, "--job-param", json.dumps({"ShotFolder": str(shot.out)}),
        "--path-mapping-rules", f"file://{path.with_name('path_mapping.json')}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    after = snapshot(out)
    assert {name: after[name] for name in before} == before, "what was done is not done again"
    added = {f"demo.{frame}.exr" for frame in shot.frames if f"demo.{frame}.exr" not in before}
    assert set(after) - set(before) == added | {"demo.report.json", "demo.sheet.png"}
    assert frames_of(out) == list(shot.frames)
    assert all(rebuilds(out / f"demo.{frame}.exr", plate / f"demo.{frame}.exr") for frame in shot.frames)
    assert not litter(out)
    assert done.stdout.count("openjd_progress: 100") == 5
    assert str(there) in done.stdout and str(here) not in done.stdout.replace(str(path), "")


def test_the_frames_of_every_task_are_told_as_vdp_reads_them() -> None:
    # `1-10:3` would be all ten frames to vdp, and four to Open Job Description.
    for frames, chunk, _ in CUT:
        for step in created(template(job(frames, prep_chunk=chunk, render_chunk=chunk)))[0].steps:
            assert not any(":" in text for text in tasks(step)), format_frames(parse_frames(frames))
