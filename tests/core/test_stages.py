"""The stages in their order, and the plan of what they would do."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from vdp_engine import stages
from vdp_engine.progress import SilentReporter
from vdp_engine.settings import Machine, Settings
from vdp_engine.shot import Shot

fakes = runpy.run_path(str(Path(__file__).parents[1] / "cli" / "fake_stages.py"))


@pytest.fixture
def shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shot:
    fakes["install"](monkeypatch.setattr, monkeypatch.setitem)
    shot = Shot.create(fakes["write_plate"](tmp_path / "plate"), tmp_path / "out", settings=Settings())
    shot.save()
    return shot


def test_the_order(shot: Shot) -> None:
    reporter = fakes["Recorder"]()
    assert stages.run(shot, Machine.parse(), reporter) == ["rebuild     passed"]
    assert reporter.stages == ["prep", "fit", "render", "check"]


def plan(shot: Shot, **rest: Any) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in stages.plan(shot, **rest))


def test_the_plan_of_a_new_shot(shot: Shot) -> None:
    assert plan(shot) == {
        "prep": "3 of 3 frames to do: 1001-1003", "fit": "to do", "render": "3 of 3 frames to do: 1001-1003",
        "check": "to do",
    }  # fmt: skip


def test_the_plan_of_a_shot_that_is_done(shot: Shot) -> None:
    stages.run(shot, Machine.parse(), SilentReporter())
    done = {
        "prep": "nothing to do, 3 frames are there", "fit": "nothing to do",
        "render": "nothing to do, 3 frames are there", "check": "the report is there",
    }  # fmt: skip
    assert plan(shot) == done
    assert plan(shot, stages=("check",)) == {"check": "to do"}, "asked for by itself, it always checks"
    assert plan(shot, fresh=True)["prep"] == "3 of 3 frames to do: 1001-1003"
    assert plan(shot, fresh=True)["fit"] == "to do"

    shot.layer_file(1002).unlink()
    assert plan(shot)["render"] == "1 of 3 frames to do: 1002"
    assert plan(shot)["check"] == "to do"
    assert plan(shot, stages=("render",), frames=(1001, 1003)) == {"render": "nothing to do, 2 frames are there"}

    shot.model_file.unlink()
    assert plan(shot)["render"] == "3 of 3 frames to do: 1001-1003", "layers of another model are of no use"


def test_tidying_takes_what_killed_processes_left(shot: Shot) -> None:
    from vdp_engine import files

    litter = [
        folder / f".a.{files._HOST}-{2**22 + 1}-0123abcd.tmp.exr"
        for folder in (shot.out, shot.work, shot.work / "flow")
    ]
    for path in litter:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    stages.tidy(shot)
    assert not any(path.exists() for path in litter)
    assert shot.file.exists()
