"""What is plugged into a VDP node: plain Reads, renders, frame ranges, and what makes layers out of date."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import OpenImageIO as oiio
import pytest

from nuke_vdp import knobs, plate
from nuke_vdp.errors import HostError
from nuke_vdp.plate import Render
from tests.nuke.evaluator.image import Image, Window
from tests.nuke.evaluator.write import write_frames
from tests.nuke.layer_files import DATA, FORMAT, FRAMES, write_layer_files

GIZMOS = Path(__file__).resolve().parents[2] / "nuke_vdp" / "gizmos"
SPAN = (1001, 1010)

Change = Callable[[Any, Any], object]
"""(nuke, read) to nothing: what an artist did to a plain Read."""


def plain_read(nuke: ModuleType, file: str = "/plates/sh.####.exr", **values: Any) -> Any:
    return nuke.nodes.Read(file=file, first=SPAN[0], last=SPAN[1], raw=True, **values)


def setter(**values: Any) -> Change:
    def change(nuke: Any, read: Any) -> None:
        for name, value in values.items():
            read[name].setValue(value)

    return change


def root_setter(values: dict[str, Any], **knobs: Any) -> Change:
    def change(nuke: Any, read: Any) -> None:
        setter(**knobs)(nuke, read)
        for name, value in values.items():
            nuke.root()[name].setValue(value)

    return change


PLAIN: list[tuple[str, Change, bool]] = [
    ("raw", setter(), True),
    ("capital extension", setter(file="/p/SH.%04d.EXR"), True),
    ("percent pattern", setter(file="/p/sh.%04d.exr"), True),
    ("linear", setter(raw=False, colorspace="linear"), True),
    ("role", setter(raw=False, colorspace="scene_linear (ACES - ACEScg)"), True),
    ("working space by its default", root_setter({"workingSpaceLUT": "ACES - ACEScg"}, raw=False,
                                                colorspace="default (ACES/ACES - ACEScg)"), True),
    ("converted", setter(raw=False, colorspace="sRGB"), False),
    ("converted by default", setter(raw=False, colorspace="default (Input - ARRI - V3 LogC)"), False),
    ("converted by the script's default", root_setter({"floatLut": "sRGB"}, raw=False, colorspace="default"), False),
    ("no EXR", setter(file="/p/sh.####.dpx"), False),
    ("movie", setter(file="/p/sh.mov"), False),
    ("still", setter(file="/p/sh.1001.exr"), False),
    ("no file", setter(file=""), False),
    ("only a proxy", setter(file="", proxy="/p/small.####.exr"), False),
    ("switched off", setter(disable=True), False),
    ("start at, elsewhere", setter(frame_mode="start at", frame="1"), False),
    ("start at its first frame", setter(frame_mode="start at", frame="1001"), True),
    ("offset", setter(frame_mode="offset", frame="10"), False),
    ("offset of nothing", setter(frame_mode="offset", frame="0"), True),
    ("time expression", setter(frame_mode="expression", frame="frame*2"), False),
    ("identity expression", setter(frame_mode="expression", frame="frame"), True),
    ("held beyond its end", setter(last=1005), False),
    ("longer than the range", setter(first=900, last=1200), True),
    ("proxy mode on", root_setter({"proxy": True}, proxy="/p/small.####.exr"), True),
]  # fmt: skip


@pytest.mark.parametrize(("change", "passes"), [case[1:] for case in PLAIN], ids=[case[0] for case in PLAIN])
def test_plain_read(nuke: ModuleType, change: Change, passes: bool) -> None:
    read = plain_read(nuke)
    change(nuke, read)
    assert (plate.why_not_plain(read, SPAN) == "") == passes


def test_other_nodes_are_no_plain_read(nuke: ModuleType) -> None:
    assert plate.why_not_plain(nuke.nodes.Grade(), SPAN)
    assert plate.why_not_plain(None, SPAN)


def test_source_is_found_past_dots_and_what_is_off(nuke: ModuleType) -> None:
    read = plain_read(nuke)
    node = read
    for kind, values in (("Dot", {}), ("NoOp", {}), ("Grade", {"disable": True}), ("Dot", {})):
        above, node = node, getattr(nuke.nodes, kind)(**values)
        node.setInput(0, above)
    assert plate.source_of(node) is read
    node.input(0)["disable"].setValue(False)
    assert plate.source_of(node).Class() == "Grade"
    assert plate.source_of(None) is None
    assert plate.source_of(nuke.nodes.Dot()) is None


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("/p/sh.####.exr", "/p/sh.####.exr"),
        ("//nas/show a/schöne Bilder/sh.%04d.exr", "//nas/show a/schöne Bilder/sh.%04d.exr"),
        ("[getenv VDP_TEST_SHOW]/sh.####.exr", "/shows/x/sh.####.exr"),
    ],
)
def test_path_of(nuke: ModuleType, monkeypatch: pytest.MonkeyPatch, file: str, path: str) -> None:
    monkeypatch.setenv("VDP_TEST_SHOW", "/shows/x")
    assert plate.path_of(plain_read(nuke, file)) == path


def test_path_goes_through_remaps(nuke: ModuleType) -> None:
    nuke.addFilenameFilter(lambda path: path.replace("P:/", "/mnt/p/"))
    assert plate.path_of(plain_read(nuke, "P:/sh.####.exr")) == "/mnt/p/sh.####.exr"


def test_views(nuke: ModuleType) -> None:
    read = plain_read(nuke, "/p/%V/sh_%v.####.exr")
    assert plate.in_view(plate.path_of(read), plate.view_of(read)) == "/p/main/sh_m.####.exr"
    nuke.root()["views"].setValue("left #f00\nright #0f0")
    assert plate.view_of(read) == ""
    with pytest.raises(HostError, match=r"several views \(left, right\).*OneView"):
        plate.in_view(plate.path_of(read), "")
    assert plate.in_view("/p/mono.####.exr", "") == "/p/mono.####.exr"
    one = nuke.nodes.OneView(view="right")
    one.setInput(0, read)
    dot = nuke.nodes.Dot()
    dot.setInput(0, one)
    assert plate.source_of(dot) is read
    assert plate.in_view(plate.path_of(read), plate.view_of(dot)) == "/p/right/sh_r.####.exr"


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("", ()),
        ("1001", (1001,)),
        ("1001-1003, 1010", (1001, 1002, 1003, 1010)),
        ("1001-1007x3 5", (5, 1001, 1004, 1007)),
        ("-5--3", (-5, -4, -3)),
        ("-1-1", (-1, 0, 1)),
    ],
)
def test_frames(text: str, frames: tuple[int, ...]) -> None:
    assert plate.parse_frames(text) == frames
    assert plate.parse_frames(plate.format_frames(frames)) == frames


@pytest.mark.parametrize("text", ["ten", "1-2x0", "1..3"])
def test_frames_that_are_none(text: str) -> None:
    with pytest.raises(HostError, match="no frame or range"):
        plate.parse_frames(text)


# What it was made from


@pytest.fixture
def tree(nuke: ModuleType) -> Any:
    """Read, Grade, and a Merge with another Read."""
    grade = nuke.nodes.Grade(white=1.5)
    grade.setInput(0, plain_read(nuke, name="A"))
    merge = nuke.nodes.Merge2()
    merge.setInput(0, grade)
    merge.setInput(1, plain_read(nuke, "/p/b.####.exr", name="B"))
    return merge


COUNTS: list[tuple[str, Callable[[Any, Any], object]]] = [
    ("a knob", lambda nuke, merge: merge.input(0)["white"].setValue(2)),
    ("an expression", lambda nuke, merge: merge.input(0)["white"].setExpression("frame/10")),
    ("another file", lambda nuke, merge: nuke.toNode("A")["file"].setValue("/p/a_v2.####.exr")),
    ("inputs swapped", lambda nuke, merge: (merge.setInput(1, None), merge.setInput(1, merge.input(0)))),
    ("switched off", lambda nuke, merge: merge.input(0)["disable"].setValue(True)),
    ("the operation", lambda nuke, merge: merge["operation"].setValue("plus")),
]
COUNTS_NOT: list[tuple[str, Callable[[Any, Any], object]]] = [
    ("moved", lambda nuke, merge: merge.setXYpos(900, 12)),
    ("selected", lambda nuke, merge: merge.setSelected(True)),
    ("labelled", lambda nuke, merge: merge["label"].setValue("two\nlines {")),
    ("coloured", lambda nuke, merge: merge["tile_color"].setValue(255)),
    ("renamed", lambda nuke, merge: nuke.toNode("A").setName("Plate")),
    ("with a thumbnail", lambda nuke, merge: merge["postage_stamp"].setValue(True)),
]


@pytest.mark.parametrize("change", [case[1] for case in COUNTS], ids=[case[0] for case in COUNTS])
def test_digest_changes_with_the_picture(nuke: ModuleType, tree: Any, change: Any) -> None:
    before = plate.upstream_digest(tree)
    change(nuke, tree)
    assert plate.upstream_digest(tree) != before


@pytest.mark.parametrize("change", [case[1] for case in COUNTS_NOT], ids=[case[0] for case in COUNTS_NOT])
def test_digest_stays_with_the_picture(nuke: ModuleType, tree: Any, change: Any) -> None:
    before = plate.upstream_digest(tree)
    change(nuke, tree)
    assert plate.upstream_digest(tree) == before


def test_digest_does_not_see_dots_and_survives_a_save(nuke: ModuleType, tree: Any, tmp_path: Path) -> None:
    before = plate.upstream_digest(tree)
    dot = nuke.nodes.Dot()
    dot.setInput(0, tree.input(0))
    tree.setInput(0, dot)
    assert plate.upstream_digest(tree) == before
    nuke.scriptSaveAs(str(tmp_path / "a.nk"))
    nuke.scriptOpen(str(tmp_path / "a.nk"))
    assert plate.upstream_digest(nuke.toNode("Merge1")) == before


def test_digest_looks_at_each_node_once(nuke: ModuleType) -> None:
    node = plain_read(nuke)
    for _ in range(60):  # 2**60 ways up
        above, node = node, nuke.nodes.Merge2()
        node.setInput(0, above)
        node.setInput(1, above)
    assert len(plate.upstream_digest(node)) == 16


def test_digest_sees_into_groups(nuke: ModuleType) -> None:
    group = nuke.nodes.Group()
    with group:
        grade = nuke.nodes.Grade()
    before = plate.upstream_digest(group)
    grade["white"].setValue(2)
    assert plate.upstream_digest(group) != before


# Rendering


@pytest.fixture
def vdp(nuke: ModuleType, tmp_path: Path) -> Iterator[Any]:
    """A VDP node on a graded Read of real EXRs; Nuke's execute renders with the evaluator."""
    nuke.pluginAddPath(str(GIZMOS))
    written = write_layer_files(tmp_path / "in", name="in")
    read = nuke.nodes.Read(file=written[FRAMES[0]].file, first=FRAMES[0], last=FRAMES[1], raw=True)
    grade = nuke.nodes.Multiply(value=2.0)
    grade.setInput(0, read)
    node = nuke.createNode("VDP")
    node.setInput(0, grade)
    node["out_dir"].setValue(f"{tmp_path}/out ö")
    node.rendered = []

    def execute(write: Any, first: int, last: int, step: int, views: list[str]) -> None:
        node.rendered.append((write.name(), first, last, bool(nuke.root()["proxy"].value())))
        write_frames(write, first, last, step)

    nuke.standin.hook("execute", execute)
    return node


