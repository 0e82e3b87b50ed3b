"""The stand-in for Nuke: knobs, expressions, Tcl."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("make", "given", "value", "script"),
    [
        (lambda n: n.Double_Knob("k"), 2, 2.0, "2"),
        (lambda n: n.Int_Knob("k"), 3.9, 3, "3"),
        (lambda n: n.Boolean_Knob("k"), 1, True, "true"),
        (lambda n: n.Color_Knob("k"), 0.5, 0.5, "0.5"),
        (lambda n: n.Color_Knob("k"), (1, 2, 3), [1, 2, 3], "1 2 3"),
        (lambda n: n.AColor_Knob("k"), [1, 1, 1, 1], 1.0, "1"),
        (lambda n: n.XY_Knob("k"), [4, 4], [4, 4], "4 4"),
        (lambda n: n.Enumeration_Knob("k", "k", ["a", "b c"]), "b c", "b c", "b c"),
        (lambda n: n.Enumeration_Knob("k", "k", ["a", "b c"]), 1, "b c", "b c"),
        (lambda n: n.String_Knob("k"), "x y", "x y", "x y"),
        (lambda n: n.File_Knob("k"), "/a/b.####.exr", "/a/b.####.exr", "/a/b.####.exr"),
    ],
)
def test_values(nuke: Any, make: Any, given: Any, value: Any, script: str) -> None:
    knob = make(nuke)
    nuke.nodes.NoOp().addKnob(knob)
    assert knob.isDefault()
    knob.setValue(given)
    assert (knob.value(), knob.toScript(), not knob.isDefault()) == (value, script, True)
    assert type(knob.value()) is type(value)
    knob.fromScript(script)
    assert knob.value() == value


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (lambda n: n.Double_Knob("k"), "2"),
        (lambda n: n.Color_Knob("k"), [1, 2]),
        (lambda n: n.XY_Knob("k"), [1, 2, 3]),
        (lambda n: n.Enumeration_Knob("k", "k", ["a"]), "b"),
        (lambda n: n.Enumeration_Knob("k", "k", ["a"]), 1),
        (lambda n: n.String_Knob("k"), 3),
        (lambda n: n.File_Knob("k"), "C:\\a\\b.exr"),
        (lambda n: n.Channel_Knob("k"), "1st layer"),
    ],
)
def test_wrong_values(nuke: Any, make: Any, given: Any) -> None:
    knob = make(nuke)
    nuke.nodes.NoOp().addKnob(knob)
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        knob.setValue(given)


def test_flags(nuke: Any) -> None:
    knob = nuke.String_Knob("k")
    knob.setFlag(nuke.INVISIBLE | nuke.DO_NOT_WRITE)
    assert knob.getFlag(nuke.INVISIBLE) and not knob.visible()
    knob.setVisible(True)
    assert not knob.getFlag(nuke.INVISIBLE) and knob.getFlag(nuke.DO_NOT_WRITE)
    node = nuke.nodes.NoOp()
    node.addKnob(knob)
    nuke.modified(False)
    knob.setValue("not saved")
    assert "not saved" not in nuke.standin.script() and not nuke.modified()
    button = nuke.PyScript_Knob("b", "b", "1/0")
    node.addKnob(button)
    button.setEnabled(False)
    with pytest.raises(RuntimeError, match="disabled"):
        button.execute()


def test_animation(nuke: Any) -> None:
    size = nuke.nodes.Blur()["size"]
    size.setValueAt(0, 1)
    size.setValueAt(10, 11)
    assert size.isAnimated() and [size.getValueAt(f) for f in (0, 6, 20)] == [0, 5, 10]
    nuke.frame(3)
    assert size.value() == 2 and size.toScript() == "{curve x1 0 x11 10}"


def test_disable_and_which_by_expression(nuke: Any) -> None:
    group = nuke.nodes.Group()
    group.addKnob(nuke.Enumeration_Knob("show", "show", ["plate", "fg1", "bg"]))
    with group:
        nuke.nodes.Input()
        switch = nuke.nodes.Switch()
    switch["which"].setExpression("parent.show")
    switch["disable"].setExpression("[exists parent.input0]")
    group["show"].setValue("bg")
    assert switch["which"].value() == 2 and switch["disable"].value() is False
    group.setInput(0, nuke.nodes.Constant())
    assert switch["disable"].value() is True and switch["which"].hasExpression()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2*3", 7),
        ("(1+2)*3 - -1", 10),
        ("2^3 ** 1", 8),
        ("frame", 5),
        ("frame > 4 && frame < 6 ? 10 : 20", 10),
        ("!(1 == 2) || 0", 1),
        ("min(3, max(1, 2))", 2),
        ("pow(2, 3) + abs(-1) + floor(1.5)", 10),
        ("clamp(7)", 1),
        ("Blur1.size", 4),
        ("parent.Blur1.size / 2", 2),
        ("Grade1.white.g", 0.5),
        ("Grade1.white", 1),
        ("root.first_frame", 1),
        ("this.mix", 0.25),
        ("mix", 0.25),
        ("input.size", 4),
        ("[value Blur1.size] + 1", 5),
        ("[python {2 * 21}]", 42),
        ("[exists Nobody]", 0),
        ("[exists Blur1] && [exists Blur1.size]", 1),
    ],
)
def test_expressions(nuke: Any, text: str, value: float) -> None:
    blur = nuke.nodes.Blur(size=4)
    nuke.nodes.Grade(white=[1, 0.5, 0.25, 1])
    node = nuke.nodes.Multiply(inputs=[blur], mix=0.25)
    nuke.frame(5)
    node["value"].setExpression(text, 0)
    assert node["value"].value(0) == pytest.approx(value)


@pytest.mark.parametrize("text", ["1 +", "frobnicate(1)", "a b", "(1", "1 ? 2", "[value x", "1 @ 2", ""])
def test_what_is_no_expression(nuke: Any, text: str) -> None:
    with pytest.raises(RuntimeError):
        nuke.nodes.Blur()["size"].setExpression(text)


@pytest.mark.parametrize("text", ["nothing", "Blur9.size", "parent.nothing", "size.q", "input.size", "[value nothing]"])
def test_what_an_expression_cannot_find(nuke: Any, text: str) -> None:
    size = nuke.nodes.Blur()["size"]
    size.setExpression(text)
    with pytest.raises(RuntimeError):
        size.value()


def test_a_knob_that_depends_on_itself(nuke: Any) -> None:
    size = nuke.nodes.Blur()["size"]
    size.setExpression("Blur1.size + 1")
    with pytest.raises(RuntimeError, match="itself"):
        size.value()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("[file dirname [value root.name]]/vdp", "/shows/ab c/vdp"),
        ("[file rootname [file tail [value root.name]]]", "sh010_v003"),
        ("[lindex [split [file tail [value root.name]] _] 0]", "sh010"),
        ("[join [lrange [split [value root.name] /] 0 1] /]", "/shows"),
        ("[getenv VDP_TEST_SHOT]", "sh 01"),
        ("[python {nuke.thisNode().name()}]", "NoOp1"),
        ("[python -execlocal {\na = 2\nret = a + 1}]", "3"),
        ("[value name].[frame]", "NoOp1.5"),
        ("[value parent.first_frame]", "1"),
        ("[value mode] [string toupper [value mode]]", "two TWO"),
        ("[metadata input/filename]", "/plates/a.exr"),
        ("[if {[value root.first_frame] == 1} {return yes} else {return no}]", "yes"),
        ("[format %04d 7]", "0007"),
        ("[string map {_ -} a_b_c]", "a-b-c"),
        ("[expr 1 + 2]", "3"),
        ("\\[not run]", "[not run]"),
        ("/a/x.####.exr", "/a/x.0005.exr"),
        ("/a/x.%04d.exr", "/a/x.0005.exr"),
        ("/a/%V/x_%v.%d.exr", "/a/main/x_m.5.exr"),
    ],
)
def test_tcl_in_a_path(nuke: Any, monkeypatch: Any, text: str, value: str) -> None:
    monkeypatch.setenv("VDP_TEST_SHOT", "sh 01")
    nuke.root()["name"].setValue("/shows/ab c/sh010_v003.nk")
    nuke.standin.hook("metadata", lambda node: {"input/filename": "/plates/a.exr"})
    node = nuke.nodes.NoOp()
    node.addKnob(nuke.File_Knob("path"))
    node.addKnob(nuke.Enumeration_Knob("mode", "mode", ["one", "two"]))
    node["mode"].setValue("two")
    nuke.frame(5)
    node["path"].fromScript(text)
    assert node["path"].evaluate() == value
    assert node["path"].value() == text


def test_filename(nuke: Any) -> None:
    read = nuke.nodes.Read(file="/a/[value name].####.exr")
    nuke.frame(12)
    assert nuke.filename(read) == "/a/Read1.####.exr" and nuke.filename(read, nuke.REPLACE) == "/a/Read1.0012.exr"
    nuke.addFilenameFilter(lambda path: path.replace("/a/", "/b/"))
    assert nuke.filename(read) == "/b/Read1.####.exr" and read["file"].evaluate(3) == "/b/Read1.0003.exr"
    assert nuke.filename(nuke.nodes.NoOp()) is None
    read["file"].fromUserText("/c/x.%04d.exr 1001-1010")
    assert (read["file"].value(), read.firstFrame(), read["origlast"].value()) == ("/c/x.%04d.exr", 1001, 1010)


@pytest.mark.parametrize("text", ["[nonsense]", "[getenv VDP_NOT_THERE]", "[value]", "[file frob x]", "[lindex $a 0]"])
def test_tcl_that_fails(nuke: Any, text: str) -> None:
    node = nuke.nodes.NoOp(label=text)
    with pytest.raises(RuntimeError):
        node["label"].evaluate()


def test_knob_names(nuke: Any) -> None:
    node = nuke.nodes.NoOp()
    with pytest.raises(ValueError, match="already"):
        node.addKnob(nuke.String_Knob("label"))
    with pytest.raises(ValueError, match="legal"):
        node.addKnob(nuke.String_Knob("two words"))
    knob = nuke.String_Knob("mine")
    node.addKnob(knob)
    assert list(node.knobs())[-2:] == ["User", "mine"]
    node.removeKnob(knob)
    assert node.knob("mine") is None


def test_knob_changed_as_in_a_gui(gui: Any) -> None:
    gui.standin.panel_needed()
    seen: list[str] = []
    gui.addKnobChanged(lambda: seen.append(gui.thisKnob().name()), nodeClass="Blur")
    blur = gui.nodes.Blur()
    blur["size"].setValue(3)
    blur.showControlPanel()
    blur["size"].setValue(4)
    assert seen == ["showPanel", "size"]


def test_knobs_of_a_file_type(nuke: Any) -> None:
    write = nuke.nodes.Write()
    assert write.knob("compression") is None and "datatype" not in write.knobs()
    with pytest.raises(RuntimeError, match="datatype"):
        nuke.scriptReadText('Write {\n datatype "32 bit float"\n file_type exr\n}\n')
    write["file_type"].setValue("exr")
    write["datatype"].setValue("32 bit float")
    nuke.scriptReadText('Write {\n file_type exr\n datatype "32 bit float"\n}\n')


def test_places_are_whole_numbers(nuke: Any) -> None:
    with pytest.raises(TypeError):
        nuke.nodes.Dot().setXYpos(1.5, 2)
