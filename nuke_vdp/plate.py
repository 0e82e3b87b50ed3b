"""What is plugged into a VDP node: a plain Read that the engine can open itself, or something to render first.

Main thread only, like everything that asks Nuke about nodes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nuke

from nuke_vdp import files
from nuke_vdp.errors import HostError

PICTURES = (".exr",)
HINT_PICTURES = (".exr", ".png", ".tif", ".tiff", ".jpg", ".jpeg")

_PASSES_ON = ("Dot", "NoOp", "PostageStamp")
_LINEAR = {"linear", "scene_linear", "raw"}
_NUMBERED = re.compile(r"#|%0?\d*d")
_NUMBER_AT_END = re.compile(r"-?\d+\.\w+$")
_VIEW = re.compile(r"%[Vv]")

# Knobs that say nothing about the picture.
_COSMETIC = {
    "name", "label", "xpos", "ypos", "selected", "tile_color", "gl_color", "note_font", "note_font_size",
    "note_font_color", "hide_input", "postage_stamp", "postage_stamp_frame", "cached", "dope_sheet", "bookmark",
    "icon", "indicators", "help", "panel", "onCreate", "onDestroy", "knobChanged", "updateUI", "autolabel",
    "localizationPolicy", "localization_sync", "cacheLocal", "status", "run_dir", "plate_file", "hint_file",
    "render_plate", "vdp_version", "version_info", "hint_group", "adjust_group",
}  # fmt: skip


@dataclass(frozen=True)
class Render:
    """Frames to render before the engine can start.

    ``kind`` is the value of the knob ``render_plate`` that switches the Write inside of the node on: 1 the plate, 2 the
    hint's alpha, 3, 4 and 5 its red, green and blue. ``digest`` tells what is rendered, so that it is done once.
    """

    kind: int
    pattern: str
    frames: tuple[int, ...]
    digest: str


# Frame ranges


def format_frames(frames: Sequence[int]) -> str:
    """Ascending frames as the engine reads them: ``1001-1100,1105``."""
    parts = []
    for first, last in _runs(frames):
        parts.append(str(first) if first == last else f"{first}-{last}")
    return ",".join(parts)


def parse_frames(text: str) -> tuple[int, ...]:
    """The frames of ``1001-1100x2, 1105`` in ascending order.

    Raises:
        HostError: it is no such list.
    """
    found: set[int] = set()
    for part in filter(None, re.split(r"[,\s]+", text.strip())):
        match = re.fullmatch(r"(-?\d+)(?:-(-?\d+)(?:x(\d+))?)?", part)
        if match is None or match.group(3) == "0":
            raise HostError(f"'{part}' is no frame or range of frames. Write them as 1001, 1020, 1040-1050.")
        first = int(match.group(1))
        found.update(range(first, int(match.group(2) or first) + 1, int(match.group(3) or 1)))
    return tuple(sorted(found))


def input_range(source: Any) -> tuple[int, int]:
    """First and last frame of what is plugged in."""
    frames = source.frameRange()
    return int(frames.first()), int(frames.last())


# What is plugged in


def source_of(node: Any) -> Any:
    """The node that makes the picture: past dots and nodes that are switched off."""
    seen = node
    while seen is not None and (seen.Class() in (*_PASSES_ON, "OneView") or _off(seen)) and seen.Class() != "Read":
        seen = seen.input(0)
    return seen


def view_of(node: Any) -> str:
    """The one view that this is about; "" where the script has several, and no OneView chooses one."""
    views = list(nuke.views())
    if len(views) < 2:
        return str(views[0]) if views else "main"
    seen = node
    while seen is not None:
        if seen.Class() == "OneView" and not _off(seen):
            return str(_value(seen, "view", "")) or str(views[0])
        seen = seen.input(0)
    return ""


def why_not_plain(read: Any, span: tuple[int, int], pictures: Sequence[str] = PICTURES) -> str:
    """Why the engine cannot open what a Read reads by itself; "" where it can.

    Args:
        read: any node.
        span: first and last frame that are wanted.
        pictures: the file types that may pass.
    """
    if read is None or read.Class() != "Read":
        return "it is not a Read"
    if _off(read):
        return "the Read is switched off"
    path = path_of(read)
    if not path.lower().endswith(tuple(pictures)):
        return f"it reads no {' or '.join(pictures)}"
    if path.lower().endswith(".exr") and not _linear(read):
        return "the Read changes the colours"
    if _shifted(read):
        return "the Read shifts the frames"
    if pictures is PICTURES and not _NUMBERED.search(os.path.basename(path)):
        return "it reads one still"
    if span[0] < int(_value(read, "first", span[0])) or span[1] > int(_value(read, "last", span[1])):
        return "the Read is shorter than the range"
    return ""


def path_of(read: Any) -> str:
    """The file pattern of a Read at full resolution, with forward slashes, after remaps and filters; views remain."""
    with full_resolution():
        path = nuke.filenameFilter(nuke.filename(read) or "")
    return str(path or "").replace("\\", "/")


def in_view(path: str, view: str) -> str:
    """A path with ``%V`` and ``%v`` replaced; HostError where there are several views, and none was chosen."""
    if not _VIEW.search(path):
        return path
    if not view:
        raise HostError(several_views())
    return path.replace("%V", view).replace("%v", view[:1])


def several_views() -> str:
    """What to tell an artist whose script has several views."""
    return (
        f"The script has several views ({', '.join(nuke.views())}), and VDP decomposes one at a time. "
        "Put a OneView before the VDP node, one VDP node for each view."
    )


def _off(node: Any) -> bool:
    return bool(_value(node, "disable", False))


def _value(node: Any, name: str, default: Any) -> Any:
    knob = node.knob(name)
    return default if knob is None else knob.value()


def _linear(read: Any) -> bool:
    if _value(read, "raw", False):
        return True
    root = nuke.root()
    space = str(_value(read, "colorspace", "default"))
    if space.strip().lower() == "default":
        space = str(_value(root, "floatLut", "linear"))
    return bool(_names(space) & (_LINEAR | _names(str(_value(root, "workingSpaceLUT", "linear")))))


def _names(space: str) -> set[str]:
    """``default (ACES/ACEScg)`` is called ACEScg, ``scene_linear (ACES - ACEScg)`` both."""
    parts = re.fullmatch(r"\s*([^()]*?)\s*(?:\((.*)\))?\s*", space)
    names = parts.groups() if parts else (space,)
    return {name.rsplit("/", 1)[-1].strip().lower() for name in names if name} - {"default"}


def _shifted(read: Any) -> bool:
    frame = str(_value(read, "frame", "") or "").strip()
    mode = str(_value(read, "frame_mode", "expression"))
    if not frame:
        return False
    if mode == "expression":
        return frame != "frame"
    neutral = "0" if mode == "offset" else str(int(_value(read, "first", 0)))
    try:
        return float(frame) != float(neutral)
    except ValueError:
        return True


# What it was made from


def upstream_digest(node: Any) -> str:
    """16 hexadecimal digits that change with every setting of every node upstream; "" for nothing connected.

    Positions, names, labels, colours, dots and what is switched off do not count.
    """
    if node is None:
        return ""
    told: list[Any] = []
    _tell(node, {}, told)
    return hashlib.sha256(json.dumps(told).encode("utf-8")).hexdigest()[:16]


def _tell(node: Any, known: dict[str, int], told: list[Any]) -> int:
    """Add what is upstream of a node and the node itself; returns its number. Not by recursion: scripts are deep."""
    stack: list[tuple[Any, bool]] = [(node, False)]
    while stack:
        one, ready = stack.pop()
        one = _past_neutral(one)
        if one is None or one.fullName() in known:
            continue
        inputs = [one.input(index) for index in range(one.inputs())]
        if not ready:
            stack.append((one, True))
            stack.extend((each, False) for each in reversed(inputs) if each is not None)
            continue
        numbers = [-1 if each is None else known.get(each.fullName(), -1) for each in map(_past_neutral, inputs)]
        known[one.fullName()] = len(told)
        inner = [_written(each) for each in sorted(one.nodes(), key=_name)] if one.Class() == "Group" else []
        told.append([one.Class(), _written(one), numbers, inner])
    return len(told)


def _past_neutral(node: Any) -> Any:
    while node is not None and (node.Class() in _PASSES_ON or (_off(node) and node.inputs() > 0)):
        node = node.input(0)
    return node


def _name(node: Any) -> str:
    return str(node.name())


def _written(node: Any) -> list[str]:
    """The knobs of a node as a script stores them, without those that say nothing about the picture."""
    text = str(node.writeKnobs(nuke.WRITE_NON_DEFAULT_ONLY | nuke.TO_SCRIPT))
    return [one for one in _statements(text) if one.split(None, 1)[0] not in _COSMETIC]


def _statements(text: str) -> Iterator[str]:
    """Knobs one by one; a value in braces may go over several lines."""
    held: list[str] = []
    depth = 0
    for line in text.splitlines():
        plain = re.sub(r"\\.", "", line)
        depth += plain.count("{") - plain.count("}")
        held.append(line)
        if depth <= 0:
            one, held, depth = "\n".join(held).strip(), [], 0
            if one:
                yield one
    if held:
        yield "\n".join(held)


# Rendering


@contextlib.contextmanager
def full_resolution() -> Iterator[None]:
    """Proxy mode off while the block runs; without a step in the undo history."""
    knob = nuke.root().knob("proxy")
    if knob is None or not knob.value():
        yield
        return
    with no_undo():
        knob.setValue(False)
    try:
        yield
    finally:
        with no_undo():
            knob.setValue(True)


@contextlib.contextmanager
def no_undo() -> Iterator[None]:
    """What happens in the block is no step of the artist's undo history."""
    nuke.Undo.disable()
    try:
        yield
    finally:
        nuke.Undo.enable()


