"""Where the plug-in looks for the engine, and what it does with a PATH that is not all its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ofx.conftest import Node, OpenedNode
from tests.ofx.host import FAILED, OK


def script(path: Path, engine: Path) -> Path:
    """A command that is the helper of the tests, elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{engine}" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def open_with(open_node: OpenedNode, checked_plugin: Path, tmp_path: Path) -> Callable[..., Node]:
    """``open_with(named, path, note)``: VDP_ENGINE, PATH, and what the installer wrote into the bundle."""

    def make(named: str = "", path: str = "/usr/bin:/bin", note: str | None = None) -> Node:
        bundle = tmp_path / "VDP.ofx.bundle"
        shutil.copytree(checked_plugin.parents[2], bundle, dirs_exist_ok=True)
        if note is not None:
            (bundle / "Contents" / "Resources" / "engine.txt").write_text(note, encoding="utf-8")
        binary = bundle / "Contents" / "Linux-x86-64" / "VDP.ofx"
        environment = {"VDP_ENGINE": named, "PATH": path, "HOME": str(tmp_path / "home")}
        return open_node(binary=binary, environment=environment, value_output="bg")

    return make


@pytest.mark.parametrize("place", ["a command", "bin/vdp", "install/vdp"])
def test_a_command_an_environment_or_a_checkout(open_with: Callable[..., Node], tmp_path: Path, place: str) -> None:
    folder = tmp_path / "ä place"
    named = script(folder / place, tmp_path / "node0" / "engine" / "vdp")
    node = open_with(named=f" {named if place == 'a command' else folder} ")
    assert node.render().status == OK and len(node.fake.pids()) == 1


def test_below_the_home_folder(open_with: Callable[..., Node], tmp_path: Path) -> None:
    script(tmp_path / "home" / "vdp", tmp_path / "node0" / "engine" / "vdp")
    assert open_with(named="~/vdp").render().status == OK


def test_the_installers_note(open_with: Callable[..., Node], tmp_path: Path) -> None:
    named = script(tmp_path / "größer" / "install" / "vdp", tmp_path / "node0" / "engine" / "vdp").parents[1]
    assert open_with(note=f"{named}\n").render().status == OK


def test_the_variable_goes_before_the_note(open_with: Callable[..., Node], tmp_path: Path) -> None:
    named = script(tmp_path / "vdp", tmp_path / "node0" / "engine" / "vdp")
    assert open_with(named=str(named), note="/no/such/engine\n").render().status == OK


def test_the_path(open_with: Callable[..., Node], tmp_path: Path) -> None:
    script(tmp_path / "programs" / "vdp", tmp_path / "node0" / "engine" / "vdp")
    node = open_with(path=f"{tmp_path / 'empty'}:{tmp_path / 'programs'}:/usr/bin:/bin")
    assert node.render().status == OK


def test_the_hosts_own_folder_is_not_searched_nor_handed_on(
    open_with: Callable[..., Node], host_build: Path, tmp_path: Path
) -> None:
    """A host that brings a Python of its own puts its folder first on PATH."""
    script(tmp_path / "programs" / "vdp", tmp_path / "node0" / "engine" / "vdp")
    own = f"{host_build}:{host_build}/lib/../bin"
    node = open_with(path=f"{own}:{tmp_path / 'programs'}:/usr/bin:/bin")
    assert node.render().status == OK
    (start,) = node.fake.log("start")
    assert start["environment"]["PATH"] == f"{tmp_path / 'programs'}:/usr/bin:/bin"


@pytest.mark.parametrize(("arguments", "told"), [
    ({}, ["VDP_ENGINE is not set", "engine.txt", "PATH"]),
    ({"named": "/no/such/engine"}, ["/no/such/engine", "VDP_ENGINE"]),
    ({"named": "/usr"}, ["/usr", "is no engine", "VDP_ENGINE"]),
    ({"note": "/no/such/checkout\n"}, ["/no/such/checkout", "engine.txt"]),
])  # fmt: skip
def test_what_was_not_found_is_told(open_with: Callable[..., Node], arguments: dict[str, str], told: list[str]) -> None:
    picture = open_with(**arguments).render()
    assert picture.status == FAILED
    assert [words for words in told if words not in picture.answer.persistent["vdp"]] == []
