"""Checks the VDP node in a real Nuke: nuke -t tests/nuke/acceptance.py [PLATE]

PLATE is a short EXR sequence in scene-linear, /plates/sh.####.exr; its first frames are decomposed in draft quality.
Without one, the engine writes its demo plate. Prints a line for each check, PASS, FAIL or SKIP, and ends with 1 where
one failed. Files go to a temporary folder, which stays where a check failed. What a person has to look at is listed in
acceptance.md beside this file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nuke

ROOT = Path(globals().get("__file__") or sys.argv[0]).resolve().parents[2]
MOST_FRAMES, STOP_SECONDS = 8, 3.0

Check = Callable[["Bench"], str]
CHECKS: list[tuple[str, Check]] = []


class Skipped(Exception):
    """A check that makes no sense here."""


class Bench:
    """What the checks share: a folder, a plate, and the nodes of the script."""

    def __init__(self, folder: Path, pattern: str) -> None:
        self.folder = folder
        self.script = (folder / "acceptance v001.nk").as_posix()
        self.pattern = pattern.replace("\\", "/")
        frames = frames_of(self.pattern)
        if not frames:
            raise SystemExit(f"there are no frames of {pattern}")
        self.first, self.last = frames[0], min(frames[-1], frames[0] + MOST_FRAMES - 1)
        self.decomposed = False

    @property
    def node(self) -> Any:
        return nuke.toNode("VDP1")

    @property
    def read(self) -> Any:
        return nuke.toNode("Plate")

    def new_script(self) -> None:
        """A Read of the plate with a VDP node below it, saved."""
        nuke.scriptClear()
        read = nuke.createNode("Read", inpanel=False)
        put(read, file=self.pattern, first=self.first, last=self.last, origfirst=self.first, origlast=self.last)
        read.setName("Plate")
        node = nuke.createNode("VDP", inpanel=False)
        node.setInput(0, read)
        put(node, quality="draft", device="cpu")
        nuke.scriptSaveAs(self.script, 1)

    def reopen(self) -> None:
        nuke.scriptSaveAs(self.script, 1)
        nuke.scriptClear()
        nuke.scriptOpen(self.script)

    def pixels(self, node: Any, channels: str) -> list[tuple[float, ...]]:
        """Some pixels of a layer of a node on the first frame."""
        width, height = self.read.width(), self.read.height()
        places = [(int(width * x) + 0.5, int(height * y) + 0.5) for x in (0.2, 0.5, 0.8) for y in (0.3, 0.6)]
        names = [f"{channels}.{channel}" for channel in ("red", "green", "blue")]
        return [tuple(node.sample(name, x, y, 1, 1, self.first) for name in names) for x, y in places]

    def must_be_plate(self, pixels: list[tuple[float, ...]], what: str) -> None:
        """Within two steps of half float."""
        plate = self.pixels(self.read, "rgba")
        assert any(map(any, plate)), "the plate is black: take another one"
        for index, wanted in enumerate(plate):
            off = map(lambda seen, right: abs(seen - right) - 2e-3 * abs(right), pixels[index], wanted)
            assert max(off) <= 1e-4, f"{what} has {pixels[index]} where the plate has {wanted}"


def put(node: Any, **values: Any) -> None:
    """Set knobs."""
    for name, value in values.items():
        node[name].setValue(value)


def mixed(function: Callable[..., float], *layers: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    """A function of the values of several layers, place by place."""
    return [tuple(map(function, *(layer[place] for layer in layers))) for place in range(len(layers[0]))]


def check(title: str) -> Callable[[Check], Check]:
    """Puts a function on the list of checks."""

    def add(function: Check) -> Check:
        CHECKS.append((title, function))
        return function

    return add


def frames_of(pattern: str) -> list[int]:
    """The frames that are there of /a/sh.####.exr or /a/sh.%04d.exr."""
    folder, name = os.path.split(pattern)
    before, after = re.split(r"#+|%0?\d*d", name)
    found = re.compile(rf"{re.escape(before)}(-?\d+){re.escape(after)}")
    return sorted(int(match[1]) for match in map(found.fullmatch, os.listdir(folder)) if match)