def spec_of(job: Render, frame: int) -> Any:
    return oiio.ImageBuf(plate.frame_path(job.pattern, frame)).spec()


def test_plates_are_rendered_once(nuke: ModuleType, vdp: Any, tmp_path: Path) -> None:
    request, (job,) = knobs.request_of(vdp)
    assert request.plate == f"{tmp_path}/out ö/plates/VDP1.####.exr" == job.pattern
    nuke.root()["proxy"].setValue(True)
    plate.render(vdp, job)
    assert vdp.rendered == [("WritePlate", 1001, 1003, False)]
    assert nuke.root()["proxy"].value() and vdp["render_plate"].value() == 0
    plate.render(vdp, job)
    assert len(vdp.rendered) == 1
    Path(plate.frame_path(job.pattern, 1002)).unlink()
    plate.render(vdp, job)
    assert vdp.rendered[1:] == [("WritePlate", 1002, 1002, False)]


def test_rendered_plates_keep_windows_and_channels(vdp: Any) -> None:
    _, (job,) = knobs.request_of(vdp)
    plate.render(vdp, job)
    spec = spec_of(job, 1001)
    assert (spec.x, spec.y, spec.width, spec.height) == (DATA.left, DATA.top, *reversed(DATA.shape))
    assert {"R", "G", "B"} <= set(spec.channelnames) and any("residual" in name for name in spec.channelnames)
    assert spec.format == oiio.HALF and spec["compression"] == "zips"
    vdp["plate_depth"].setValue("32 bit float")
    _, (job,) = knobs.request_of(vdp)
    plate.render(vdp, job)
    assert spec_of(job, 1001).format == oiio.FLOAT