def to_render(job: Render) -> tuple[int, ...]:
    """The frames of a render that are not there yet, or of another upstream."""
    if _digest_on_disk(job.pattern) != job.digest:
        return job.frames
    return tuple(frame for frame in job.frames if not Path(frame_path(job.pattern, frame)).is_file())


def render(node: Any, job: Render) -> None:
    """Render what is missing of a plate or a hint with the Write inside of the node; blocks, with Nuke's own bar.

    Raises:
        HostError: it was cancelled, or something upstream failed; nothing of the node has changed.
    """
    frames = to_render(job)
    if not frames:
        return
    _make_room(job)
    what, knob, name = ("plate", "plate_file", "WritePlate") if job.kind == 1 else ("hint", "hint_file", "WriteHint")
    view = view_of(node.input(0 if job.kind == 1 else 1))
    views = [[view]] if len(nuke.views()) > 1 else []
    write = node.node(name)
    with no_undo():
        node[knob].setValue(job.pattern)
        node["render_plate"].setValue(job.kind)
    try:
        with full_resolution():
            for first, last in _runs(frames):
                nuke.execute(write, first, last, 1, *views)
    except RuntimeError as error:
        if "cancel" in str(error).lower():
            raise HostError(f"Rendering the {what} was cancelled, and nothing was started.") from None
        raise HostError(f"The {what} could not be rendered: {error}. Look at the nodes before the VDP node.") from None
    finally:
        with no_undo():
            node["render_plate"].setValue(0)


