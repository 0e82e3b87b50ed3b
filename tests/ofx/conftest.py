"""Builds, made once a session, and hosts that are ended after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ofx import build
from tests.ofx.host import Host

Opened = Callable[..., Host]


@pytest.fixture(scope="session")
def builds(request: pytest.FixtureRequest) -> Path:
    """Where builds are kept from session to session."""
    reason = build.missing()
    if reason is not None:
        pytest.skip(reason)
    return Path(request.config.cache.mkdir("ofx"))


@pytest.fixture(scope="session")
def host_build(builds: Path) -> Path:
    """The folder of the host."""
    return build.host(builds)


@pytest.fixture
def open_host(host_build: Path, tmp_path: Path) -> Iterator[Opened]:
    """Starts hosts: ``open_host(sanitizer, environment)``; each is ended after the test and must end well."""
    opened: list[Host] = []

    def start(sanitizer: str = "none", environment: dict[str, str] | None = None) -> Host:
        folder = tmp_path / f"host{len(opened)}"
        folder.mkdir()
        opened.append(Host(host_build / f"ofx_host_{sanitizer}", folder, environment))
        return opened[-1]

    yield start
    problems: list[Any] = []
    for host in opened:
        try:
            if host.process.returncode is None:
                host.close()
        except AssertionError as error:
            problems.append(error)
    assert not problems, problems
