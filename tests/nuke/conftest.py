"""The stand-in for Nuke: on the path for the tests of this folder, and reset around each test that uses it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

STANDIN = str(Path(__file__).parent / "standin")
if STANDIN not in sys.path:
    sys.path.insert(0, STANDIN)


@pytest.fixture
def nuke() -> Iterator[ModuleType]:
    """Nuke's module with a new session and no GUI. The module stays the same object from test to test."""
    import nuke as module

    module.standin.reset()
    yield module
    module.standin.reset()


@pytest.fixture
def gui(nuke: ModuleType) -> ModuleType:
    """The same, with a GUI."""
    nuke.standin.set_gui(True)
    return nuke
