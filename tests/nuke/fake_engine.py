"""An engine that writes in no time what the engine writes, and a VDP node to try it with."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nuke_vdp
from nuke_vdp import knobs, runs
from nuke_vdp import node as nodes

GIZMOS = Path(__file__).resolve().parents[2] / "nuke_vdp" / "gizmos"

# Writes what the engine writes. It does not end before a file `go` is there, where a file `wait` is in OUT.
ENGINE = r'''
import json, os, signal, sys, time

def say(**event):
    print(json.dumps(event), flush=True)

def stop(number, frame):
    say(event="note", message="stopped by SIGTERM: finished work is kept")
    os._exit(143)

plate, options = sys.argv[2], dict(zip(sys.argv[3::2], sys.argv[4::2]))
out, name, frames = options["--out"], options.get("--name", "sh010"), options["--frames"]
signal.signal(signal.SIGTERM, stop)
with open(os.path.join(out, "started"), "a") as file:
    file.write(f"{os.getpid()}\n")
say(event="progress", stage="prep", fraction=0.5, overall=0.175, message="flow of frame 1005", eta_s=200.0)
if os.path.exists(os.path.join(out, "fail")):
    say(event="error", code="plate.missing_frame", message="the plate has no such frame", frame=1006)
    sys.exit(2)
while os.path.exists(os.path.join(out, "wait")) and not os.path.exists(os.path.join(out, "go")):
    time.sleep(0.01)
layers = options.get("--layers", "2")
settings = {"task": options.get("--task", "layers"), "alpha": options.get("--alpha", "premultiplied"),
            "layers": layers if layers == "auto" else int(layers)}
with open(os.path.join(out, ".vdp", "shot.json"), "w") as file:
    json.dump({"name": name, "frames": frames, "settings": settings}, file)
with open(os.path.join(out, name + ".1001.exr"), "w") as file:
    file.write("layers")
report = os.path.join(out, name + ".report.json")
with open(report, "w") as file:
    json.dump({"passed": True, "coverage": {"fg1.A": {"mean": 0.25}}, "confidence": 0.9, "warnings": [
        {"code": "motion.too_little", "message": "hardly anything moves", "frame": 1003}]}, file)
open(os.path.join(out, name + ".sheet.png"), "w").close()
say(event="result", shot=os.path.join(out, ".vdp/shot.json"), report=report)
'''


def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For a fixture: an engine and a temporary folder of the test's own; nothing is left running."""
    script = tmp_path / "engine" / "vdp"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable} -IS\n{ENGINE}")
    script.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("VDP_ENGINE", str(script))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(runs.queue(), "interval", 0.02)
    monkeypatch.setattr(nodes, "_TICK_SECONDS", 0.02)
    monkeypatch.setattr(nodes, "_LOOK_SECONDS", 0.0)
    nodes._runs.clear()
    failed: list[tuple[Any, ...]] = []
    monkeypatch.setattr(nodes.log, "exception", lambda *args: failed.append((*args, sys.exc_info()[1])))
    yield
    assert not failed
    for held in tmp_path.rglob("wait"):
        held.unlink()
    end = time.monotonic() + 10
    while runs.queue()._thread is not None and time.monotonic() < end:
        time.sleep(0.02)
    for started in tmp_path.rglob("started"):
        for line in started.read_text().splitlines():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line), signal.SIGKILL)
    nodes._runs.clear()


def vdp_node(nuke: ModuleType, folder: Path) -> Any:
    """A VDP node on a plain Read in a saved script."""
    nuke.pluginAddPath(str(GIZMOS))
    read = nuke.nodes.Read(name="Plate", file="/plates/sh010.####.exr", first=1001, last=1010, raw=True)
    node = nuke.createNode("VDP")
    node.setInput(0, read)
    nuke.scriptSaveAs(str(folder / "comp_v001.nk"))
    return node


def out_of(node: Any) -> Path:
    out = Path(knobs.out_dir(node))
    out.mkdir(parents=True, exist_ok=True)
    return out


def until(nuke: ModuleType, done: Callable[[], bool]) -> None:
    nuke.standin.pump(10.0, done)
    assert done()


def state_name(node: Any) -> str:
    return nuke_vdp.status(node).name
