"""install/vdp from the outside: a checkout with one tiny dependency, set up for real from a folder of wheels."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="install/vdp is a shell script")

# What the stand-in for the engine prints: enough to see which one runs, and in what surroundings.
ENGINE = """
import json, os, sys, tiny_dependency, vdp_engine
print(json.dumps({"arguments": sys.argv[1:], "engine": vdp_engine.__file__, "python": sys.prefix,
                  "host": [name for name in ("PYTHONHOME", "PYTHONPATH") if name in os.environ]}))
"""
PYPROJECT = """
[project]
name = "vdp"
dependencies = ["tiny-dependency>=1"]
[project.optional-dependencies]
test = []
"""


def make_wheel(folder: Path) -> None:
    """A wheel of one module, by hand: building one would need packages from elsewhere."""
    info = "tiny_dependency-1.0.dist-info"
    files = {
        "tiny_dependency.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-dependency\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_dependency-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, content)


def make_checkout(folder: Path) -> Path:
    """A checkout whose engine only prints what it sees."""
    shutil.copytree(ROOT / "install", folder / "install", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (folder / "vdp_engine").mkdir()
    (folder / "vdp_engine/__init__.py").touch()
    (folder / "vdp_engine/__main__.py").write_text(ENGINE, encoding="utf-8")
    return folder


def surroundings(**changes: str) -> dict[str, str]:
    """The environment variables of a machine on which any use of the network fails at once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "VDP_", "PYTHON"))}
    return {**kept, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, **changes}


Finished = subprocess.CompletedProcess[str]


def vdp(command: Path | str, *arguments: str, cwd: Path | None = None, **changes: str) -> Finished:
    return subprocess.run(
        [command, *arguments], cwd=cwd, env=surroundings(**changes), capture_output=True, text=True, timeout=120
    )


def seen(result: Finished) -> dict[str, Any]:
    """What the engine printed; stdout is its own, so nothing else may be there."""
    assert result.returncode == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@dataclass(frozen=True)
