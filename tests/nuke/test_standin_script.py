"""The stand-in for Nuke: the .nk format, read and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HEAD = "version 15.1 v1\n"


def load(nuke: Any, text: str) -> Any:
    nuke.scriptReadText(HEAD + text)
    return nuke


def test_the_stack(nuke: Any) -> None:
    load(
        nuke,
        """
Constant {
 inputs 0
 name A
}
set N1 [stack 0]
Blur {
 name B
}
push $N1
Grade {
 inputs 1
 name C
}
push 0
push $N1
Merge2 {
 inputs 3
 name M
}
""",
    )
    a, b, c, m = (nuke.toNode(name) for name in "ABCM")
    assert b.input(0) is a and c.input(0) is a
    assert (m.input(0), m.input(1), m.input(2)) == (a, None, c), "the top of the stack is input 0"


def test_masks_are_counted_apart(nuke: Any) -> None:
    load(
        nuke,
        """
Constant {
 inputs 0
 name A
}
Constant {
 inputs 0
 name B
}
Grade {
 inputs 1+1
 name G
}
""",
    )
    grade = nuke.toNode("G")
    assert grade.input(0).name() == "B" and grade.input(1).name() == "A"
    assert " inputs 1+1\n" in nuke.standin.script()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Nonsense {\n}", "Unknown command"),
        ("Blur {\n sise 3\n}", "no knob 'sise'"),
        ("Merge2 {\n operation pluss\n}", "Bad value for operation"),
        ("Blur {\n size big\n}", "not a number"),
        ("Blur {\n size {{a + 1}}\n}", "quoted"),
        ('Blur {\n size {{"a +"}}\n}', "syntax error"),
        ('Blur {\n label "[value size]"\n}', "unescaped"),
        ("Blur {\n label {a\n", "close-brace"),
        ("Blur {\n label a b\n}", "one value"),
        ("push $Nowhere", "no such variable"),
        ("NoOp {\n addUserKnob {99 a}\n}", "knob type 99"),
        ("NoOp {\n addUserKnob {4 a}\n}", "without M"),
        ("NoOp {\n addUserKnob {3 a q 4}\n}", "unknown option"),
        ("Group {\n name G\n}\n NoOp {\n }\n", "missing end_group"),
        ("Blur {\n tile_color red\n}", "invalid literal"),
        ('Shuffle2 {\n mappings "1 red 0 0"\n}', "mapping"),
    ],
)
def test_what_nuke_would_refuse(nuke: Any, text: str, says: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=says):
        load(nuke, text)


SCRIPT = """Root {
 inputs 0
 frame 7
 first_frame 1001
 last_frame 1010
}
BackdropNode {
 inputs 0
 bdwidth 300
 label "two\\nlines"
 name Backdrop1
}
Read {
 inputs 0
 file "/a b/\\[getenv SHOT]/x.####.exr"
 first 1001
 last 1010
 name Read1
 xpos -40
 ypos 12
}
set N2 [stack 0]
push $N2
Group {
 name Group1
 addUserKnob {20 ctl l Controls}
 addUserKnob {7 gain l Gain t "how \\"much\\"" R 0 4}
 gain 2.5
 addUserKnob {4 show M {plate "fg1 matte"}}
 show "fg1 matte"
 addUserKnob {20 more l More n 2}
 addUserKnob {18 tint l Tint +INVISIBLE}
 tint {1 0.5 0}
 addUserKnob {22 go l "Go on" -STARTLINE T "print(\\[1, \\{2\\}])\\nprint(\\"\\$x\\")"}
 addUserKnob {20 more_end l endGroup n -1}
 addUserKnob {26 words l "" T "some words"}
}
 Input {
  inputs 0
  name Input1
 }
 Multiply {
  value {{parent.gain} {parent.gain} {"parent.gain * 2"} 1}
  name Multiply1
 }
 Blur {
  size {{curve x1 0 x10 5}}
  disable {{"\\[exists parent.input1]"}}
  name Blur1
 }
 Output {
  name Output1
 }
