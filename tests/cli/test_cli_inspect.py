"""``vdp inspect``: the table, the JSON, and what is no plate."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vdp_engine.cli.commands import vdp
from vdp_engine.cli.inspect import table
from vdp_engine.plate import Plate

fakes = runpy.run_path(str(Path(__file__).with_name("fake_stages.py")))


@pytest.fixture
def plate(tmp_path: Path) -> str:
    return str(fakes["write_plate"](tmp_path / "my plate"))


def inspect(*args: str) -> Result:
    return CliRunner().invoke(vdp, ["inspect", *args])


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("half", ["half"]),
        (24.0, ["24.0"]),
        (True, ["yes"]),
        (False, ["no"]),
        ("", ["-"]),
        (None, []),
        ([], []),
        (["R", "G", "B"], ["R G B"]),
        ([0.64, 0.33], ["0.64 0.33"]),
        (["two words", "more of them"], ["two words", "more of them"]),
        ({"x": 0, "width": 4}, ["x 0, width 4"]),
        ({"owner": "me", "window": [0, 1]}, ["owner me", "window 0 1"]),
        ({}, []),
        ("two\nlines\t!", ["two lines !"]),
    ],
)
def test_the_table_shows_any_value(value: Any, lines: list[str]) -> None:
    shown = list(table({"a_name": value}))
    assert shown == [f"{'a name' if index == 0 else '':<8}{line}" for index, line in enumerate(lines)]


def test_columns_stand_under_each_other() -> None:
    assert list(table({"a": 1, "longer": 2})) == ["a       1", "longer  2"]


def test_all_that_is_known_of_a_plate_is_shown(plate: str) -> None:
    result = inspect(plate)
    assert result.exit_code == 0 and result.stderr == ""
    rows = dict(line.split("  ", 1) for line in result.stdout.splitlines() if not line.startswith(" "))
    assert rows["frames"].strip() == "1001-1003"
    assert rows["channels"].strip() == "R G B"
    assert rows["pixel type"].strip() == "half"
    known = {name.replace("_", " ") for name, value in Plate.open(plate).describe().items() if value not in (None, [])}
    assert set(rows) == known


def test_json_is_the_description(plate: str) -> None:
    result = inspect(plate, "--json")
    assert json.loads(result.stdout) == json.loads(json.dumps(Plate.open(plate).describe()))
    assert result.stdout.count("\n") == 1


def test_gaps_are_told_not_refused(tmp_path: Path) -> None:
    plate = fakes["write_plate"](tmp_path, frames=range(1001, 1007))
    (tmp_path / "shot.1003.exr").unlink()
    result = inspect(plate)
    assert result.exit_code == 0
    assert "missing            1003\n" in result.stdout


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_no_plate_is_2_with_the_reason(plate: str, as_json: bool) -> None:
    broken = Path(plate).parent / "shot.1002.exr"
    broken.write_bytes(b"no image at all")
    result = inspect(plate, *(["--json"] if as_json else []))
    assert result.exit_code == 2
    if as_json:
        event = json.loads(result.stdout)
        assert event["event"] == "error" and event["frame"] == 1002 and event["path"] == str(broken)
        assert result.stderr == ""
    else:
        assert "1002" in result.stderr and str(broken) in result.stderr and result.stdout == ""


def test_a_layer_that_is_not_there(plate: str) -> None:
    result = inspect(plate, "--layer", "beauty")
    assert result.exit_code == 2 and "beauty" in result.stderr
