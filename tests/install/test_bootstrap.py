"""install/bootstrap.py and install/run_tests.py: what pip and the checks are called with, and what their ends mean."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for Python is a shell script")

REFUSED = "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError()': /simple/torch/"
NOT_FOUND = "ERROR: No matching distribution found for torch>=2.4"
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "install" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bootstrap = load("bootstrap")
run_tests = load("run_tests")


def make_python(path: Path, record: Path, story: str = "", status: int = 0) -> None:
    """A Python whose modules (-m) only note how they were called, write a log as pip does, and end with ``status``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"""#!/bin/sh
if [ "$2" != -m ]; then exec {shlex.quote(sys.executable)} "$@"; fi
printf '%s\\n' "$@" "" >>{shlex.quote(str(record))}
while [ $# -gt 0 ]; do
    if [ "$1" = --log ]; then printf '2026-01-01T00:00:00,000 %s\\n' {shlex.quote(story)} >>"$2"; fi
    shift
done
exit {status}
""",
        encoding="utf-8",
    )
    path.chmod(0o755)


def calls(record: Path) -> list[list[str]]:
    return [call.split("\n") for call in record.read_text(encoding="utf-8").removesuffix("\n\n").split("\n\n")]


def whole_environment(folder: Path, story: str = "", status: int = 0) -> tuple[Any, Path]:
    """An environment that was complete for an older pyproject.toml, and the record of the calls of its Python."""
    environment, record = bootstrap.Environment(folder / "env"), folder / "record"
    make_python(environment.python, record, story, status)
    environment.state.mkdir()
    environment.record({"engine.toml": b"of old"})
    return environment, record


@pytest.fixture(autouse=True)
def no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in tells the site-packages of the Python that runs the tests, which is not to be touched."""
    monkeypatch.setattr(bootstrap, "link_checkout", lambda packages: None)


@pytest.mark.parametrize("with_tests", [False, True])
@pytest.mark.parametrize("offline", [False, True])
def test_one_pip_command_installs_all(tmp_path: Path, with_tests: bool, offline: bool) -> None:
    environment, record = whole_environment(tmp_path)
    bootstrap.set_up(environment, with_tests, tmp_path if offline else None)
    (call,) = calls(record)
    assert call[:4] == ["-I", "-m", "pip", "install"]
    names = {argument.split(">=")[0] for argument in call}
    assert names >= {"torch", "torchvision", "numpy", "click"}
    assert ("pytest" in names) == with_tests
    assert ("--no-index" in call) == offline
    assert [call[i + 1] for i, argument in enumerate(call) if argument == "--find-links"] == [str(tmp_path)] * offline
    assert not any("index-url" in argument or "://" in argument for argument in call)
    assert environment.has("engine.toml")
    assert environment.has("test.toml") == with_tests


def test_fetch_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, folder = tmp_path / "record", tmp_path / "new" / "wheels"
    monkeypatch.setattr(bootstrap, "create", lambda environment: make_python(environment.python, record))
    assert bootstrap.main(["--fetch-wheels", str(folder)]) == 0
    (call,) = calls(record)
    assert call[:4] == ["-I", "-m", "pip", "download"]
    assert call[call.index("--dest") + 1] == str(folder)
    assert call[call.index("--only-binary") + 1] == ":all:"
    assert {argument.split(">=")[0] for argument in call} >= {"torch", "torchvision", "pytest", "mypy"}


@pytest.mark.parametrize(
    ("story", "offline", "exit_code", "way_out"),
    [
        (f"{REFUSED}\n{NOT_FOUND}", False, 75, "HTTPS_PROXY"),
        ("ERROR: HTTP error 503 while getting torch", False, 75, "--wheels"),
        (NOT_FOUND, False, 1, "Another Python may do"),
        (NOT_FOUND, True, 1, "--fetch-wheels"),
        (f"{REFUSED}\n{FULL}", False, 1, "disk is full"),
        ("ERROR: something new", False, 1, "starts the set-up over"),
    ],
)
def test_failure_names_error_and_way_out(
    tmp_path: Path, story: str, offline: bool, exit_code: int, way_out: str
) -> None:
    environment, _ = whole_environment(tmp_path, story, status=1)
    with pytest.raises(bootstrap.SetupError) as caught:
        bootstrap.set_up(environment, False, tmp_path if offline else None)
    assert caught.value.exit_code == exit_code
    assert story.splitlines()[-1] in str(caught.value)
    assert way_out in str(caught.value)
    assert str(environment.log) in str(caught.value)


@pytest.mark.parametrize(
    ("story", "survives"), [(REFUSED, True), (f"Installing collected packages: torch\n{FULL}", False)]
)
def test_environment_survives_what_did_not_touch_it(tmp_path: Path, story: str, survives: bool) -> None:
    environment, _ = whole_environment(tmp_path, story, status=1)
    with pytest.raises(bootstrap.SetupError):
        bootstrap.set_up(environment, True, None)
    assert environment.is_whole() == survives


def test_lock_lasts_as_long_as_the_child(tmp_path: Path) -> None:
    environment, gate = bootstrap.Environment(tmp_path / "env"), tmp_path / "gate"
    os.mkfifo(gate)
    with environment.locked() as lock:
        # The child that stays behind waits until the gate is opened for writing.
        assert bootstrap.call(["sh", "-c", 'read line <"$1" >/dev/null 2>&1 &', "sh", str(gate)], lock) == 0
    with open(environment.state / "lock", "r+b") as other:
        assert not bootstrap.try_lock(other.fileno())
        gate.write_text("go\n", encoding="utf-8")
        deadline = time.monotonic() + 10
        while not bootstrap.try_lock(other.fileno()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_missing_venv_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(bootstrap.SetupError, match=r"apt install python3\.\d+-venv") as caught:
        bootstrap.create(bootstrap.Environment(tmp_path))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ({}, [])),
        (["demo", "--wheels", "x"], ({}, ["demo", "--wheels", "x"])),
        (["--wheels", "w", "demo"], ({"--wheels": "w"}, ["demo"])),
        (["--wheels=w=1"], ({"--wheels": "w=1"}, [])),
        (["--run-tests", "--wheels", "w", "-k", "x"], ({"--run-tests": "", "--wheels": "w"}, ["-k", "x"])),
    ],
)
def test_split_options(arguments: list[str], expected: tuple[dict[str, str], list[str]]) -> None:
    assert bootstrap.split_options(arguments) == expected


@pytest.mark.parametrize("arguments", [["--wheels"], ["--fetch-wheels="], ["--wheels", "no/such/folder"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.main(arguments) == 2
    assert arguments[0].rstrip("=") in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 3])
def test_all_checks_run_and_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    make_python(tmp_path / "python", tmp_path / "record", status=status)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert run_tests.main(["tests/install", "-k", "two words"]) == (1 if status else 0)
    ruff, mypy, last = calls(tmp_path / "record")
    assert ruff[2] == "ruff"
    assert mypy[2:4] == ["mypy", "vdp_engine"]
    assert last == ["-I", "-m", "pytest", *run_tests.IN_PARALLEL, "tests/install", "-k", "two words"]
