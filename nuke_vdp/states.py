"""The states of a VDP node, and the words for them."""

from __future__ import annotations

from typing import NamedTuple

from nuke_vdp.runs.events import Snapshot

NOT_DECOMPOSED, QUEUED, RUNNING, DONE = "not decomposed", "queued", "running", "done"
OUT_OF_DATE, FAILED, STOPPED = "out of date", "failed", "stopped"


class State(NamedTuple):
    """What a node has and what goes on: one of the names above, words for it, how much of a run is done (0 to 1)."""

    name: str
    text: str
    fraction: float = 0.0
    eta_s: float | None = None


def words(snapshot: Snapshot) -> str:
    """What went wrong in a run, as the engine words it, with the frame."""
    text = snapshot.error or snapshot.message
    frame = snapshot.error_frame
    return text if frame is None or str(frame) in text else f"{text} (frame {frame})"


def time_left(seconds: float | None) -> str:
    """``3 min left``, or "" where nobody knows."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{max(1, round(seconds))} s left"
    minutes = round(seconds / 60)
    return f"{minutes} min left" if minutes < 90 else f"{minutes / 60:.1f} h left"


def going_on(snapshot: Snapshot) -> State:
    if snapshot.state == "queued":
        return State(QUEUED, snapshot.message)
    parts = [f"{100 * snapshot.fraction:.0f} %", snapshot.message, time_left(snapshot.eta_s)]
    return State(RUNNING, ", ".join(part for part in parts if part), snapshot.fraction, snapshot.eta_s)


def ended_early(snapshot: Snapshot) -> State:
    """A run that failed or was stopped."""
    return State(STOPPED if snapshot.state == "stopped" else FAILED, words(snapshot), snapshot.fraction)
