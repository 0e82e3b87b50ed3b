"""Builds the OFX plug-in, and puts it where Natron, Resolve, Fusion, Flame and Nuke look for plug-ins.

    install/vdp ofx --build                          Windows: py install\\ofx.py --build
    install/vdp ofx --build --install [--dir DIR]
    install/vdp ofx --uninstall [--dir DIR]
    install/vdp ofx --status [--dir DIR]

DIR is by default the folder that all hosts look in, where this user may write there, and else one of the user's own,
which hosts see by the variable OFX_PLUGIN_PATH. What is installed is one folder, VDP.ofx.bundle, whole or not at all;
its Contents/Resources/engine.txt leads to this checkout's engine.

Building takes CMake and a C++17 compiler, everything else the standard library of Python 3.9 and newer. Exit codes:
0 done (--status: installed, and the engine answers), 1 failed (--status: something is missing), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "ofx_bridge"
BUNDLE = "VDP.ofx.bundle"
BUILD_MINUTES = 20
ANSWER_SECONDS = 60
LOG_LINES = 30
# Unique to a bundle of ours, whoever built it: it stands in ofx_bridge/bundle/Info.plist.in.
IDENTIFIER = b"<string>org.vdp.VDP</string>"

GET_CMAKE = {
    "linux": "Debian, Ubuntu: sudo apt install cmake; Rocky, Fedora: sudo dnf install cmake; others: pip install cmake",
    "darwin": "brew install cmake, or pip install cmake",
    "win32": "winget install Kitware.CMake, or pip install cmake",
}
GET_COMPILER = {
    "linux": "Debian, Ubuntu: sudo apt install g++ make; Rocky, Fedora: sudo dnf install gcc-c++ make; "
    "one that is elsewhere is named by CXX",
    "darwin": "xcode-select --install",
    "win32": "winget install Microsoft.VisualStudio.2022.BuildTools, with the workload for desktop C++",
}


class InstallError(Exception):
    """It cannot be done; the message says why and what to do."""


# Places


def shared_folder() -> Path:
    """Where every OFX host of this machine looks."""
    if sys.platform == "win32":
        return Path(os.environ.get("COMMONPROGRAMFILES", r"C:\Program Files\Common Files")) / "OFX" / "Plugins"
    return Path("/Library/OFX/Plugins" if sys.platform == "darwin" else "/usr/OFX/Plugins")


def own_folder() -> Path:
    """A folder of this user's; hosts look there if OFX_PLUGIN_PATH says so."""
    home = Path(os.environ.get("HOME") or os.path.expanduser("~"))
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = home / "Library"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / "OFX" / "Plugins"


def plugin_path() -> list[Path]:
    """The folders that OFX_PLUGIN_PATH names."""
    return [Path(place) for place in os.environ.get("OFX_PLUGIN_PATH", "").split(os.pathsep) if place]


def default_folder() -> Path:
    """The shared folder where this user may write there, else an own one."""
    shared = shared_folder()
    there = next(one for one in (shared, *shared.parents) if one.exists())
    return shared if os.access(there, os.W_OK) else own_folder()


def is_seen(folder: Path) -> bool:
    """Whether hosts that are started now look into a folder."""
    places = (os.path.normcase(os.path.abspath(place)) for place in (shared_folder(), *plugin_path()))
    return os.path.normcase(os.path.abspath(folder)) in places


def is_ours(bundle: Path) -> bool:
    """Whether a bundle was made by this project, and not by somebody else under the same name."""
    contents = bundle / "Contents"
    if (contents / "Resources" / "engine.txt").is_file():
        return True
    with contextlib.suppress(OSError):
        return IDENTIFIER in (contents / "Info.plist").read_bytes()
    return False


# Building


