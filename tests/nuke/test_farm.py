"""Send to farm: the shot is set up by the engine, and handed to what the studio set, with no shell in between."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nuke_vdp import engine, farm, finished, knobs, plate, runs
from nuke_vdp.engine import Request
from nuke_vdp.errors import HostError

# Notes how it was called, then says what the file "answer" beside it holds: exit code, stdout, stderr.
RECORDER = """
import json, os, sys, time
from pathlib import Path
here = Path(__file__).parent
with open(here / "calls", "a", encoding="utf-8") as file:
    host = [name for name in ("PYTHONHOME", "PYTHONPATH", "NUKE_PATH") if name in os.environ]
    file.write(json.dumps({"arguments": sys.argv[1:], "host": host, "cwd": os.getcwd()}) + "\\n")
answer = json.loads((here / "answer").read_text(encoding="utf-8"))
time.sleep(answer.get("seconds", 0))
sys.stderr.write(answer.get("stderr", ""))
print(answer.get("stdout", ""))
sys.exit(answer.get("code", 0))
"""
DONE = {"stdout": json.dumps({"event": "result", "shot": "…/shot.json"})}


class Program:
    """A program that notes its calls."""

    def __init__(self, folder: Path, answer: dict[str, Any]) -> None:
        folder.mkdir(parents=True)
        self.folder, self.script = folder, folder / "program.py"
        self.script.write_text(RECORDER, encoding="utf-8")
        self.answer(answer)

    def answer(self, answer: dict[str, Any]) -> None:
        (self.folder / "answer").write_text(json.dumps(answer), encoding="utf-8")

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, str(self.script))

    @property
    def calls(self) -> list[dict[str, Any]]:
        place = self.folder / "calls"
        return [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()] if place.exists() else []


class Node:
    """What send_to_farm needs of a VDP node."""

    def __init__(self) -> None:
        self.rendered: list[str] = []
        self.values: dict[str, str] = {}

    def fullName(self) -> str:
        return "Group1.VDP1"

    def __getitem__(self, knob: str) -> Any:
        return SimpleNamespace(setValue=lambda value: self.values.update({knob: value}))


@pytest.fixture
def fake_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    program = Program(tmp_path / "engine", DONE)
    monkeypatch.setattr(engine, "find", lambda: program.command)
    return program


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("VDP_FARM_SUBMIT", raising=False)
    monkeypatch.setenv("PYTHONHOME", "/the/host's")
    monkeypatch.setenv("NUKE_PATH", "/the/host's")
    yield
    farm.set_submitter(None)


@pytest.fixture
def shot(tmp_path: Path) -> str:
    folder = tmp_path / "a shöt; echo $HOME"
    folder.mkdir()
    return folder.as_posix()


@pytest.fixture
def node(shot: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A node whose plate and hint are rendered first."""
    asked = Request(
        plate="/plates/sh.####.exr", out=shot, name="sh", frames="1001-1010", quality="draft", device="cuda:1"
    )
    monkeypatch.setattr(knobs, "request_of", lambda node: (asked, ("the plate", "the hint")))
    monkeypatch.setattr(plate, "render", lambda node, job: node.rendered.append(job))
    monkeypatch.setattr(knobs, "digest", lambda node: "made of this")
    monkeypatch.setattr(plate, "no_undo", contextlib.nullcontext)
    return Node()


def job(shot: str = "/shots/sh", **changes: Any) -> Any:
    values = {"frames": "1001-1010", "engine": ("/tools/vdp",), "node": "VDP1", "script": "/s.nk", **changes}
    return farm.FarmJob(shot, **values)


@pytest.mark.parametrize(
    ("stage", "frames", "expected"),
    [
        ("prep", "", ["prep", "/shots/sh"]),
        ("prep", "1001-1005", ["prep", "/shots/sh", "--frames", "1001-1005"]),
        ("fit", "1001-1005", ["fit", "/shots/sh"]),
        ("render", "1001-1005", ["render", "/shots/sh", "--frames", "1001-1005"]),
        ("check", "1001-1005", ["check", "/shots/sh"]),
    ],
)
def test_commands_of_the_stages(stage: str, frames: str, expected: list[str]) -> None:
    assert list(job().command(stage, frames)) == ["/tools/vdp", *expected]


def test_stages_are_commands_of_the_engine() -> None:
    from vdp_engine.cli.commands import vdp

    for stage in (*farm.STAGES, "init"):
        assert stage in vdp.commands
    options = {stage: [parameter.name for parameter in vdp.commands[stage].params] for stage in farm.STAGES}
    assert [stage for stage in farm.STAGES if "frames" in options[stage]] == list(farm.IN_CHUNKS)


def test_function_of_the_studio_gets_the_job(node: Any, fake_engine: Program, shot: str) -> None:
    seen = []

    def submit(job: Any) -> str:
        assert fake_engine.calls  # set up before
        seen.append(job)
        return "job 42"

    farm.set_submitter(submit)
    assert farm.send_to_farm(node) == "job 42"
    assert seen == [farm.FarmJob(shot, "1001-1010", fake_engine.command, "Group1.VDP1", "", farm.STAGES)]
    assert node.rendered == ["the plate", "the hint"]