class History:
    """A checkout that was set up by two calls at once, after a first set-up was killed half-way."""

    checkout: Path
    wheels: Path
    stamps_after_kill: list[str]
    left_over: Path
    results: list[Finished]

    @property
    def command(self) -> Path:
        return self.checkout / "install/vdp"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("a plâce with spaces")
    checkout, wheels = make_checkout(folder / "my vdp"), folder / "whèels dir"
    make_wheel(wheels)
    command = [str(checkout / "install/vdp"), "--wheels", str(wheels)]

    # Only the set-up is killed, not the pip it started: that one must keep later calls waiting.
    first = subprocess.Popen(command, env=surroundings(), stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    for line in first.stderr:
        if "step 2 of 2" in line:
            first.send_signal(signal.SIGKILL)
            break
    assert first.wait() == -signal.SIGKILL
    first.stderr.close()
    stamps = [path.name for path in (checkout / ".venv/vdp-setup").glob("*.toml")]
    left_over = checkout / ".venv/half-written"
    left_over.touch()

    calls = [
        subprocess.Popen(
            [*command, "call", str(number)],
            env=surroundings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    results = []
    for call in calls:
        out, err = call.communicate(timeout=120)
        results.append(subprocess.CompletedProcess(call.args, call.returncode, out, err))
    return History(checkout, wheels, stamps, left_over, results)


def test_killed_set_up_is_redone(history: History) -> None:
    assert history.stamps_after_kill == []
    assert not history.left_over.exists()
    assert all(result.returncode == 0 for result in history.results), history.results


def test_two_calls_at_once_set_up_once(history: History) -> None:
    assert [seen(result)["arguments"] for result in history.results] == [["call", "1"], ["call", "2"]]
    progress = "".join(result.stderr for result in history.results)
    assert progress.count("step 1 of 2") == progress.count("step 2 of 2") == progress.count("set up in") == 1
    assert progress.count("waiting for it") >= 1


def test_second_use_is_silent(history: History) -> None:
    result = vdp(history.command)
    assert seen(result)["arguments"] == []
    assert result.stderr == ""


def test_wheels_without_arguments_only_sets_up(history: History) -> None:
    result = vdp(history.command, f"--wheels={history.wheels}")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_moved_checkout_is_linked_again(history: History, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(history.checkout, moved, symlinks=True)
    result = vdp(moved / "install/vdp", "--wheels", str(history.wheels), "x")
    assert seen(result)["engine"] == str(moved / "vdp_engine/__init__.py")
    assert "step 1 of 1" in result.stderr
    assert vdp(moved / "install/vdp").stderr == ""


@pytest.mark.parametrize("way", ["absolute", "relative", "sh", "PATH", "absolute link", "relative link", "folder link"])
def test_runs_from_anywhere(history: History, tmp_path: Path, way: str) -> None:
    command, cwd, changes = str(history.command), tmp_path, {}
    if way == "relative":
        command = os.path.relpath(history.command, tmp_path)
    elif way == "PATH":
        command, changes = "vdp", {"PATH": f"{history.command.parent}:{os.environ['PATH']}", "CDPATH": str(tmp_path)}
    elif way == "absolute link":
        (tmp_path / "one").symlink_to(history.command)
        (tmp_path / "two").symlink_to(tmp_path / "one")
        command = "./two"
    elif way == "relative link":
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/vdp").symlink_to(os.path.relpath(history.command, tmp_path / "bin"))
        command = "bin/vdp"
    elif way == "folder link":
        (tmp_path / "tools").symlink_to(history.command.parent)
        command = "tools/vdp"
    arguments = ["run", "two words", "é", "", "*", "--wheels", "mine"]
    if way == "sh":
        result = vdp("sh", "vdp", *arguments, cwd=history.command.parent)
    else:
        found = shutil.which(command, path=changes.get("PATH")) if way == "PATH" else command
        result = vdp(found or command, *arguments, cwd=cwd, **changes)
    assert seen(result)["arguments"] == arguments
    assert result.stderr == ""


def test_python_of_the_host_is_ignored(history: History, tmp_path: Path) -> None:
    (tmp_path / "vdp_engine").mkdir()
    (tmp_path / "vdp_engine/__main__.py").write_text("raise SystemExit('the wrong engine')", encoding="utf-8")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong library')", encoding="utf-8")
    result = vdp(history.command, cwd=tmp_path, PYTHONPATH=str(tmp_path), PYTHONHOME=str(tmp_path))
    report = seen(result)
    assert report["engine"] == str(history.checkout / "vdp_engine/__init__.py")
    assert report["python"] == str(history.checkout / ".venv")
    assert report["host"] == []


def test_fast_path_adds_little(history: History, tmp_path: Path) -> None:
    """Against an environment whose Python does nothing, all that is left is what install/vdp costs."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "bin/python").chmod(0o755)
    shutil.copytree(history.checkout / ".venv/vdp-setup", tmp_path / "vdp-setup")
    times = []
    for _ in range(5):
        started = time.perf_counter()
        result = vdp(history.command, VDP_ENV=str(tmp_path))
        times.append(time.perf_counter() - started)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert min(times) < 0.05


def stub_python(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("stubs", "message"),
    [
        ({}, "found none"),
        ({"python3": "echo 3.8.10; exit 1"}, "; python3 is 3.8.10"),
        ({"python3": "exit 127", "python": "echo 3.9.2; exit 1"}, "; python is 3.9.2"),
    ],
)
def test_python_too_old(tmp_path: Path, stubs: dict[str, str], message: str) -> None:
    checkout, tools = make_checkout(tmp_path / "vdp"), tmp_path / "tools"
    tools.mkdir()
    for name, script in stubs.items():
        stub_python(tools, name, script)
    result = vdp(checkout / "install/vdp", "demo", PATH=str(tools))
    assert result.returncode == 2
    assert "needs Python 3.10 or newer" in result.stderr
    assert message in result.stderr
    assert not (checkout / ".venv").exists()


def test_python_that_makes_environments_goes_first(tmp_path: Path) -> None:
    checkout, tools = make_checkout(tmp_path / "vdp"), tmp_path / "tools"
    stub_python(tools, "python3.13", 'echo 3.13.0; case "$*" in *ensurepip*) exit 1 ;; esac')
    stub_python(tools, "python3.11", 'case "$2" in -c) echo 3.11.9 ;; *) echo "$0 $*" ;; esac')
    result = vdp(checkout / "install/vdp", "demo", PATH=str(tools))
    assert result.stdout.strip() == f"{tools}/python3.11 -I {checkout}/install/bootstrap.py demo"


def test_folder_of_another_origin_is_left_alone(history: History, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    result = vdp(history.command, "demo", VDP_ENV=str(tmp_path))
    assert result.returncode == 1
    assert "was not made by this set-up" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