@check("Nuke and Python")
def versions(bench: Bench) -> str:
    assert sys.version_info >= (3, 9), "VDP needs Nuke 14 or newer"
    return f"{nuke.NUKE_VERSION_STRING}, Python {sys.version.split()[0]}, {sys.platform}"


@check("the plug-in is on the path, its modules are not")
def plugin(bench: Bench) -> str:
    import nuke_vdp

    here = Path(nuke_vdp.__file__).resolve().parent
    paths = [Path(path).resolve() for path in sys.path if path]
    assert here not in paths, f"{here} is on sys.path: modules such as 'node' can be found by others"
    for folder in ("gizmos", "icons"):
        assert here / folder in [Path(path).resolve() for path in nuke.pluginPath()], f"{folder} is not on the path"
    return str(here)


@check("the gizmo loads, with all its knobs")
def gizmo(bench: Bench) -> str:
    from nuke_vdp import knobs

    bench.new_script()
    node = bench.node
    assert node is not None and knobs.is_vdp(node), f"there is no VDP node, but {[n.name() for n in nuke.allNodes()]}"
    names = {knobs.STATUS, knobs.SHOW, *knobs.BUTTONS, *knobs.SETTINGS, *knobs.ADJUSTMENTS, *knobs.HIDDEN}
    assert names <= set(node.knobs()), f"missing knobs: {names - set(node.knobs())}"
    assert tuple(node["show"].values()) == tuple(knobs.SHOWN), node["show"].values()
    assert int(node["vdp_version"].value()) == knobs.VERSION, "onCreate did not run"
    return f"{len(names)} knobs, class {node.Class()}"


@check("every choice inside of the gizmo is one that this Nuke has")
def choices(bench: Bench) -> str:
    seen = 0
    for inner in bench.node.nodes():
        for knob in inner.knobs().values():
            if isinstance(knob, nuke.Enumeration_Knob) and knob.values() and not knob.hasExpression():
                seen += 1
                known = [value.split("\t")[-1] for value in knob.values()] + list(knob.values())
                assert knob.value() in known, f"{inner.name()}.{knob.name()} is {knob.value()!r}"
    return f"{seen} of them"


@check("a plain Read is passed on by its path, and the plate passes through")
def plain_read(bench: Bench) -> str:
    import nuke_vdp
    from nuke_vdp import knobs

    request, renders = knobs.request_of(bench.node)
    assert not renders, f"it would be rendered: {[render.pattern for render in renders]}"
    assert frames_of(request.plate) == frames_of(bench.pattern), request.plate
    bench.must_be_plate(bench.pixels(bench.node, "rgba"), "the VDP node")
    assert nuke_vdp.status(bench.node).name == "not decomposed", nuke_vdp.status(bench.node)
    return request.plate


@check("anything else is rendered to EXR")
def rendered_plate(bench: Bench) -> str:
    from nuke_vdp import knobs, plate

    bench.new_script()
    grade = nuke.createNode("Multiply", inpanel=False)
    grade["value"].setValue(0.5)
    grade.setInput(0, bench.read)
    bench.node.setInput(0, grade)
    _, renders = knobs.request_of(bench.node)
    assert len(renders) == 1, renders
    plate.render(bench.node, renders[0])
    files = [plate.frame_path(renders[0].pattern, frame) for frame in range(bench.first, bench.last + 1)]
    assert all(map(os.path.isfile, files)), f"not all of these were written: {files}"
    assert int(bench.node["render_plate"].value()) == 0, "the Write inside is still on"
    back = nuke.createNode("Read", inpanel=False)
    put(back, file=renders[0].pattern, raw=True, first=bench.first, last=bench.last)
    bench.must_be_plate(mixed(lambda half: 2 * half, bench.pixels(back, "rgba")), "twice the rendered plate")
    return f"{len(files)} frames"


