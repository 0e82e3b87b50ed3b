"""What a VDP node does: decompose, cancel, adopt finished layers; its callbacks, and the state it is in.

Everything here runs on Nuke's main thread but ``_heard``, which the watcher of the runs calls. A run is tied to its
output folder, not to a node: nodes are found again by their knob ``run_dir``, because a node may be deleted, renamed or
copied, and its script closed, while a run goes on.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, TypeVar, cast

import nuke

from nuke_vdp import engine, finished, knobs, plate, runs
from nuke_vdp.errors import HostError
from nuke_vdp.knobs import LAYERS_DIGEST, LAYERS_FILE, RUN_DIR, SETTINGS, STATUS, stored
from nuke_vdp.runs.events import Snapshot
from nuke_vdp.states import DONE, NOT_DECOMPOSED, OUT_OF_DATE, State, ended_early, going_on, words

_TICK_SECONDS = 0.5
_LOOK_SECONDS = 1.0

Progress = Callable[[Snapshot], None]

Callback = TypeVar("Callback", bound=Callable[..., None])

log = logging.getLogger("nuke_vdp")


_runs: dict[str, runs.Run | None] = {}  # by folder; None: looked, and there is none
_told: dict[str, float] = {}  # by folder: when the main thread was last asked to look
_told_lock = threading.Lock()
_looked: dict[str, float] = {}  # by node: when update_ui last looked at it
_setting = 0


# What can be done with a node


def decompose(node: Any, wait: bool | None = None, progress: Progress | None = None) -> State:
    """Render what has to be rendered, and start the engine.

    Args:
        wait: block until the run has ended; by default only without a GUI.
        progress: called with a snapshot about twice a second while waiting.

    Raises:
        HostError: it cannot be started, or, where it waits, did not finish.
    """
    _refuse_second(knobs.out_dir(node))
    request, renders = knobs.request_of(node)
    made_from = knobs.digest(node)
    engine.find()  # before minutes of rendering for nothing
    for job in renders:
        plate.render(node, job)
    # Without a GUI nobody runs what another thread asks of the main one.
    run = runs.start(request, _heard if nuke.GUI else None)
    finished.note_made_from(run.out, made_from, by="run")
    _runs[run.out] = run
    _set(node, {RUN_DIR: run.out})
    refresh(node)
    if wait is None:
        wait = not nuke.GUI
    return wait_for(node, progress=progress) if wait else state(node)


def wait_for(node: Any, timeout: float | None = None, progress: Progress | None = None) -> State:
    """Block until the run of a node has ended, and adopt its layers. Ctrl-C in the terminal stops the run.

    Raises:
        HostError: there is no run, it failed, it was stopped, or it has not ended after ``timeout`` seconds.
    """
    run = run_of(node)
    if run is None:
        raise HostError(f"{node.name()} has no run to wait for: decompose it first.")
    end = None if timeout is None else time.monotonic() + timeout
    try:
        snapshot = run.wait(_TICK_SECONDS)
        while not snapshot.ended:
            if end is not None and time.monotonic() >= end:
                raise HostError(f"{node.name()} has not finished after {timeout:g} seconds; it goes on.")
            if progress is not None:
                progress(snapshot)
            snapshot = run.wait(_TICK_SECONDS)
    except KeyboardInterrupt:
        run.cancel()
        raise
    if progress is not None:
        progress(snapshot)
    look(run.out)
    if snapshot.state != "done":
        raise HostError(words(snapshot))
    return state(node)


def cancel(node: Any) -> None:
    """Stop the run of a node; its checkpoint is kept. HostError where nothing goes on."""
    run = run_of(node)
    if run is None or run.snapshot().ended:
        raise HostError(f"{node.name()} is not being decomposed: there is nothing to cancel.")
    run.cancel()
    refresh(node)


def reload(node: Any) -> State:
    """Take the layers that lie in the output folder now; HostError where there are none."""
    out = folder_with_layers(node)
    _runs.pop(out, None)
    _set(node, {RUN_DIR: out})
    _adopt(node, out)
    _attach(out)
    refresh(node)
    return state(node)


def report(node: Any) -> str:
    """The report of a node's layers in words; HostError where there is none."""
    return finished.report(folder_with_layers(node))


