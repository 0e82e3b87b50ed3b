"""A VDP node: decompose, go on working, fail, cancel; its buttons and labels."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nuke_vdp
from nuke_vdp import node as nodes
from nuke_vdp import states
from nuke_vdp.errors import HostError
from nuke_vdp.runs.events import Snapshot
from tests.nuke.fake_engine import out_of, state_name, until, use, vdp_node

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the engine's stand-in is a POSIX script")


@pytest.fixture(autouse=True)
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from use(tmp_path, monkeypatch)


@pytest.fixture
def vdp(nuke: ModuleType, tmp_path: Path) -> Any:
    return vdp_node(nuke, tmp_path)


def test_without_a_gui_decompose_waits_and_adopts(vdp: Any) -> None:
    heard: list[Snapshot] = []
    state = nuke_vdp.decompose(vdp, progress=heard.append)
    out = out_of(vdp)
    assert state.name == states.DONE and heard[-1].state == "done"
    assert vdp["layers_file"].value() == f"{out.as_posix()}/sh010.####.exr"
    assert [vdp[name].value() for name in ("layers_first", "layers_last", "layers_task", "layers_count")] == [
        1001, 1010, "layers", 2,
    ]  # fmt: skip
    assert "frames 1001-1010" in vdp["status"].value()
    assert vdp["tile_color"].value() == 0


def test_in_a_gui_nothing_blocks_and_the_node_shows_how_far_it_is(gui: ModuleType, vdp: Any) -> None:
    out = out_of(vdp)
    (out / "wait").touch()
    started = time.monotonic()
    nuke_vdp.decompose(vdp)
    assert time.monotonic() - started < 1.0
    until(gui, lambda: "18 %, flow of frame 1005, 3 min left" in vdp["status"].value())
    assert state_name(vdp) == states.RUNNING and vdp["cancel"].enabled()
    assert vdp["layers_file"].value() == ""
    running = vdp["tile_color"].value()
    (out / "go").touch()
    until(gui, lambda: vdp["layers_file"].value() != "")
    assert state_name(vdp) == states.DONE and vdp["tile_color"].value() != running


def test_a_second_run_in_the_same_folder_is_refused_before_it_renders(gui: ModuleType, vdp: Any) -> None:
    (out_of(vdp) / "wait").touch()
    nuke_vdp.decompose(vdp)
    with pytest.raises(HostError, match="already working"):
        nuke_vdp.decompose(vdp)
    gui.standin.pump()


def test_what_the_engine_says_comes_up_with_the_frame(vdp: Any) -> None:
    (out_of(vdp) / "fail").touch()
    with pytest.raises(HostError, match=r"the plate has no such frame \(frame 1006\)"):
        nuke_vdp.decompose(vdp)
    assert nuke_vdp.status(vdp)[:2] == (states.FAILED, "the plate has no such frame (frame 1006)")
    (out_of(vdp) / "fail").unlink()
    assert nuke_vdp.decompose(vdp).name == states.DONE


def test_cancel_and_go_on(gui: ModuleType, vdp: Any) -> None:
    out = out_of(vdp)
    (out / "wait").touch()
    nuke_vdp.decompose(vdp)
    until(gui, lambda: (out / "started").exists() and nuke_vdp.status(vdp).fraction > 0)
    nuke_vdp.cancel(vdp)
    until(gui, lambda: state_name(vdp) == states.STOPPED)
    assert "Decompose goes on from there" in nuke_vdp.status(vdp).text
    with pytest.raises(HostError, match="nothing to cancel"):
        nuke_vdp.cancel(vdp)
    (out / "wait").unlink()
    nuke_vdp.decompose(vdp, wait=True)
    assert state_name(vdp) == states.DONE


def test_wait_gives_up_but_the_run_goes_on(gui: ModuleType, vdp: Any) -> None:
    (out_of(vdp) / "wait").touch()
    nuke_vdp.decompose(vdp, wait=False)
    with pytest.raises(HostError, match=r"not finished after 0\.1 seconds; it goes on"):
        nuke_vdp.wait(vdp, timeout=0.1)
    assert state_name(vdp) == states.RUNNING
    (out_of(vdp) / "go").touch()
    assert nuke_vdp.wait(vdp).name == states.DONE


def test_ctrl_c_in_a_terminal_stops_the_run(vdp: Any) -> None:
    (out_of(vdp) / "wait").touch()

    def press(snapshot: Snapshot) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nuke_vdp.decompose(vdp, progress=press)
    run = nodes.run_of(vdp)
    assert run is not None and run.wait(5).state == "stopped"


def test_nothing_to_wait_for(vdp: Any) -> None:
    with pytest.raises(HostError, match="decompose it first"):
        nuke_vdp.wait(vdp)


def test_nothing_is_rendered_for_an_engine_that_is_not_there(
    nuke: ModuleType, vdp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VDP_ENGINE", "/nowhere/vdp")
    rendered: list[Any] = []
    nuke.standin.hook("execute", lambda *args: rendered.append(args))
    vdp.setInput(0, nuke.nodes.Roto())
    with pytest.raises(HostError, match="/nowhere/vdp"):
        nuke_vdp.decompose(vdp)
    assert not rendered


# Out of date


@pytest.mark.parametrize(
    "change",
    [
        lambda nuke, node: node["quality"].setValue("final"),
        lambda nuke, node: nuke.toNode("Plate")["file"].setValue("/plates/sh010_v2.####.exr"),
        lambda nuke, node: nuke.toNode("Plate")["last"].setValue(1005),
        lambda nuke, node: node.setInput(1, nuke.nodes.Roto()),
    ],
)
def test_a_change_that_matters_makes_it_out_of_date(gui: ModuleType, vdp: Any, change: Any, tmp_path: Path) -> None:
    nuke_vdp.decompose(vdp, wait=True)
    layers = vdp["layers_file"].value()
    change(gui, vdp)
    assert state_name(vdp) == states.OUT_OF_DATE
    assert vdp["layers_file"].value() == layers
    gui.scriptSave()
    gui.scriptOpen(str(tmp_path / "comp_v001.nk"))
    assert state_name(gui.toNode("VDP1")) == states.OUT_OF_DATE


def test_knobs_and_changes_upstream_are_shown_at_once(gui: ModuleType, vdp: Any) -> None:
    nuke_vdp.decompose(vdp, wait=True)
    vdp["seed"].setValue(4)
    assert "out of date" in vdp["status"].value()
    vdp["seed"].setValue(0)
    assert "done" in vdp["status"].value()
    gui.toNode("Plate")["file"].setValue("/plates/b.####.exr")
    from nuke._session import S

    with S.this(vdp):
        nodes.update_ui()
    assert "out of date" in vdp["status"].value()


# Buttons and labels


def test_trouble_is_told_in_a_box_and_on_the_node(gui: ModuleType, vdp: Any) -> None:
    vdp.setInput(0, None)
    vdp["decompose"].execute()
    assert gui.standin.messages() == [("message", "Connect a plate to VDP1.")]
    assert "Connect a plate" in vdp["status"].value()


def test_without_a_gui_trouble_is_raised(vdp: Any) -> None:
    vdp.setInput(0, None)
    with pytest.raises(HostError, match="Connect a plate"):
        vdp["decompose"].execute()


def test_add_current_frame(nuke: ModuleType, vdp: Any) -> None:
    for frame in (1005, 1001, 1005, 1006):
        nuke.frame(frame)
        vdp["add_hint_frame"].execute()
    assert vdp["hint_frames"].value() == "1001, 1005-1006"


def test_label(gui: ModuleType, vdp: Any) -> None:
    from nuke_vdp import ui

    gui.addAutolabel(ui.autolabel, nodeClass="VDP")
    assert gui.standin.autolabel(vdp) == "VDP1\nnot decomposed: the plate passes through"
    nuke_vdp.decompose(vdp, wait=True)
    vdp["show"].setValue("fg1")
    vdp["label"].setValue("the dog")
    assert gui.standin.autolabel(vdp) == "VDP1 (fg1)\ndone: layers of frames 1001-1010\nthe dog"


def test_knobs_that_do_not_apply_are_grey(gui: ModuleType, vdp: Any) -> None:
    names = ("first", "last", "layers", "flow_layer", "cancel")
    assert [vdp[name].enabled() for name in names] == [False, False, True, False, False]
    vdp["frame_range"].setValue("custom")
    vdp["task"].setValue("dehaze")
    vdp["flow"].setValue("motion vectors of the input")
    assert [vdp[name].enabled() for name in names] == [True, True, False, True, False]


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, ""), (0.2, "1 s left"), (59, "59 s left"), (200, "3 min left"), (9000, "2.5 h left")]
)
def test_time_left(seconds: Any, words: str) -> None:
    assert states.time_left(seconds) == words