def build(folder: Path) -> Path:
    """Build the plug-in in a folder; the bundle that came of it."""
    if not (SOURCE / "CMakeLists.txt").is_file():
        raise InstallError(f"{SOURCE} is not there: this checkout is not whole")
    cmake = shutil.which("cmake")
    if cmake is None:
        raise InstallError(f"CMake is not there, which builds the plug-in. {told(GET_CMAKE)}")
    if sys.platform != "win32" and compiler() is None:
        raise InstallError(f"A C++ compiler is not there, which builds the plug-in. {told(GET_COMPILER)}")
    # What another checkout or another CMake left there cannot be built on.
    cache = folder / "CMakeCache.txt"
    if cache.is_file() and f"CMAKE_HOME_DIRECTORY:INTERNAL={SOURCE.as_posix()}\n" not in cache.read_text("utf-8"):
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log = (folder / "vdp-build.log").open("w", encoding="utf-8", errors="replace")
    except OSError as error:
        raise InstallError(f"cannot write {folder}: {error.strerror}. Name another with --build-dir") from error
    print("Building the plug-in, a minute or so", flush=True)
    with log:
        configure = [cmake, "-S", str(SOURCE), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release"]
        if shutil.which("make") is None and shutil.which("ninja") is not None and not cache.is_file():
            configure += ["-G", "Ninja"]
        if sys.platform == "darwin":
            configure.append("-DCMAKE_OSX_ARCHITECTURES=arm64;x86_64")
        call(configure, log.name)
        call([cmake, "--build", str(folder), "--config", "Release", "--parallel", str(os.cpu_count() or 1)], log.name)
    bundle = folder / BUNDLE
    if not programs(bundle):
        raise InstallError(f"nothing came of the build; its whole story is in {log.name}")
    print(f"Built {bundle}")
    return bundle


def compiler() -> str | None:
    """The C++ compiler that CMake would take."""
    named = os.environ.get("CXX", "").split()
    found = (shutil.which(name) for name in (named[:1] or ["c++", "g++", "clang++"]))
    return next((one for one in found if one is not None), None)


def call(command: list[str], log: str) -> None:
    """Run a command, its output at the end of the log; InstallError with its last lines where it fails."""
    with open(log, "a", encoding="utf-8", errors="replace") as file:
        file.write(f"$ {' '.join(command)}\n")
        file.flush()
        try:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, timeout=60 * BUILD_MINUTES
            ).returncode
        except subprocess.TimeoutExpired:
            raise InstallError(f"the build took more than {BUILD_MINUTES} minutes; its story is in {log}") from None
    if code:
        story = Path(log).read_text(encoding="utf-8", errors="replace")
        last = "\n".join(story.splitlines()[-LOG_LINES:])
        raise InstallError(f"{last}\n{way_out(story)}The whole story is in {log}")


def way_out(story: str) -> str:
    """What to do about a build that failed, as far as its output tells."""
    if re.search(r"No CMAKE_CXX_COMPILER could be found|CMAKE_CXX_COMPILER not set", story):
        return f"CMake found no C++ compiler. {told(GET_COMPILER)}\n"
    if "CMAKE_MAKE_PROGRAM is not set" in story or "unable to find a build program" in story:
        return f"CMake found no make and no ninja. {told(GET_COMPILER)}\n"
    if re.search(r"CMake \S+ or higher is required", story):
        return f"This CMake is too old. {told(GET_CMAKE)}\n"
    return ""


def told(ways: dict[str, str]) -> str:
    """How to get something on this kind of machine."""
    return f"To get it: {ways.get(sys.platform, ways['linux'])}"


def programs(bundle: Path) -> list[Path]:
    """The plug-ins in a bundle, one for each kind of machine it was built for."""
    return sorted((bundle / "Contents").glob("*/VDP.ofx"))


# Installing


