"""OpenCue's job: against its document type, against pyoutline, as workers run it, handed to a stand-in for Cuebot."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.e2e import command
from tests.farm import sample
from vdp_engine.demo import make_demo
from vdp_engine.errors import UsageError, VdpError
from vdp_engine.farm import Job, launcher, opencue, tables
from vdp_engine.plate import parse_frames
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot

_EXTRA = (
    ("show", "ab"), ("shot", "sh010"), ("user", "joe"), ("uid", "1001"), ("priority", "7"), ("facility", "local"),
    ("tags", "general, linux"), ("fit.tags", "gpu_pool"), ("fit.gpu_memory", "8g"), ("render.limits", "exr,disk"),
    ("service", "vdp"),
)  # fmt: skip

# What cjsl 1.12 lets stand in each element: the names of the children, each followed by a blank. Others hold text only.
_CONTENT = {
    "spec": r"(facility )?(dept )?show shot user (email )?(uid )?(job )*(depends )*",
    "job": r"(paused )?(priority )?(maxretries )?(autoeat )?(localbook )?(os )?(env )*(layers )?",
    "layers": r"(layer )+",
    "layer": r"cmd range chunk (cores )?(threadable )?(memory )?(gpus )?(gpu )?(gpu_memory )?(timeout )?(timeout_llu )?"
    r"(tags )?(limits )?(env )*(services )?",
    "limits": r"(limit )+",
    "services": r"(service )+",
    "env": r"(key )*",
    "depends": r"(depend )*",
    "depend": r"depjob (deplayer )?(depframe )?onjob (onlayer )?(onframe )?",
}
_ATTRIBUTES = {
    "job": {"name": r"[\w.:-]+"},
    "layer": {"name": r"[\w.:-]+", "type": "Render|Util|Post"},
    "key": {"name": r"[\w.:-]+"},
    "depend": {"anyframe": r"\w+", "type": r"LAYER_ON_LAYER|FRAME_BY_FRAME|PREVIOUS_FRAME|JOB_ON_JOB"},
}


def _job(**options: Any) -> Job:
    return sample.job(**({"extra": _EXTRA} | options))


def _invalid(element: ElementTree.Element) -> list[str]:
    """What the document type forbids in an element and below."""
    names = "".join(f"{child.tag} " for child in element)
    rules = _ATTRIBUTES.get(element.tag, {})
    found = [] if re.fullmatch(_CONTENT.get(element.tag, ""), names) else [f"<{element.tag}> holds {names}"]
    if element.tag in _CONTENT and (element.text or "").strip():
        found.append(f"<{element.tag}> holds text")
    if element.attrib.keys() != rules.keys() or not all(
        re.fullmatch(rule, element.attrib[name], re.ASCII) for name, rule in rules.items()
    ):
        found.append(f"<{element.tag}> has {element.attrib}")
    return found + [fault for child in element for fault in _invalid(child)]


def _frames(layer: ElementTree.Element) -> tuple[int, ...]:
    file_sequence = pytest.importorskip("FileSequence", reason="opencue-pyoutline brings it")
    return tuple(file_sequence.FrameSet(layer.findtext("range")).getAll())


def _tree(element: ElementTree.Element) -> Any:
    """An element without blanks between elements, and without elements that say nothing."""
    below = [_tree(child) for child in element]
    return element.tag, dict(element.attrib), (element.text or "").strip(), [one for one in below if any(one[1:])]


def test_files_are_the_golden_ones() -> None:
    job, place = _job(cores=4), "/shows/ab/sh010/vdp/.vdp/farm/opencue/sh010/launcher.py"
    assert sample.same_as_golden(opencue.specification(job, place), "opencue/job.xml")
    assert sample.same_as_golden(opencue.outline(job, place), "opencue/job.outline")


@pytest.mark.parametrize(
    "options",
    [{}, {"cores": 4}, {"extra": ()}, {"gpu": False, "memory": "0"}, {"frames": (-3, -1, 5)}, {"name": "naïve 'x'"}],
    ids=str,
)
def test_specification_is_of_its_document_type(options: dict[str, Any]) -> None:
    spec = opencue.specification(_job(**options), "/a b/<&\"'>/launcher.py")
    assert spec.splitlines()[1].endswith('"http://localhost:8080/spcue/dtd/cjsl-1.12.dtd">')
    root = ElementTree.fromstring(spec)
    assert _invalid(root) == []
    # What Cuebot asks for beyond that: names of three characters at least, and words that it does not change.
    names = [root.findtext("shot"), *(tag.get("name") for tag in root.iter() if tag.tag in ("job", "layer"))]
    assert all(name and re.fullmatch(r"[a-z0-9_.]{3,}", name) for name in names)


def test_the_checker_sees_what_is_wrong() -> None:
    good = opencue.specification(_job(), "/launcher.py")
    for before, after in (
        ("<chunk>1</chunk>", ""), ("<gpus>1</gpus>", "<gpus>1</gpus><gpus>1</gpus>"), ('type="Render"', 'type="None"'),
        ("<env>", "<env>x"), ('name="vdp_sh010"', 'name="vdp sh010"'), ("<depjob>", "<onjob>x</onjob><depjob>"),
    ):  # fmt: skip
        assert _invalid(ElementTree.fromstring(good.replace(before, after))), before


@pytest.mark.parametrize("options", [{"cores": 4}, {"gpu": False}, {"frames": (1, 2, 5, 9)}], ids=str)
def test_pyoutline_makes_the_same_specification(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    outline = pytest.importorskip("outline", reason="opencue-pyoutline is not installed")
    from outline.backend.cue import serialize_simple
    from outline.cuerun import OutlineLauncher

    job = _job(**options)
    outline.config.set("outline", "spec_version", "1.12")
    opencue.EXPORTER.write([job], tmp_path)
    script = tmp_path / "sh010" / "job.outline"
    flags = {"show": "ab", "shot": "sh010", "user": "joe", "nomail": True, "priority": "7", "maxretries": "1"}
    start = OutlineLauncher(outline.load_outline(str(script)), **flags)
    start.set_flag("facility", "local")
    theirs = ElementTree.fromstring(serialize_simple(start))
    ours = ElementTree.fromstring((tmp_path / "sh010" / "job.xml").read_text())
    for spec in (ours, theirs):
        spec.find("uid").text = "1001"  # type: ignore[union-attr]  # of whoever runs the tests
    assert _tree(theirs) == _tree(ours)


@pytest.mark.parametrize(
    "frames",
    [range(1001, 1013), range(1001, 1040, 2), (1, 2, 3, 10, 11, 50), range(-5, 6), (7,), range(999_990, 1_000_010)],
    ids=str,
)
def test_tasks_work_on_each_frame_once(frames: Any, tmp_path: Path) -> None:
    opencue.EXPORTER.write([_job(frames=frames)], tmp_path)
    table = json.loads((tmp_path / "sh010" / tables.TASKS).read_text())
    for layer in ElementTree.parse(tmp_path / "sh010" / "job.xml").iter("layer"):
        numbers = _frames(layer)
        assert min(numbers) >= 0 and max(numbers) <= 999_999 and layer.findtext("chunk") == "1"
        words = [table[layer.get("name")][str(number)] for number in numbers]
        if layer.get("name") in ("prep", "render"):
            worked = [parse_frames(arguments[arguments.index("--frames") + 1]) for arguments in words]
            assert [frame for chunk in worked for frame in chunk] == list(frames)
        else:
            assert len(words) == 1 and "--frames" not in words[0]


def test_frames_are_called_by_their_first_frame_of_the_plate() -> None:
    spec = ElementTree.fromstring(opencue.specification(_job(frames=range(1001, 1013)), "/launcher.py"))
    assert [layer.findtext("range") for layer in spec.iter("layer")] == ["1001-1011x5", "1", "1001-1009x4", "1"]


class _Farm:
    """Runs the frames of a written job as Cuebot deals them out and RQD starts them."""

    def __init__(self, spec: Path, temporary: Path) -> None:
        self.root = ElementTree.parse(spec).getroot()
        self.temporary = temporary
        keys = {key.get("name", ""): (key.text or "").strip() for key in self.root.iterfind("job/env/key")}
        self.environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **keys}

    def start(self, layer: str, number: int) -> subprocess.Popen[str]:
        """Start a frame: its command in a file that a shell reads, in a process group of its own."""
        tag = self.root.find(f"job/layers/layer[@name='{layer}']")
        assert tag is not None
        text = (tag.findtext("cmd") or "").strip()
        tokens = {"#IFRAME#": str(number), "#LAYER#": layer, "#JOB#": "changed", "#FRAMESPEC#": "changed"}
        for token, value in tokens.items():
            text = text.replace(token, value)
        file = self.temporary / f"rqd-cmd-{layer}-{number}"
        file.write_text(text, encoding="utf-8")
        return subprocess.Popen(
            ["/bin/sh", str(file)], env=self.environment, cwd=self.temporary, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True,
        )  # fmt: skip

    def layers(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The layers in an order that their dependencies allow, each with the numbers of its frames."""
        needs: dict[str, set[str]] = {layer.get("name", ""): set() for layer in self.root.iter("layer")}
        for depend in self.root.iterfind("depends/depend"):
            assert depend.get("type") == "LAYER_ON_LAYER"
            needs[depend.findtext("deplayer") or ""].add(depend.findtext("onlayer") or "")
        ranges = {layer.get("name", ""): _frames(layer) for layer in self.root.iter("layer")}
        while needs:
            # The last that may run, not the first: the order of the file is not to matter.
            ready = next(name for name in reversed(list(needs)) if not needs[name] & needs.keys())
            del needs[ready]
            yield ready, ranges[ready]


