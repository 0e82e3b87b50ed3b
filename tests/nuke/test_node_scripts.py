"""A VDP node in scripts that are saved, reopened, copied; layers that came from elsewhere."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nuke_vdp
from nuke_vdp import finished, knobs, runs, states
from nuke_vdp import node as nodes
from nuke_vdp.errors import HostError
from tests.nuke.fake_engine import out_of, state_name, until, use, vdp_node

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the engine's stand-in is a POSIX script")


@pytest.fixture(autouse=True)
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from use(tmp_path, monkeypatch)


@pytest.fixture
def vdp(nuke: ModuleType, tmp_path: Path) -> Any:
    return vdp_node(nuke, tmp_path)


# Scripts


def test_reopened_while_it_runs(gui: ModuleType, vdp: Any, tmp_path: Path) -> None:
    out = out_of(vdp)
    (out / "wait").touch()
    nuke_vdp.decompose(vdp)
    gui.scriptSave()
    gui.scriptClear()
    gui.standin.pump(0.1)
    nodes._runs.clear()
    runs.queue()._watched.clear()  # as in a new Nuke
    gui.scriptOpen(str(tmp_path / "comp_v001.nk"))
    node = gui.toNode("VDP1")
    assert state_name(node) == states.RUNNING
    (out / "go").touch()
    until(gui, lambda: node["layers_file"].value() != "")
    assert state_name(node) == states.DONE


@pytest.mark.parametrize("has_gui", [True, False])
def test_reopened_after_it_ended(nuke: ModuleType, vdp: Any, tmp_path: Path, has_gui: bool) -> None:
    out = out_of(vdp)
    (out / "wait").touch()
    nuke_vdp.decompose(vdp, wait=False)
    nuke.scriptSave()
    nuke.scriptClear()
    (out / "go").touch()
    run = runs.find(out.as_posix())
    assert run is not None and run.wait(10).state == "done"
    nodes._runs.clear()
    nuke.standin.set_gui(has_gui)
    nuke.scriptOpen(str(tmp_path / "comp_v001.nk"))
    node = nuke.toNode("VDP1")
    assert node["layers_file"].value() and state_name(node) == states.DONE
    assert len((out / "started").read_text().split()) == 1, "nothing was started by opening the script"


def test_a_later_version_of_the_script_keeps_its_layers(gui: ModuleType, vdp: Any, tmp_path: Path) -> None:
    nuke_vdp.decompose(vdp, wait=True)
    layers = vdp["layers_file"].value()
    gui.scriptSaveAs(str(tmp_path / "comp_v002.nk"))
    assert "comp_v002" in knobs.out_dir(vdp)
    assert (vdp["layers_file"].value(), state_name(vdp)) == (layers, states.DONE)


def test_copies_follow_the_same_run(gui: ModuleType, vdp: Any) -> None:
    out = out_of(vdp)
    (out / "wait").touch()
    nuke_vdp.decompose(vdp)
    for node in gui.allNodes():
        node.setSelected(node is vdp)
    gui.nodeCopy()
    vdp.setSelected(False)
    copy = gui.nodePaste()
    copy.setInput(0, vdp.input(0))
    group = vdp.makeGroup()
    assert copy.name() == "VDP2" and state_name(copy) == states.RUNNING
    (out / "go").touch()
    until(gui, lambda: all(node["layers_file"].value() for node in (vdp, copy, group)))
    assert state_name(copy) == states.DONE


@pytest.mark.parametrize("loss", ["deleted", "renamed", "closed"])
def test_a_run_survives_what_happens_to_its_node(gui: ModuleType, vdp: Any, loss: str) -> None:
    out = out_of(vdp)
    (out / "wait").touch()
    nuke_vdp.decompose(vdp)
    run = runs.find(out.as_posix())
    assert run is not None
    if loss == "deleted":
        gui.delete(vdp)
    elif loss == "closed":
        gui.scriptClear()
    else:
        vdp.setName("Dog")
    (out / "go").touch()
    until(gui, lambda: run.snapshot().ended)
    gui.standin.pump(0.3)
    if loss == "renamed":
        assert vdp["layers_file"].value()


def test_two_nodes_queue_on_one_device(gui: ModuleType, vdp: Any) -> None:
    other = gui.createNode("VDP")
    other.setInput(0, vdp.input(0))
    for node in (vdp, other):
        (out_of(node) / "wait").touch()
        nuke_vdp.decompose(node)
    until(gui, lambda: state_name(other) == states.QUEUED and state_name(vdp) == states.RUNNING)
    assert "waits for" in other["status"].value()
    (out_of(vdp) / "go").touch()
    (out_of(other) / "go").touch()
    until(gui, lambda: bool(vdp["layers_file"].value() and other["layers_file"].value()))


def test_nothing_of_it_lands_in_the_undo_history(gui: ModuleType, vdp: Any) -> None:
    from nuke._session import S

    steps = len(S.undo.groups)
    nuke_vdp.decompose(vdp, wait=True)
    nuke_vdp.reload(vdp)
    assert len(S.undo.groups) == steps


def test_everything_but_the_word_to_the_main_thread_stays_on_it(
    gui: ModuleType, vdp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    look = nodes.look

    def watched(out: str) -> None:
        seen.append(threading.get_ident())
        look(out)

    monkeypatch.setattr(nodes, "look", watched)
    nuke_vdp.decompose(vdp)
    until(gui, lambda: bool(vdp["layers_file"].value()))
    assert set(seen) == {threading.get_ident()}


# Reload, report, farm


def test_reload_takes_what_a_farm_wrote(nuke: ModuleType, vdp: Any) -> None:
    with pytest.raises(HostError, match="There are no layers in"):
        nuke_vdp.reload(vdp)
    out = out_of(vdp)
    (out / ".vdp").mkdir()
    settings = {"task": "relight", "alpha": "straight", "layers": 2}
    shot = {"name": "farm", "frames": "1001-1009x4,1011", "settings": settings}
    (out / ".vdp" / "shot.json").write_text(json.dumps(shot))
    with pytest.raises(HostError, match="yet"):
        nuke_vdp.reload(vdp)
    (out / "farm.1001.exr").touch()
    nuke.standin.hook("metadata", lambda node: {"exr/vdp/gamma": "2.2"} if node.name() == "Layers" else None)
    assert nuke_vdp.reload(vdp).name == states.DONE
    assert vdp["layers_file"].value() == f"{out.as_posix()}/farm.####.exr"
    wanted = {
        "layers_first": 1001, "layers_last": 1011, "layers_task": "relight", "layers_alpha": "straight", "gamma": 2.2,
    }  # fmt: skip
    assert {name: vdp[name].value() for name in wanted} == wanted
    vdp["seed"].setValue(1)
    assert state_name(vdp) == states.OUT_OF_DATE


def test_layers_of_an_automatic_count_are_counted(nuke: ModuleType, vdp: Any) -> None:
    vdp["layers"].setValue("auto")
    nuke.standin.hook("channels", lambda node: ["rgba.red", "bg.red", "fg1.red", "fg2.red"])
    nuke_vdp.decompose(vdp)
    assert vdp["layers_count"].value() == 3


def test_a_farm_after_a_failure(vdp: Any) -> None:
    out = out_of(vdp)
    (out / "fail").touch()
    with pytest.raises(HostError):
        nuke_vdp.decompose(vdp)
    (out / ".vdp" / "shot.json").write_text(json.dumps({"name": "n", "frames": "1001", "settings": {"layers": 2}}))
    (out / "n.1001.exr").touch()
    (out / "n.report.json").write_text("{}")
    assert nuke_vdp.reload(vdp).name == states.DONE


def test_a_request_to_the_farm_is_not_taken_for_its_result(vdp: Any, tmp_path: Path, nuke: ModuleType) -> None:
    nuke_vdp.decompose(vdp)
    vdp["seed"].setValue(5)
    finished.note_made_from(out_of(vdp).as_posix(), knobs.digest(vdp))
    nuke.scriptSave()
    nuke.scriptOpen(str(tmp_path / "comp_v001.nk"))
    assert state_name(nuke.toNode("VDP1")) == states.OUT_OF_DATE


def test_damaged_files_are_told(vdp: Any) -> None:
    out = out_of(vdp)
    (out / ".vdp").mkdir()
    (out / ".vdp" / "shot.json").write_text("{")
    with pytest.raises(HostError, match="damaged"):
        nuke_vdp.reload(vdp)


def test_report(gui: ModuleType, vdp: Any) -> None:
    with pytest.raises(HostError, match="no layers"):
        nuke_vdp.show_report(vdp)
    nuke_vdp.decompose(vdp, wait=True)
    text = nuke_vdp.show_report(vdp)
    for words in ("add up to the plate", "fg1.A covers 25 %", "90 %", "frame 1003: hardly anything moves"):
        assert words in text
    vdp["report"].execute()
    ((kind, shown),) = gui.standin.messages()
    assert kind == "ask" and text in shown