def install(folder: Path, bundle: Path) -> None:
    """Put a built bundle into a folder of plug-ins, in place of the one that is there."""
    if not programs(bundle):
        raise InstallError(f"nothing is built yet in {bundle.parent}: install/vdp ofx --build --install")
    target = folder / BUNDLE
    if os.path.lexists(target) and not is_ours(target):
        raise InstallError(f"{target} is not this plug-in, and is left alone. Choose another folder with --dir")
    work = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # No name that ends as a bundle's does: hosts look at everything below.
        work = Path(tempfile.mkdtemp(prefix=".vdp-", suffix=".tmp", dir=folder))
        copy(bundle, work / "new")
        swap(work, target)
    except OSError as error:
        in_use = ". If a host is open that has it loaded, close that first" if sys.platform == "win32" else ""
        raise InstallError(
            f"cannot write {folder}: {error.strerror or error}{in_use}. With the rights of an administrator, "
            f"or into a folder of your own: --dir {own_folder()}"
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    print(f"Installed the VDP plug-in: {target}")
    if not is_seen(folder):
        print(f"Hosts look there if they are told to: set OFX_PLUGIN_PATH to {with_folder(folder)} where they start")
    if os.environ.get("VDP_ENV"):
        print(f"VDP_ENV ({os.environ['VDP_ENV']}) has to be set where the hosts start, too")
    print("Start the host; the node is VDP, in the group VDP. To take it out: install/vdp ofx --uninstall")


def copy(bundle: Path, target: Path) -> None:
    """The bundle as everybody may read it, whatever the umask, with the note that leads to the engine."""
    shutil.copytree(bundle, target)
    resources = target / "Contents" / "Resources"
    resources.mkdir(exist_ok=True)
    (resources / "engine.txt").write_text(f"{engine_named()}\n", encoding="utf-8")
    if sys.platform != "win32":
        for path in (target, *target.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.suffix == ".ofx" else 0o644)


def swap(work: Path, target: Path) -> None:
    """Put ``work/new`` in the place of ``target``, which stays where that fails."""
    there = target.is_dir()
    if there:
        target.rename(work / "old")
    try:
        (work / "new").rename(target)
    except OSError:
        if there:
            (work / "old").rename(target)
        raise


def with_folder(folder: Path) -> str:
    """OFX_PLUGIN_PATH with a folder more."""
    return os.pathsep.join([*(str(place) for place in plugin_path()), str(folder)])


def engine_named() -> Path:
    """What engine.txt leads to; on Windows, which cannot run it, the checkout that it is of."""
    return ROOT if sys.platform == "win32" else ROOT / "install" / "vdp"


def uninstall(folders: list[Path]) -> None:
    """Take the bundle out of folders of plug-ins."""
    found = False
    for folder in folders:
        target = folder / BUNDLE
        if not os.path.lexists(target):
            continue
        if not is_ours(target):
            raise InstallError(f"{target} is not this plug-in, and is left alone")
        found = True
        try:
            if target.is_symlink():
                target.unlink()
            else:
                shutil.rmtree(target)
        except OSError as error:
            raise InstallError(f"cannot remove {error.filename or target}: {error.strerror or error}") from error
        if folder == own_folder():
            with contextlib.suppress(OSError):  # somebody else's plug-ins are there
                folder.rmdir()
                folder.parent.rmdir()
        print(f"Took the VDP plug-in out: {target}. Restart the hosts")
    if not found:
        print(f"The VDP plug-in is not installed in {', '.join(map(str, folders))}; nothing to do")


# Looking


def status(folders: list[Path]) -> int:
    """Say what is installed where; 0 where the plug-in is installed and its engine answers."""
    named = None
    for folder in folders:
        bundle = folder / BUNDLE
        seen = "" if is_seen(folder) else " (no host looks there: it is not in OFX_PLUGIN_PATH)"
        if not is_ours(bundle) or not programs(bundle):
            print(f"{folder}: no VDP plug-in")
            continue
        note = bundle / "Contents" / "Resources" / "engine.txt"
        leads_to = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
        kinds = ", ".join(path.parent.name for path in programs(bundle))
        print(f"{bundle}{seen}: for {kinds}; leads to {leads_to or 'the vdp on PATH'}")
        if named is None:
            named = leads_to
    answers, engine = engine_told(named)
    print(f"Engine: {engine}")
    if named is None:
        print("To install the plug-in: install/vdp ofx --build --install")
    return 0 if named is not None and answers else 1


def engine_told(named: str | None) -> tuple[bool, str]:
    """Whether the engine answers that a plug-in would start which is led to ``named``, and what it says."""
    sys.path.append(str(ROOT))
    from nuke_vdp import engine
    from nuke_vdp.errors import HostError

    if named:
        os.environ.setdefault("VDP_ENGINE", named)  # as in the plug-in, a variable of that name goes first
    try:
        command = engine.find()
    except HostError as error:
        return False, f"not ready. {error}"
    script = Path(command[-1])
    environment = Path(os.environ.get("VDP_ENV") or script.parent.parent / ".venv")
    if script.parent.name == "install" and not (environment / "vdp-setup" / "engine.toml").is_file():
        where = script.parent.parent
        return False, f"{where} is not set up yet. To set it up (a few minutes, up to 7 GB): {script} doctor"
    try:
        done = subprocess.run(
            [*command, "serve"], input=b'{"id": 1, "op": "hello", "protocol": 1}\n', capture_output=True,
            timeout=ANSWER_SECONDS, env=engine.environment(),
        )  # fmt: skip
        answer = json.loads(done.stdout.splitlines()[0])
    except subprocess.TimeoutExpired:
        return False, f"{script} did not answer within {ANSWER_SECONDS} s"
    except OSError as error:
        return False, f"{script} cannot be started: {error.strerror}"
    except (ValueError, IndexError):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        return False, f"{script} does not answer{': ' + last[0] if last else ''}"
    if not isinstance(answer, dict) or not answer.get("ok"):
        return False, f"{script} does not serve this plug-in: {answer}"
    return True, f"{script} answers, version {answer.get('version')}"


def main(arguments: list[str]) -> int:
    """Do what the arguments ask for; the exit code."""
    parser = argparse.ArgumentParser(prog="vdp ofx", description="Build the OFX plug-in, and put it where hosts look.")
    parser.add_argument("--build", action="store_true", help="build the plug-in with CMake and a C++17 compiler")
    wish = parser.add_mutually_exclusive_group()
    wish.add_argument("--install", action="store_true", help="put the built plug-in where OFX hosts look")
    wish.add_argument("--uninstall", action="store_true", help="take the plug-in out")
    wish.add_argument("--status", action="store_true", help="say what is installed where, and if the engine answers")
    parser.add_argument("--dir", metavar="DIR", help=f"the folder of plug-ins (default: {default_folder()})")
    parser.add_argument("--build-dir", metavar="DIR", help=f"where to build (default: {ROOT / 'build' / 'ofx'})")
    chosen = parser.parse_args(arguments)
    if not (chosen.build or chosen.install or chosen.uninstall or chosen.status):
        parser.error("one of --build, --install, --uninstall and --status is needed")
    if chosen.build and (chosen.uninstall or chosen.status):
        parser.error("--build goes with --install, or alone")
    for stream in (sys.stdout, sys.stderr):
        # A path that the terminal's encoding cannot show must not end the work.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    given = None if chosen.dir is None else Path(os.path.abspath(os.path.expanduser(chosen.dir)))
    building = Path(os.path.abspath(os.path.expanduser(chosen.build_dir or ROOT / "build" / "ofx")))
    if chosen.dir == "" or (given is not None and given.exists() and not given.is_dir()):
        print(f"vdp ofx: --dir {chosen.dir}: not a folder", file=sys.stderr)
        return 2
    places = [given] if given is not None else list(dict.fromkeys([shared_folder(), own_folder(), *plugin_path()]))
    try:
        bundle = build(building) if chosen.build else building / BUNDLE
        if chosen.install:
            install(given or default_folder(), bundle)
        elif chosen.uninstall:
            uninstall(places)
        elif chosen.status:
            return status(places)
    except InstallError as error:
        print(f"vdp ofx: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
