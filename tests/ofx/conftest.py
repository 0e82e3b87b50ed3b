"""Builds, made once a session, and hosts that are ended after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.ofx import build
from tests.ofx.fake_helper import Fake
from tests.ofx.host import Answer, Host, Picture

Opened = Callable[..., Host]


_BUILDS: dict[str, Callable[[Path], Path]] = {
    "host_build": build.host,
    "plain_plugin": build.plugin,
    "checked_plugin": partial(build.plugin, sanitizer="address"),
    "racing_plugin": partial(build.plugin, sanitizer="thread"),
}


@pytest.fixture(scope="session")
def builds(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Path]]:
    """By name of their fixtures: all that the session's tests need, two at a time, kept from session to session."""
    reason = build.missing()
    if reason is not None:
        pytest.skip(reason)
    cache = Path(request.config.cache.mkdir("ofx"))
    needed = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    with ThreadPoolExecutor(2) as pool:
        made = {name: pool.submit(make, cache) for name, make in _BUILDS.items() if name in needed}
        yield lambda name: made[name].result()


@pytest.fixture(scope="session")
def host_build(builds: Callable[[str], Path]) -> Path:
    """The folder of the host."""
    return builds("host_build")


@pytest.fixture(scope="session")
def plain_plugin(builds: Callable[[str], Path]) -> Path:
    """The plug-in with the runtime that it brings."""
    return builds("plain_plugin")


@pytest.fixture(scope="session")
def checked_plugin(builds: Callable[[str], Path]) -> Path:
    """The plug-in with the sanitizers of addresses and undefined behaviour."""
    return builds("checked_plugin")


@pytest.fixture(scope="session")
def racing_plugin(builds: Callable[[str], Path]) -> Path:
    """The plug-in with the sanitizer of threads."""
    return builds("racing_plugin")


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


@dataclass
class Node:
    """A VDP node in a host, its shot, and the helper that it talks to."""

    host: Host
    fake: Fake
    shot: Path
    buffers: Path

    def set(self, param: str, value: Any = 0, **arguments: Any) -> Answer:
        return self.host.do("set", param=param, value=value, **arguments)

    def render(self, time: float = 1003, **arguments: Any) -> Picture:
        return self.host.render(time=time, **arguments)


OpenedNode = Callable[..., Node]


@pytest.fixture
def open_node(open_host: Opened, checked_plugin: Path, tmp_path: Path) -> OpenedNode:
    """Makes nodes with a helper of the tests: ``open_node(host, fake=…, context=…, connected=…, binary=…, …)``.

    Further arguments go to ``create``; ``host_…`` to ``load``. Source is ``formula`` on the fake's display window.
    """

    def make(
        host: str = "plain", fake: dict[str, Any] | None = None, context: str = "Filter", connected: bool = True,
        sanitizer: str = "address", binary: Path = checked_plugin, environment: dict[str, str] | None = None,
        **arguments: Any,
    ) -> Node:  # fmt: skip
        folder = tmp_path / f"node{len(list(tmp_path.glob('node*')))}"
        helper = Fake(folder / "engine", **(fake or {}))
        buffers = folder / "tmp"
        buffers.mkdir()
        shot = folder / "shot 100% äöü"
        shot.mkdir()
        opened = open_host(
            sanitizer,
            {"VDP_ENGINE": str(helper.command), "TMPDIR": str(buffers), "VDP_OFX_REPLY_SECONDS": "20"}
            | (environment or {}),
        )
        width, height = helper.settings["display"]
        of_host = {key: arguments.pop(key) for key in list(arguments) if key.startswith("host_")}
        opened.do("timeline", time=1003, first=1001, last=1008)
        opened.do("load", path=binary, host=host, **of_host)
        opened.do("create", context=context, width=width, height=height, **({"value_shot": shot} | arguments))
        if connected:
            opened.do("connect", region=(0, 0, width, height), first=1001, last=1008)
        return Node(opened, helper, shot, buffers)

    return make