def send_to_farm(node: Any) -> str:
    """Hand the stages of a node's shot to a farm; what that said. Reload takes the layers when it is done.

    Raises:
        HostError: as ``farm.send_to_farm``.
    """
    from nuke_vdp import farm

    said = farm.send_to_farm(node)
    refresh(node)
    return said


def add_hint_frame(node: Any) -> None:
    """Add the current frame to the frames of the hint."""
    frames = plate.parse_frames(knobs.text(node, "hint_frames"))
    text = plate.format_frames(sorted({*frames, int(nuke.frame())})).replace(",", ", ")
    node["hint_frames"].setValue(text)


# The state


def state(node: Any) -> State:
    """What a node has, and what goes on."""
    run = run_of(node)
    snapshot = None if run is None else run.snapshot()
    if run is not None and snapshot is not None and not snapshot.ended:
        return going_on(snapshot)
    if run is not None and snapshot is not None and not _came_to_an_end(run, snapshot):
        return ended_early(snapshot)
    if not stored(node, LAYERS_FILE):
        return State(NOT_DECOMPOSED, "the plate passes through")
    now = knobs.digest(node)
    if now and now != stored(node, LAYERS_DIGEST):
        return State(OUT_OF_DATE, "the plate or a setting changed; the layers are those of before", 1.0)
    first, last = int(node["layers_first"].value()), int(node["layers_last"].value())
    return State(DONE, f"layers of frames {first}-{last}", 1.0)


def _came_to_an_end(run: runs.Run, snapshot: Snapshot) -> bool:
    """Whether the layers of its folder were finished, by the run or after it, on a farm for example."""
    return snapshot.state == "done" or finished.finished_since(run.out, run.started)


def run_of(node: Any) -> runs.Run | None:
    """The run of a node, going on or ended, whoever started it."""
    out = stored(node, RUN_DIR)
    if not out:
        return None
    if _runs.get(out) is None:
        _runs[out] = runs.find(out)
    return _runs[out]


def session_runs() -> list[runs.Run]:
    """The runs that this session has seen, in the order it saw them."""
    return [run for run in _runs.values() if run is not None]


# Callbacks


def _callback(function: Callback) -> Callback:
    """What goes wrong in a callback is logged: it must not stop Nuke from loading a script."""

    @functools.wraps(function)
    def quiet(*args: Any) -> None:
        try:
            function(*args)
        except Exception:
            log.exception("VDP: %s failed", function.__name__)

    return cast(Callback, quiet)


@_callback
def on_create() -> None:
    """A VDP node was made, pasted or loaded: bring it up to date, and tie it to a run that goes on or has ended."""
    node = nuke.thisNode()
    with _quiet():
        knobs.migrate(node)
        if node["render_plate"].value():
            node["render_plate"].setValue(0)
    out = stored(node, RUN_DIR)
    if out:
        _adopt_if_newer(node, out)
        _attach(out)
    refresh(node)


@_callback
def on_script_load() -> None:
    """Everything is connected now: look at all VDP nodes once more."""
    for node in all_nodes():
        refresh(node)


@_callback
def knob_changed() -> None:
    """A knob of a VDP node was changed by hand."""
    if _setting:
        return
    if nuke.thisKnob().name() in (*SETTINGS, "inputChange", "showPanel"):
        refresh(nuke.thisNode())


@_callback
def update_ui() -> None:
    """Something in the script changed, maybe upstream of a VDP node. Nuke calls this often."""
    node = nuke.thisNode()
    now = time.monotonic()
    if now - _looked.get(node.fullName(), 0.0) > _LOOK_SECONDS:
        _looked[node.fullName()] = now
        refresh(node)


def refresh(node: Any) -> None:
    """Show the state on the node and in its panel."""
    found = state(node)
    show_words(node, found.name, found.text)
    if nuke.GUI:
        from nuke_vdp import ui

        with _quiet():
            ui.show_state(node, found)


def show_words(node: Any, state_name: str, text: str) -> None:
    """Put a state and words for it on the node."""
    _set(node, {STATUS: f"<b>{state_name}</b>: {text}"})


