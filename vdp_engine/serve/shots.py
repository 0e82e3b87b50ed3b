"""What a host asks of a shot, answered: how it is, its pictures, its plates, its runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

from vdp_engine.errors import ServeError, ShotError, VdpError
from vdp_engine.plate import format_frames
from vdp_engine.serve import plates, runs
from vdp_engine.serve.buffers import Buffers
from vdp_engine.serve.folder import NOT_FOUND, Folder, as_ranges, plate_file
from vdp_engine.serve.pictures import Pictures, View, require_output
from vdp_engine.serve.protocol import Request, one_line, refused
from vdp_engine.settings import Settings, belongs

Answer = dict[str, Any]

_LONGEST_SIDE = 1 << 17


class Shots:
    """All shots that this host has asked of.

    Args:
        cache_bytes: of the pictures that are kept.
    """

    def __init__(self, cache_bytes: int) -> None:
        self._pictures = Pictures(cache_bytes)
        self._buffers = Buffers()
        self._folders: dict[Path, Folder] = {}
        self._lock = threading.Lock()
        self.runs = runs.Runs()

    # How it is

    def status(self, request: Request) -> Answer:
        """See the protocol, as for every request."""
        folder = self._folder(request)
        run = self.runs.of(folder.path)
        files = folder.look().files
        answer: Answer = {
            "task": "layers", "outputs": [], "frames": as_ranges(files), "revision": folder.look().revision,
            "gamma": None, "alpha": "premultiplied", "warnings": [],
        }  # fmt: skip
        try:
            header = folder.nearest(next(iter(files), 0))
            if header is not None:
                answer |= {"task": header.task, "outputs": list(header.outputs), "gamma": header.gamma}
                answer |= {"alpha": header.alpha, "warnings": folder.warnings()}
            state, message = self._state(folder, run)
        except VdpError as error:
            state, message = "failed", error.message
        if run is not None and run.running:
            progress = run.progress
            answer |= {"fraction": progress.fraction, "stage": progress.stage, "eta_s": progress.eta_s}
        return {"state": state, "message": one_line(message), **answer}

    def _state(self, folder: Folder, run: runs.Run | None) -> tuple[str, str]:
        if run is not None and run.running:
            return "running", run.progress.message
        if run is not None and run.failure is not None:
            return "failed", run.failure.message
        kept = "stopped: finished work is kept, Analyse goes on from there" if run is not None and run.stopping else ""
        try:
            shot = folder.shot()
        except ShotError as error:
            if error.code != NOT_FOUND:
                raise
            return "none", kept or "not analysed yet"
        files = folder.look().files
        if not files:
            return "none", kept or "not analysed yet"
        lacking = [frame for frame in shot.frames if frame not in files]
        if lacking:
            return "partial", kept or f"frames {format_frames(lacking)} have no layers yet"
        reason = folder.stale_reason()
        return ("stale", f"out of date: {reason}") if reason else ("ready", kept or "ready")

    # Pictures

    def frame(self, request: Request) -> Answer:
        """A picture into a buffer, or only where it lies."""
        folder, frame = self._folder(request), request.whole("frame")
        view = View(
            request.text("output"), request.choice("alpha", ("premultiplied", "straight"), "premultiplied"),
            request.number("haze", 0, 2, 1), request.number("mix", 0, 1, 0),
        )  # fmt: skip
        missing = request.choice("missing", ("error", "hold", "black"), "error")
        buffer = request.path("buffer") if request.has("buffer") else None

        header, found = folder.header(frame), True
        if header is None:
            if missing == "error":
                raise folder.missing_error(frame)
            header, found = folder.nearest(frame), missing == "hold"
        if header is None:
            if missing == "hold":
                raise folder.missing_error(frame)
            return {"window": [0] * 4, "display": [0, 0], "pixel_aspect": 1.0, "frame": frame, "found": False}
        shown = folder.frame_of(header) if found else frame
        if found:
            require_output(header, view, shown)
            if buffer is not None:
                # The buffer first: whether it is large enough is known without decoding anything.
                into = self._buffers.picture(buffer, *header.shape, 4)
                np.copyto(into, self._pictures.picture(header, view, shown))
                self._pictures.look_ahead(folder, shown, view)
        return {
            "window": header.window, "display": header.display, "pixel_aspect": header.pixel_aspect, "frame": shown,
            "found": found,
        }  # fmt: skip

    def forget(self, request: Request) -> Answer:
        """Drop what is kept of a shot."""
        folder = self._folder(request)
        folder.forget()
        self._pictures.forget(folder.path)
        return {}

    # Plates and runs

    def plate(self, request: Request) -> Answer:
        """Write a plate or a hint."""
        folder, kind, frame = self._folder(request), request.choice("kind", ("plate", "hint")), request.whole("frame")
        window, display = request.wholes("window", 4), request.wholes("display", 2)
        components = request.whole("components")
        if components not in (1, 3, 4):
            raise refused(f"`plate` needs components to be 1, 3 or 4, not {components}")
        width, height = window[2] - window[0], window[3] - window[1]
        if not all(0 < side <= _LONGEST_SIDE for side in (width, height, *display)):
            raise refused(f"`plate` needs window and display to hold pixels, not {list(window)} and {list(display)}")
        aspect = request.number("pixel_aspect", 1e-3, 1e3, 1.0)
        rate = request.number("frame_rate", 0, 1e4, 0.0)
        pixels = self._buffers.picture(request.path("buffer"), height, width, components)
        written = plates.write_plate(folder.path, kind, frame, plates.Picture(pixels, window, display, aspect, rate))
        return {"path": str(written)}

    def analyse(self, request: Request) -> Answer:
        """Start a run, unless one goes on in the folder."""
        folder = self._folder(request)
        frames = request.ranges("frames")
        hinted = {frame for first, last in request.ranges("hint") for frame in range(first, last + 1)}
        if not frames:
            raise refused("`analyse` needs frames to be a list of [first, last] that is not empty")
        options = options_of(request)
        run = self.runs.of(folder.path)
        if run is None or not run.running:
            _require_allowed(options)
            name, fresh = _begun(folder)
            plates.remove_others(folder.path, "hint", hinted)
            arguments = runs.arguments(
                folder.path, name, _pattern(folder.path, "plate"), _told(frames),
                _pattern(folder.path, "hint") if hinted else None, options,
            )  # fmt: skip
            self.runs.start(folder.path, [*arguments, *(["--fresh"] if fresh else [])], folder.forget)
        return {"state": "running"}

    def cancel(self, request: Request) -> Answer:
        """Stop the run of a folder, if there is one."""
        folder = self._folder(request)
        run = self.runs.of(folder.path)
        if run is not None and run.running:
            run.stop()
        return {"state": self._state(folder, run)[0]}

    def _folder(self, request: Request) -> Folder:
        path = Path(os.path.normpath(request.path("shot")))
        with self._lock:
            return self._folders.setdefault(path, Folder(path))


def options_of(request: Request) -> dict[str, str]:
    """The options of ``vdp run`` that a request to analyse asks for: those that its task knows."""
    options = {name: request.setting(name) for name in ("task", "flow", "quality", "device")}
    of_some = (name for name in ("layers", "alpha") if belongs(name, options["task"]))
    return options | {name: request.setting(name) for name in of_some}


def _require_allowed(options: dict[str, str]) -> None:
    """UsageError where a value is not allowed, before a process is started to say so."""
    given: dict[str, str | int] = {name: value for name, value in options.items() if name != "device"}
    if options.get("layers", "").isdigit():
        given["layers"] = int(options["layers"])
    Settings.parse(**given)


def _begun(folder: Folder) -> tuple[str, bool]:
    """What the shot is called, and whether what is there of it cannot be gone on with: the folder was moved since.

    Raises:
        ServeError: ``other_shot``, the layers there are of a plate that no host handed over.
    """
    try:
        shot = folder.shot()
    except ShotError:
        return folder.path.name, False
    plate = Path(shot.pattern)
    if plate.name != "ofx_plate.#.exr":
        raise ServeError(
            f"{folder.path} holds the layers of another plate ({shot.pattern})", code="other_shot", path=folder.path,
            remedy="choose another shot folder to analyse this one; the layers there can be shown all the same",
        )  # fmt: skip
    return shot.name, plate.parent != folder.path / "plates"


def _pattern(folder: Path, kind: str) -> Path:
    return plate_file(folder, kind, 0).with_name(f"ofx_{kind}.####.exr")


def _told(frames: tuple[tuple[int, int], ...]) -> str:
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in frames)