def test_nasty_names_reach_the_engine_as_they_are(tmp_path: Path) -> None:
    nasty = [name.strip() for name in sample.NASTY]
    folder = tmp_path.joinpath(*nasty)
    engine = (sys.executable, "-c", "import sys; print(sys.argv[1:])", *sample.NASTY)
    job = _job(place=folder / "vdp", engine=engine, name="it's {a} $b")
    plain = _job()
    opencue.EXPORTER.write([job], folder)
    farm = _Farm(folder / job.name / "job.xml", tmp_path)
    done = farm.start("render", 1005)
    said, wrong = done.communicate(timeout=60)
    assert said.strip() == str(list(job.step("render").commands()[1][3:])), wrong
    for one, other in zip(_commands(job), _commands(plain), strict=True):
        assert one.replace(sys.executable, "/opt/vdp/bin/python") == other


def _commands(job: Job) -> list[str]:
    return [cmd.text or "" for cmd in ElementTree.fromstring(opencue.specification(job, "/x")).iter("cmd")]


def test_a_fit_that_is_killed_goes_on_and_ends_as_an_undisturbed_run(tmp_path: Path) -> None:
    make_demo(tmp_path, width=96, height=64, frames=3)
    plate, out, plain = str(tmp_path / "plate" / "demo.####.exr"), tmp_path / "out", tmp_path / "plain"
    steps = 3
    quick = (sys.executable, str(Path(command.__file__).with_name("quick_vdp.py")), str(steps))
    Shot.create(plate, out, settings=Settings(quality="draft")).save()
    job = _job(place=out, name="demo", frames=range(1001, 1004), engine=quick, gpu=False, cores=1, memory="0",
               prep_chunk=3, render_chunk=2)  # fmt: skip
    opencue.EXPORTER.write([job], tmp_path / "farm")
    farm = _Farm(tmp_path / "farm" / "demo" / "job.xml", tmp_path)
    with ThreadPoolExecutor(1) as pool:
        undisturbed = pool.submit(command.run, plate, plain, steps=steps)
        for layer, numbers in farm.layers():
            if layer == "fit":
                _kill_when_there_is(out / ".vdp" / "checkpoint.safetensors", farm.start("fit", 1))
                assert not (out / ".vdp" / "model.safetensors").exists()
            tasks = [farm.start(layer, number) for number in numbers]
            for task in tasks:
                said, wrong = task.communicate(timeout=100)
                assert task.returncode == 0, said + wrong
                assert "Progress: 100%" in said and "\r" not in said + wrong
        wait([undisturbed])
        undisturbed.result()
    assert command.frames_of(out) == [1001, 1002, 1003]
    assert command.same_pixels(out, plain)
    assert command.litter(out) == set()
    assert (out / "demo.report.json").exists()


