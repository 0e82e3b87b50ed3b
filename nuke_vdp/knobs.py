"""The knobs of a VDP node: their names, which never change, and what they ask of the engine.

Main thread only.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any, Callable

import nuke

from nuke_vdp import plate
from nuke_vdp.engine import Request
from nuke_vdp.errors import HostError
from nuke_vdp.plate import Render

CLASS = "VDP"
VERSION = 1

STATUS, SHOW, RUN_DIR, LAYERS_FILE, LAYERS_DIGEST = "status", "show", "run_dir", "layers_file", "layers_digest"

BUTTONS = ("decompose", "cancel", "farm", "reload", "layer_nodes", "report", "add_hint_frame")
SETTINGS = (
    "task", "layers", "frame_range", "first", "last", "flow", "flow_layer", "flow_refine", "quality",
    "out_dir", "out_name",
    "hint_frames", "hint_from", "device", "seed", "plate_layer", "missing", "missing_frames", "alpha", "bit_depth",
    "plate_depth", "strength", "lock_airlight", "airlight_colour", "transmission_kind", "exposure", "key_fill",
    "protect", "lock_gamma", "gamma_lock",
)  # fmt: skip
ADJUSTMENTS = ("bg_gain", "fg1_gain", "fg2_gain", "fg3_gain", "haze_amount", "airlight_gain", "exposure_mix")
HIDDEN = (
    "vdp_version", RUN_DIR, LAYERS_FILE, "layers_first", "layers_last", LAYERS_DIGEST, "layers_task", "layers_alpha",
    "layers_count", "gamma", "plate_file", "hint_file", "render_plate",
)  # fmt: skip
SHOWN = (
    "plate", "recomposition", "fg1", "fg2", "fg3", "bg", "clean", "matte", "fg1 matte", "fg2 matte", "fg3 matte",
    "confidence", "residual", "clear", "transmission", "airlight", "relit", "gain", "noise",
)  # fmt: skip

# Scripts may hold a choice by its number: what is new goes to the end.
_FLOW = {
    "estimate (DIS)": "dis", "estimate (RAFT)": "raft", "motion vectors of the input": "vectors",
    "estimate (VDP)": "vdp",
}  # fmt: skip
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_DRIVE = re.compile(r"[A-Za-z]:/")
_NOT_IN_A_NAME = re.compile(r'[/\\:*?"<>|\x00-\x1f]')

# From each version to the next: what to do with the knobs of a node that was saved by it.
_MIGRATIONS: dict[int, Callable[[Any], None]] = {}


def is_vdp(node: Any) -> bool:
    """Whether this is a VDP node, also as a Group that was made of one."""
    return node.Class() in (CLASS, f"{CLASS}.gizmo", "Group") and node.knob("vdp_version") is not None


def text(node: Any, name: str) -> str:
    """A knob's text with its expressions evaluated, forward slashes, no space around."""
    knob = node[name]
    evaluate = getattr(knob, "evaluate", None)
    try:
        value = evaluate() if evaluate is not None else knob.value()
    except RuntimeError as error:
        raise HostError(f"The expression in '{name}' of {node.name()} cannot be evaluated: {error}.") from None
    return str(value or "").replace("\\", "/").strip()


def stored(node: Any, name: str) -> str:
    """The text of a hidden knob as it was set."""
    return str(node[name].value() or "")


def out_dir(node: Any) -> str:
    """The folder of the layers, absolute, with forward slashes.

    Raises:
        HostError: it follows from the script's name, which has none yet, or it is empty.
    """
    script = str(nuke.root()["name"].value() or "").replace("\\", "/")
    written = str(node["out_dir"].value() or "")
    if "root.name" in written and not script:
        raise HostError("The output folder follows from the script's name: save the script first, or set the folder.")
    path = text(node, "out_dir").rstrip("/")
    if not path:
        raise HostError(f"Set the output folder of {node.name()}.")
    if path.startswith("/") or _DRIVE.match(path):
        return path
    if not script:
        raise HostError(f"The output folder '{path}' is relative to the script: save the script first.")
    return f"{os.path.dirname(script)}/{path}"


def frames(node: Any) -> tuple[int, int]:
    """First and last frame to decompose; HostError where nothing is plugged in, or the range is empty."""
    chosen = node["frame_range"].value()
    if chosen == "custom":
        first, last = int(node["first"].value()), int(node["last"].value())
    elif chosen == "global":
        first, last = int(nuke.root().firstFrame()), int(nuke.root().lastFrame())
    else:
        first, last = plate.input_range(_plate(node))
    if first > last:
        raise HostError(f"The frame range of {node.name()} is empty: {first} is after {last}.")
    return first, last


def digest(node: Any) -> str:
    """What the layers would be made from now: settings and everything upstream; "" where nothing is plugged in."""
    source = node.input(0)
    if source is None:
        return ""
    try:
        asked = _settings(node, frames=plate.format_frames(range(frames(node)[0], frames(node)[1] + 1)))
    except HostError:
        return ""
    parts = [asked.digest(), plate.upstream_digest(source)]
    if plate.source_of(node.input(1)) is not None:
        parts += [plate.upstream_digest(node.input(1)), text(node, "hint_frames"), str(node["hint_from"].value())]
    return hashlib.sha256(" ".join(parts).encode("utf-8")).hexdigest()[:16]