@check("settings survive saving, opening, copying and pasting")
def saved(bench: Bench) -> str:
    from nuke_vdp import knobs

    bench.new_script()
    wanted = {"layers": "3", "seed": 7, "out_name": "été 1", "frame_range": "custom", "first": 5, "show": "matte"}
    put(bench.node, **wanted)
    bench.reopen()
    bench.node.setSelected(True)
    copied = (bench.folder / "copy.nk").as_posix()
    nuke.nodeCopy(copied)
    nuke.nodePaste(copied)
    nodes = [node for node in nuke.allNodes() if knobs.is_vdp(node)]
    assert len(nodes) == 2, nodes
    for node in nodes:
        for name, value in wanted.items():
            assert node[name].value() == value, f"{node.name()}: {name} is {node[name].value()!r}, not {value!r}"
    return f"{len(wanted)} knobs on {len(nodes)} nodes"


@check("decompose, blocking")
def decompose(bench: Bench) -> str:
    import nuke_vdp

    bench.new_script()
    heard = []
    started = time.monotonic()
    state = nuke_vdp.decompose(bench.node, wait=True, progress=heard.append)
    assert state.name == "done", state
    assert heard and heard[-1].state == "done", "no progress was told"
    bench.decomposed = True
    return f"{state.text}, {time.monotonic() - started:.0f} s"


@check("every layer can be shown, is a channel downstream, and they add up")
def shows(bench: Bench) -> str:
    from nuke_vdp import knobs

    need_layers(bench)
    of_task = [name for name in knobs.SHOWN[: knobs.SHOWN.index("clear")] if not re.match("fg[23]", name)]
    for name in of_task:
        bench.node["show"].setValue(name)
        for pixel in bench.pixels(bench.node, "rgba"):
            assert all(abs(value) < 65505 for value in pixel), f"{name}: {pixel}"
    for name in ("plate", "recomposition"):
        bench.node["show"].setValue(name)
        bench.must_be_plate(bench.pixels(bench.node, "rgba"), name)
    parts = [bench.pixels(bench.node, layer) for layer in ("bg", "fg1", "residual")]
    bench.must_be_plate(mixed(lambda bg, fg, rest: bg + fg + rest, *parts), "bg + fg1 + residual")
    return ", ".join(of_task)


@check("an adjustment changes the recomposition, a setting makes it out of date")
def adjustment(bench: Bench) -> str:
    import nuke_vdp

    need_layers(bench)
    bench.node["show"].setValue("recomposition")
    bench.node["bg_gain"].setValue([2.0, 2.0, 2.0])
    doubled, background = bench.pixels(bench.node, "rgba"), bench.pixels(bench.node, "bg")
    bench.node["bg_gain"].setValue([1.0, 1.0, 1.0])
    rest = mixed(lambda both, once: both - once, doubled, background)
    bench.must_be_plate(rest, "the recomposition with twice the background, less the background,")
    states = []
    for seed in (0, 99, 0):
        bench.node["seed"].setValue(seed)
        states.append(nuke_vdp.status(bench.node).name)
    assert states == ["done", "out of date", "done"], states
    return "twice the background; another seed"


@check("Create layer nodes rebuilds the plate")
def layer_nodes(bench: Bench) -> str:
    import nuke_vdp

    need_layers(bench)
    created = nuke_vdp.create_layer_nodes(bench.node)
    rebuild = next(node for node in created if node.name().startswith("VDP_rebuild"))
    bench.must_be_plate(bench.pixels(rebuild, "rgba"), "VDP_rebuild")
    for node in created:
        nuke.delete(node)
    return f"{len(created)} nodes"


@check("a script that was saved and opened still has its layers")
def reopened(bench: Bench) -> str:
    import nuke_vdp

    need_layers(bench)
    bench.reopen()
    state = nuke_vdp.status(bench.node)
    assert state.name == "done", state
    bench.must_be_plate(bench.pixels(bench.node, "rgba"), "the recomposition")
    return state.text


