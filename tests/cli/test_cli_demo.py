"""``vdp demo``: what it calls and where things lie."""

from __future__ import annotations

import json
import runpy
import sys
import types
from pathlib import Path

import pytest
from click.testing import CliRunner

import vdp_engine
from vdp_engine.cli.commands import vdp
from vdp_engine.shot import Shot

fakes = runpy.run_path(str(Path(__file__).with_name("fake_stages.py")))


class Score:
    def lines(self) -> list[str]:
        return ["matte       J 0.951"]


@pytest.fixture(autouse=True)
def rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(variable, "1")
    fakes["install"](monkeypatch.setattr, monkeypatch.setitem)
    demo = types.ModuleType("vdp_engine.demo")
    vars(demo).update(
        make_demo=lambda folder: fakes["write_plate"](folder / "plate", "demo"),
        score_demo=lambda folder, shot: Score(),
    )
    monkeypatch.setitem(sys.modules, "vdp_engine.demo", demo)
    monkeypatch.setattr(vdp_engine, "demo", demo, raising=False)


def test_it_decomposes_the_plate_and_prints_the_score(tmp_path: Path) -> None:
    result = CliRunner().invoke(vdp, ["demo", str(tmp_path), "--quality", "draft", "--seed", "3"])
    assert result.exit_code == 0, result.output
    shot = Shot.load(tmp_path / "layers")
    assert (shot.name, shot.settings.quality, shot.settings.seed) == ("demo", "draft", 3)
    assert (tmp_path / "layers" / "demo.1001.exr").exists()
    assert result.stdout.splitlines()[-1] == "matte       J 0.951"


def test_json_stays_json(tmp_path: Path) -> None:
    result = CliRunner().invoke(vdp, ["demo", str(tmp_path), "--progress", "json"])
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1] == {"event": "note", "message": "matte       J 0.951"}
    assert {"progress", "frame", "result"} <= {event["event"] for event in events}


def test_twice_is_as_good_as_once(tmp_path: Path) -> None:
    for _ in range(2):
        assert CliRunner().invoke(vdp, ["demo", str(tmp_path)]).exit_code == 0
    assert CliRunner().invoke(vdp, ["demo", str(tmp_path), "--fresh"]).exit_code == 0
