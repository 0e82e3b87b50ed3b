"""The stages of a shot in their order: prep, fit, render, check. The one place that knows all of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from vdp_engine import files
from vdp_engine.plate import format_frames

if TYPE_CHECKING:
    from vdp_engine.progress import Reporter
    from vdp_engine.settings import Machine
    from vdp_engine.shot import Shot

ALL = ("prep", "fit", "render", "check")


def run(shot: Shot, machine: Machine, reporter: Reporter) -> list[str]:
    """Everything that is left to do for a shot; each stage skips by itself what is done.

    ``vdp check`` always checks. Here a report that these very layers passed is proof enough.

    Returns:
        The report for a person, line by line.

    Raises:
        VdpError: the first stage that cannot go on; what was finished is kept.
    """
    from vdp_engine import check, model, motion, render

    reporter.note(f"{shot.name}: {len(shot.frames)} frames, {format_frames(shot.frames)}, into {shot.out}")
    render.require_memory(shot, machine)  # before hours of work, not after them
    motion.prep(shot, machine, reporter)
    model.fit(shot, machine, reporter)
    render.render(shot, machine, reporter)
    report = check.current_report(shot)
    if report is None:
        report = check.check(shot, machine, reporter).as_dict()
    else:
        for warning in report["warnings"]:
            reporter.warning(warning["code"], warning["message"], warning.get("frame"))
        reporter.progress("check", 1.0, "the report is up to date")
    return check.report_lines(report)


def tidy(shot: Shot) -> None:
    """Remove what killed processes left half-written in the shot's folders."""
    for folder in (shot.out, shot.work, shot.motion_file(0).parent):
        files.sweep(folder)


def plan(
    shot: Shot, stages: Collection[str] = ALL, *, frames: tuple[int, ...] | None = None, fresh: bool = False
) -> list[str]:
    """What each of the stages would do now, a line each; writes nothing.

    Args:
        frames: frames that prep and render were asked for; none: all of the shot.
        fresh: as if nothing were there.
    """
    from vdp_engine import check, model, motion, render

    asked = shot.frames if frames is None else frames
    fit_left = fresh or model.pending(shot)
    # Layers of another model are of no use: a fit makes every frame stale.
    render_left = asked if fit_left else render.pending(shot, asked)
    told = {}
    if "prep" in stages:
        told["prep"] = _frames_left(asked if fresh else motion.pending(shot, asked), asked)
    told["fit"] = "to do" if fit_left else "nothing to do"
    told["render"] = _frames_left(render_left, asked)
    # Asked for by itself, check always checks.
    checked = not render_left and len(stages) > 1 and check.current_report(shot) is not None
    told["check"] = "the report is there" if checked else "to do"
    return [f"{stage:<8}{told[stage]}" for stage in ALL if stage in stages]


def _frames_left(left: tuple[int, ...], asked: tuple[int, ...]) -> str:
    if not left:
        return f"nothing to do, {len(asked)} frames are there"
    return f"{len(left)} of {len(asked)} frames to do: {format_frames(left)}"