def _kill_when_there_is(file: Path, task: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not file.exists():
        assert task.poll() is None and time.monotonic() < deadline, task.communicate()
        time.sleep(0.01)
    os.killpg(task.pid, signal.SIGKILL)
    task.communicate()
    assert task.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "given, seen",
    [
        ({}, None),
        ({"CUE_GPU_CORES": ""}, None),
        ({"CUE_GPU_CORES": "2,3"}, "2,3"),
        ({"CUE_GPU_CORES": "2", "CUDA_VISIBLE_DEVICES": "5"}, "5"),
    ],
)
def test_only_the_booked_gpus_are_seen(given: dict[str, str], seen: str | None) -> None:
    assert launcher.environment(given).get("CUDA_VISIBLE_DEVICES") == seen


def test_launcher_tells_what_is_missing(tmp_path: Path) -> None:
    opencue.EXPORTER.write([_job(engine=("/nowhere/vdp",))], tmp_path)
    start = [sys.executable, str(tmp_path / "sh010" / tables.LAUNCHER)]
    done = [subprocess.run([*start, "fit", number], capture_output=True, text=True) for number in ("0001", "2")]
    assert [(one.returncode, one.stderr.split(" in ")[0].strip()) for one in done] == [
        (127, "launcher: cannot start /nowhere/vdp: No such file or directory"), (2, "launcher: no task fit 2"),
    ]  # fmt: skip


def test_names_of_jobs_stay_apart() -> None:
    assert [opencue.job_name(name) for name in ("sh010", "SH010.v2", "x")] == ["vdp_sh010", "vdp_sh010.v2", "vdp_x"]
    odd = [opencue.job_name(name) for name in ("a b", "a-b", "夜", "昼", "")]
    assert len(set(odd)) == len(odd) and all(re.fullmatch(r"[a-z0-9_.]{3,}", name) for name in odd)


