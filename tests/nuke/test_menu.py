"""init.py and menu.py: what Nuke is told when it starts, how long that takes, and that nothing there can stop it."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "nuke_vdp"
STANDIN = ROOT / "tests" / "nuke" / "standin"

# As Nuke does: one namespace for all init.py and menu.py; the folders of NUKE_PATH are on sys.path.
START = """
import json, os, sys, time
package, standin, gui = sys.argv[1:4]
sys.path[:0] = [standin, package]
import nuke, nukescripts
from nukescripts import panels
{before}
names = {{"__name__": "__main__", "nuke": nuke}}
nuke.standin.set_gui(gui == "gui")
started = time.process_time()
for name in ("init.py", "menu.py") if nuke.GUI else ("init.py",):
    path = os.path.join(package, name)
    names["__file__"] = path
    exec(compile(open(path, "rb").read(), path, "exec"), names)
seconds = time.process_time() - started
{after}
told = {{
    "seconds": seconds,
    "names": sorted(set(names) - {{"__name__", "nuke", "__file__", "__builtins__", "__doc__"}}),
    "sys.path": sys.path,
    "modules": sorted(name for name in sys.modules if name.startswith("nuke_vdp")),
}}
print(json.dumps({{**told, **more}}))
"""


def start(gui: bool = True, before: str = "", after: str = "more = {}", package: Path = PACKAGE) -> dict[str, Any]:
    """Start a fresh Python as Nuke starts; what it says at the end, and what stands in the terminal before that."""
    code = START.format(before=before, after=after)
    command = [sys.executable, "-B", "-c", code, str(package), str(STANDIN), "gui" if gui else "terminal"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT.anchor)
    assert result.returncode == 0, result.stderr
    *terminal, last = result.stdout.splitlines()
    return {**json.loads(last), "terminal": terminal, "stderr": result.stderr}


def test_start_takes_no_time() -> None:
    assert min(start()["seconds"] for _ in range(3)) < 0.05


def test_start_loads_nothing_and_leaves_nothing() -> None:
    told = start()
    assert told["modules"] == []
    assert told["names"] == []
    assert (told["terminal"], told["stderr"]) == ([], "")


def test_the_package_is_found_and_its_modules_are_not() -> None:
    """A module called node or process must not be found by others."""
    after = """
import nuke_vdp
try:
    import tokens
    more = {"found": tokens.__file__}
except ImportError:
    more = {"found": None}
"""
    told = start(after=after)
    assert told["sys.path"][-1] == str(ROOT)
    assert str(PACKAGE) not in told["sys.path"]
    assert told["found"] is None


AGAIN = """
for name in ("init.py", "menu.py"):
    names["__file__"] = os.path.join({folder}, name)
    exec(compile(open(names["__file__"], "rb").read(), name, "exec"), names)
more = {{"labels": len(labels), "gizmos": [path for path in nuke.pluginPath() if path.endswith("gizmos")]}}
"""
COUNT = "labels = []\nnuke.addAutolabel = lambda call, **options: labels.append(call)"


def test_twice_is_as_good_as_once() -> None:
    told = start(before=COUNT, after=AGAIN.format(folder="package"))
    assert told["sys.path"].count(str(ROOT)) == told["labels"] == len(told["gizmos"]) == 1
    assert told["terminal"] == []


def test_of_two_copies_one_is_used(tmp_path: Path) -> None:
    """The gizmo of one and the Python of the other would not fit."""
    shutil.copytree(PACKAGE, tmp_path / "nuke_vdp", ignore=shutil.ignore_patterns("__pycache__"))
    told = start(before=COUNT, after=AGAIN.format(folder=repr(str(tmp_path / "nuke_vdp"))))
    assert told["gizmos"] == [(PACKAGE / "gizmos").as_posix()]
    assert str(tmp_path) not in told["sys.path"]
    assert told["labels"] == 1
    (line,) = told["terminal"]
    assert f"{PACKAGE} is used" in line
    assert str(tmp_path / "nuke_vdp") in line


def test_without_gui_no_menu_is_asked_for() -> None:
    after = 'more = {"gizmo": nuke.createNode("VDP").Class()}'
    assert start(gui=False, after=after)["gizmo"] == "VDP"


def test_node_is_in_the_menu() -> None:
    after = """
item = nuke.menu("Nodes").findItem("VDP/VDP")
more = {"icon": item.icon(), "folder": nuke.menu("Nodes").findItem("VDP").icon(), "path": nuke.pluginPath()}
item.invoke()
more["made"] = [node.Class() for node in nuke.allNodes()]
"""
    told = start(after=after)
    assert told["made"] == ["VDP"]
    for icon in (told["icon"], told["folder"]):
        assert any(os.path.isfile(os.path.join(folder, icon)) for folder in told["path"])


def test_what_is_registered_is_what_ui_has() -> None:
    before = """
seen = {}
panels.registerWidgetAsPanel = lambda widget, title, id: seen.update(widget=widget, title=title, id=id)
for add in ("addAutolabel", "addUpdateUI", "addOnScriptLoad"):
    setattr(nuke, add, lambda call, add=add, **options: seen.update({add: (call, options)}))
"""
    after = """
from nuke_vdp import knobs, node, ui
called = []
ui.autolabel = lambda: called.append("label") or "the label"
node.update_ui = lambda: called.append("update")
node.on_script_load = lambda: called.append("load")
label = seen["addAutolabel"][0]()
seen["addUpdateUI"][0]()
seen["addOnScriptLoad"][0]()
more = {
    "called": called, "label": label, "class": knobs.CLASS, "ids": [seen["id"], ui.PANEL_ID],
    "titles": [seen["title"], ui.PANEL_TITLE], "widget": seen["widget"],
    "classes": [seen[add][1] for add in ("addAutolabel", "addUpdateUI")],
}
"""
    told = start(before=before, after=after)
    assert told["called"] == ["label", "update", "load"]
    assert told["label"] == "the label"
    assert told["classes"] == [{"nodeClass": told["class"]}] * 2
    assert told["ids"][0] == told["ids"][1]
    assert told["titles"][0] == told["titles"][1]
    assert told["widget"] == "__import__('nuke_vdp.panel').panel.RunsPanel"


def test_scripts_without_the_node_load_nothing() -> None:
    before = "calls = []\nnuke.addOnScriptLoad = lambda call, **options: calls.append(call)"
    told = start(before=before, after="calls[0]()\nmore = {}")
    assert told["modules"] == []


@pytest.mark.parametrize("broken", ["nuke.pluginAddPath", "nuke.menu"])
def test_trouble_is_one_line(broken: str) -> None:
    before = f"def refuse(*args, **options):\n    raise RuntimeError('a bad day')\n{broken} = refuse"
    told = start(before=before)
    assert told["stderr"] == ""
    (line,) = told["terminal"]
    assert line.startswith("VDP: ")
    assert "a bad day" in line
    assert told["names"] == []


def test_icon_is_a_small_picture_with_alpha() -> None:
    data = (PACKAGE / "icons" / "VDP.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">IIBB", data[16:26]) == (24, 24, 8, 6)
    begin = data.index(b"IDAT")
    (size,) = struct.unpack(">I", data[begin - 4 : begin])
    assert len(zlib.decompress(data[begin + 4 : begin + 4 + size])) == 24 * (1 + 24 * 4)
