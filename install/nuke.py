"""Puts the VDP node into Nuke, and takes it out again.

    install/vdp nuke --install [--nuke-dir DIR]       Windows: py install\\nuke.py --install
    install/vdp nuke --uninstall [--nuke-dir DIR]
    install/vdp nuke --status [--nuke-dir DIR]

Installing adds one line to DIR/init.py (DIR is ~/.nuke if not given), and nothing is copied: Nuke then runs
nuke_vdp/init.py of this checkout when it starts. The line carries a mark by which it is found again; everything else
in the file stays as it is, to the byte.

Standard library only, Python 3.9 and newer. Exit codes: 0 done (--status: the node is installed and the engine is
ready), 1 failed (--status: something is missing), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "nuke_vdp"
MARK = "# VDP node, written by: install/vdp nuke --install"
PLACES_OF_NUKE = {
    "linux": ("/usr/local/Nuke*", "/opt/Nuke*", "/opt/foundry/Nuke*"),
    "darwin": ("/Applications/Nuke*",),
    "win32": ("C:/Program Files/Nuke*",),
}


class InstallError(Exception):
    """It cannot be done; the message says why and what to do."""


def line_for(plugin: Path) -> str:
    """The line of init.py that leads Nuke to ``plugin``.

    It must never stop Nuke: where the folder is gone, or the Python too old, it does nothing. ASCII only, so that it
    reads the same in any encoding of the file, and without names of its own, so that it disturbs none.

    >>> line_for(Path("/tools/vdp/nuke_vdp")).partition("  #")[0]
    "import os, sys, nuke; [nuke.pluginAddPath(p, addToSysPath=False) for p in ['/tools/vdp/nuke_vdp'] \
if sys.version_info >= (3, 9) and os.path.isdir(p)]"
    """
    return (
        f"import os, sys, nuke; [nuke.pluginAddPath(p, addToSysPath=False) for p in [{plugin.as_posix()!a}] "
        f"if sys.version_info >= (3, 9) and os.path.isdir(p)]  {MARK}"
    )


def plugin_of(line: bytes) -> str:
    """The folder that a line of ours names; empty where somebody changed the line beyond reading."""
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(line.strip())):
            if isinstance(node, ast.List) and len(node.elts) == 1 and isinstance(node.elts[0], ast.Constant):
                return str(node.elts[0].value)
    return ""


class InitFile:
    """The init.py of a folder that Nuke reads at its start, taken as bytes: its encoding is its owner's affair."""

    def __init__(self, folder: Path) -> None:
        # Many keep their settings elsewhere and link to them: the link stays, what it leads to is changed.
        self.path = Path(os.path.realpath(folder / "init.py"))
        self.shown = folder / "init.py"

    def lines(self) -> list[bytes]:
        """Its lines with their ends; none where there is no file."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InstallError(f"cannot read {self.shown}: {error.strerror}") from error
        if b"\0" in content:
            raise InstallError(
                f"{self.shown} is not a text file that Python can run (UTF-16?). Save it as UTF-8, then try again"
            )
        return content.splitlines(keepends=True)

    def installed(self) -> str | None:
        """The folder that our line names, empty if unreadable; ``None`` where there is no such line."""
        return next((plugin_of(line) for line in self.lines() if is_ours(line)), None)

    def put(self, text: str) -> bool:
        """Put our line in, in the place of an older one, else as the last; whether that changed anything."""
        old = self.lines()
        ends = [end for end in map(end_of, old) if end]
        end = ends[-1] if ends else os.linesep.encode()
        new: list[bytes] = []
        placed = False
        for line in old:
            if not is_ours(line):
                new.append(line)
            elif not placed:
                new.append(text.encode("ascii") + end_of(line))
                placed = True
        if not placed:
            # A file without an end after its last line still has none afterwards.
            whole = not new or bool(end_of(new[-1]))
            new += [text.encode("ascii") + end] if whole else [end, text.encode("ascii")]
        return self.write(old, new)

    def take_out(self) -> bool:
        """Remove our line, and the file where it held nothing else; whether that changed anything."""
        old = self.lines()
        new = [line for line in old if not is_ours(line)]
        if old and new and is_ours(old[-1]) and not end_of(old[-1]):
            new[-1] = new[-1][: len(new[-1]) - len(end_of(new[-1]))]
        if old and not b"".join(new) and not self.shown.is_symlink():
            try:
                self.path.unlink()
            except OSError as error:
                raise InstallError(f"cannot remove {self.shown}: {error.strerror}") from error
            return True
        return self.write(old, new)

    def write(self, old: list[bytes], new: list[bytes]) -> bool:
        """Replace the file in one step, with the permissions it had."""
        if b"".join(old) == b"".join(new):
            return False
        there = self.path.exists()
        # Renaming over it would work, but who protected the file did not want it changed.
        if there and not os.access(self.path, os.W_OK):
            raise InstallError(f"{self.shown} is write-protected. Make it writable, then try again")
        partial = ""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, partial = tempfile.mkstemp(prefix=".init.py.", dir=self.path.parent)
            with open(descriptor, "wb") as file:
                file.write(b"".join(new))
            os.chmod(partial, self.path.stat().st_mode & 0o7777 if there else 0o644)
            os.replace(partial, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise InstallError(f"cannot write {self.shown}: {error.strerror}. Is the folder yours?") from error
        return True


def is_ours(line: bytes) -> bool:
    """Whether a line of init.py was written by this file."""
    return MARK.encode("ascii") in line


def end_of(line: bytes) -> bytes:
    """What ends a line: LF, CR LF, CR, or nothing."""
    return line[len(line.rstrip(b"\r\n")) :]


def home_nuke() -> Path:
    """The folder that Nuke reads for this user: it asks HOME first, on Windows too."""
    return Path(os.environ.get("HOME") or os.path.expanduser("~")) / ".nuke"


def engine_told() -> tuple[bool, str]:
    """Whether the engine is ready, and where it lies or what to do; found as the node finds it."""
    sys.path.append(str(ROOT))
    from nuke_vdp import engine
    from nuke_vdp.errors import HostError

    try:
        command = engine.find()
    except HostError as error:
        return False, f"Engine: not ready. {error}"
    environment = Path(os.environ.get("VDP_ENV") or ROOT / ".venv")
    of_this_checkout = Path(command[-1]).parent == ROOT / "install"
    if of_this_checkout and not (environment / "vdp-setup" / "engine.toml").is_file():
        return False, f"Engine: {ROOT} is not set up yet. To set it up (a few minutes, up to 7 GB): install/vdp doctor"
    return True, f"Engine: {' '.join(command)}"


def install(folder: Path) -> int:
    """Put the node into the Nuke folder."""
    if not (PLUGIN / "init.py").is_file():
        raise InstallError(f"{PLUGIN} is not there: this checkout is not whole")
    file = InitFile(folder)
    before = file.installed()
    here = PLUGIN.as_posix()
    if not file.put(line_for(PLUGIN)):
        print(f"The VDP node is installed already, by {file.shown}")
    elif before is None:
        print(f"Installed the VDP node: one line in {file.shown}")
    elif before == here:
        print(f"Renewed the line of the VDP node in {file.shown}")
    else:
        print(f"Installed the VDP node: {file.shown} named {before or 'another place'}, and now names {here}")
    print("Start Nuke, press Tab in the node graph and type VDP. To take it out: install/vdp nuke --uninstall")
    print(engine_told()[1])
    return 0


def uninstall(folder: Path) -> int:
    """Take the node out of the Nuke folder."""
    file = InitFile(folder)
    if file.take_out():
        print(f"Took the VDP node out of {file.shown}. Restart Nuke")
    else:
        print(f"The VDP node is not installed in {file.shown}; nothing to do")
    return 0


def status(folder: Path) -> int:
    """Say what is installed where; 0 where the node is installed and its engine ready."""
    places = {folder: "", **{place: " (from NUKE_PATH)" for place in nuke_path()}}
    found = False
    for place, origin in places.items():
        if is_plugin(place):
            found = True
            print(f"{place}{origin}: is the VDP node")
            continue
        named = InitFile(place).installed()
        if named is None:
            print(f"{place}{origin}: no VDP node")
        elif is_plugin(Path(named)):
            found = True
            print(f"{place}{origin}: VDP node from {named}")
        else:
            print(f"{place}{origin}: VDP node from {named or 'a line somebody changed'}, which is not there any more")
    for program in programs():
        print(f"{program}: a Nuke")
    ready, engine = engine_told()
    print(engine)
    if not found:
        print("To install the node: install/vdp nuke --install")
    return 0 if found and ready else 1


def is_plugin(folder: Path) -> bool:
    """Whether a folder is the VDP node itself."""
    return (folder / "gizmos" / "VDP.gizmo").is_file()


def nuke_path() -> list[Path]:
    """The folders that NUKE_PATH names."""
    return [Path(place) for place in os.environ.get("NUKE_PATH", "").split(os.pathsep) if place]


def programs() -> list[str]:
    """Installed Nukes, in the places where its installer puts them."""
    found: list[str] = []
    for place in PLACES_OF_NUKE.get(sys.platform, ()):
        folder, _, pattern = place.rpartition("/")
        found += (str(path) for path in Path(folder).glob(pattern) if re.match(r"Nuke\d", path.name))
    return sorted(found)


def main(arguments: list[str]) -> int:
    """Do what the arguments ask for; the exit code."""
    parser = argparse.ArgumentParser(prog="vdp nuke", description="Put the VDP node into Nuke, and take it out again.")
    wish = parser.add_mutually_exclusive_group(required=True)
    for name, action in (("install", install), ("uninstall", uninstall), ("status", status)):
        summary = (action.__doc__ or "").partition(";")[0].rstrip(".")
        wish.add_argument(f"--{name}", dest="action", action="store_const", const=action, help=summary)
    parser.add_argument("--nuke-dir", metavar="DIR", help="the folder whose init.py Nuke reads (default: ~/.nuke)")
    chosen = parser.parse_args(arguments)
    folder = home_nuke() if chosen.nuke_dir is None else Path(os.path.expanduser(chosen.nuke_dir))
    for stream in (sys.stdout, sys.stderr):
        # A path that the terminal's encoding cannot show must not end the work.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        if chosen.nuke_dir == "" or (folder.exists() and not folder.is_dir()):
            print(f"vdp nuke: --nuke-dir {chosen.nuke_dir}: not a folder", file=sys.stderr)
            return 2
        return int(chosen.action(folder.absolute()))
    except InstallError as error:
        print(f"vdp nuke: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