@_callback
def look(out: str) -> None:
    """A run in a folder changed: adopt its layers where it is done, and show the state on its nodes."""
    run = _runs.get(out)
    done = run is not None and run.snapshot().state == "done"
    for node in nodes_of(out):
        # Deleted by what another node's callback does in between: nothing to show any more.
        with contextlib.suppress(ValueError):
            if done:
                with contextlib.suppress(HostError):
                    _adopt(node, out)
            refresh(node)


def all_nodes() -> list[Any]:
    """All VDP nodes of the script, also those in groups."""
    # From the root: within a callback the current group is the inside of the node.
    return [node for node in nuke.allNodes(group=nuke.root(), recurseGroups=True) if knobs.is_vdp(node)]


def nodes_of(out: str, among: list[Any] | None = None) -> list[Any]:
    """The VDP nodes whose layers come from a folder; ``among`` spares a look at the whole script."""
    return [node for node in (all_nodes() if among is None else among) if _same(stored(node, RUN_DIR), out)]


def _heard(run: runs.Run, snapshot: Snapshot) -> None:
    """Called from the watcher's thread: asks the main thread to look, but not more often than it can show."""
    now = time.monotonic()
    with _told_lock:
        if not snapshot.ended and now - _told.get(run.out, 0.0) < _TICK_SECONDS:
            return
        _told[run.out] = now
    nuke.executeInMainThread(look, (run.out,))


# Its own


def _attach(out: str) -> None:
    """Listen to a run that goes on. Without a GUI there is nobody to show it to."""
    run = _runs[out] = runs.find(out)
    if run is not None and nuke.GUI and not run.snapshot().ended:
        runs.queue().watch(run, _heard)


def _adopt_if_newer(node: Any, out: str) -> None:
    run = runs.find(out)
    if run is None or run.snapshot().state != "done":
        return
    newer = finished.asked_by(out) == "run" and finished.made_from(out) != stored(node, LAYERS_DIGEST)
    if newer or not stored(node, LAYERS_FILE):
        with contextlib.suppress(HostError):  # removed from the disk since: the node says what it has
            _adopt(node, out)


def _adopt(node: Any, out: str) -> None:
    """Let a node read the layers of a folder. HostError where there are none."""
    layers = finished.read(out)
    frames = plate.parse_frames(layers.frames)
    _set(node, {
        LAYERS_FILE: layers.file, "layers_first": frames[0], "layers_last": frames[-1], "layers_task": layers.task,
        "layers_alpha": layers.alpha, LAYERS_DIGEST: finished.made_from(out) or knobs.digest(node),
    })  # fmt: skip
    read = node.node("Layers")
    again = read.knob("reload")
    if again is not None:
        again.execute()
    gamma = read.metadata("exr/vdp/gamma", frames[0]) if layers.task == "relight" else None
    _set(node, {"layers_count": layers.count or _count(read), "gamma": float(gamma or 1.0)})


def _count(read: Any) -> int:
    return 1 + sum(1 for layer in ("fg1", "fg2", "fg3") if layer in nuke.layers(read))


def folder_with_layers(node: Any) -> str:
    """The output folder if it holds a shot, else the one of the last run."""
    kept = stored(node, RUN_DIR)
    try:
        out = knobs.out_dir(node)
    except HostError:
        if not kept:
            raise
        return kept
    return kept if kept and not os.path.isfile(f"{out}/.vdp/shot.json") else out


def _refuse_second(out: str) -> None:
    # The start itself refuses too; this is to know before minutes of rendering.
    run = runs.find(out)
    if run is not None and not run.snapshot().ended:
        raise HostError(f"VDP is already working on {out}. Wait for it, cancel it, or choose another output folder.")


def _set(node: Any, values: dict[str, Any]) -> None:
    """Set knobs that differ; no undo step, and ``knob_changed`` looks away."""
    with _quiet():
        for name, value in values.items():
            if node[name].value() != value:
                node[name].setValue(value)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    global _setting
    _setting += 1
    try:
        with plate.no_undo():
            yield
    finally:
        _setting -= 1


def _same(one: str, other: str) -> bool:
    return bool(one) and os.path.normcase(os.path.normpath(one)) == os.path.normcase(os.path.normpath(other))
