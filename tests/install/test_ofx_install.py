"""install/vdp ofx: the bundle built, put in whole, found, and taken out again without a trace."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="install/vdp is a shell script")

Finished = subprocess.CompletedProcess[str]

BRIDGE = """
cmake_minimum_required(VERSION 3.16)
project(vdp_ofx LANGUAGES CXX)
add_library(VDP MODULE plugin.cpp)
set(contents ${CMAKE_CURRENT_BINARY_DIR}/VDP.ofx.bundle/Contents)
set_target_properties(VDP PROPERTIES PREFIX "" SUFFIX ".ofx" LIBRARY_OUTPUT_DIRECTORY "${contents}/Some-System")
file(WRITE ${contents}/Info.plist "<string>org.vdp.VDP</string>")
"""


def make_checkout(folder: Path) -> Path:
    """A checkout as far as the install of the plug-in goes, which is quickly built; no engine, no environment."""
    shutil.copytree(ROOT / "install", folder / "install", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "nuke_vdp", folder / "nuke_vdp", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "ofx_bridge").mkdir()
    (folder / "ofx_bridge" / "CMakeLists.txt").write_text(BRIDGE)
    (folder / "ofx_bridge" / "plugin.cpp").write_text('extern "C" int OfxGetNumberOfPlugins() { return 1; }\n')
    return folder


def built(checkout: Path, content: bytes = b"a plug-in") -> Path:
    """A bundle as a build leaves it, its permissions as a strict umask makes them."""
    contents = checkout / "build" / "ofx" / "VDP.ofx.bundle" / "Contents"
    (contents / "Linux-x86-64").mkdir(parents=True, exist_ok=True)
    (contents / "Resources").mkdir(exist_ok=True)
    (contents / "Info.plist").write_text("<string>org.vdp.VDP</string>")
    (contents / "Linux-x86-64" / "VDP.ofx").write_bytes(content)
    for path in (contents, *contents.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return contents.parent


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_checkout(tmp_path_factory.mktemp("tools") / 'it\'s a "vdp" plâce')
    built(folder)
    return folder


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


def vdp(checkout: Path, home: Path, *arguments: str | Path, **changes: str) -> Finished:
    """install/vdp ofx, in a home of its own."""
    left_out = ("VDP_", "OFX_", "PYTHON", "XDG_", "CXX")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    command = [str(checkout / "install/vdp"), "ofx", *map(str, arguments)]
    return subprocess.run(
        command, env={**kept, "HOME": str(home), **changes}, capture_output=True, text=True, timeout=120
    )


def done(result: Finished) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    return result.stdout


def failed(result: Finished, code: int = 1) -> str:
    assert result.returncode == code, result.stdout + result.stderr
    return result.stderr


def engine(folder: Path, answer: str) -> str:
    """A command that answers hello so."""
    folder.mkdir(exist_ok=True)
    (folder / "vdp").write_text(f"#!/bin/sh\n[ \"$1\" = serve ] && read line && echo '{answer}'\n")
    (folder / "vdp").chmod(0o755)
    return str(folder / "vdp")


def test_install_and_uninstall(checkout: Path, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a show" / "plugins"
    said = done(vdp(checkout, home, "--install", "--dir", folder))
    bundle = folder / "VDP.ofx.bundle"
    assert str(bundle) in said
    assert f"OFX_PLUGIN_PATH to {folder}" in said
    assert [path.name for path in folder.iterdir()] == ["VDP.ofx.bundle"]
    assert (bundle / "Contents/Linux-x86-64/VDP.ofx").read_bytes() == b"a plug-in"
    assert (bundle / "Contents/Resources/engine.txt").read_text("utf-8") == f"{checkout}/install/vdp\n"
    for path in (bundle, *bundle.rglob("*")):  # the umask of who installs is no reason for others not to see it
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() or path.suffix == ".ofx" else 0o644)
    assert str(bundle) in done(vdp(checkout, home, "--uninstall", "--dir", folder))
    assert list(folder.iterdir()) == []
    assert "nothing to do" in done(vdp(checkout, home, "--uninstall", "--dir", folder))
    assert list(home.iterdir()) == []


def test_install_again_takes_the_place(checkout: Path, home: Path, tmp_path: Path) -> None:
    other = make_checkout(tmp_path / "other")
    built(other, b"another")
    folder = tmp_path / "plugins"
    done(vdp(other, home, "--install", "--dir", folder))
    (folder / "VDP.ofx.bundle" / "Contents" / "stray").touch()
    for _ in range(2):
        done(vdp(checkout, home, "--install", "--dir", folder, OFX_PLUGIN_PATH=str(folder)))
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert files == {
            "VDP.ofx.bundle/Contents/Info.plist", "VDP.ofx.bundle/Contents/Linux-x86-64/VDP.ofx",
            "VDP.ofx.bundle/Contents/Resources/engine.txt",
        }  # fmt: skip
        assert (folder / "VDP.ofx.bundle/Contents/Linux-x86-64/VDP.ofx").read_bytes() == b"a plug-in"


def test_install_that_fails_changes_nothing(checkout: Path, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    done(vdp(checkout, home, "--install", "--dir", folder))
    half = make_checkout(tmp_path / "half")
    (built(half, b"another") / "Contents" / "Resources" / "icon.png").symlink_to("gone")  # cannot be copied
    assert str(folder) in failed(vdp(half, home, "--install", "--dir", folder))
    assert [path.name for path in folder.iterdir()] == ["VDP.ofx.bundle"]
    assert (folder / "VDP.ofx.bundle/Contents/Linux-x86-64/VDP.ofx").read_bytes() == b"a plug-in"
    assert (folder / "VDP.ofx.bundle/Contents/Resources/engine.txt").read_text("utf-8") == f"{checkout}/install/vdp\n"


def test_nothing_is_built_yet(home: Path, tmp_path: Path) -> None:
    bare = make_checkout(tmp_path / "bare")
    assert "--build --install" in failed(vdp(bare, home, "--install", "--dir", tmp_path / "plugins"))
    assert not (tmp_path / "plugins").exists()


def test_another_bundle_of_that_name_is_left_alone(checkout: Path, home: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "VDP.ofx.bundle" / "Contents" / "Linux-x86-64" / "VDP.ofx"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")
    for wish in ("--install", "--uninstall"):
        assert "not this plug-in" in failed(vdp(checkout, home, wish, "--dir", tmp_path))
    assert theirs.read_bytes() == b"theirs"
    assert "no VDP plug-in" in vdp(checkout, home, "--status", "--dir", tmp_path).stdout


def test_a_link_is_replaced_and_what_it_leads_to_stays(checkout: Path, home: Path, tmp_path: Path) -> None:
    bundle = built(tmp_path / "mine")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "VDP.ofx.bundle").symlink_to(bundle)
    done(vdp(checkout, home, "--install", "--dir", tmp_path / "plugins"))
    assert not (tmp_path / "plugins" / "VDP.ofx.bundle").is_symlink()
    assert (bundle / "Contents/Info.plist").is_file()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write everywhere")
def test_folder_that_is_not_ours(checkout: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir(mode=0o555)
    said = failed(vdp(checkout, home, "--install", "--dir", tmp_path / "plugins"))
    assert "administrator" in said and ".local/share/OFX/Plugins" in said


def test_drive_that_takes_nothing(checkout: Path, home: Path) -> None:
    said = failed(vdp(checkout, home, "--install", "--dir", "/proc/plugins"))
    assert "/proc/plugins" in said and ".local/share/OFX/Plugins" in said


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write everywhere")
def test_default_without_rights_is_a_folder_of_the_user(checkout: Path, home: Path) -> None:
    said = done(vdp(checkout, home, "--install"))
    folder = home / ".local/share/OFX/Plugins"
    assert f"OFX_PLUGIN_PATH to {folder}" in said
    assert (folder / "VDP.ofx.bundle").is_dir()
    done(vdp(checkout, home, "--uninstall"))
    assert not (home / ".local/share/OFX").exists()


def test_uninstall_finds_the_users_folder(checkout: Path, home: Path) -> None:
    folder = home / ".local/share/OFX/Plugins"
    done(vdp(checkout, home, "--install", "--dir", folder))
    done(vdp(checkout, home, "--uninstall"))
    assert not (home / ".local/share/OFX").exists()


def test_status(checkout: Path, home: Path, tmp_path: Path) -> None:
    good = engine(tmp_path / "good", '{"id": 1, "ok": true, "version": "9.9", "protocol": 1}')
    folder = tmp_path / "plugins"
    seen = {"OFX_PLUGIN_PATH": f"/nothing{os.pathsep}{folder}", "VDP_ENGINE": good}
    result = vdp(checkout, home, "--status", **seen)
    assert result.returncode == 1
    assert f"{folder}: no VDP plug-in" in result.stdout
    assert "vdp ofx --build --install" in result.stdout
    done(vdp(checkout, home, "--install", "--dir", folder))
    said = done(vdp(checkout, home, "--status", **seen))
    assert f"{folder / 'VDP.ofx.bundle'}: for Linux-x86-64; leads to {checkout}/install/vdp" in said
    assert f"{good} answers, version 9.9" in said
    said = done(vdp(checkout, home, "--status", "--dir", folder, VDP_ENGINE=good))
    assert "not in OFX_PLUGIN_PATH" in said


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('{"id": 1, "ok": false, "code": "protocol", "message": "version 7"}', "version 7"),
        ("this is no JSON", "does not answer"),
        ("[]", "does not serve"),
    ],
)
def test_status_of_an_engine_that_is_no_good(
    checkout: Path, home: Path, tmp_path: Path, answer: str, told: str
) -> None:
    done(vdp(checkout, home, "--install", "--dir", tmp_path / "plugins"))
    bad = engine(tmp_path / "bad", answer)
    result = vdp(checkout, home, "--status", "--dir", tmp_path / "plugins", VDP_ENGINE=bad)
    assert result.returncode == 1
    assert told in result.stdout


def test_status_of_an_engine_that_is_not_there(checkout: Path, home: Path, tmp_path: Path) -> None:
    """It must not begin to set one up."""
    gone = make_checkout(tmp_path / "gone")
    built(gone)
    done(vdp(gone, home, "--install", "--dir", tmp_path / "plugins"))
    result = vdp(checkout, home, "--status", "--dir", tmp_path / "plugins")
    assert result.returncode == 1
    assert f"{gone} is not set up yet" in result.stdout
    assert not (gone / ".venv").exists()
    shutil.rmtree(gone)
    result = vdp(checkout, home, "--status", "--dir", tmp_path / "plugins")
    assert result.returncode == 1
    assert str(gone / "install" / "vdp") in result.stdout


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no CMake")
def test_build(home: Path, tmp_path: Path) -> None:
    source = make_checkout(tmp_path / "a checkout")
    folder = tmp_path / "plugins"
    said = done(vdp(source, home, "--build", "--install", "--dir", folder))
    assert str(source / "build/ofx/VDP.ofx.bundle") in said
    program = folder / "VDP.ofx.bundle/Contents/Some-System/VDP.ofx"
    assert b"OfxGetNumberOfPlugins" in program.read_bytes()
    # A build folder that came along from elsewhere.
    moved = source.rename(tmp_path / "moved")
    (moved / "ofx_bridge" / "plugin.cpp").write_text("this is no C++\n")
    said = failed(vdp(moved, home, "--build"))
    assert "plugin.cpp" in said and str(moved / "build/ofx/vdp-build.log") in said
    assert program.is_file()


def test_build_without_its_tools(checkout: Path, home: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("python3.13", "sh", "readlink", "dirname", "env"):
        (tools / name).symlink_to(shutil.which(name) or "/bin/sh")
    assert "CMake is not there" in failed(vdp(checkout, home, "--build", PATH=str(tools)))
    (tools / "cmake").write_text("#!/bin/sh\necho 'No CMAKE_CXX_COMPILER could be found.'\nexit 1\n")
    (tools / "cmake").chmod(0o755)
    said = failed(vdp(checkout, home, "--build", "--build-dir", tmp_path / "build", PATH=str(tools)))
    assert "A C++ compiler is not there" in said
    said = failed(vdp(checkout, home, "--build", "--build-dir", tmp_path / "build", PATH=str(tools), CXX="sh"))
    assert "CMake found no C++ compiler" in said and str(tmp_path / "build" / "vdp-build.log") in said


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--dir", "x"], ["--install", "--uninstall"], ["--build", "--status"], ["--build", "--uninstall"],
        ["--intall"], ["--install", "--dir", ""], ["--install", "--dir", __file__], ["--install", "/somewhere"],
    ],
)  # fmt: skip
def test_wrong_usage(checkout: Path, home: Path, arguments: list[str]) -> None:
    assert "vdp ofx" in failed(vdp(checkout, home, *arguments), 2)
    assert list(home.iterdir()) == []


def test_the_way_of_windows(checkout: Path, home: Path, tmp_path: Path) -> None:
    """py install\\bootstrap.py ofx --install, and py install\\ofx.py --install."""
    env = {**os.environ, "HOME": str(home)}
    env.pop("VDP_ENV", None)
    for command in (["bootstrap.py", "ofx"], ["ofx.py"]):
        script = [sys.executable, str(checkout / "install" / command[0]), *command[1:]]
        for wish, word in (("--install", "Installed"), ("--uninstall", "Took")):
            asked = [*script, wish, "--dir", str(tmp_path / "plugins")]
            assert word in done(subprocess.run(asked, env=env, capture_output=True, text=True))
