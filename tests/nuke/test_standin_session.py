"""The stand-in for Nuke: session, nodes, groups, callbacks, threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest


def test_unknown_names_raise(nuke: Any) -> None:
    grade = nuke.nodes.Grade()
    for wrong in (
        lambda: nuke.createNode("Grad"),
        lambda: nuke.nodes.Grad,
        lambda: grade["wite"],
        lambda: nuke.nodes.Grade(wite=1),
    ):
        with pytest.raises((RuntimeError, AttributeError, NameError)):
            wrong()
    assert grade.knob("wite") is None


def test_names_count_up_and_are_found(nuke: Any) -> None:
    group = nuke.nodes.Group()
    with group:
        inner = nuke.nodes.Merge2()
    assert [n.name() for n in (nuke.nodes.Merge2(), nuke.nodes.Merge2(), inner)] == ["Merge1", "Merge2", "Merge1"]
    assert inner.fullName() == "Group1.Merge1" and nuke.toNode("Group1.Merge1") is inner
    assert nuke.toNode("Group1.Nothing") is None
    assert len(nuke.allNodes("Merge2")) == 2 and len(nuke.allNodes("Merge2", recurseGroups=True)) == 3


def test_create_node_takes_the_selection(nuke: Any) -> None:
    read = nuke.createNode("Read")
    blur = nuke.createNode("Blur", "size 12 label {a b}")
    assert blur.input(0) is read and blur["size"].value() == 12 and blur["label"].value() == "a b"
    assert [n.name() for n in nuke.selectedNodes()] == ["Blur1"]


def test_inputs(nuke: Any) -> None:
    a, b = nuke.nodes.Constant(), nuke.nodes.Blur()
    assert b.setInput(0, a) and not a.setInput(0, b), "a loop"
    assert not b.setInput(5, a) and a.dependent() == [b] and b.dependencies() == [a]
    assert b.setInput(0, None) and b.inputs() == 0


def test_off_the_main_thread(nuke: Any) -> None:
    node = nuke.nodes.NoOp()
    raised: list[str] = []
    seen: list[Any] = []

    def work() -> None:
        for call in (nuke.root, node.name, lambda: node["label"], lambda: nuke.nodes.NoOp(), nuke.allNodes):
            try:
                call()
            except RuntimeError as error:
                raised.append(str(error))
        nuke.tprint("hello")
        nuke.executeInMainThread(seen.append, 1)
        seen.append(nuke.executeInMainThreadWithResult(node.name))

    thread = threading.Thread(target=work)
    thread.start()
    nuke.standin.pump(5, until=lambda: not thread.is_alive())
    thread.join()
    assert len(raised) == 5 and all("main thread" in text for text in raised)
    assert seen == [1, "NoOp1"]
    for call in (nuke.executeInMainThread, nuke.executeInMainThreadWithResult):
        with pytest.raises(RuntimeError, match="on the main thread"):
            call(node.name)


def test_no_gui_no_windows(nuke: Any) -> None:
    for call in (lambda: nuke.message("x"), lambda: nuke.ask("x"), lambda: nuke.menu("Nodes")):
        with pytest.raises(RuntimeError, match="GUI"):
            call()


def test_gui_records(gui: Any) -> None:
    gui.standin.answers(True)
    gui.message("done")
    assert gui.ask("really?") is True and gui.standin.messages() == [("message", "done"), ("ask", "really?")]
    made: list[Any] = []
    menu = gui.menu("Nodes").addMenu("VDP", icon="VDP.png")
    menu.addCommand("VDP", lambda: made.append(gui.createNode("NoOp")))
    assert gui.menu("Nodes").findItem("VDP").icon() == "VDP.png"
    gui.menu("Nodes").findItem("VDP/VDP").invoke()
    assert made[0].shown()


def test_knob_changed(nuke: Any) -> None:
    seen: list[tuple[str, str]] = []
    nuke.addKnobChanged(lambda: seen.append((nuke.thisNode().name(), nuke.thisKnob().name())), nodeClass="Blur")
    blur = nuke.nodes.Blur(size=3)
    blur["knobChanged"].setValue("k = nuke.thisKnob()\nif k.name() == 'size': nuke.thisNode()['label'].setValue('big')")
    seen.clear()
    blur["size"].setValue(7)
    nuke.nodes.Grade()["mix"].setValue(0.5)
    assert seen == [("Blur1", "size")] and blur["label"].value() == "big"


def test_scripts_of_a_group_run_inside_it(nuke: Any) -> None:
    group = nuke.nodes.Group()
    group.addKnob(nuke.PyScript_Knob("go", "Go", "nuke.createNode('Blur')"))
    group["go"].execute()
    assert [n.name() for n in group.nodes()] == ["Blur1"] and nuke.allNodes("Blur") == []


def test_on_create_and_load(nuke: Any, tmp_path: Path) -> None:
    seen: list[str] = []
    nuke.addOnCreate(lambda: seen.append("create " + nuke.thisNode().name()), nodeClass="Blur")
    nuke.addOnUserCreate(lambda: seen.append("user " + nuke.thisNode().name()), nodeClass="Blur")
    nuke.addOnScriptLoad(lambda: seen.append("load " + nuke.thisNode().name()))
    nuke.addOnDestroy(lambda: seen.append("destroy " + nuke.thisNode().name()), nodeClass="Blur")
    nuke.createNode("Blur")
    path = str(tmp_path / "a.nk")
    nuke.scriptSaveAs(path)
    nuke.scriptOpen(path)
    nuke.delete(nuke.toNode("Blur1"))
    made, gone = ["user Blur1", "create Blur1"], ["destroy Blur1"]
    assert seen == [*made, *gone, "create Blur1", f"load {path}", *gone]
    assert nuke.root().name() == path


def test_modified(nuke: Any, tmp_path: Path) -> None:
    assert not nuke.modified()
    node = nuke.nodes.NoOp()
    assert nuke.modified()
    nuke.scriptSaveAs(str(tmp_path / "a.nk"))
    assert not nuke.modified() and not nuke.root().modified()
    node["label"].setValue("x")
    assert nuke.modified()


def test_undo(nuke: Any) -> None:
    read = nuke.nodes.Read()
    with nuke.Undo("two things"):
        read["label"].setValue("x")
        nuke.nodes.Blur(inputs=[read])
    nuke.undo()
    assert read["label"].value() == "" and nuke.allNodes("Blur") == []
    nuke.delete(read)
    nuke.undo()
    assert nuke.toNode("Read1") is read and read.name() == "Read1"
    nuke.Undo.disable()
    read["label"].setValue("y")
    nuke.Undo.enable()
    nuke.undo()
    assert nuke.toNode("Read1") is None, "the last step that was recorded: making the Read"


def test_a_deleted_node_is_gone(nuke: Any) -> None:
    node = nuke.nodes.Blur()
    nuke.delete(node)
    with pytest.raises(ValueError, match="not attached"):
        node.name()


def test_plugin_path(nuke: Any, tmp_path: Path) -> None:
    (tmp_path / "init.py").write_text("nuke.pluginAddPath('./gizmos')\n")
    (tmp_path / "menu.py").write_text("nuke.menu('Nodes').addCommand('X', 'nuke.createNode(\"X\")')\n")
    (tmp_path / "gizmos").mkdir()
    (tmp_path / "gizmos" / "X.gizmo").write_text(GIZMO)
    nuke.pluginAddPath(str(tmp_path))
    node = nuke.createNode("X")
    assert (node.Class(), node.name(), node["gain"].value(), node.maxInputs()) == ("X", "X1", 2.0, 1)
    assert isinstance(node, nuke.Gizmo) and node.output().input(0).Class() == "Multiply"
    assert node.node("Multiply1")["value"].value() == 2.0
    assert "addUserKnob" not in nuke.standin.script()


GIZMO = """#! Nuke -nx
version 14.0 v5
Gizmo {
 tile_color 0xff0000ff
 addUserKnob {20 X}
 addUserKnob {7 gain l Gain t "how much" R 0 4}
 gain 2
 addUserKnob {4 show l Show M {plate fg1 "fg1 matte"}}
 addUserKnob {22 go l "Go!" -STARTLINE T "nuke.thisNode()\\['gain'].setValue(3)"}
}
 Input {
  inputs 0
  name Input1
 }
 Multiply {
  value {{parent.gain}}
  name Multiply1
 }
 Output {
  name Output1
 }