def frame_path(pattern: str, frame: int) -> str:
    """One file of a pattern with ``####``."""
    return pattern.replace("####", f"{frame:04d}")


def _make_room(job: Render) -> None:
    folder = Path(job.pattern).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _digest_on_disk(job.pattern) != job.digest:
            # Frames of another upstream must not mix with new ones.
            before, after = re.escape(Path(job.pattern).name).split(r"\#\#\#\#")
            old = re.compile(rf"{before}-?\d+{after}")
            for path in folder.iterdir():
                if old.fullmatch(path.name):
                    path.unlink()
            files.write_text(_note(job.pattern), json.dumps({"digest": job.digest}))
    except OSError as error:
        raise HostError(f"The folder {folder.as_posix()} cannot be written: {error.strerror}.") from None


def _note(pattern: str) -> Path:
    return Path(pattern.replace(".####.exr", ".json"))


def _digest_on_disk(pattern: str) -> str | None:
    try:
        return str(json.loads(_note(pattern).read_text(encoding="utf-8"))["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _runs(frames: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending frames as stretches without gaps."""
    stretches: list[tuple[int, int]] = []
    for frame in frames:
        if stretches and frame == stretches[-1][1] + 1:
            stretches[-1] = (stretches[-1][0], frame)
        else:
            stretches.append((frame, frame))
    return stretches