def request_of(node: Any) -> tuple[Request, tuple[Render, ...]]:
    """What to ask of the engine, and what has to be rendered before.

    Raises:
        HostError: a knob or what is plugged in does not allow it; the message says which, and what to do.
    """
    source, out = _plate(node), out_dir(node)
    span = frames(node)
    view = plate.view_of(source)
    read = plate.source_of(source)
    name = _checked_name(text(node, "out_name"))
    renders: list[Render] = []
    if not plate.why_not_plain(read, span):
        pattern = plate.in_view(plate.path_of(read), view)
    else:
        if not view:
            raise HostError(plate.several_views())
        name = name or str(node.name())
        pattern = f"{out}/plates/{name}.####.exr"
        made_from = f"{plate.upstream_digest(source)} {node['plate_depth'].value()} {view}"
        renders.append(Render(1, pattern, tuple(range(span[0], span[1] + 1)), made_from))
    hints, hint_renders = _hints(node, f"{out}/plates/{name or node.name()}")
    asked = _settings(
        node, plate=pattern, out=out, name=name, hints=hints, frames=plate.format_frames(range(span[0], span[1] + 1))
    )
    return asked, (*renders, *hint_renders)


def migrate(node: Any) -> None:
    """Bring a node that an older VDP saved to this version's knobs, and note the version in it."""
    # 0 is the gizmo's default, so that the number of a node that was used is always saved with the script.
    saved = int(node["vdp_version"].value()) or VERSION
    for version in range(saved, VERSION):
        _MIGRATIONS[version](node)
    node["vdp_version"].setValue(max(saved, VERSION))


def _plate(node: Any) -> Any:
    source = node.input(0)
    if plate.source_of(source) is None:
        raise HostError(f"Connect a plate to {node.name()}.")
    return source


def _settings(node: Any, **rest: Any) -> Request:
    """The request that the knobs make, but for the files."""
    task, flow = str(node["task"].value()), _FLOW[str(node["flow"].value())]
    device = text(node, "device") or "auto"
    if not _DEVICE.fullmatch(device):
        raise HostError(f"The device of {node.name()} is '{device}'. It may be auto, cpu, cuda or cuda:1.")
    values: dict[str, Any] = {"plate": "", "out": "", "name": "", "frames": ""}
    values.update(
        task=task,
        layers=str(node["layers"].value()) if task == "layers" else "2",
        flow=flow,
        flow_layer=text(node, "flow_layer") if flow == "vectors" else "",
        # A Group that was made of an earlier version has no such knob.
        flow_refine=flow != "vectors" and node.knob("flow_refine") is not None and bool(node["flow_refine"].value()),
        quality=str(node["quality"].value()),
        device=device,
        seed=int(node["seed"].value()),
        alpha=str(node["alpha"].value()) if task == "layers" else "premultiplied",
        bit_depth=str(node["bit_depth"].value()),
        plate_layer=text(node, "plate_layer"),
        missing=str(node["missing"].value()),
        **_controls(node, task),
    )
    return Request(**{**values, **rest})


def _controls(node: Any, task: str) -> dict[str, Any]:
    """What the tasks dehaze and relight may be told; nothing that belongs to another task, which would be refused."""
    if task == "layers":
        return {}
    told: dict[str, Any] = {"strength": _number(node["strength"].value())}
    if task == "dehaze":
        told["transmission"] = str(node["transmission_kind"].value())
        if node["lock_airlight"].value():
            # One value where the three are alike.
            light = node["airlight_colour"].value()
            colour = light if isinstance(light, (list, tuple)) else [light] * 3
            told["airlight"] = ",".join(f"{_number(part):g}" for part in colour[:3])
    else:
        told.update((name, _number(node[name].value())) for name in ("exposure", "key_fill", "protect"))
        if node["lock_gamma"].value():
            told["gamma"] = f"{_number(node['gamma_lock'].value()):g}"
    return told


def _number(value: Any) -> float:
    """A slider's value without the noise of its float: 0.2, not 0.200000003."""
    return float(f"{float(value):.6g}")


def _hints(node: Any, stem: str) -> tuple[tuple[str, ...], list[Render]]:
    source = node.input(1)
    read = plate.source_of(source)
    if read is None:
        return (), []
    wanted = text(node, "hint_frames")
    alpha = node["hint_from"].value() == "alpha"
    view = plate.view_of(source)
    if alpha and not wanted and read.Class() == "Read":
        span = (int(read["first"].value()), int(read["last"].value()))
        if not plate.why_not_plain(read, span, plate.HINT_PICTURES):
            return (plate.in_view(plate.path_of(read), view),), []
    if not view:
        raise HostError(plate.several_views())
    _same_format(node)
    chosen = plate.parse_frames(wanted) or (int(nuke.frame()),)
    if not wanted:
        with plate.no_undo():
            node["hint_frames"].setValue(str(chosen[0]))
    made_from = f"{plate.upstream_digest(source)} {view}"
    count = str(node["layers"].value())
    mattes = 1 if alpha or node["task"].value() != "layers" else 3 if count == "auto" else int(count) - 1
    jobs = [
        Render(2 if alpha else 3 + index, f"{stem}.hint{index + 1}.####.exr", chosen, made_from)
        for index in range(mattes)
    ]
    return tuple(job.pattern for job in jobs), jobs


def _same_format(node: Any) -> None:
    sizes = [(one.format().width(), one.format().height()) for one in (node.input(0), node.input(1))]
    if sizes[0] != sizes[1]:
        (width, height), (hint_width, hint_height) = sizes
        raise HostError(
            f"The hint is {hint_width} x {hint_height}, the plate {width} x {height}. Put a Reformat after the hint."
        )


def _checked_name(name: str) -> str:
    if _NOT_IN_A_NAME.search(name):
        raise HostError(f"'{name}' cannot start file names. Leave out slashes and : * ? \" < > |.")
    return name