end_group
"""


def test_a_gizmo_saves_only_its_own_changes(nuke: Any, tmp_path: Path) -> None:
    (tmp_path / "X.gizmo").write_text(GIZMO)
    nuke.pluginAddPath(str(tmp_path))
    node = nuke.createNode("X")
    node["go"].execute()
    node["show"].setValue("fg1 matte")
    node.node("Multiply1")["mix"].setValue(0.5)
    path = str(tmp_path / "a.nk")
    nuke.scriptSaveAs(path)
    nuke.scriptOpen(path)
    again = nuke.toNode("X1")
    assert (again["gain"].value(), again["show"].value(), again.node("Multiply1")["mix"].value()) == (3, "fg1 matte", 1)
    assert again is not node and "tile_color" not in Path(path).read_text()


def test_execute_asks_the_hook(nuke: Any) -> None:
    write, asked = nuke.nodes.Write(), []
    with pytest.raises(RuntimeError, match="hook"):
        nuke.execute(write, 1, 2)
    nuke.standin.hook("execute", lambda *args: asked.append(args))
    nuke.execute("Write1", 1, 2)
    assert asked == [(write, 1, 2, 1, ["main"])]


def test_reset_forgets(nuke: Any) -> None:
    nuke.addOnCreate(lambda: 1 / 0)
    nuke.standin.reset()
    nuke.nodes.NoOp()
    assert nuke.GUI is False and len(nuke.allNodes()) == 1


def test_on_destroy_runs_when_a_script_is_closed_and_when_making_is_undone(nuke: Any) -> None:
    seen: list[str] = []
    nuke.addOnDestroy(lambda: seen.append(nuke.thisNode().name()), nodeClass="Blur")
    nuke.nodes.Blur()
    nuke.undo()
    nuke.nodes.Blur(name="B")
    nuke.scriptClear()
    assert seen == ["Blur1", "B"]


def test_callbacks_as_nuke_registers_them(nuke: Any) -> None:
    seen: list[str] = []
    nuke.addOnCreate(seen.append, ("all",))
    nuke.addOnCreate(seen.append, "Blur", nodeClass="Blur")
    nuke.addOnCreate(seen.append, ("all",))
    nuke.nodes.Blur()
    assert seen == ["Blur", "all"], "those of the class first, each once, a single argument needs no tuple"
    nuke.removeOnCreate(seen.append, ("all",))
    nuke.nodes.Grade()
    assert len(seen) == 2


def test_names_that_nuke_does_not_have(nuke: Any) -> None:
    for name in (
        "KNOB_CHANGED_ALWAYS",
        "HIDDEN",
        "NO_RERENDER",
        "SLIDER",
        "create_node",
        "Opaque_Knob",
        "Any",
        "find",
        "S",
    ):
        assert not hasattr(nuke, name), name


def test_update_ui_needs_a_gui(nuke: Any) -> None:
    seen: list[str] = []
    nuke.addUpdateUI(lambda: seen.append(nuke.thisNode().name()), nodeClass="Blur")
    nuke.nodes.Blur()
    nuke.standin.idle()
    nuke.standin.set_gui(True)
    nuke.standin.idle()
    assert seen == ["Blur1"]


def test_one_step_of_undo_takes_a_new_node_away(nuke: Any) -> None:
    read = nuke.createNode("Read")
    nuke.createNode("Blur", "size 3")
    nuke.undo()
    assert nuke.allNodes() == [read]
    read.setSelected(False)
    nuke.undo()
    assert nuke.allNodes() == [], "selecting is no step"


def test_a_gizmo_as_a_group(nuke: Any, tmp_path: Path) -> None:
    (tmp_path / "X.gizmo").write_text(GIZMO)
    nuke.pluginAddPath(str(tmp_path))
    gizmo = nuke.nodes.X(gain=3)
    group = gizmo.makeGroup()
    assert group.Class() == "Group" and group.node("Multiply1")["value"].value() == 3
    group.node("Multiply1")["mix"].setValue(0.5)
    text = nuke.standin.script()
    nuke.scriptClear()
    nuke.scriptReadText(text)
    assert nuke.toNode("Group1.Multiply1")["mix"].value() == 0.5


def test_a_panel_of_a_widget(gui: Any) -> None:
    from nukescripts import panels

    panels.registerWidgetAsPanel("__import__('collections').OrderedDict", "A panel", "vdp.a")
    panels.registerWidgetAsPanel("__import__('collections').Nothing", "Another", "vdp.b")
    panels.restorePanel("vdp.a").addToPane(gui.getPaneFor("Properties.1"))
    assert gui.standin.messages() == [("pane", "A panel")] and gui.menu("Pane").findItem("A panel")
    with pytest.raises(AttributeError):
        panels.restorePanel("vdp.b")
