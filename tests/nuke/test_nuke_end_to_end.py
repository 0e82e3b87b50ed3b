"""From the button to the layers: a script of the stand-in, real plates, and the real engine with a short fit."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import nuke_vdp
from nuke_vdp import node as nodes
from nuke_vdp.errors import HostError
from tests.e2e import command
from tests.nuke import acceptance
from tests.nuke.evaluator.evaluate import evaluate
from tests.nuke.evaluator.write import write_frames
from vdp_engine.demo import make_demo
from vdp_engine.equations import half_ulps

if os.name == "nt":
    pytest.skip("the engine is started by a shell script here", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
FRAMES = range(1001, 1007)
RGB = ("red", "green", "blue")


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pattern of a small plate."""
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder, width=96, height=64, frames=len(FRAMES))
    return f"{folder}/plate/demo.####.exr"


@pytest.fixture
def terminal(nuke: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Nuke without a GUI, VDP as its init.py brings it, an engine with a fit of a few steps, and a saved script."""
    yield from opened(nuke, tmp_path, monkeypatch)


@pytest.fixture
def session(gui: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The same with a GUI."""
    yield from opened(gui, tmp_path, monkeypatch)


def opened(nuke: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    use_engine(monkeypatch, tmp_path, steps=3)
    nuke.pluginAddPath(str(ROOT / "nuke_vdp"))
    nuke.standin.hook("execute", lambda node, first, last, step, views: write_frames(node, first, last, step))
    nuke.scriptSaveAs(f"{tmp_path}/comp_v012.nk", 1)
    yield nuke
    for run in nodes.session_runs():
        run.cancel()
        run.wait(20)
    nodes._runs.clear()


def use_engine(monkeypatch: pytest.MonkeyPatch, folder: Path, steps: int) -> None:
    """VDP_ENGINE is a command of that many steps, whose calls can be counted in ``calls``."""
    script = folder / f"vdp{steps}"
    quick = ROOT / "tests" / "e2e" / "quick_vdp.py"
    script.write_text(
        f'#!/bin/sh\necho "$@" >>"{folder}/calls"\n'
        f'OMP_NUM_THREADS=1 PYTHONPATH="{ROOT}" exec "{sys.executable}" "{quick}" {steps} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("VDP_ENGINE", str(script))


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def vdp_node(nuke: ModuleType, plate: str, out: Path | None = None, **values: Any) -> Any:
    """A VDP node below a plain Read."""
    read = nuke.nodes.Read(file=plate, first=FRAMES[0], last=FRAMES[-1], raw=True)
    node = nuke.createNode("VDP")
    node.setInput(0, read)
    settings = {"quality": "draft", "device": "cpu", **values}
    if out is not None:
        settings["out_dir"] = out.as_posix()
    for name, value in settings.items():
        node[name].setValue(value)
    return node


def until(nuke: ModuleType, met: Callable[[], Any], seconds: float = 240.0) -> list[str]:
    """Turn Nuke's event loop until a condition is met; the texts of the status knobs seen meanwhile."""
    seen: list[str] = []
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, seen
        nuke.standin.pump()
        for node in nodes.all_nodes():
            text = node["status"].value()
            if text not in seen:
                seen.append(text)
        time.sleep(0.02)
    return seen


def state(node: Any) -> str:
    return nuke_vdp.status(node).name


def picture(node: Any, frame: int) -> np.ndarray:
    image = evaluate(node, frame)
    return np.stack([image.plane(f"rgba.{name}") for name in RGB], axis=-1)


def plate_picture(plate: str, frame: int) -> np.ndarray:
    channels = command.channels(Path(plate.replace("####", str(frame))))
    return np.stack([channels[name].astype(np.float32) for name in "RGB"], axis=-1)


def test_from_the_button_to_layers_that_rebuild_the_plate(session: ModuleType, plate: str, tmp_path: Path) -> None:
    node = vdp_node(session, plate)
    assert state(node) == "not decomposed"
    np.testing.assert_array_equal(picture(node, 1002), plate_picture(plate, 1002))

    before = node["tile_color"].value()
    node["decompose"].execute()
    assert session.standin.messages() == [] and state(node) == "running"
    seen = until(session, lambda: state(node) == "done")
    percents = [int(text.split("</b>: ")[1].split(" %")[0]) for text in seen if " %, " in text]
    assert len(percents) > 3 and percents == sorted(percents) and 0 < percents[len(percents) // 2] < 100
    assert node["tile_color"].value() != before
    assert session.standin.autolabel(node).splitlines()[0] == node.name()

    out = tmp_path / "vdp" / "comp_v012" / node.name()
    assert command.frames_of(out) == list(FRAMES)
    assert calls(tmp_path) == [calls(tmp_path)[0]] and f"run {plate}" in calls(tmp_path)[0]
    for show in ("plate", "recomposition"):
        node["show"].setValue(show)
        for frame in (FRAMES[0], FRAMES[-1]):
            truth = plate_picture(plate, frame)
            assert half_ulps(picture(node, frame), truth).max() <= 2, show
    node["show"].setValue("fg1 matte")
    written = command.channels(out / "demo.1003.exr")
    np.testing.assert_array_equal(picture(node, 1003)[..., 1], written["fg1.A"].astype(np.float32))
    np.testing.assert_array_equal(evaluate(node, 1003).plane("fg1.red"), written["fg1.R"].astype(np.float32))
    beyond = FRAMES[-1] + 10  # the plate passes, whose Read holds its last frame
    np.testing.assert_array_equal(picture(node, beyond), plate_picture(plate, FRAMES[-1]))

    made = nuke_vdp.create_layer_nodes(node)
    rebuilt = next(one for one in made if one.name().startswith("VDP_rebuild"))
    assert half_ulps(picture(rebuilt, 1004), plate_picture(plate, 1004)).max() <= 2
    assert "add up to the plate" in nuke_vdp.show_report(node)

    node["seed"].setValue(5)
    assert state(node) == "out of date"
    node["seed"].setValue(0)
    assert state(node) == "done"


def test_cancel_within_three_seconds_and_a_resume_with_the_same_result(
    session: ModuleType, plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_engine(monkeypatch, tmp_path, steps=30)
    node = vdp_node(session, plate, tmp_path / "stopped")
    node["decompose"].execute()
    until(session, lambda: nodes.run_of(node).snapshot().message.startswith("joint step 2"))
    node["cancel"].execute()
    pressed = time.monotonic()
    until(session, lambda: "stopped</b>" in node["status"].value())
    seconds = time.monotonic() - pressed
    assert seconds < 3.0
    assert (tmp_path / "stopped" / ".vdp" / "checkpoint.safetensors").is_file()

    node["decompose"].execute()
    until(session, lambda: state(node) == "done")
    said = " ".join(nodes.run_of(node).snapshot().log)
    assert "going on from step" in said
    other = vdp_node(session, plate, tmp_path / "undisturbed")
    nuke_vdp.decompose(other, wait=True)
    assert command.same_pixels(tmp_path / "stopped", tmp_path / "undisturbed")


def test_a_script_closed_and_opened_again_finds_its_run(
    session: ModuleType, plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_engine(monkeypatch, tmp_path, steps=15)
    node = vdp_node(session, plate)
    node["decompose"].execute()
    session.scriptSave()
    until(session, lambda: nodes.run_of(node).snapshot().stage == "fit")
    script = session.root().name()
    session.scriptClear()
    forget_session()  # as another Nuke would begin
    session.scriptOpen(script)
    (again,) = nodes.all_nodes()
    assert again is not node and state(again) == "running"
    until(session, lambda: state(again) == "done")
    assert len(calls(tmp_path)) == 1
    again["show"].setValue("recomposition")
    assert half_ulps(picture(again, 1005), plate_picture(plate, 1005)).max() <= 2


def test_a_run_that_ended_while_the_script_was_closed_is_taken_over(
    terminal: ModuleType, plate: str, tmp_path: Path
) -> None:
    node = vdp_node(terminal, plate)
    nuke_vdp.decompose(node, wait=False)
    terminal.scriptSave()
    script, run = terminal.root().name(), nodes.run_of(node)
    terminal.scriptClear()
    assert run.wait(120).state == "done"
    forget_session()
    terminal.scriptOpen(script)
    (again,) = nodes.all_nodes()
    assert state(again) == "done" and again["layers_file"].value().endswith("demo.####.exr")


def test_two_nodes_on_one_device_take_turns(session: ModuleType, plate: str, tmp_path: Path) -> None:
    first, second = (vdp_node(session, plate, tmp_path / name) for name in ("one", "two"))
    first["decompose"].execute()
    second["decompose"].execute()
    assert (state(first), state(second)) == ("running", "queued")
    seen = until(session, lambda: state(first) == "done")
    assert any("waits for" in text for text in seen)
    until(session, lambda: state(second) == "done")
    ended = (tmp_path / "one" / "demo.report.json").stat().st_mtime
    begun = min(path.stat().st_mtime for path in (tmp_path / "two" / ".vdp" / "flow").iterdir())
    assert begun > ended and len(calls(tmp_path)) == 2


def test_anything_but_a_plain_read_is_rendered_first(terminal: ModuleType, plate: str, tmp_path: Path) -> None:
    node = vdp_node(terminal, plate)
    grade = terminal.nodes.Grade(white=2.0, channels="rgb", black_clamp=False)
    grade.setInput(0, node.input(0))
    node.setInput(0, grade)
    node["frame_range"].setValue("custom")
    node["first"].setValue(1002)
    node["last"].setValue(1005)
    nuke_vdp.decompose(node)
    out = tmp_path / "vdp" / "comp_v012" / node.name()
    assert sorted(path.name for path in (out / "plates").glob("*.exr")) == [f"VDP1.{n}.exr" for n in range(1002, 1006)]
    layers = command.channels(out / "VDP1.1003.exr")
    graded = (2 * plate_picture(plate, 1003)).astype(np.float16)
    np.testing.assert_array_equal(np.stack([layers[c] for c in "RGB"], axis=-1), graded)
    assert command.rebuilds(out / "VDP1.1003.exr", out / "plates" / "VDP1.1003.exr")
    grade["white"].setValue(3.0)
    assert state(node) == "out of date"


def test_the_engines_own_words_with_the_frame(session: ModuleType, plate: str, tmp_path: Path) -> None:
    for frame in FRAMES:
        if frame != 1003:
            path = Path(plate.replace("####", str(frame)))
            (tmp_path / "gap").mkdir(exist_ok=True)
            (tmp_path / "gap" / path.name).symlink_to(path)
    node = vdp_node(session, f"{tmp_path}/gap/demo.####.exr")
    node["decompose"].execute()
    until(session, lambda: "failed" in node["status"].value())
    text = node["status"].value()
    assert "1003" in text and "missing" in text
    with pytest.raises(HostError, match="1003"):
        nuke_vdp.wait(node)


def test_a_farm_render_reads_finished_layers_and_starts_nothing(
    terminal: ModuleType, plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = vdp_node(terminal, plate)
    assert nuke_vdp.decompose(node).name == "done"
    node["show"].setValue("bg")
    final = f"{tmp_path}/final/bg.####.exr"
    write = terminal.nodes.Write(file=final, create_directories=True, file_type="exr", raw=True)
    write.setInput(0, node)
    terminal.scriptSave()
    script = terminal.root().name()
    terminal.scriptClear()
    forget_session()
    monkeypatch.setenv("VDP_ENGINE", "/nowhere/vdp")
    terminal.scriptOpen(script)
    terminal.execute("Write1", FRAMES[0], FRAMES[-1], 1)
    out = tmp_path / "vdp" / "comp_v012" / "VDP1"
    for frame in FRAMES:
        layer, final = command.channels(out / f"demo.{frame}.exr"), command.channels(tmp_path / f"final/bg.{frame}.exr")
        assert all(np.array_equal(layer[f"bg.{c}"], final[c]) for c in "RGB")
    assert len(calls(tmp_path)) == 1


def test_what_the_node_leaves_behind(terminal: ModuleType, plate: str, tmp_path: Path) -> None:
    node = vdp_node(terminal, plate, tmp_path / "out")
    nuke_vdp.decompose(node)
    before = command.snapshot(tmp_path / "out")
    told = json.loads((tmp_path / "out" / ".vdp" / "nuke" / "run.json").read_text())
    assert told["request"]["plate"] == plate
    assert nuke_vdp.decompose(node).name == "done"
    after = command.snapshot(tmp_path / "out")
    assert {name for name in after if after[name] != before.get(name)} <= {
        f".vdp/nuke/{name}" for name in ("run.json", "events.jsonl", "stderr.txt", "node.json")
    }


def test_the_acceptance_script_for_a_real_nuke_passes_here(
    terminal: ModuleType, plate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.Node, "width", lambda self: 96)
    monkeypatch.setattr(terminal.Node, "height", lambda self: 64)
    terminal.standin.hook("sample", sample)
    for name in ("nuke_vdp.ui", "nuke_vdp.panel", "PySide6"):  # left by other tests
        monkeypatch.delitem(sys.modules, name, raising=False)
    told: list[str] = []
    outcomes = acceptance.run_checks(acceptance.Bench(tmp_path, plate), told.append)
    assert set(outcomes.values()) == {"PASS"}, "\n".join(told)
    assert len(outcomes) >= 15


def sample(node: Any, channel: str, x: float, y: float, frame: float) -> float:
    """The value of a channel at a pixel, y up as Nuke counts."""
    image = evaluate(node, frame)
    row, column = image.format.bottom - 1 - int(y) - image.data.top, int(x) - image.data.left
    return float(image.plane(channel)[row, column])


def forget_session() -> None:
    """What a new Nuke does not know."""
    nodes._runs.clear()
    nodes._told.clear()
