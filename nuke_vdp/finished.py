"""Finished layers: what lies in an output folder, and what its report says. Files only, no Nuke."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nuke_vdp import files
from nuke_vdp.errors import HostError

FARM_WORDS = "Press Decompose, or, after a farm job or a run elsewhere, wait until that has finished."


@dataclass(frozen=True)
class Layers:
    """The layers of one folder.

    ``file`` is their pattern with ``####``; ``count`` the number of layers, or 0 where only the files tell; ``frames``
    the text of the frames that were asked for.
    """

    file: str
    name: str
    frames: str
    task: str
    alpha: str
    count: int


def read(out: str) -> Layers:
    """The layers of an output folder.

    Raises:
        HostError: there are none, or what describes them is damaged.
    """
    path = Path(out) / ".vdp" / "shot.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        settings, name = stored["settings"], str(stored["name"])
        count = settings.get("layers", 2)
        layers = Layers(
            f"{out}/{name}.####.exr", name, str(stored["frames"]), str(settings.get("task", "layers")),
            str(settings.get("alpha", "premultiplied")), count if isinstance(count, int) else 0,
        )  # fmt: skip
    except OSError:
        raise HostError(f"There are no layers in {out}. {FARM_WORDS}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise HostError(f"{path.as_posix()} is damaged. Press Decompose to write it again.") from None
    if not any(_is_frame(entry.name, name) for entry in _entries(out)):
        raise HostError(f"There are no layers in {out} yet. {FARM_WORDS}")
    return layers


def made_from(out: str) -> str:
    """What the layers of a folder were last asked to be made from, as a node noted it; "" where none did."""
    return _noted(out, "made_from")


def asked_by(out: str) -> str:
    """Who was asked to make them: a ``run`` or the ``farm``; "" where no node noted it."""
    return _noted(out, "by")


def note_made_from(out: str, digest: str, by: str = "farm") -> None:
    """Remember beside the run what its layers are made from, for nodes that adopt them later or elsewhere.

    Raises:
        HostError: the folder cannot be written.
    """
    path = _note(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, json.dumps({"made_from": digest, "by": by}))
    except OSError as error:
        raise HostError(f"The output folder {out} cannot be written: {error.strerror}.") from None


def _noted(out: str, what: str) -> str:
    try:
        return str(json.loads(_note(out).read_text(encoding="utf-8"))[what])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def finished_since(out: str, moment: float) -> bool:
    """Whether the report of a whole run was written after a moment (seconds since 1970)."""
    return any(entry.name.endswith(".report.json") and _modified(entry) >= moment for entry in _entries(out))


def sheet(out: str) -> str | None:
    """The contact sheet, if it is there."""
    path = f"{out}/{read(out).name}.sheet.png"
    return path if os.path.isfile(path) else None


def report(out: str) -> str:
    """The report of a folder in words: how well it rebuilds, what covers how much, what to look at.

    Raises:
        HostError: there is none.
    """
    path = Path(out) / f"{read(out).name}.report.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise HostError(f"There is no report in {out} yet: it is written when a run has finished.") from None
    except ValueError:
        raise HostError(f"{path.as_posix()} is damaged. Press Decompose to write it again.") from None
    return "\n".join([f"{read(out).name}, frames {read(out).frames}", *_told(found)])


def _told(found: Any) -> list[str]:
    told = ["The layers add up to the plate." if found.get("passed") else "The layers do NOT add up to the plate."]
    for layer, share in (found.get("coverage") or {}).items():
        if isinstance(share, dict) and "mean" in share:
            told.append(f"{layer} covers {100 * share['mean']:.0f} % of the picture.")
    overlap = found.get("confidence")
    if isinstance(overlap, (int, float)):
        told.append(f"Confidence of the matte: {100 * overlap:.0f} %.")
    warnings = [_warning(one) for one in found.get("warnings", [])]
    return [*told, "", *(warnings or ["No warnings."])]


def _warning(one: Any) -> str:
    where = f"frame {one['frame']}: " if "frame" in one else ""
    return f"- {where}{one.get('message', one.get('code', ''))}"


def _note(out: str) -> Path:
    return Path(out) / ".vdp" / "nuke" / "node.json"


def _entries(out: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(out))
    except OSError:
        return []  # removed, or on a disk that is away: nothing is there


def _modified(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0


def _is_frame(file: str, name: str) -> bool:
    return file.startswith(f"{name}.") and file.endswith(".exr")
