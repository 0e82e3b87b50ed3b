"""The stages of a shot as tasks: who waits for whom, which frames, which argument list, for which machine."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import vdp_engine
from vdp_engine.errors import UsageError
from vdp_engine.farm import NAMES, FarmOptions, Job, exporters, job_of
from vdp_engine.farm.options import default_engine, split_command
from vdp_engine.plate import parse_frames
from vdp_engine.settings import Settings
from vdp_engine.shot import Shot


def job(frames: str = "1001-1030", out: str = "/shows/a/out", hints: tuple[str, ...] = (), **options: object) -> Job:
    shot = Shot(Path(out), "demo", "/shows/a/plate/demo.#.exr", parse_frames(frames), Settings(hints=hints))
    return job_of(shot, FarmOptions(**{"engine": ("vdp",)} | options))  # type: ignore[arg-type]


def test_each_step_waits_for_the_one_before() -> None:
    made = job()
    assert [(step.name, step.needs) for step in made.steps] == [
        ("prep", ()), ("fit", ("prep",)), ("render", ("fit",)), ("check", ("render",)),
    ]  # fmt: skip
    assert (made.name, made.shot) == ("demo", Path("/shows/a/out"))


@pytest.mark.parametrize(
    ("frames", "chunk", "chunks"),
    [
        ("1001-1004", 2, ["1001,1002", "1003,1004"]),
        ("1001-1005", 2, ["1001,1002", "1003,1004", "1005"]),
        ("1001-1005", 99, ["1001-1005"]),
        ("1-9x2", 2, ["1,3", "5,7", "9"]),
        ("1-3,10-12", 4, ["1-3,10", "11,12"]),
        ("-4-2", 3, ["-4--2", "-1-1", "2"]),
        ("7", 1, ["7"]),
    ],
)
def test_chunks(frames: str, chunk: int, chunks: list[str]) -> None:
    for step in (job(frames, prep_chunk=chunk).step("prep"), job(frames, render_chunk=chunk).step("render")):
        assert list(step.chunks()) == [parse_frames(text) for text in chunks]
        asked = [command[command.index("--frames") + 1] for command in step.commands()]
        assert [parse_frames(text) for text in asked] == [parse_frames(text) for text in chunks]


def test_fit_and_check_are_one_task_without_frames() -> None:
    for name in ("fit", "check"):
        step = job().step(name)
        assert (step.frames, step.chunk, step.chunks()) == ((), 0, ((),))
        assert [("--frames" in command) for command in step.commands()] == [False]


def test_the_argument_list() -> None:
    made = job(frames="1001-1010", engine=("/opt/my vdp", "-x"), cores=4, memory="8G", timeout=9)
    assert made.step("render").commands() == (
        ("/opt/my vdp", "-x", "render", "/shows/a/out", "--progress", "plain", "--threads", "4", "--device", "cpu",
         "--max-memory", "6144M", "--frames", "1001-1010"),
    )  # fmt: skip
    assert made.with_progress("openjd").step("fit").command() == (
        "/opt/my vdp", "-x", "fit", "/shows/a/out", "--progress", "openjd", "--threads", "4", "--device", "cuda",
        "--max-memory", "6144M",
    )  # fmt: skip
    assert made.step("check").minutes == 9
    plain = job(memory="0").step("prep")
    assert (plain.memory_mb, plain.cores) == (0, 0)
    assert not {"--threads", "--max-memory"} & set(plain.command())


def test_only_fit_asks_for_a_gpu_and_nothing_computes_where_it_was_not_meant_to() -> None:
    asked = {step.name: (step.gpu, step.command()[-3]) for step in job(memory="0", frames="1").steps}
    assert [name for name, (gpu, _) in asked.items() if gpu] == ["fit"]
    for gpu in (True, False):
        for step in job(gpu=gpu).steps:
            command = step.command()
            device = command[command.index("--device") + 1]
            assert device == ("cuda" if step.gpu else "cpu")
            assert step.gpu == (gpu and step.name == "fit")


def test_every_command_is_one_that_vdp_takes() -> None:
    from vdp_engine.cli.commands import vdp

    for step in job(frames="-5-5", cores=2).steps:
        for command in step.commands():
            context = vdp.commands[command[1]].make_context(command[1], list(command[2:]))
            assert context.params["place"] == "/shows/a/out"
            assert context.params["threads"] == 2
            if step.frames:
                assert set(parse_frames(context.params["frames"])) <= set(step.frames)


def test_what_the_tasks_read() -> None:
    hints = ("/shows/a/rough.#.png",)
    assert job(hints=hints).reads == ("/shows/a/plate/demo.#.exr", *hints)


MAPS = [
    ((("/mnt/shows", "P:/shows"),), "/mnt/shows/a b/c", "P:/shows/a b/c"),
    ((("/mnt/shows", "P:/shows"),), "/mnt/shows", "P:/shows"),
    ((("/mnt/shows/", "P:/shows/"),), "/mnt/shows/a", "P:/shows/a"),
    ((("/mnt/shows", "P:/shows"),), "/mnt/shows2/a", "/mnt/shows2/a"),
    ((("/mnt/shows", "P:/shows"),), "vdp", "vdp"),
    ((("/mnt/shows", "P:\\shows"),), "/mnt/shows/a/b", "P:\\shows\\a\\b"),
    ((("/mnt", "P:/"), ("/mnt/shows", "Q:/s")), "/mnt/shows/a", "Q:/s/a"),
    ((("/mnt/shows", "Q:/s"), ("/mnt", "P:/")), "/mnt/other/a", "P:/other/a"),
    ((("P:/Shows", "/mnt/shows"),), "p:\\shows\\A\\b", "/mnt/shows/A/b"),
    ((("P:\\Shows", "/mnt/shows"),), "P:/Shows/A", "/mnt/shows/A"),
    ((("\\\\server\\shows", "/mnt/shows"),), "\\\\SERVER\\shows\\A", "/mnt/shows/A"),
    ((("/Mnt", "/x"),), "/mnt/a", "/mnt/a"),
    ((("/mnt", "/x"),), "/mnt/a\\b", "/x/a\\b"),
    ((("/", "Z:/"),), "/mnt/a", "Z:/mnt/a"),
    ((("/mnt/shows", "/"),), "/mnt/shows/a", "/a"),
]


@pytest.mark.parametrize(("rules", "here", "there"), MAPS)
def test_path_mapping(rules: tuple[tuple[str, str], ...], here: str, there: str) -> None:
    assert FarmOptions(path_map=rules).mapped(here) == there


def test_every_path_of_the_job_is_mapped() -> None:
    made = job(out="/mnt/shows/a/out", engine=("/mnt/shows/bin/vdp", "-x"), path_map=(("/mnt/shows", "P:/shows"),))
    assert made.shot == Path("/mnt/shows/a/out"), "this machine's own"
    for step in made.steps:
        assert step.command()[:4] == ("P:/shows/bin/vdp", "-x", step.name, "P:/shows/a/out")


def test_the_engine_is_this_very_one_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VDP_FARM_ENGINE", raising=False)
    assert FarmOptions().engine == (sys.executable, "-I", "-m", "vdp_engine")
    monkeypatch.setenv("VDP_FARM_ENGINE", "'/opt/my vdp/bin/vdp' --x $HOME")
    assert FarmOptions().engine == ("/opt/my vdp/bin/vdp", "--x", "$HOME")


@pytest.mark.parametrize("text", ["'vdp", "", "  "])
def test_commands_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        split_command(text)
    assert refused.value.code == "usage.farm_engine"


def test_options_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="lots"):
        FarmOptions(memory="lots")
    for name in ("prep_chunk", "render_chunk", "timeout"):
        with pytest.raises(ValueError, match=name):
            FarmOptions(**{name: 0})


def test_the_exporters() -> None:
    assert tuple(exporters()) == NAMES
    for name, one in exporters().items():
        assert one.name == name and re.fullmatch("[a-z]+", name)


def test_the_help_does_not_wait_for_image_libraries() -> None:
    import subprocess

    code = "import sys, vdp_engine.farm; sys.exit(any(name in sys.modules for name in ('cv2', 'torch', 'OpenImageIO')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


@pytest.mark.parametrize("found_by_path", [False, True])
def test_the_default_engine_is_this_one_also_where_pythonpath_found_it(
    found_by_path: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VDP_FARM_ENGINE", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(vdp_engine.__file__).parents[1]) if found_by_path else "/elsewhere")
    monkeypatch.setattr(sys, "flags", SimpleNamespace(isolated=0))
    assert ("-I" in default_engine()) is not found_by_path
