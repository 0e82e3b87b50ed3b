"""What is asked of the engine, where it is found, and what it is started in."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from nuke_vdp import engine
from nuke_vdp.engine import Request
from nuke_vdp.errors import EngineMissing

PLAIN = Request(plate="/p/sh.####.exr", out="/o/sh", name="sh", frames="1001-1010")
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and names")


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


# Requests


def test_a_plain_request_asks_for_nothing_but_the_shot() -> None:
    expected = "run /p/sh.####.exr --out /o/sh --name sh --frames 1001-1010 --progress json"
    assert PLAIN.arguments("run") == expected.split()


def test_every_setting_becomes_its_option() -> None:
    request = Request(
        plate="/p/sh.%04d.exr", out="/o/a b", name="", frames="", task="dehaze", layers="3", flow="vectors",
        flow_layer="motion", quality="final", device="cuda:1", seed=7, hints=("/h/1.####.exr", "/h/2.####.exr"),
        alpha="straight", bit_depth="float", plate_layer="diffuse", missing="hold", strength=0.5, airlight="1,1,0.9",
        transmission="rgb", gamma="1.5", exposure=-1.0, key_fill=0.75, protect=0.25,
    )  # fmt: skip
    expected = [
        "run", "/p/sh.%04d.exr", "--out", "/o/a b", "--task", "dehaze", "--layers", "3", "--flow", "vectors",
        "--flow-layer", "motion", "--quality", "final", "--seed", "7", "--alpha", "straight", "--bit-depth", "float",
        "--layer", "diffuse", "--missing", "hold", "--strength", "0.5", "--airlight", "1,1,0.9",
        "--transmission", "rgb", "--gamma", "1.5", "--exposure", "-1.0", "--key-fill", "0.75", "--protect", "0.25",
        "--hint", "/h/1.####.exr", "--hint", "/h/2.####.exr",
        "--device", "cuda:1", "--progress", "json",
    ]  # fmt: skip
    assert request.arguments("run") == expected


def test_the_controls_have_the_engines_defaults() -> None:
    settings = pytest.importorskip("vdp_engine.settings").Settings()
    names = ("strength", "transmission", "exposure", "key_fill", "protect", "alpha", "bit_depth", "quality", "seed")
    assert {name: getattr(PLAIN, name) for name in names} == {name: getattr(settings, name) for name in names}
    assert settings.airlight is None and settings.gamma is None


def test_a_switch_is_said_by_its_name_alone() -> None:
    request = Request(plate="/p/sh.####.exr", out="/o", name="", frames="", flow_refine=True)
    assert request.arguments() == ["run", "/p/sh.####.exr", "--out", "/o", "--flow-refine", "--progress", "json"]


def test_init_knows_of_no_device() -> None:
    request = Request(plate="/p/sh.####.exr", out="/o", name="", frames="", device="cpu")
    assert request.arguments("init") == ["init", "/p/sh.####.exr", "--out", "/o", "--progress", "json"]


def test_the_engine_understands_the_arguments() -> None:
    stages = pytest.importorskip("vdp_engine.cli.stages")
    request = Request(
        plate="/p/sh.####.exr", out="/o", name="sh", frames="-5-5", layers="3", flow="vectors", flow_layer="motion",
        quality="final", device="cuda:1", seed=7, hints=("/h/1.exr",), alpha="straight", bit_depth="float",
        plate_layer="diffuse", missing="hold", flow_refine=True,
    )  # fmt: skip
    for command in (stages.run, stages.init):
        values = command.make_context("vdp", request.arguments(command.name)[1:]).params
        assert values["frames"] == "-5-5" and values["layer"] == "diffuse" and values["hints"] == ("/h/1.exr",)
        assert values["plate"] == "/p/sh.####.exr" and values["progress"] == "json" and values["flow_refine"]


@pytest.mark.parametrize(
    ("name", "value"), [("device", "cpu"), ("out", "/elsewhere"), ("name", "other")]
)  # fmt: skip
def test_the_digest_leaves_out_what_does_not_change_the_layers(name: str, value: object) -> None:
    assert Request.from_dict({**PLAIN.as_dict(), name: value}).digest() == PLAIN.digest()


@pytest.mark.parametrize(
    ("name", "value"),
    [("plate", "/p/x.####.exr"), ("frames", "1001"), ("task", "dehaze"), ("layers", "3"), ("flow", "raft"),
     ("flow_layer", "m"), ("flow_refine", True), ("quality", "draft"), ("seed", 1), ("hints", ("/h.exr",)),
     ("alpha", "straight"), ("bit_depth", "float"), ("plate_layer", "d"), ("missing", "hold"), ("strength", 0.5),
     ("airlight", "1,1,1"), ("transmission", "rgb"), ("gamma", "2"), ("exposure", 1.0), ("key_fill", 0.5),
     ("protect", 0.5)],
)  # fmt: skip
def test_the_digest_holds_what_changes_the_layers(name: str, value: object) -> None:
    digest = Request.from_dict({**PLAIN.as_dict(), name: value}).digest()
    assert digest != PLAIN.digest() and len(digest) == 16 and int(digest, 16) >= 0


def test_digests_stay_as_they_are_in_saved_scripts() -> None:
    assert PLAIN.digest() == "fbe744dae4659ee6"


def test_a_request_survives_json_and_names_of_later_versions() -> None:
    request = Request(plate="/p/ü.####.exr", out="/o", name="", frames="", hints=("/h.exr",))
    assert Request.from_dict({**request.as_dict(), "hints": ["/h.exr"], "later": 1}) == request
    with pytest.raises(ValueError, match="not a request"):
        Request.from_dict({"plate": "/p"})


# Finding the engine


@posix
@pytest.mark.parametrize(
    ("there", "named"),
    [("install/vdp", "install/vdp"), ("install/vdp", "."), ("bin/vdp", "."), ("Scripts/vdp.exe", "."), ("vdp", "vdp")],
)
def test_vdp_engine_may_name_a_command_a_checkout_or_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str, named: str
) -> None:
    wanted = program(tmp_path / "a b" / there)
    monkeypatch.setenv("VDP_ENGINE", str(tmp_path / "a b" / named))
    assert engine.find() == (str(wanted),)


@posix
def test_a_wrong_vdp_engine_is_told_and_nothing_else_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDP_ENGINE", str(tmp_path / "gone"))
    with pytest.raises(EngineMissing, match=r"VDP_ENGINE is set to .*gone, which is not there\. It may be .*checkout"):
        engine.find()
    (tmp_path / "notes.txt").write_text("no program")
    for nothing in (tmp_path, tmp_path / "notes.txt"):
        monkeypatch.setenv("VDP_ENGINE", str(nothing))
        with pytest.raises(EngineMissing, match="which is no engine"):
            engine.find()


@posix
def test_without_vdp_engine_the_checkout_then_path_then_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VDP_ENGINE", raising=False)
    monkeypatch.setattr(engine, "__file__", str(tmp_path / "nuke_vdp" / "engine.py"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(EngineMissing, match=r"not installed on this machine.*docs/nuke\.md"):
        engine.find()
    on_path = program(tmp_path / "bin" / "vdp")
    assert engine.find() == (str(on_path),)
    beside = program(tmp_path / "install" / "vdp")
    assert engine.find() == (str(beside),)


def test_on_windows_a_checkout_is_started_by_the_python_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "install" / "bootstrap.py")
    python = program(tmp_path / "bin" / "python")
    monkeypatch.setattr(engine, "WINDOWS", True)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("VDP_ENGINE", str(tmp_path))
    assert engine.find() == (str(python), str(tmp_path / "install" / "bootstrap.py"))
    launcher = program(tmp_path / "bin" / "py")
    assert engine.find()[0] == str(launcher)


# The environment


def test_the_host_stays_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__",
                 "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "QT_PLUGIN_PATH", "QT_QPA_PLATFORM",
                 "NUKE_PATH", "NUKE_TEMP_DIR", "FN_DISABLE_X"):  # fmt: skip
        monkeypatch.setenv(name, "host")
    kept = ("OCIO", "VDP_ENV", "CUDA_VISIBLE_DEVICES", "HOME", "HTTPS_PROXY", "no_proxy", "TMPDIR")
    for name in kept:
        monkeypatch.setenv(name, "mine")
    environment = engine.environment()
    assert not {name for name, value in environment.items() if value == "host"}
    assert {environment[name] for name in kept} == {"mine"}
    assert environment["PATH"] == os.environ["PATH"]


def test_nukes_own_folder_is_taken_off_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nuke = tmp_path / "Nuke15.1v2"
    monkeypatch.setattr(sys, "executable", str(nuke / "Nuke15.1"))
    program(nuke / "vdp")
    outside = program(tmp_path / "Nuke15.1v2-tools" / "vdp")
    path = [str(nuke), str(nuke / "plugins") + os.sep, str(outside.parent), "/usr/bin"]
    monkeypatch.setenv("PATH", os.pathsep.join(path))
    assert engine.environment()["PATH"].split(os.pathsep) == path[2:]
    assert shutil.which("vdp") == str(nuke / "vdp")
    assert shutil.which("vdp", path=engine.environment()["PATH"]) == str(outside)
