"""A `vdp serve` of the tests: synthetic pixels at once, and every way to go wrong.

As a script it is the helper: it reads ``fake.json`` of its folder anew for every request and writes each into
``fake.log``. ``Fake`` is the folder as a test sees it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from array import array
from pathlib import Path
from typing import Any

OUTPUTS = ["plate", "bg", "fg1", "clean", "residual", "confidence", "matte", "recomposition"]
DEFAULTS: dict[str, Any] = {
    "state": "ready", "task": "layers", "frames": [[1001, 1008]], "window": [0, 0, 24, 12], "display": [24, 12],
    "pixel_aspect": 1.0, "revision": "1", "outputs": OUTPUTS, "steps": 3, "result": "ready", "message": "",
    "behaviours": [],
}  # fmt: skip


def value(output: str, frame: int, x: int, y: int, c: int) -> float:
    """The synthetic pixel, exact in float: some below 0, some above 1."""
    return ((x * 5 + y * 11 + frame * 3 + c * 17 + len(output) * 7) % 101 - 10) / 64


class Fake:
    """The helper's folder as a test sees it: sets what it does, reads what it was asked."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.command = folder / "vdp"
        folder.mkdir(parents=True, exist_ok=True)
        self.set(**settings)
        self.command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{__file__}" "{folder}" "$@"\n')
        self.command.chmod(0o755)

    def set(self, **settings: Any) -> None:
        """From now on; anything not named is as in ``DEFAULTS``."""
        self.settings = {**DEFAULTS, **settings}
        part = self.folder / "fake.json.part"
        part.write_text(json.dumps(self.settings))
        part.replace(self.folder / "fake.json")

    def log(self, op: str | None = None) -> list[dict[str, Any]]:
        """All that was asked so far, of one op if named: the requests with ``pid``; also ``start`` and ``end``."""
        path = self.folder / "fake.log"
        if not path.exists():
            return []
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if op is None or line["op"] == op]

    def pids(self) -> list[int]:
        """The helpers that were started, in their order."""
        return [line["pid"] for line in self.log("start")]


