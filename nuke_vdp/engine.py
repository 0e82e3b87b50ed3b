"""The engine as a command: what to ask of it, where it lies, and the environment it is started in."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nuke_vdp.errors import EngineMissing

WINDOWS = sys.platform == "win32"

_OPTIONS = (
    ("task", "--task"), ("layers", "--layers"), ("flow", "--flow"), ("flow_layer", "--flow-layer"),
    ("flow_refine", "--flow-refine"),
    ("quality", "--quality"), ("seed", "--seed"), ("alpha", "--alpha"), ("bit_depth", "--bit-depth"),
    ("plate_layer", "--layer"), ("missing", "--missing"), ("strength", "--strength"), ("airlight", "--airlight"),
    ("transmission", "--transmission"), ("gamma", "--gamma"), ("exposure", "--exposure"), ("key_fill", "--key-fill"),
    ("protect", "--protect"),
)  # fmt: skip
_NOT_IN_THE_LAYERS = ("device", "out", "name")

# The host's own Python, libraries and settings, none of which are the engine's.
_HOST_VARIABLES = ("VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "QT_PLUGIN_PATH", "__PYVENV_LAUNCHER__")
_HOST_PREFIXES = ("PYTHON", "CONDA_", "DYLD_", "QT_QPA_", "NUKE_", "FN_")

_HOW_TO_INSTALL = "docs/nuke.md tells how to install it, or set VDP_ENGINE to where it lies"
_MAY_BE = "the vdp command (install/vdp, bin/vdp or vdp.exe), a checkout of vdp, or the environment folder it lies in"


@dataclass(frozen=True)
class Request:
    """One decomposition to ask for: every value as the engine's command line wants it."""

    plate: str
    out: str
    name: str
    frames: str
    task: str = "layers"
    layers: str = "2"
    flow: str = "dis"
    flow_layer: str = ""
    flow_refine: bool = False
    quality: str = "standard"
    device: str = "auto"
    seed: int = 0
    hints: tuple[str, ...] = ()
    alpha: str = "premultiplied"
    bit_depth: str = "half"
    plate_layer: str = ""
    missing: str = "error"
    strength: float = 1.0
    airlight: str = ""
    transmission: str = "grey"
    gamma: str = ""
    exposure: float = 0.0
    key_fill: float = 0.2
    protect: float = 1.0

    def arguments(self, command: str = "run") -> list[str]:
        """The arguments after ``vdp``; ``init`` sets a shot up for a farm, and knows of no device."""
        chosen = [command, self.plate, "--out", self.out]
        if self.name:
            chosen += ["--name", self.name]
        if self.frames:
            chosen += ["--frames", self.frames]
        for name in self._changed():
            option = dict(_OPTIONS).get(name)
            if option is not None:
                value = getattr(self, name)
                chosen += [option] if value is True else [option, str(value)]
        for hint in self.hints:
            chosen += ["--hint", hint]
        if self.device != "auto" and command != "init":
            chosen += ["--device", self.device]
        return [*chosen, "--progress", "json"]

    def digest(self) -> str:
        """16 hexadecimal digits over everything that changes the layers: not device, folder and name."""
        chosen = {name: getattr(self, name) for name in self._changed() if name not in _NOT_IN_THE_LAYERS}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode("ascii")).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ``from_dict`` makes it a request again."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """A request from JSON; names of a later version are left out.

        Raises:
            ValueError: it is none.
        """
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        known["hints"] = tuple(str(hint) for hint in known.get("hints", ()))
        try:
            return cls(**known)
        except TypeError as error:
            raise ValueError(f"not a request: {error}") from None

    def _changed(self) -> list[str]:
        # Only what differs from the defaults: a setting that comes later leaves the digests of today as they are.
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]


def find() -> tuple[str, ...]:
    """The command that starts the engine, without arguments.

    It is what ``VDP_ENGINE`` names, else the checkout that this package lies in, else ``vdp`` on PATH.

    Raises:
        EngineMissing: there is none; the message says how to get one.
    """
    named = os.environ.get("VDP_ENGINE", "").strip()
    if named:
        command = _at(Path(named).expanduser())
        if command is None:
            what = "which is not there" if not Path(named).expanduser().exists() else "which is no engine"
            raise EngineMissing(f"VDP_ENGINE is set to {named}, {what}. It may be {_MAY_BE}")
        return command
    command = _checkout(Path(__file__).resolve().parent.parent)
    if command is not None:
        return command
    on_path = shutil.which("vdp", path=environment().get("PATH"))
    if on_path is not None:
        return (on_path,)
    raise EngineMissing(f"The VDP engine is not installed on this machine: {_HOW_TO_INSTALL}")


def command(request: Request) -> tuple[str, ...]:
    """The whole command line of a request; EngineMissing as ``find``."""
    return (*find(), *request.arguments("run"))


def environment() -> dict[str, str]:
    """The environment of this process without the host's Python, libraries and settings.

    What the engine and its libraries read themselves (OCIO, VDP_…, CUDA_VISIBLE_DEVICES, proxies) stays.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _HOST_VARIABLES and not name.startswith(_HOST_PREFIXES)
    }
    host = _host_folder()
    if host is not None and "PATH" in kept:
        # Nuke puts its own folder first: a python, a vdp or a library found there would be the host's.
        entries = [entry for entry in kept["PATH"].split(os.pathsep) if not _lies_in(entry, host)]
        kept["PATH"] = os.pathsep.join(entries)
    return kept


def _at(place: Path) -> tuple[str, ...] | None:
    """The engine that a path names, whatever kind of path it is."""
    if place.is_file():
        return (str(place.absolute()),) if WINDOWS or os.access(place, os.X_OK) else None
    return _checkout(place) or _environment_folder(place)


def _checkout(place: Path) -> tuple[str, ...] | None:
    script, bootstrap = place / "install" / "vdp", place / "install" / "bootstrap.py"
    if not WINDOWS:
        return (str(script.absolute()),) if script.is_file() and os.access(script, os.X_OK) else None
    path = environment().get("PATH")
    python = shutil.which("py", path=path) or shutil.which("python", path=path)
    return (python, str(bootstrap.absolute())) if python and bootstrap.is_file() else None


def _environment_folder(place: Path) -> tuple[str, ...] | None:
    for relative in ("Scripts/vdp.exe", "bin/vdp"):
        script = place / relative
        if script.is_file():
            return (str(script.absolute()),)
    return None


def _host_folder() -> Path | None:
    """The folder of the host's program; none where this is an ordinary Python."""
    program = Path(sys.executable or "")
    return program.parent if program.name.lower().startswith("nuke") else None


def _lies_in(entry: str, folder: Path) -> bool:
    plain = os.path.normcase(os.path.normpath(entry))
    host = os.path.normcase(os.path.normpath(str(folder)))
    return plain == host or plain.startswith(host + os.sep)
