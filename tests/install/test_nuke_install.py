"""install/vdp nuke: one line in init.py, put in and taken out again without a trace."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vdp_engine

ROOT = Path(__file__).resolve().parents[2]
MARK = "# VDP node, written by: install/vdp nuke --install"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="install/vdp is a shell script")

Finished = subprocess.CompletedProcess[str]


def make_checkout(folder: Path) -> Path:
    """A checkout as far as the install of the node goes: no engine, no environment."""
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("install", "nuke_vdp"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    (folder / "nuke_vdp" / "gizmos").mkdir(exist_ok=True)
    (folder / "nuke_vdp" / "gizmos" / "VDP.gizmo").touch()
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkout(tmp_path_factory.mktemp("tools") / 'it\'s a "vdp" plâce')


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "hôme").mkdir()
    return tmp_path / "hôme"


@pytest.fixture(scope="module", autouse=True)
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This very Python first on PATH: the ones that version managers put there take half a second to start."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "python3.13").symlink_to(os.path.realpath(sys.executable))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        yield


def vdp(checkout: Path, home: Path, *arguments: str, **changes: str) -> Finished:
    """install/vdp nuke, in a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VDP_", "NUKE_", "PYTHON"))}
    command = [str(checkout / "install/vdp"), "nuke", *arguments]
    return subprocess.run(
        command, env={**kept, "HOME": str(home), **changes}, capture_output=True, text=True, timeout=60
    )


def done(result: Finished) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return result.stdout


def plugin_paths(init: Path) -> list[tuple[str, bool]]:
    """What Nuke is told by an init.py: the folders, and whether they go to sys.path."""
    told: list[tuple[str, bool]] = []
    nuke: Any = types.ModuleType("nuke")
    nuke.pluginAddPath = lambda path, addToSysPath=True: told.append((path, addToSysPath))
    before = sys.modules.get("nuke")
    sys.modules["nuke"] = nuke
    try:
        names: dict[str, Any] = {}
        exec(compile(init.read_bytes(), str(init), "exec"), names)
        assert "p" not in names  # Nuke runs all init.py in one namespace
    finally:
        del sys.modules["nuke"]
        if before is not None:
            sys.modules["nuke"] = before
    return told


def test_install_leads_nuke_to_the_checkout(checkout: Path, home: Path) -> None:
    said = done(vdp(checkout, home, "--install"))
    init = home / ".nuke" / "init.py"
    assert str(init) in said
    assert plugin_paths(init) == [((checkout / "nuke_vdp").as_posix(), False)]
    assert init.read_bytes().isascii()
    assert len(init.read_text().splitlines()) == 1
    assert [path.name for path in init.parent.iterdir()] == ["init.py"]
    assert not (checkout / ".venv").exists()


def test_install_again_touches_nothing(checkout: Path, home: Path) -> None:
    done(vdp(checkout, home, "--install"))
    init = home / ".nuke" / "init.py"
    before = init.stat()
    assert "already" in done(vdp(checkout, home, "--install"))
    assert (init.stat().st_mtime_ns, init.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"import nuke\n",
        b"import nuke",
        b"import nuke\r\nnuke.tprint('x')\r\n",
        b"import nuke\r\nnuke.tprint('x')",
        b"# -*- coding: latin-1 -*-\nname = '\xe9\xff'\n",
        b"\xef\xbb\xbfname = 'b\xc3\xb6m'\n",
        b"import nuke\n\n\n",
        b"import nuke\rname = 1\r",
    ],
)
def test_what_was_there_stays_to_the_byte(checkout: Path, home: Path, content: bytes) -> None:
    init = home / ".nuke" / "init.py"
    init.parent.mkdir()
    init.write_bytes(content)
    init.chmod(0o640)
    done(vdp(checkout, home, "--install"))
    with_line = init.read_bytes()
    assert with_line.startswith(content)
    assert MARK.encode() in with_line
    assert stat.S_IMODE(init.stat().st_mode) == 0o640
    ends = b"\r\n" if b"\r\n" in content else b"\r" if b"\r" in content else b"\n"
    assert with_line.replace(ends, b"").count(b"\r") == with_line.replace(ends, b"").count(b"\n") == 0
    assert not content or with_line.endswith(ends) == content.endswith(ends)
    if b"nuke.tprint" not in content:
        assert len(plugin_paths(init)) == 1
    done(vdp(checkout, home, "--uninstall"))
    assert (init.read_bytes() if init.exists() else b"") == content


def test_uninstall_where_others_wrote_after_us(checkout: Path, home: Path) -> None:
    init = home / ".nuke" / "init.py"
    init.parent.mkdir()
    init.write_text("first = 1\n")
    done(vdp(checkout, home, "--install"))
    with init.open("a") as file:
        file.write("last = 2")
    done(vdp(checkout, home, "--uninstall"))
    assert init.read_text() == "first = 1\nlast = 2"
    assert "nothing to do" in done(vdp(checkout, home, "--uninstall"))