@check("cancel within seconds, and go on from there")
def cancel(bench: Bench) -> str:
    import nuke_vdp
    from nuke_vdp import runs

    bench.new_script()
    put(bench.node, out_dir=(bench.folder / "cancelled").as_posix(), seed=3)
    nuke_vdp.decompose(bench.node, wait=False)
    run = runs.find((bench.folder / "cancelled").as_posix())
    while run.snapshot().stage not in ("fit", "render") and not run.snapshot().ended:
        time.sleep(0.05)
    if run.snapshot().ended:
        raise Skipped("it was over before it could be cancelled: " + run.snapshot().state)
    asked = time.monotonic()
    nuke_vdp.cancel(bench.node)
    assert run.wait(20).state == "stopped", run.snapshot()
    seconds = time.monotonic() - asked
    assert seconds < STOP_SECONDS, f"it took {seconds:.1f} s"
    assert nuke_vdp.status(bench.node).name == "stopped", nuke_vdp.status(bench.node)
    assert nuke_vdp.decompose(bench.node, wait=True).name == "done"
    return f"stopped after {seconds:.1f} s, then finished"


@check("Send to farm sets the shot up and hands it over")
def farm(bench: Bench) -> str:
    import nuke_vdp
    from nuke_vdp import farm

    bench.new_script()
    bench.node["out_dir"].setValue((bench.folder / "farm").as_posix())
    jobs: list[Any] = []
    farm.set_submitter(lambda job: jobs.append(job) or "handed over")
    try:
        nuke_vdp.send_to_farm(bench.node)
    finally:
        farm.set_submitter(None)
    assert [job.shot for job in jobs] == [(bench.folder / "farm").as_posix()], jobs
    assert (bench.folder / "farm" / ".vdp" / "shot.json").is_file(), "the shot was not set up"
    return " ".join(jobs[0].command("fit"))


@check("nothing of the GUI was loaded")
def no_gui(bench: Bench) -> str:
    if nuke.GUI:
        raise Skipped("this Nuke has a GUI")
    loaded = [name for name in ("nuke_vdp.ui", "nuke_vdp.panel", "PySide2", "PySide6") if name in sys.modules]
    assert not loaded, f"loaded: {loaded}"
    return "no ui, no panel, no Qt"


def need_layers(bench: Bench) -> None:
    if not bench.decomposed:
        raise Skipped("nothing was decomposed")


def add_vdp() -> None:
    """Make the node known where it is not installed: as Nuke would at its start."""
    if not any(Path(folder, "VDP.gizmo").is_file() for folder in nuke.pluginPath()):
        init = ROOT / "nuke_vdp" / "init.py"
        exec(compile(init.read_bytes(), str(init), "exec"), {"__name__": "__main__", "__file__": str(init)})


def demo_plate(folder: Path) -> str:
    """The engine's demo plate."""
    from nuke_vdp import engine

    print("the engine makes its demo plate, about a minute …", flush=True)
    command = [*engine.find(), "demo", str(folder / "demo"), "--quality", "draft", "--progress", "plain"]
    result = subprocess.run(command, env=engine.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"the engine could not make a plate:\n{result.stderr}")
    return (folder / "demo" / "plate" / "demo.####.exr").as_posix()


def run_checks(bench: Bench, tell: Callable[[str], Any] = print) -> dict[str, str]:
    """Run all checks in order; what became of each."""
    outcomes: dict[str, str] = {}
    for title, function in CHECKS:
        try:
            outcome, text = "PASS", function(bench)
        except Skipped as reason:
            outcome, text = "SKIP", str(reason)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            outcome, text = "FAIL", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        outcomes[title] = outcome
        tell(f"{outcome}  {title}: {text}")
    return outcomes


def main(arguments: list[str]) -> int:
    """The exit code: 1 where a check failed."""
    add_vdp()
    folder = Path(tempfile.mkdtemp(prefix="vdp acceptance é "))
    bench = Bench(folder, arguments[0] if arguments else demo_plate(folder))
    outcomes = list(run_checks(bench, lambda line: print(line, flush=True)).values())
    print(", ".join(f"{outcomes.count(one)} {one}" for one in ("PASS", "FAIL", "SKIP")))
    nuke.scriptClear()
    if "FAIL" in outcomes:
        print(f"The files are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
