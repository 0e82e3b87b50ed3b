"""``vdp doctor``: what it finds, and when it says that something is wrong."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vdp_engine import diagnosis, machine
from vdp_engine.cli.commands import vdp
from vdp_engine.diagnosis import Finding


def findings() -> dict[str, Finding]:
    return {finding.name: finding for finding in map(diagnosis.examined, diagnosis.CHECKS)}


def only(monkeypatch: pytest.MonkeyPatch, *found: Finding) -> None:
    monkeypatch.setattr(diagnosis, "CHECKS", tuple(lambda one=one: one for one in found))


def test_this_machine_is_fit_for_work() -> None:
    found = findings()
    assert set(found) == {
        "engine", "python", "packages", "device", "threads", "memory", "disk", "EXR", "OCIO", "flow weights",
        "RAFT weights", "VGG16 weights",
    }  # fmt: skip
    assert [finding for finding in found.values() if finding.state == "fail"] == []
    assert metadata.version("torch") in found["packages"].found
    assert all(finding.advice for finding in found.values() if finding.state != "ok")


def test_a_finding_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Finding("disk", "ok", "much"), Finding("device", "warn", "none", "it is slow"))
    result = CliRunner().invoke(vdp, ["doctor"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ok    disk              much", "warn  device            none", " " * 24 + "it is slow",
    ]  # fmt: skip


def test_something_needed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Finding("EXR", "fail", "nothing", "mend it"), Finding("disk", "ok", "much"))
    result = CliRunner().invoke(vdp, ["doctor"])
    assert result.exit_code == 1
    assert "fail  EXR" in result.stdout and "ok    disk" in result.stdout, "the rest is looked at all the same"


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Finding("EXR", "fail", "nothing", "mend it"))
    result = CliRunner().invoke(vdp, ["doctor", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "checks": [{"name": "EXR", "state": "fail", "found": "nothing", "advice": "mend it"}]
    }


def test_no_colour_where_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Finding("EXR", "fail", "nothing"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31m" in CliRunner().invoke(vdp, ["doctor"], color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in CliRunner().invoke(vdp, ["doctor"], color=True).stdout


def test_an_examination_that_falls_over_is_a_finding() -> None:
    def _some_thing() -> Finding:
        raise ImportError("libfoo.so is not there")

    found = diagnosis.examined(_some_thing)
    assert (found.name, found.state) == ("some thing", "fail")
    assert "libfoo.so" in found.found and found.advice


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "fileseq":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    found = findings()["packages"]
    assert found.state == "fail" and "fileseq" in found.found


@pytest.mark.parametrize(("left", "state"), [(1 << 30, "warn"), (64 << 30, "ok")])
def test_little_memory_is_worth_a_warning(left: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available", lambda: left)
    assert findings()["memory"].state == state


def test_an_ocio_config_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCIO", "/nowhere/config.ocio")
    found = findings()["OCIO"]
    assert found.state == "fail" and "/nowhere/config.ocio" in found.found


def test_weights_are_found_in_the_torch_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    before = findings()["VGG16 weights"]
    assert before.state == "ok" and str(tmp_path / "checkpoints") in before.advice
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vgg16-397923af.pth").touch()
    after = findings()["VGG16 weights"]
    assert after.found.startswith("vgg16-397923af.pth in ") and not after.advice


def test_a_gpu_is_named_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    fakes: dict[str, Any] = {
        "is_available": lambda: True, "device_count": lambda: 1, "get_device_name": lambda index: "H200",
        "mem_get_info": lambda index: (100 << 30, 139 << 30),
    }  # fmt: skip
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    assert findings()["device"] == Finding("device", "ok", "cuda:0 H200, 100.0 GB of 139.0 GB free")