def test_uninstall_removes_a_file_of_its_own(checkout: Path, home: Path) -> None:
    done(vdp(checkout, home, "--install"))
    done(vdp(checkout, home, "--uninstall"))
    assert list((home / ".nuke").iterdir()) == []


def test_another_checkout_takes_the_line_over(checkout: Path, home: Path, tmp_path: Path) -> None:
    other = make_checkout(tmp_path / "other")
    init = home / ".nuke" / "init.py"
    init.parent.mkdir()
    init.write_text("first = 1\n")
    done(vdp(other, home, "--install"))
    with init.open("a") as file:
        file.write("last = 2\n")
    assert str(other) in done(vdp(checkout, home, "--install"))
    lines = init.read_text().splitlines()
    assert [lines[0], lines[2]] == ["first = 1", "last = 2"]
    assert [path for path, _ in plugin_paths(init)] == [(checkout / "nuke_vdp").as_posix()]


def test_missing_checkout_stops_nobody(home: Path, tmp_path: Path) -> None:
    gone = make_checkout(tmp_path / "gone")
    done(vdp(gone, home, "--install"))
    shutil.rmtree(gone)
    assert plugin_paths(home / ".nuke" / "init.py") == []


def test_links_stay_links(checkout: Path, home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles"
    kept.mkdir()
    (kept / "init.py").write_text("mine = 1\n")
    (home / ".nuke").mkdir()
    (home / ".nuke" / "init.py").symlink_to(kept / "init.py")
    done(vdp(checkout, home, "--install"))
    assert (home / ".nuke" / "init.py").is_symlink()
    assert MARK in (kept / "init.py").read_text()
    done(vdp(checkout, home, "--uninstall"))
    assert (home / ".nuke" / "init.py").is_symlink()
    assert (kept / "init.py").read_text() == "mine = 1\n"


def test_other_folder_and_tilde(checkout: Path, home: Path) -> None:
    done(vdp(checkout, home, "--install", "--nuke-dir", "~/show config/nuke"))
    assert (home / "show config/nuke/init.py").is_file()
    assert not (home / ".nuke").exists()
    done(vdp(checkout, home, "--uninstall", "--nuke-dir", str(home / "show config/nuke")))
    assert list((home / "show config/nuke").iterdir()) == []


def fake_engine(folder: Path) -> str:
    folder.mkdir()
    (folder / "vdp").write_text("#!/bin/sh\n")
    (folder / "vdp").chmod(0o755)
    return str(folder / "vdp")


def test_status(checkout: Path, home: Path, tmp_path: Path) -> None:
    engine = fake_engine(tmp_path / "engine")
    result = vdp(checkout, home, "--status", VDP_ENGINE=engine)
    assert result.returncode == 1
    assert "no VDP node" in result.stdout
    assert engine in result.stdout
    done(vdp(checkout, home, "--install"))
    said = done(vdp(checkout, home, "--status", VDP_ENGINE=engine))
    assert f"VDP node from {checkout.as_posix()}/nuke_vdp" in said
    result = vdp(checkout, home, "--status", VDP_ENGINE=str(tmp_path / "nothing"))
    assert result.returncode == 1
    assert "VDP_ENGINE" in result.stdout


def test_status_of_a_checkout_without_environment(checkout: Path, home: Path, tmp_path: Path) -> None:
    done(vdp(checkout, home, "--install"))
    result = vdp(checkout, home, "--status")
    assert result.returncode == 1
    assert "not set up yet" in result.stdout
    (tmp_path / "env" / "vdp-setup").mkdir(parents=True)
    (tmp_path / "env" / "vdp-setup" / "engine.toml").touch()
    assert f"{checkout}/install/vdp" in done(vdp(checkout, home, "--status", VDP_ENV=str(tmp_path / "env")))


def test_status_sees_nuke_path(checkout: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "show").mkdir()
    places = f"{tmp_path / 'show'}{os.pathsep}{checkout / 'nuke_vdp'}"
    said = done(vdp(checkout, home, "--status", NUKE_PATH=places, VDP_ENGINE=fake_engine(tmp_path / "engine")))
    assert f"{tmp_path / 'show'} (from NUKE_PATH): no VDP node" in said
    assert f"{checkout / 'nuke_vdp'} (from NUKE_PATH): is the VDP node" in said


def test_status_of_a_checkout_that_is_gone(checkout: Path, home: Path, tmp_path: Path) -> None:
    gone = make_checkout(tmp_path / "gone")
    done(vdp(gone, home, "--install"))
    shutil.rmtree(gone)
    result = vdp(checkout, home, "--status")
    assert result.returncode == 1
    assert "not there any more" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [[], ["--install", "--uninstall"], ["--intall"], ["--install", "--nuke-dir", ""], ["--install", "/somewhere"]],
)
def test_wrong_usage(checkout: Path, home: Path, arguments: list[str]) -> None:
    result = vdp(checkout, home, *arguments)
    assert result.returncode == 2
    assert "vdp nuke" in result.stderr
    assert not (home / ".nuke").exists()


def test_folder_that_is_a_file(checkout: Path, home: Path) -> None:
    (home / "file").touch()
    assert vdp(checkout, home, "--install", "--nuke-dir", str(home / "file")).returncode == 2