@pytest.fixture
def cuebot(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A stand-in for Cuebot that takes jobs; the specifications that it was handed."""
    grpc = pytest.importorskip("grpc", reason="opencue-pycue is not installed")
    pytest.importorskip("opencue", reason="opencue-pycue is not installed")
    from opencue.cuebot import Cuebot
    from opencue_proto import cue_pb2, cue_pb2_grpc, job_pb2, job_pb2_grpc

    handed: list[str] = []

    class Alive(cue_pb2_grpc.CueInterfaceServicer):
        def GetSystemStats(self, request: Any, context: Any) -> Any:
            return cue_pb2.CueGetSystemStatsResponse()

    class Jobs(job_pb2_grpc.JobInterfaceServicer):
        def LaunchSpecAndWait(self, request: Any, context: Any) -> Any:
            name = ElementTree.fromstring(request.spec).find("job").get("name")  # type: ignore[union-attr]
            if name == "vdp_bad":
                context.abort(grpc.StatusCode.INTERNAL, "Failed to launch: the show ab is not known")
            handed.append(request.spec)
            job = job_pb2.Job(name=f"ab-sh010-joe_{name}")
            return job_pb2.JobLaunchSpecAndWaitResponse(jobs=job_pb2.JobSeq(jobs=[job]))

    server = grpc.server(ThreadPoolExecutor(2))
    job_pb2_grpc.add_JobInterfaceServicer_to_server(Jobs(), server)
    cue_pb2_grpc.add_CueInterfaceServicer_to_server(Alive(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("CUEBOT_HOSTS", f"127.0.0.1:{port}")
    for name, unused in (("RpcChannel", None), ("Hosts", []), ("Stubs", {})):
        monkeypatch.setattr(Cuebot, name, unused)
    yield handed
    server.stop(0)


def test_submit_hands_every_job_to_cuebot(tmp_path: Path, cuebot: list[str]) -> None:
    opencue.EXPORTER.write([_job(name="one"), _job(name="naïve {夜}")], tmp_path)
    said = opencue.EXPORTER.submit(tmp_path).splitlines()
    assert said == [f"ab-sh010-joe_{opencue.job_name(name)}" for name in ("one", "naïve {夜}")]
    assert cuebot == [(tmp_path / name / "job.xml").read_text(encoding="utf-8") for name in ("one", "naïve {夜}")]
    opencue.EXPORTER.write([_job(name="one"), _job(name="bad")], tmp_path)
    with pytest.raises(VdpError, match=r"refused bad.*show ab is not known.*already handed over: .*vdp_one"):
        opencue.EXPORTER.submit(tmp_path)


def test_submit_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opencue.EXPORTER.write([_job()], tmp_path)
    monkeypatch.delenv("CUEBOT_HOSTS", raising=False)
    with pytest.raises(VdpError, match="set CUEBOT_HOSTS"):
        opencue.EXPORTER.submit(tmp_path)
    monkeypatch.setenv("CUEBOT_HOSTS", "cuebot.studio:8443")
    monkeypatch.setitem(sys.modules, "opencue.api", None)
    with pytest.raises(VdpError, match="pycue is not installed"):
        opencue.EXPORTER.submit(tmp_path)
    opencue.EXPORTER.write([_job(extra=(("user", "root"),))], tmp_path)
    with pytest.raises(UsageError, match="no jobs of root"):
        opencue.EXPORTER.submit(tmp_path)


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"extra": (("pool", "gpu"),)}, "no farm option pool"),
        ({"place": "/shows/a", "extra": (("tags", "a\x07b"),)}, "control characters"),
        ({"engine": ("/opt/`id`/python3",)}, "cannot start tasks"),
    ],
)
def test_what_cannot_be_said_is_refused_before_anything_is_written(
    options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=reason):
        opencue.EXPORTER.write([_job(name="good"), _job(**options)], tmp_path)
    assert not list(tmp_path.iterdir())


def test_workers_of_another_platform_find_the_launcher(tmp_path: Path) -> None:
    mapped = ((str(tmp_path), "P:\\shows"), ("/opt/vdp", "C:\\Program Files\\vdp"))
    job = _job(path_map=mapped)
    opencue.EXPORTER.write([job], tmp_path / "farm")
    root = ElementTree.parse(tmp_path / "farm" / "sh010" / "job.xml").getroot()
    assert root.findtext("job/env/key") == "P:\\shows\\farm\\sh010\\launcher.py"
    assert all((tag.text or "").startswith('"C:\\Program Files\\vdp\\bin\\python" -I -c') for tag in root.iter("cmd"))
