"""The bundle as users get it: its layout, and a binary that brings what it needs and shows two functions."""

from __future__ import annotations

import os
import plistlib
from pathlib import Path

import numpy as np

from tests.ofx import elf
from tests.ofx.conftest import OpenedNode
from tests.ofx.host import FAILED, OK
from tests.ofx.test_render import DISPLAY, expected

# What every Linux with glibc has under the same name.
SYSTEM = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2"}


def test_the_layout_of_the_bundle(plain_plugin: Path) -> None:
    assert plain_plugin.parts[-4:] == ("VDP.ofx.bundle", "Contents", "Linux-x86-64", "VDP.ofx")
    assert os.access(plain_plugin, os.R_OK)
    told = plistlib.loads((plain_plugin.parents[1] / "Info.plist").read_bytes())
    assert told["CFBundleExecutable"] == "VDP.ofx" and told["CFBundlePackageType"] == "BNDL"


def test_two_functions_are_exported_and_nothing_else(plain_plugin: Path) -> None:
    exported = {symbol.name for symbol in elf.read(plain_plugin).symbols if symbol.defined}
    assert exported == {"OfxGetNumberOfPlugins", "OfxGetPlugin"}


def test_it_needs_the_system_and_nothing_else(plain_plugin: Path) -> None:
    read = elf.read(plain_plugin)
    assert set(read.needed) <= SYSTEM and read.search_paths == ()
    wanted = {symbol.name: symbol.library for symbol in read.symbols if not symbol.defined and not symbol.weak}
    assert wanted, "not even the C library"
    assert set(wanted.values()) <= SYSTEM, {name: library for name, library in wanted.items() if library not in SYSTEM}


def test_the_binary_can_be_loaded_by_a_careful_system(plain_plugin: Path) -> None:
    read = elf.read(plain_plugin)
    assert not read.writes_code and not read.executable_stack


def test_the_binary_with_its_own_runtime_in_a_host_with_another(open_node: OpenedNode, plain_plugin: Path) -> None:
    """Errors are exceptions of the plug-in's own runtime; they must not meet the host's."""
    node = open_node("nuke", sanitizer="none", binary=plain_plugin, value_output="bg")
    node.set("analyse")
    for _ in range(2):
        np.testing.assert_array_equal(node.render(1003).pixels, expected("bg", 1003, DISPLAY))
        missing = node.render(1020, window=DISPLAY, bounds=DISPLAY)
        assert missing.status == FAILED and "1020" in missing.answer.persistent["vdp"]
        node.host.do("fail", function="clipGetImage", status=8)
        assert node.render(1003).status != OK
        node.host.do("unload")
        node.host.do("load", path=plain_plugin, host="nuke")
        node.host.do("create", width=24, height=12, value_shot=node.shot, value_output="bg")
