"""Manifests: what they mean, and every mistake in them by its line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.fake_stages import write_plate
from vdp_engine.batch import ManifestError, load
from vdp_engine.batch.child import run_arguments, settings_arguments
from vdp_engine.cli.options import settings_from
from vdp_engine.cli.stages import run
from vdp_engine.errors import UsageError
from vdp_engine.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Plates ``plates/a/a``, ``plates/b/b`` and ``plates/c/main``, three frames each."""
    for place, name in (("a", "a"), ("b", "b"), ("c", "main")):
        write_plate(tmp_path / "plates" / place, name)
        age(tmp_path / "plates" / place)
    return tmp_path


def age(plates: Path) -> None:
    """Make frames an hour old: what is younger may be still being written."""
    for path in plates.iterdir():
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)


def written(folder: Path, text: str, name: str = "batch.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


_YAML = """\
defaults:
  out: "layers/{name}"
  quality: draft
  seed: 7
shots:
  - plate: plates/a/a.####.exr
  - plate: plates/b            # a folder
    name: "{folder}_{name}"
    frames: 1001-1002
    seed: 8
    vectors: yes
  - {plate: plates/c/main.1001.exr, out: elsewhere, layers: 3, missing: hold, frames: "1001,1003"}
  - plate: plates/c/main.1001-1002#.exr
    name: 010
"""


def test_yaml_defaults_placeholders_and_lines(folder: Path) -> None:
    shots = load(written(folder, _YAML)).shots
    told = [(one.name, one.out.relative_to(folder).as_posix(), one.frames, one.count, one.line) for one in shots]
    assert told == [
        ("a", "layers/a", "1001-1003", 3, 6), ("b_b", "layers/b_b", "1001-1002", 2, 7),
        ("main", "elsewhere", "1001,1003", 2, 12), ("010", "layers/010", "1001-1002", 2, 13),
    ]  # fmt: skip
    assert [(one.settings.quality, one.settings.seed, one.settings.vectors, one.settings.layers) for one in shots] == [
        ("draft", 7, False, 2), ("draft", 8, True, 2), ("draft", 7, False, 3), ("draft", 7, False, 2),
    ]  # fmt: skip
    assert shots[0].plate == str(folder / "plates" / "a" / "a.#.exr")
    shot = shots[2].create()
    assert (shot.name, shot.frames, shot.settings, shot.out) == ("main", (1001, 1003), shots[2].settings, shots[2].out)
    assert not (folder / "layers").exists() and not (folder / "elsewhere").exists()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_means_the_same(separator: str, folder: Path) -> None:
    rows = [
        ["plate", "name", "out", "frames", "quality", "vectors", "layers"],
        ["plates/a/a.####.exr", "", "layers/{name}", "", "draft", "", "auto"],
        [],
        ["plates/b", "first", "layers/{name}", '"1001"' if separator == "," else "1001", "", "true", "3"],
    ]
    text = "\ufeff" + "\r\n".join(separator.join(row) for row in rows)
    one, two = load(written(folder, text, "shots.csv")).shots
    assert (one.name, one.count, one.settings.quality, one.settings.layers, one.line) == ("a", 3, "draft", "auto", 2)
    assert (two.name, two.frames, two.settings.vectors, two.settings.layers, two.line) == ("first", "1001", True, 3, 4)


def test_hints_are_relative_to_the_manifest_and_may_name_the_shot(folder: Path) -> None:
    import numpy as np
    import OpenImageIO as oiio

    for name in ("hints/a.1001.png", "other.1002.png"):
        image = oiio.ImageBuf(oiio.ImageSpec(4, 3, 1, "uint8"))
        image.set_pixels(oiio.ROI(), np.eye(3, 4, dtype=np.float32)[..., None])
        (folder / name).parent.mkdir(exist_ok=True)
        assert image.write(str(folder / name))
    text = '- {plate: plates/a/a.#.exr, out: o, layers: 3, hints: ["hints/{name}.####.png", other.1002.png]}'
    (shot,) = load(written(folder, f"shots:\n  {text}\n")).shots
    assert shot.settings.hints == (str(folder / "hints" / "a.1001#.png"), str(folder / "other.1002#.png"))
    csv = "plate,out,layers,hints\nplates/a,o,3,hints/{name}.####.png|other.1002.png\n"
    assert load(written(folder, csv, "s.csv")).shots[0].settings == shot.settings


# A manifest, and what is told of it: lines, and words in their messages.
_MISTAKES: list[tuple[str, str, list[tuple[int, str]]]] = [
    ("nothing", "", [(1, "`shots:`")]),
    ("no shots", "defaults: {out: o}\n", [(1, "no shots")]),
    ("a list", "- plate: a\n", [(1, "`shots:`")]),
    ("no list", "shots:\n  plate: a\n", [(1, "a list")]),
    ("a shot that is a word", "shots:\n  - plates/a\n", [(2, "a mapping"), (2, "`plate` is missing")]),
    ("bad YAML", "shots:\n  - plate: [a\n  - b: c\n", [(3, "no YAML")]),
    ("a tab", "shots:\n\t- plate: a\n", [(2, "no YAML")]),
    ("unknown keys",
     "default: {}\ndefaults: {qualty: draft, plate: x}\nshots:\n  - plate: plates/a\n    out: o\n    bit-depth: half\n",
     [(1, "unknown key 'default'"), (2, "did you mean 'quality'"), (2, "cannot have a `plate`"),
      (6, "did you mean 'bit_depth'")]),
    ("a key twice", "shots:\n  - plate: plates/a\n    out: o\n    out: p\n", [(4, "there already, in line 3")]),
    ("wrong values, told once where they stand in the defaults",
     "defaults:\n  out: '{name}'\n  quality: best\nshots:\n  - plate: plates/a\n    seed: -1\n    layers: 9\n"
     "  - plate: plates/b\n    flow_layer: motion\n",
     [(3, "'draft', 'standard' or 'final', not 'best'"), (6, "seed"), (7, "layers")]),
    ("settings that do not go together",
     "shots:\n  - {plate: plates/a, out: o, flow_layer: motion}\n", [(2, "flow_layer needs flow=vectors")]),
    ("a list where one value belongs",
     "shots:\n  - plate: plates/a\n    out: [o, p]\n    seed: {a: b}\n",
     [(3, "one value, not a list"), (4, "seed is to be one value")]),
    ("plates", "shots:\n  - plate: plates/z.####.exr\n    out: o\n  - out: p\n  - plate: plates/broken\n    out: q\n",
     [(2, "no such plate"), (4, "`plate` is missing"), (5, "frame 1002")]),
    ("frames", "shots:\n  - plate: plates/a\n    out: o\n    frames: 1-x\n  - plate: plates/b\n    out: p\n"
     "    frames: 1001-1009\n", [(4, "cannot read frames"), (7, "1004")]),
    ("no out", "shots:\n  - plate: plates/a\n", [(2, "`out` is missing")]),
    ("out among the frames",
     "shots:\n  - {plate: plates/a, out: plates/a}\n  - {plate: plates/b, out: o}\n"
     "  - {plate: plates/c, out: plates/b}\n",
     [(2, "among the plate's own files"), (4, "among the frames of")]),
    ("one folder, one name",
     "defaults: {out: o}\nshots:\n  - plate: plates/a\n  - plate: plates/b\n  - {plate: plates/c, name: a, out: p}\n",
     [(4, "is that of the shot in line 3"), (5, "the name 'a' is taken by the shot in line 3")]),
    ("a name that no file can have", "shots:\n  - plate: plates/a\n    out: o\n    name: a/b\n", [(4, "file name")]),
    ("a placeholder", "shots:\n  - plate: plates/a\n    out: '{shot}/x'\n", [(3, "{shot} stands for nothing")]),
    ("a hint that is not there",
     "shots:\n  - plate: plates/a\n    out: o\n    hints: h.####.png\n", [(4, "h.####.png")]),
    ("another shot's folder", "shots:\n  - plate: plates/a\n    out: taken\n", [(3, "holds the layers of b")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in _MISTAKES], ids=[case[0] for case in _MISTAKES])
def test_every_mistake_with_its_line(text: str, expected: list[tuple[int, str]], folder: Path) -> None:
    write_plate(folder / "plates" / "broken", "x")
    (folder / "plates" / "broken" / "x.1002.exr").write_bytes(b"not an EXR")
    age(folder / "plates" / "broken")
    (shot,) = load(written(folder, "shots: [{plate: plates/b, out: taken}]", "taken.yaml")).shots
    shot.create().save()
    path = written(folder, text)
    with pytest.raises(ManifestError) as told:
        load(path)
    found = [str(mistake) for mistake in told.value.mistakes]
    assert len(found) == len(expected), found
    for message, (line, words) in zip(found, expected, strict=True):
        assert message.startswith(f"{path}:{line}: ") and words in message, message
        assert message in str(told.value)
    assert told.value.exit_code == 2


def test_a_plate_that_is_still_being_written_is_worth_another_try(folder: Path) -> None:
    write_plate(folder / "plates" / "young", "y")
    text = "shots:\n  - {plate: plates/young, out: o, frames: 1001-1009}\n"
    with pytest.raises(ManifestError, match="still being written") as told:
        load(written(folder, text))
    assert told.value.exit_code == told.value.summary.exit_code == 75
    with pytest.raises(ManifestError) as told:
        load(written(folder, text + "  - {plate: plates/a, out: p, seed: x}\n"))
    assert told.value.exit_code == told.value.summary.exit_code == 2


def test_mistakes_of_csv(folder: Path) -> None:
    text = 'plate,out,quality,size\n"plates/a",o,best\n\nplates/b,p,,,,more\n"plates\n/c",q\nplates/b,"r'
    with pytest.raises(ManifestError) as told:
        load(written(folder, text, "shots.csv"))
    found = [str(mistake) for mistake in told.value.mistakes]
    assert [message.split(": ")[0].rsplit(":")[-1] for message in found] == ["2", "4", "5", "7"], found
    assert "6 values, but the header has 4 columns" in found[1] and "no such plate" in found[2]
    assert "cannot be read" in found[3]


def test_fresh_may_take_another_shots_folder(folder: Path) -> None:
    (shot,) = load(written(folder, "shots: [{plate: plates/b, out: taken}]")).shots
    shot.create().save()
    path = written(folder, "shots: [{plate: plates/a, out: taken}]")
    with pytest.raises(ManifestError):
        load(path)
    assert load(path, fresh=True).shots[0].name == "a"


def test_a_folder_of_shots(folder: Path) -> None:
    shots = load(folder / "plates", out=folder / "layers").shots
    assert [(one.name, one.out) for one in shots] == [(name, folder / "layers" / name) for name in ("a", "b", "main")]
    with pytest.raises(ManifestError, match="--out"):
        load(folder / "plates")


@pytest.mark.parametrize(
    ("name", "data"), [("none.yaml", None), ("shots.txt", b"shots"), ("latin.yaml", b"shots:\n - plate: \xe4\n")]
)
def test_what_is_no_manifest(name: str, data: bytes | None, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=name + (":2" if "latin" in name else "")):
        load(tmp_path / name)


_OTHER_THAN_DEFAULT = {
    "layer": "-beauty", "colorspace": "ACEScct", "missing": "hold", "quality": "final", "flow": "vectors",
    "flow_layer": "motion", "layers": 4, "hints": ("/a b.png", "-c.png", "d=e.png"), "objective": "paper", "seed": 3,
    "bit_depth": "float", "compression": "piz", "alpha": "straight", "vectors": True,
}  # fmt: skip


def test_the_command_gets_every_setting(folder: Path) -> None:
    settings = Settings.parse(**_OTHER_THAN_DEFAULT)
    with_weights = Settings.parse(flow="raft", flow_weights="/w.pth", flow_refine=True)
    dehaze = Settings.parse(task="dehaze", airlight=(0.8, 0.82, 0.9), transmission="rgb", strength=0.25)
    relight = Settings.parse(task="relight", gamma=1.5, exposure=-0.5, key_fill=0.75, protect=0.125)
    default = Settings()
    every = (settings, with_weights, dehaze, relight)
    said = {name for one in every for name, value in one if value != getattr(default, name)}
    assert said == set(Settings.model_fields)
    for one in (*every, default):
        context = run.make_context("run", ["plate", "--out=o", *settings_arguments(one)])
        assert settings_from(context.params) == one
    assert settings_arguments(default) == []

    shot = load(written(folder, "shots: [{plate: plates/a, out: o, frames: 1001}]")).shots[0]
    given = run.make_context("run", run_arguments(shot, fresh=True)[1:]).params
    assert (given["plate"], given["out"], given["name"], given["frames"]) == (shot.plate, shot.out, "a", "1001")
    assert given["fresh"] and not run.make_context("run", run_arguments(shot, fresh=False)[1:]).params["fresh"]
    assert json.dumps(run_arguments(shot, fresh=False)) == json.dumps(
        ["run", shot.plate, f"--out={shot.out}", "--name=a", "--frames=1001"]
    )