def test_a_change_upstream_renders_again_and_leaves_no_old_frames(vdp: Any) -> None:
    _, (job,) = knobs.request_of(vdp)
    plate.render(vdp, job)
    vdp.input(0)["value"].setValue(3)
    vdp["frame_range"].setValue("custom")
    vdp["first"].setValue(1002)
    vdp["last"].setValue(1002)
    _, (other,) = knobs.request_of(vdp)
    plate.render(vdp, other)
    assert vdp.rendered[1:] == [("WritePlate", 1002, 1002, False)]
    assert [path.name for path in sorted(Path(job.pattern).parent.glob("*.exr"))] == ["VDP1.1002.exr"]


@pytest.mark.parametrize(("raised", "words"), [("Cancelled", "was cancelled"), ("Read1: no such file", "no such file")])
def test_a_render_that_does_not_work_leaves_the_node_as_it_was(
    nuke: ModuleType, vdp: Any, raised: str, words: str
) -> None:
    def execute(*_: Any) -> None:
        raise RuntimeError(raised)

    nuke.standin.hook("execute", execute)
    nuke.root()["proxy"].setValue(True)
    _, (job,) = knobs.request_of(vdp)
    with pytest.raises(HostError, match=words):
        plate.render(vdp, job)
    assert vdp["render_plate"].value() == 0 and nuke.root()["proxy"].value()


