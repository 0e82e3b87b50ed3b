"""``vdp farm``: what it takes, what it refuses before it writes anything, what it says."""

from __future__ import annotations

import json
import os
import shlex
import stat
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.e2e.command import snapshot
from vdp_engine.cli.commands import vdp
from vdp_engine.cli.farm import farm
from vdp_engine.demo import make_demo
from vdp_engine.farm import NAMES, exporter
from vdp_engine.shot import Shot


@pytest.fixture(autouse=True)
def _command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vdp.commands, "farm", farm)
    monkeypatch.delenv("VDP_FARM_ENGINE", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder, width=96, height=64, frames=6)
    for frame in (folder / "plate").iterdir():
        os.utime(frame, (0, 0))  # long complete: what is missing will not come
    return str(folder / "plate" / "demo.####.exr")


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(vdp, ["farm", *map(str, args)])


def template(folder: Path) -> dict[str, object]:
    return yaml.safe_load((folder / "template.yaml").read_text(encoding="utf-8"))


def arguments(folder: Path, step: str) -> list[str]:
    steps = {one["name"]: one for one in template(folder)["steps"]}  # type: ignore[attr-defined]
    return steps[step]["script"]["actions"]["onRun"]["args"]


def test_a_plate_becomes_a_shot_and_a_job(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call("openjd", plate, "--out", out, "--layers", "3", "--frames", "1001-1005", "--render-chunk", "2")
    assert done.exit_code == 0, done.stderr
    shot = Shot.load(out)
    assert (shot.frames, shot.settings.layers) == (tuple(range(1001, 1006)), 3)
    folder = out / ".vdp" / "farm" / "openjd"
    assert {path.name for path in (folder / "demo").iterdir()} == {
        "template.yaml", "parameter_values.yaml", "asset_references.yaml",
    }  # fmt: skip
    said = done.stdout.splitlines()
    assert said[0] == "demo: 6 tasks (prep 1, fit 1 on a GPU, render 3, check 1)"
    assert str(folder) in said[1] and "demo/template.yaml" in said[1]
    assert "Nothing was handed over" in done.stdout and "--submit" in done.stdout
    commands = [shlex.split(line) for line in said if line.startswith("  ")]
    assert ["deadline", "bundle", "submit", str(folder / "demo")] in commands
    assert not list(out.glob("*.exr")), "nothing is computed"


def test_a_folder_of_a_shot_keeps_its_settings(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("openjd", plate, "--out", out, "--quality", "draft", "--frames", "1001-1004x3").exit_code == 0
    before = (out / ".vdp" / "shot.json").stat()
    done = call("openjd", out, "--to", tmp_path / "jobs")
    assert done.exit_code == 0, done.stderr
    after = (out / ".vdp" / "shot.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert (tmp_path / "jobs" / "demo" / "template.yaml").is_file()
    assert call("openjd", out / ".vdp" / "shot.json", "--to", tmp_path / "same").exit_code == 0


def test_the_same_job_again_changes_no_file(plate: str, tmp_path: Path) -> None:
    args = ("openjd", plate, "--out", tmp_path / "out")
    assert call(*args).exit_code == 0
    before = snapshot(tmp_path)
    assert call(*args).exit_code == 0
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_every_engine_has_an_exporter(name: str, plate: str, tmp_path: Path) -> None:
    assert exporter(name).name == name
    done = call(name, plate, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert list((tmp_path / "out" / ".vdp" / "farm" / name / "demo").iterdir())


def test_options_of_the_job(plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = str(tmp_path / "there")
    done = call(
        "openjd", plate, "--out", tmp_path / "out", "--to", tmp_path / "jobs", "--no-gpu", "--cores", "4", "--memory",
        "8G", "--timeout", "7", "--engine", f"'{tmp_path}/my vdp' -x", "--path-map", f"{tmp_path}={there}",
        "--farm-option", "priority=70", "--farm-option", "maxRetriesPerTask=3",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    told = template(tmp_path / "jobs" / "demo")
    defaults = {one["name"]: one.get("default") for one in told["parameterDefinitions"]}  # type: ignore[attr-defined]
    assert defaults["Engine"] == f"{there}/my vdp"
    assert (defaults["Threads"], defaults["MaxMemory"]) == (4, "6144M")
    fit = next(one for one in told["steps"] if one["name"] == "fit")  # type: ignore[attr-defined]
    assert fit["script"]["actions"]["onRun"]["timeout"] == 7 * 60
    assert arguments(tmp_path / "jobs" / "demo", "fit")[:1] == ["-x"]
    assert "cpu" in arguments(tmp_path / "jobs" / "demo", "fit")
    assert {one["name"] for one in fit["hostRequirements"]["amounts"]} == {
        "amount.worker.vcpu", "amount.worker.memory",
    }  # fmt: skip
    values = yaml.safe_load((tmp_path / "jobs" / "demo" / "parameter_values.yaml").read_text())["parameterValues"]
    assert {"name": "deadline:priority", "value": 70} in values
    rules = json.loads((tmp_path / "jobs" / "demo" / "path_mapping.json").read_text())["path_mapping_rules"]
    assert rules == [{"source_path_format": "POSIX", "source_path": str(tmp_path), "destination_path": there}]

    monkeypatch.setenv("VDP_FARM_ENGINE", "/opt/vdp/bin/vdp")
    assert call("openjd", tmp_path / "out", "--to", tmp_path / "next").exit_code == 0
    defaults = {
        one["name"]: one.get("default")
        for one in template(tmp_path / "next" / "demo")["parameterDefinitions"]  # type: ignore[attr-defined]
    }
    assert defaults["Engine"] == "/opt/vdp/bin/vdp"


def test_paths_that_workers_may_not_find_are_told(plate: str, tmp_path: Path) -> None:
    args = ("openjd", plate, "--out", tmp_path / "out", "--path-map")
    elsewhere = call(*args, "/mnt/shows=P:/shows")
    assert elsewhere.exit_code == 0
    assert f"{tmp_path / 'out'} lies in none of the folders of --path-map" in elsewhere.stderr
    mapped = call(*args, f"{tmp_path}=P:/shows")
    assert mapped.exit_code == 0
    assert "--path-map" not in mapped.stderr
    both = call(*args, f"{Path(plate).anchor}=P:/", "--path-map", f"{tmp_path}=Q:/")
    assert f"the shot names {Path(plate).parent}" in both.stderr and "vdp init" in both.stderr


def test_a_manifest_gives_one_job_a_shot(plate: str, tmp_path: Path) -> None:
    manifest = tmp_path / "batch.yaml"
    shots = [
        {"plate": plate, "name": "a", "out": str(tmp_path / "a")},
        {"plate": plate, "name": "b", "out": str(tmp_path / "b"), "frames": "1001-1003"},
    ]
    manifest.write_text(yaml.safe_dump({"shots": shots}))
    done = call("openjd", "--manifest", manifest, "--to", tmp_path / "jobs")
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in (tmp_path / "jobs").iterdir() if path.is_dir()} == {"a", "b"}
    assert Shot.load(tmp_path / "b").frames == (1001, 1002, 1003)
    assert call("openjd", "--manifest", manifest).exit_code == 0
    for name in "ab":
        assert (tmp_path / name / ".vdp" / "farm" / "openjd" / name / "template.yaml").is_file()


def test_all_mistakes_of_a_manifest_are_told_before_anything_is_written(plate: str, tmp_path: Path) -> None:
    manifest = tmp_path / "batch.yaml"
    shots = [{"plate": plate, "name": "a", "out": str(tmp_path / "a")}, {"plate": "nowhere.####.exr"}, {"plat": plate}]
    manifest.write_text(yaml.safe_dump({"shots": shots}))
    done = call("openjd", "--manifest", manifest, "--to", tmp_path / "jobs")
    assert done.exit_code == 2
    assert "nowhere" in done.stderr and "plat" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["batch.yaml"]


REFUSED = [
    (["openjd"], "neither a PLATE nor a --manifest"),
    (["openjd", "{plate}"], "needs --out"),
    (["openjd", "nowhere.####.exr", "--out", "{tmp}/out"], "no such plate"),
    (["openjd", "{plate}", "--out", "{tmp}/out", "--frames", "1001-1009"], "1007"),
    (["openjd", "{plate}", "--out", "{tmp}/out", "--farm-option", "pool"], "--farm-option"),
    (["openjd", "{plate}", "--out", "{tmp}/out", "--farm-option", "pool=a"], "maxRetriesPerTask"),
    (["openjd", "{plate}", "--out", "{tmp}/out", "--path-map", "/a"], "--path-map"),
    (["openjd", "{plate}", "--out", "{tmp}/out", "--path-map", "shows=/a"], "whole paths"),
    (["openjd", "{plate}", "--out", "{tmp}/out", "--memory", "lots"], "lots"),
    (["openjd", "{plate}", "--out", "{tmp}/out", "--engine", "'vdp"], "cannot be read"),
    (["openjd", "{plate}", "--out", "{tmp}/out", "--engine", "vdp {{{{x}}}}"], "--engine PATH"),
    (["openjd", "{plate}", "--out", "{tmp}/out", "--prep-chunk", "0"], "--prep-chunk"),
    (["openjd", "{plate}", "--manifest", "{tmp}/b.yaml", "--seed", "1"], "PLATE, --seed"),
    (["lsf", "{plate}", "--out", "{tmp}/out"], "slurm"),
]


@pytest.mark.parametrize(("args", "told"), REFUSED)
def test_refused_before_a_job_is_written(args: list[str], told: str, plate: str, tmp_path: Path) -> None:
    done = call(*(arg.format(plate=plate, tmp=tmp_path) for arg in args))
    assert done.exit_code == 2, done.output
    assert told in done.stderr
    assert not list(tmp_path.rglob("template.yaml"))


def test_a_shot_takes_no_settings(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("openjd", plate, "--out", out).exit_code == 0
    done = call("openjd", out, "--quality", "draft", "--hint", "a.png", "--out", tmp_path, "--fresh")
    assert done.exit_code == 2
    for flag in ("--quality", "--hint", "--out", "--fresh"):
        assert flag in done.stderr


def test_a_shot_whose_plate_is_broken_is_told_at_once(tmp_path: Path) -> None:
    make_demo(tmp_path, width=96, height=64, frames=4)
    out = tmp_path / "out"
    assert call("openjd", tmp_path / "plate", "--out", out, "--to", tmp_path / "one").exit_code == 0
    (tmp_path / "plate" / "demo.1002.exr").unlink()
    done = call("openjd", out, "--to", tmp_path / "two")
    assert done.exit_code == 2
    assert "1002" in done.stderr
    assert not (tmp_path / "two").exists()


def test_fresh_removes_nothing_where_the_job_is_refused(plate: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("openjd", plate, "--out", out).exit_code == 0
    (out / ".vdp" / "model.safetensors").touch()
    refused = call("openjd", plate, "--out", out, "--fresh", "--farm-option", "pool=a")
    assert refused.exit_code == 2
    assert (out / ".vdp" / "model.safetensors").exists()
    assert call("openjd", plate, "--out", out, "--fresh").exit_code == 0
    assert not (out / ".vdp" / "model.safetensors").exists()


def test_submit_hands_the_job_over_and_says_last_what_the_farm_said(
    plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = f"job-{'0' * 31}7"
    farm_command(tmp_path, f"print('Uploading'); print('Job ID: {number}'); print('done')")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = call("openjd", plate, "--out", tmp_path / "out", "--submit")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"demo: {number}"
    bundle = tmp_path / "out" / ".vdp" / "farm" / "openjd" / "demo"
    assert json.loads((tmp_path / "called.json").read_text()) == ["bundle", "submit", "--yes", str(bundle)]
    assert "Nothing was handed over" not in done.stdout


def test_what_the_farm_refuses_is_told(plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    farm_command(tmp_path, "print('not logged in', file=sys.stderr); sys.exit(3)")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = call("openjd", plate, "--out", tmp_path / "out", "--submit")
    assert done.exit_code == 1
    assert "Deadline Cloud refused demo: not logged in" in done.stderr


def test_a_farm_that_this_machine_does_not_have(plate: str, tmp_path: Path) -> None:
    done = call("openjd", plate, "--out", tmp_path / "out", "--submit")
    assert done.exit_code == 2
    assert "no command `deadline`" in done.stderr and "pip install deadline" in done.stderr


def test_json_for_programs(plate: str, tmp_path: Path) -> None:
    done = call("openjd", plate, "--out", tmp_path / "out", "--progress", "json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    result = next(event for event in events if event["event"] == "result")
    assert Path(result["shot"]) == tmp_path / "out" / ".vdp" / "shot.json"
    assert (Path(result["job"]) / "template.yaml").is_file()


def farm_command(folder: Path, deed: str) -> None:
    """A ``deadline`` that notes its arguments, then does ``deed``."""
    script = folder / "bin" / "deadline"
    script.parent.mkdir()
    note = f"import json, sys; json.dump(sys.argv[1:], open({str(folder / 'called.json')!r}, 'w'))"
    script.write_text(f"#!{sys.executable}\n{note}; {deed}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
