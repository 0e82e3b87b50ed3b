"""One small plate and two runs on it, made once for all tests of the command."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e import command
from vdp_engine.demo import make_demo

FRAMES = list(range(1001, 1009))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``plate/demo.1001.exr`` … and ``truth/``, 96 by 64 pixels, 8 frames."""
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder, width=96, height=64, frames=len(FRAMES))
    return folder


@pytest.fixture(scope="session")
def plate(demo: Path) -> str:
    """The plate's pattern."""
    return str(demo / "plate" / "demo.####.exr")


@pytest.fixture(scope="session")
def runs(plate: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """``finished`` and ``quick``."""
    finished, quick = (tmp_path_factory.mktemp(name) / "out" for name in ("finished", "quick"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda out, steps: command.run(plate, out, steps=steps), (finished, quick), (None, 3)))
    return finished, quick


@pytest.fixture(scope="session")
def finished(runs: tuple[Path, Path]) -> Path:
    """What ``python -m vdp_engine run`` made of the plate, with all the steps of a draft; not to be changed."""
    return runs[0]


@pytest.fixture(scope="session")
def quick(runs: tuple[Path, Path]) -> Path:
    """The same with a fit of a few steps; not to be changed."""
    return runs[1]
