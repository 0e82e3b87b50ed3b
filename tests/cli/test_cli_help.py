"""The help: it names everything, teaches, and comes at once."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import get_args

import click
import pytest
from click.testing import CliRunner

from vdp_engine import __version__
from vdp_engine.cli.commands import vdp
from vdp_engine.progress import Dialect
from vdp_engine.settings import Machine, Settings

_COMMANDS = (
    "run", "inspect", "propagate", "batch", "demo", "doctor", "init", "prep", "fit", "render", "check", "farm",
    "serve",
)  # fmt: skip
_SETTINGS = {f"--{name.replace('_', '-')}" for name in Settings.model_fields} - {"--hints"} | {"--hint"}
_MACHINE = {f"--{name.replace('_', '-')}" for name in Machine.model_fields}
_OPTIONS = {
    "run": {*_SETTINGS, *_MACHINE, "--out", "--name", "--frames", "--progress", "--fresh", "--dry-run"},
    "init": {*_SETTINGS, "--out", "--name", "--frames", "--progress", "--fresh"},
    "demo": {*_SETTINGS, *_MACHINE, "--progress", "--fresh"},
    "prep": {*_MACHINE, "--frames", "--progress", "--dry-run"},
    "fit": {*_MACHINE, "--progress", "--dry-run"},
    "render": {*_MACHINE, "--frames", "--progress", "--dry-run"},
    "check": {*_MACHINE, "--progress", "--dry-run"},
    "propagate": {*_MACHINE, "--layer", "--frame", "--name", "--over", "--frames", "--progress", "--dry-run"},
    "batch": {
        *_MACHINE, "--jobs", "--init", "--to", "--out", "--report", "--progress", "--fresh", "--dry-run",
    },
    "farm": {
        *_SETTINGS, "--out", "--name", "--frames", "--progress", "--fresh", "--manifest", "--to", "--submit",
        "--engine", "--gpu", "--prep-chunk", "--render-chunk", "--cores", "--memory", "--timeout", "--farm-option",
        "--path-map",
    },
    "inspect": {"--frames", "--layer", "--colorspace", "--json"},
    "doctor": {"--json"},
    "serve": {"--cache"},
}


def helped(*args: str) -> str:
    result = CliRunner().invoke(vdp, [*args, "--help"], terminal_width=1000)  # no line is broken
    assert result.exit_code == 0
    return result.stdout


def test_the_commands() -> None:
    assert tuple(vdp.commands) == _COMMANDS
    text = helped()
    for name in _COMMANDS:
        assert re.search(rf"^  {name} +\S", text, re.MULTILINE)
    for code in ("0", "1", "2", "75", "130", "143"):
        assert re.search(rf"^ +{code} +\S", text, re.MULTILINE)


@pytest.mark.parametrize("command", _COMMANDS)
def test_each_command_has_its_options_and_says_what_each_means(command: str) -> None:
    options = [one for one in vdp.commands[command].params if isinstance(one, click.Option)]
    assert {name for one in options for name in one.opts} == _OPTIONS[command]
    text = helped(command)
    for one in options:
        assert one.opts[0] in text
        assert one.help, one.opts


@pytest.mark.parametrize("command", ["run", "init", "demo"])
def test_what_an_option_means_comes_from_the_settings(command: str) -> None:
    text = " ".join(helped(command).split())
    for name, field in Settings.model_fields.items():
        assert field.description and field.description[1:] in text, name
        if isinstance(field.default, str):
            assert f"{field.description[1:]}. [default: {field.default}]" in text, name


@pytest.mark.parametrize("command", _COMMANDS)
def test_it_says_what_to_do_next(command: str) -> None:
    assert "What to do next" in helped(command) or command == "init"


@pytest.mark.parametrize("command", ["run", "init", "inspect", "demo"])
def test_it_shows_examples(command: str) -> None:
    assert f"\n    vdp {command} " in helped(command)


@pytest.mark.parametrize("command", ["run", "init"])
def test_it_says_how_a_hint_is_painted(command: str) -> None:
    text = helped(command)
    for words in ("white      inside", "black      outside", "grey       do not know", "channel A", "rough.1010.png"):
        assert words in text


def test_choices_follow_the_settings() -> None:
    text = helped("run")
    tasks, layers, qualities = "[layers|dehaze|relight]", "[2|3|4|auto]", "[draft|standard|final]"
    for choices in (tasks, layers, qualities, "[dis|vdp|raft|vectors]", "[vdp|paper]"):
        assert choices in text


def test_the_dialects_offered_are_dialects() -> None:
    (progress,) = [one for one in vdp.commands["run"].params if one.name == "progress"]
    assert isinstance(progress.type, click.Choice)
    assert tuple(progress.type.choices) == ("auto", "json", "plain", "openjd")
    assert set(progress.type.choices) <= set(get_args(Dialect))


def test_the_version() -> None:
    assert CliRunner().invoke(vdp, ["--version"]).stdout == f"vdp, version {__version__}\n"


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["doctor", "--help"], ["run"], ["--version"]])
def test_nothing_heavy_is_imported_for_it(args: list[str]) -> None:
    script = (
        "import sys, atexit\n"
        "heavy = {'torch', 'numpy', 'cv2', 'OpenImageIO', 'scipy', 'rich'}\n"
        "atexit.register(lambda: print('heavy:', sorted(heavy & set(sys.modules))))\n"
        f"sys.argv = ['vdp', *{args}]\n"
        "from vdp_engine.cli.commands import vdp; vdp.main()\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
    assert said.endswith("heavy: []\n"), said