end_group
Merge2 {
 inputs 2
 operation plus
 name Merge1
}
"""


def test_a_script_comes_back_as_it_was(nuke: Any) -> None:
    load(nuke, SCRIPT)
    assert nuke.standin.script().split("\n", 2)[2] == SCRIPT


def test_values_of_the_script(nuke: Any) -> None:
    load(nuke, SCRIPT)
    group = nuke.toNode("Group1")
    assert (group["gain"].value(), group["show"].value(), group["tint"].value()) == (2.5, "fg1 matte", [1, 0.5, 0])
    assert group["gain"].tooltip() == 'how "much"' and group["gain"].max() == 4 and not group["tint"].visible()
    assert group["go"].value() == 'print([1, {2}])\nprint("$x")'
    assert group.node("Multiply1")["value"].value() == [2.5, 2.5, 5, 1]
    assert group.node("Blur1")["size"].valueAt(5.5) == 2.5 and group.node("Blur1")["disable"].value() is False
    assert group.maxInputs() == 1 and group.output().name() == "Output1"


def test_comments_and_what_is_skipped(nuke: Any) -> None:
    load(
        nuke, "#! Nuke\n# words {\ndefine_window_layout_xml {<?xml?>\n}\nadd_layer {fg7 fg7.red fg7.green}\nNoOp {\n}\n"
    )
    assert nuke.toNode("NoOp1") is not None and "fg7" in nuke.layers()


@pytest.mark.parametrize(
    "label",
    [
        "",
        "plain",
        "two words",
        "a\nb\tc",
        'say "x"',
        "[value size]",
        "$x {a} }{",
        "back\\slash",
        "#1",
        "ünï",
        "a;b",
        " ",
    ],
)
def test_any_text_comes_back(nuke: Any, label: str) -> None:
    nuke.nodes.NoOp()["label"].setValue(label)
    text = nuke.standin.script()
    nuke.scriptClear()
    nuke.scriptReadText(text)
    assert nuke.toNode("NoOp1")["label"].value() == label


def test_copy_and_paste(nuke: Any) -> None:
    read = nuke.nodes.Read()
    blur, grade = nuke.nodes.Blur(inputs=[read], size=4), nuke.nodes.Grade()
    grade.setInput(0, blur)
    for node in (blur, grade):
        node.setSelected(True)
    assert nuke.nodeCopy("%clipboard%")
    for node in nuke.selectedNodes():
        node.setSelected(False)
    other = nuke.nodes.Constant()
    other.setSelected(True)
    last = nuke.nodePaste("%clipboard%")
    pasted = nuke.toNode("Blur2")
    assert last is nuke.toNode("Grade2") and last.input(0) is pasted
    assert pasted.input(0) is other and pasted["size"].value() == 4
    assert sorted(n.name() for n in nuke.selectedNodes()) == ["Blur2", "Grade2"]
    nuke.undo()
    assert nuke.toNode("Blur2") is None


def test_user_knobs_of_python(nuke: Any) -> None:
    node = nuke.nodes.NoOp()
    for knob in (
        nuke.Tab_Knob("mine", "Mine"),
        nuke.Tab_Knob("box", "Box", nuke.TABBEGINGROUP),
        nuke.Double_Knob("amount", "Amount"),
        nuke.Color_Knob("tint"),
        nuke.Tab_Knob("box_end", None, nuke.TABENDGROUP),
        nuke.Enumeration_Knob("mode", "mode", ["one", "two"]),
        nuke.Link_Knob("size"),
    ):
        node.addKnob(knob)
    node["amount"].setRange(0, 5)
    node["amount"].setValue(3)
    node["tint"].setValue([1, 2, 3])
    node["mode"].setValue(1)
    nuke.nodes.Blur(size=9)
    node["size"].makeLink("Blur1", "size")
    text = nuke.standin.script()
    nuke.scriptClear()
    nuke.scriptReadText(text)
    again = nuke.toNode("NoOp1")
    assert (again["amount"].value(), again["tint"].value(), again["mode"].value()) == (3, [1, 2, 3], "two")
    assert again["size"].value() == 9 and nuke.standin.script() == text


def test_a_precomp_reads_its_script(nuke: Any, tmp_path: Path) -> None:
    inner = tmp_path / "inner.nk"
    inner.write_text("Root {\n inputs 0\n first_frame 77\n}\nBlur {\n inputs 0\n size 3\n}\nOutput {\n}\n")
    seen: list[str] = []
    nuke.addOnCreate(lambda: seen.append(nuke.thisNode().fullName()), nodeClass="Blur")
    nuke.nodes.Precomp(file=inner.as_posix())
    path = str(tmp_path / "outer.nk")
    nuke.scriptSaveAs(path)
    nuke.scriptOpen(path)
    again = nuke.toNode("Precomp1")
    assert again.output().input(0)["size"].value() == 3 and nuke.root().firstFrame() == 1
    assert seen == ["Precomp1.Blur1"] * 2 and "Blur" not in (tmp_path / "outer.nk").read_text()


def test_saving_over_a_file_has_to_be_said(nuke: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "a.nk")
    nuke.scriptSaveAs(path)
    with pytest.raises(RuntimeError, match="overwrite"):
        nuke.scriptSaveAs(path)
    assert nuke.scriptSaveAs(path, overwrite=1) and nuke.scriptSave()