def test_nothing_of_a_render_can_be_undone(nuke: ModuleType, vdp: Any) -> None:
    from nuke._session import S

    steps = len(S.undo.groups)
    plate.render(vdp, knobs.request_of(vdp)[1][0])
    assert len(S.undo.groups) == steps


def test_a_folder_that_cannot_be_written(vdp: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="cannot be written"):
        plate.render(vdp, Render(1, f"{tmp_path}/file/plates/a.####.exr", (1,), "x"))


@pytest.mark.parametrize(("from_", "channels"), [("alpha", ["alpha"]), ("red, green, blue", ["red", "green", "blue"])])
def test_hints_are_written_as_mattes_over_the_whole_plate(
    nuke: ModuleType, vdp: Any, from_: str, channels: list[str]
) -> None:
    """What is painted is small; outside of it is black, which means outside of the layer, not 'do not know'."""
    window, shape = Window(4, 5, 6, 8), (3, 2)
    values = {"red": 0.2, "green": 0.4, "blue": 0.6, "alpha": 0.8}
    drawn = {f"rgba.{channel}": np.full(shape, value, np.float32) for channel, value in values.items()}
    painted = Image(drawn, window, FORMAT)
    vdp.setInput(1, nuke.nodes.Roto())
    for name, value in {"layers": "4", "hint_from": from_, "hint_frames": "1002", "out_name": "dog"}.items():
        vdp[name].setValue(value)
    hooks = {"Roto": lambda *_: painted}
    nuke.standin.hook("execute", lambda write, first, last, step, _: write_frames(write, first, last, step, hooks))
    jobs = [job for job in knobs.request_of(vdp)[1] if job.kind > 1]
    assert len(jobs) == len(channels)
    for job, channel in zip(jobs, channels, strict=True):
        plate.render(vdp, job)
        matte = oiio.ImageBuf(plate.frame_path(job.pattern, 1002))
        assert matte.spec().channelnames == ("A",)
        expected = np.zeros(DATA.shape, np.float32)
        expected[5 - DATA.top : 8 - DATA.top, 4 - DATA.left : 6 - DATA.left] = drawn[f"rgba.{channel}"]
        np.testing.assert_array_equal(np.asarray(matte.get_pixels(oiio.FLOAT))[..., 0], expected)
    assert vdp["render_plate"].value() == 0