def test_shot_is_set_up_and_nothing_more(node: Any, fake_engine: Program, shot: str) -> None:
    farm.set_submitter(lambda job: "")
    farm.send_to_farm(node)
    (call,) = fake_engine.calls
    asked, _ = knobs.request_of(node)
    assert call["arguments"] == asked.arguments("init")
    assert call["arguments"][0] == "init"
    assert "--device" not in call["arguments"]
    assert call["host"] == []


def test_command_gets_the_folder_and_no_shell(
    node: Any, fake_engine: Program, shot: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = Program(tmp_path / "my submitter", {"stdout": "working\nJob 7 on the farm"})
    monkeypatch.setenv("VDP_FARM_SUBMIT", f"'{sys.executable}' '{submit.script}' --pool 'two words' \"$HOME\" *")
    assert farm.send_to_farm(node) == "Job 7 on the farm"
    (call,) = submit.calls
    assert call["arguments"] == ["--pool", "two words", "$HOME", "*", shot]
    assert call["host"] == []
    assert os.path.samefile(call["cwd"], shot)


def test_reload_will_know_the_folder(node: Any, fake_engine: Program, shot: str) -> None:
    with pytest.raises(HostError):  # also where somebody runs the commands by hand
        farm.send_to_farm(node)
    assert node.values == {"run_dir": shot}
    assert (finished.made_from(shot), finished.asked_by(shot)) == ("made of this", "farm")


def test_function_goes_before_command(shot: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDP_FARM_SUBMIT", "no-such-command")
    farm.set_submitter(lambda job: "mine")
    assert farm.submit(job(shot)) == "mine"


def test_nothing_set_says_what_to_set_and_to_run(node: Any, fake_engine: Program, shot: str) -> None:
    with pytest.raises(HostError) as caught:
        farm.send_to_farm(node)
    message = str(caught.value)
    assert "VDP_FARM_SUBMIT" in message
    assert "nuke_vdp.farm.set_submitter" in message
    stages = [line.split()[-6:] for line in message.splitlines()[-4:]]
    assert [next(word for word in words if word in farm.STAGES) for words in stages] == list(farm.STAGES)
    assert message.count(f"'{shot}'") == 4  # quoted for a shell
    assert len(fake_engine.calls) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            {"code": 2, "stdout": json.dumps({"event": "error", "code": "x", "message": "no green", "frame": 1006})},
            ["1006", "no green"],
        ),
        ({"code": 1, "stderr": "Traceback\nKeyError: 'x'"}, ["ended with 1", "KeyError"]),
        ({"code": 0}, ["could not set the shot up"]),
    ],
)
def test_trouble_of_the_engine(node: Any, fake_engine: Program, answer: dict[str, Any], words: list[str]) -> None:
    fake_engine.answer(answer)
    farm.set_submitter(lambda job: pytest.fail("there is nothing to submit"))
    with pytest.raises(HostError) as caught:
        farm.send_to_farm(node)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_engine_that_hangs_is_stopped(node: Any, fake_engine: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_engine.answer({"seconds": 60})
    monkeypatch.setattr(farm, "_SET_UP_SECONDS", 0.3)
    with pytest.raises(HostError, match="did not come to an end"):
        farm.send_to_farm(node)


def test_engine_that_does_not_start(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find", lambda: ("/no/such/engine",))
    with pytest.raises(HostError, match="/no/such/engine"):
        farm.send_to_farm(node)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-command --x", ["VDP_FARM_SUBMIT", "no-such-command"]),
        ("'open", ["VDP_FARM_SUBMIT", "quotation"]),
        (f"{sys.executable} -c 'import sys; sys.exit(\"no license\")'", ["ended with 1", "no license"]),
    ],
)
def test_trouble_of_the_command(shot: str, command: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDP_FARM_SUBMIT", command)
    with pytest.raises(HostError) as caught:
        farm.submit(job(shot))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_trouble_of_the_function(shot: str) -> None:
    def refuse(job: Any) -> str:
        raise ConnectionError("the farm is down")

    farm.set_submitter(refuse)
    with pytest.raises(HostError, match="the farm is down"):
        farm.submit(job(shot))


def test_a_folder_at_work_is_left_alone(node: Any, fake_engine: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    running = SimpleNamespace(snapshot=lambda: SimpleNamespace(ended=False))
    monkeypatch.setattr(runs, "find", lambda out: running)
    with pytest.raises(HostError, match="already working"):
        farm.send_to_farm(node)
    assert fake_engine.calls == []
    assert node.rendered == []


@pytest.mark.parametrize(
    ("windows", "command", "words"),
    [
        (False, r"'/my tools/submit' --pool=a\ b", ["/my tools/submit", "--pool=a b"]),
        (True, r'"C:\my tools\submit.exe" --pool x', [r"C:\my tools\submit.exe", "--pool", "x"]),
        (True, r"C:\tools\submit.exe '--pool' x", [r"C:\tools\submit.exe", "--pool", "x"]),
    ],
)
def test_words_of_the_command(windows: bool, command: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "WINDOWS", windows)
    assert list(farm.split(command)) == words