class _Helper:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.runs: dict[str, int] = {}
        self.buffers: str | None = None

    def note(self, **line: Any) -> None:
        text = (json.dumps({**line, "pid": os.getpid(), "time": time.time()}) + "\n").encode()
        descriptor = os.open(self.folder / "fake.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, text)
        os.close(descriptor)

    def send(self, line: str) -> None:
        with self.lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def behaviour(self, settings: dict[str, Any], op: str) -> dict[str, Any] | None:
        """What is wanted of this request: its op, or ``pixels`` for a frame with a buffer. ``times``: over restarts."""
        for index, wanted in enumerate(settings["behaviours"]):
            if wanted["op"] != op:
                continue
            done = self.folder / f"behaviour{index}"
            with self.lock:
                so_far = len(done.read_bytes()) if done.exists() else 0
                if so_far >= wanted.get("times", 1):
                    continue
                done.write_bytes(b"." * (so_far + 1))
            return wanted
        return None

    def handle(self, request: dict[str, Any]) -> None:
        settings = json.loads((self.folder / "fake.json").read_text())
        self.note(**request)
        answer: dict[str, Any] = {"id": request["id"]}
        wanted = self.behaviour(settings, request["op"])
        if wanted is None and "buffer" in request:
            wanted = self.behaviour(settings, "pixels")
        if wanted is not None and self.misbehave(wanted, answer):
            return
        try:
            answer.update(getattr(self, f"op_{request['op']}")(request, settings), ok=True)
        except _Refused as refused:
            answer.update(refused.args[0], ok=False)
        self.send(json.dumps(answer, ensure_ascii=False))

    def misbehave(self, wanted: dict[str, Any], answer: dict[str, Any]) -> bool:
        """Whether nothing more is to be answered."""
        kind = wanted["do"]
        if kind == "die":
            print("the last words of the helper", file=sys.stderr, flush=True)
            os._exit(3)
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang":
            return True
        if kind == "slow":
            time.sleep(wanted["seconds"])
            return False
        if kind == "chatter":
            self.send(wanted["text"])
            return False
        if kind == "error":
            self.send(json.dumps({**answer, "ok": False, "code": wanted["code"], "message": wanted["message"]}))
        elif kind == "answer":
            self.send(json.dumps({**answer, "ok": True, **wanted["fields"]}))
        return True

    def op_hello(self, request: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        self.buffers = request.get("folder")
        return {"version": "1.0", "protocol": settings.get("protocol", 1), "pid": os.getpid()}

    def op_status(self, request: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        told = {key: settings[key] for key in ("state", "task", "frames", "revision", "outputs", "message")}
        told.update(gamma=None, alpha="premultiplied", warnings=settings.get("warnings", []))
        steps = self.runs.get(request["shot"])
        if steps is None:
            return told
        if steps < settings["steps"]:
            self.runs[request["shot"]] = steps + 1
            part = steps / settings["steps"]
            return {**told, "state": "running", "fraction": part, "stage": "fit", "eta_s": 30.0 * (1 - part)}
        return {**told, "state": settings["result"], "revision": f"{settings['revision']} {steps}"}

    def op_frame(self, request: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        if settings["state"] == "none":
            raise _Refused({"code": "ofx.none", "message": f"no layers in {request['shot']}: press Analyse"})
        output, frame = request["output"], request["frame"]
        if output not in settings["outputs"]:
            raise _Refused({"code": "ofx.output", "message": f"{request['shot']} has no {output}"})
        window, display = settings["window"], settings["display"]
        told = {"display": display, "pixel_aspect": settings["pixel_aspect"]}
        if not any(first <= frame <= last for first, last in settings["frames"]):
            if request["missing"] == "error":
                raise _Refused({"code": "ofx.missing", "message": f"frame {frame} has no layers"})
            if request["missing"] == "black":
                return {**told, "window": window, "frame": frame, "found": False}
            frame = min((end for span in settings["frames"] for end in span), key=lambda end: abs(end - frame))
        if "buffer" in request:
            x1, y1, x2, y2 = window
            needed = (x2 - x1) * (y2 - y1) * 16
            if os.path.getsize(request["buffer"]) < needed:
                raise _Refused({"code": "buffer", "needed": needed, "message": "too small"})
            places = ((x, y, c) for y in range(y1, y2) for x in range(x1, x2) for c in range(4))
            pixels = array("f", (value(output, frame, x, y, c) for x, y, c in places))
            odd = settings.get("odd_values", [])
            pixels[: len(odd)] = array("f", odd)
            with open(request["buffer"], "r+b") as file:
                file.write(pixels.tobytes())
        return {**told, "window": window, "frame": frame, "found": True}

    def op_plate(self, request: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        x1, y1, x2, y2 = request["window"]
        folder = Path(request["shot"]) / "plates"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{request['kind']}.{request['frame']}.raw"
        with open(request["buffer"], "rb") as file:
            path.write_bytes(file.read((x2 - x1) * (y2 - y1) * 4 * request["components"]))
        return {"path": str(path)}

    def op_analyse(self, request: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        self.runs[request["shot"]] = 0
        return {"state": "running"}

    def op_cancel(self, request: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        self.runs.pop(request["shot"], None)
        return {"state": "partial"}

    def op_forget(self, request: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        return {}

    def serve(self) -> None:
        self.note(op="start", arguments=sys.argv[2:], environment=dict(os.environ), folder=os.getcwd())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for line in sys.stdin.buffer:
            request = json.loads(line)
            threading.Thread(target=self.handle, args=(request,), daemon=True).start()
        self.note(op="end")
        if self.buffers and os.path.basename(self.buffers).startswith("vdp-ofx-"):
            for path in Path(self.buffers).iterdir():
                path.unlink()
            with contextlib.suppress(OSError):
                os.rmdir(self.buffers)


class _Refused(Exception):
    pass


if __name__ == "__main__":
    _Helper(Path(sys.argv[1])).serve()
