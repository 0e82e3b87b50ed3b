"""What became of a run, in words: from what it left on disk to a ``Snapshot``."""

from __future__ import annotations

from nuke_vdp.runs.events import Snapshot, Story
from nuke_vdp.runs.record import Record, Stop

# 128 plus the number of SIGINT and SIGTERM, as programs say it, and as the system does.
_STOPPED_CODES = (130, 143, -2, -15)
_GO_ON = "finished work is kept, Decompose goes on from there"


def queued(record: Record, stop: Stop | None, *, owner_is_there: bool, waits_for: str) -> Snapshot:
    """A run that has not been started.

    Args:
        owner_is_there: whether the Nuke that is to start it is still open.
        waits_for: what it waits for.
    """
    if record.problem:
        return Snapshot("failed", message=record.problem, error=record.problem, error_code="host.start")
    if stop is not None:
        return Snapshot("stopped", message="stopped before its turn came")
    if not owner_is_there:
        return Snapshot("stopped", message="Nuke was closed before its turn came: press Decompose to start it")
    return Snapshot("queued", message=f"waits for {waits_for}")


def running(record: Record, story: Story, stop: Stop | None) -> Snapshot:
    """A run whose engine is at work."""
    stage, message = story.stage, story.message
    if not story.heard:
        stage, message = ("setup", "setting up the engine") if story.log else ("start", "starting the engine")
    if stop is not None:
        message = "stopping" if stop.told else f"stopping, once the Nuke on {record.host} sees it"
    return _snapshot("running", story, message, stage=stage, eta_s=None if stop else story.eta_s)


def ended(story: Story, stop: Stop | None, *, exit_code: int | None, silent_host: str = "") -> Snapshot:
    """A run whose engine is gone.

    Args:
        exit_code: how it ended, where that is known.
        silent_host: the other machine that it ran on, which has not been heard of for long.
    """
    if story.result is not None:
        return _snapshot("done", story, "done", fraction=1.0, result=story.result)
    if story.error is not None:
        message, frame = str(story.error.get("message", "")), story.error.get("frame")
        return _snapshot(
            "failed", story, message, error=message, error_code=str(story.error.get("code", "")),
            error_frame=frame if isinstance(frame, int) else None,
        )  # fmt: skip
    if stop is not None or story.kept or exit_code in _STOPPED_CODES:
        return _snapshot("stopped", story, f"stopped: {_GO_ON}")
    message = _lost(story, exit_code, silent_host)
    return _snapshot("lost", story, message, error="\n".join([message, *story.said]))


def _lost(story: Story, exit_code: int | None, silent_host: str) -> str:
    if silent_host:
        return f"no word from {silent_host}, where the run went on: press Decompose to go on from there"
    if not story.heard and story.said:
        what = "the engine did not start"
    else:
        what = "the run ended without a word (process gone)"
    if exit_code is not None and exit_code < 0:
        what += f", ended by signal {-exit_code}" + (": memory may have run out" if exit_code == -9 else "")
    elif exit_code:
        what += f", exit code {exit_code}"
    return f"{what}: press Decompose to go on from there"


def _snapshot(state: str, story: Story, message: str, **more: object) -> Snapshot:
    values = {
        "fraction": story.fraction, "stage": story.stage, "message": message, "frames": tuple(sorted(story.frames)),
        "warnings": tuple(story.warnings), "log": story.log,
    }  # fmt: skip
    return Snapshot(state, **{**values, **more})  # type: ignore[arg-type]