def test_what_cannot_be_changed_is_left(checkout: Path, home: Path) -> None:
    init = home / ".nuke" / "init.py"
    init.parent.mkdir()
    init.write_bytes("mine = 1\n".encode("utf-16"))
    result = vdp(checkout, home, "--install")
    assert result.returncode == 1
    assert "UTF-16" in result.stderr
    assert init.read_bytes() == "mine = 1\n".encode("utf-16")


def test_write_protected_file(checkout: Path, home: Path) -> None:
    init = home / ".nuke" / "init.py"
    init.parent.mkdir()
    init.write_text("mine = 1\n")
    init.chmod(0o444)
    if os.access(init, os.W_OK):
        pytest.skip("this user may write everything")
    result = vdp(checkout, home, "--install")
    assert result.returncode == 1
    assert "write-protected" in result.stderr
    assert init.read_text() == "mine = 1\n"


def test_the_way_of_windows(checkout: Path, home: Path) -> None:
    """py install\\bootstrap.py nuke --install, and py install\\nuke.py --install."""
    env = {**os.environ, "HOME": str(home)}
    for command in (["bootstrap.py", "nuke"], ["nuke.py"]):
        script = [sys.executable, str(checkout / "install" / command[0]), *command[1:]]
        assert "Installed" in done(subprocess.run([*script, "--install"], env=env, capture_output=True, text=True))
        assert "Took" in done(subprocess.run([*script, "--uninstall"], env=env, capture_output=True, text=True))


def test_old_python_will_do(checkout: Path, home: Path, tmp_path: Path) -> None:
    """install/vdp itself needs 3.10, the node does not."""
    tools = tmp_path / "bin"
    tools.mkdir()
    stub = '#!/bin/sh\n[ "$2" = -c ] || echo "$@"\n'
    (tools / "python3.9").write_text(stub)
    (tools / "python3.9").chmod(0o755)
    (tools / "dirname").symlink_to(shutil.which("dirname") or "")
    result = vdp(checkout, home, "--status", PATH=str(tools))
    assert result.stdout.strip() == f"-I {checkout}/install/nuke.py --status"
    result = vdp(checkout, home, "--status", PATH=str(home))
    assert result.returncode == 2
    assert "Python 3.9" in result.stderr


class Variables:
    """The environment as a rez package sees it in commands()."""

    def __init__(self) -> None:
        self.__dict__["told"] = {}

    def __getattr__(self, name: str) -> Any:
        return types.SimpleNamespace(append=lambda value: self.told.update({name: ("append", value)}))

    def __setattr__(self, name: str, value: str) -> None:
        self.told[name] = ("set", value)


def rez_package(monkeypatch: pytest.MonkeyPatch, folder: Path, *defined: str) -> tuple[dict[str, Any], Variables]:
    """What rez makes of the package in a folder: its attributes, and what it does to the environment."""
    env = Variables()
    package: dict[str, Any] = {"early": lambda: lambda function: function, "env": env, "defined": defined.__contains__}
    monkeypatch.chdir(folder)
    exec((folder / "package.py").read_text(encoding="utf-8"), package)
    package["this"] = types.SimpleNamespace(engine=package["engine"]())
    package["commands"]()
    return package, env


def test_rez_package_leads_to_node_and_engine(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkout / "install" / "rez" / "vdp_nuke"
    monkeypatch.delenv("VDP_ENGINE", raising=False)
    package, env = rez_package(monkeypatch, folder)
    assert (package["name"], package["version"]) == ("vdp_nuke", vdp_engine.__version__)
    assert env.told == {"NUKE_PATH": ("append", "{root}/nuke_vdp"), "VDP_ENGINE": ("set", str(checkout))}
    _, env = rez_package(monkeypatch, folder, "VDP_ENGINE")
    assert "VDP_ENGINE" not in env.told
    monkeypatch.setenv("VDP_ENGINE", "/farm/vdp")
    assert rez_package(monkeypatch, folder)[1].told["VDP_ENGINE"] == ("set", "/farm/vdp")


def test_rez_build_copies_the_node(checkout: Path, tmp_path: Path) -> None:
    source = checkout / "install" / "rez" / "vdp_nuke"
    build = {"REZ_BUILD_SOURCE_PATH": str(source), "REZ_BUILD_PATH": str(tmp_path / "built")}
    build |= {"REZ_BUILD_INSTALL_PATH": str(tmp_path / "there"), "REZ_BUILD_INSTALL": "1"}
    for _ in range(2):
        subprocess.run([sys.executable, str(source / "build.py")], env={**os.environ, **build}, check=True, timeout=60)
    copied = {path.relative_to(tmp_path / "there") for path in (tmp_path / "there").rglob("*") if path.is_file()}
    wanted = {path.relative_to(checkout) for path in (checkout / "nuke_vdp").rglob("*") if path.is_file()}
    assert copied == {path for path in wanted if "__pycache__" not in path.parts}
    assert not (tmp_path / "built").exists()
