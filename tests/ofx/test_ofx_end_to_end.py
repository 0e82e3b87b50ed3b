"""From the button to the layers: a host, a real clip, `vdp serve` and the real engine with a short fit."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest

from tests.ofx.host import OK, Host
from tests.serve.helper import PATCHED, QUICK_ENGINE, SLOW_ENGINE, VDP
from vdp_engine.equations import half_ulps

CLIPS = Path(os.environ.get("VDP_TEST_CLIPS") or Path(__file__).parents[3] / "shared" / "clips")
CLIP = CLIPS / "layers" / "blackswan" / "frames"
FRAMES = range(1001, 1006)
WIDTH, HEIGHT = 112, 64
WINDOW = (0, 0, WIDTH, HEIGHT)


def real_frames() -> dict[int, np.ndarray]:
    """Pictures of a clip made small, scene-linear, (H, W, 3) float32 from the top row down."""
    pictures = sorted(CLIP.glob("*.jpg"))[: 2 * len(FRAMES) : 2]
    frames = {}
    for frame, path in zip(FRAMES, pictures, strict=True):
        display = cv2.imread(str(path))[..., ::-1].astype(np.float32) / 255
        small = cv2.resize(display, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        linear = np.where(small <= 0.04045, small / 12.92, ((small + 0.055) / 1.055) ** 2.4)
        frames[frame] = (linear * 1.5 - 0.001).astype(np.float32)  # not what half holds, some below 0 and above 1
    return frames


def channels(path: Path) -> dict[str, np.ndarray]:
    """All channels of an EXR as float32 by name, from the top row down, as OpenImageIO reads them."""
    file = oiio.ImageInput.open(str(path))
    assert file is not None, oiio.geterror()
    spec = file.spec()
    pixels = file.read_image(format="float")
    file.close()
    return {name: pixels[..., index] for index, name in enumerate(spec.channelnames)}


def layer(read: dict[str, np.ndarray], name: str) -> np.ndarray:
    """(H, W, 4) from the lowest row up: a layer as it was written, A of 1 where it has none."""
    planes = [read[f"{name}.{c}"] for c in "RGB"] + [read.get(f"{name}.A", np.ones((HEIGHT, WIDTH), np.float32))]
    return np.stack(planes, -1)[::-1]


@dataclass
class Project:
    """A host with the plug-in, a clip in Source, and a folder for the layers."""

    host: Host
    shot: Path

    def show(self, output: str, frame: int) -> np.ndarray:
        self.host.do("set", param="output", value=output)
        picture = self.host.render(time=frame)
        assert picture.status == OK, picture.answer.persistent
        return picture.pixels


def command(folder: Path, *words: str) -> Path:
    """A script that is ``vdp serve`` by these words."""
    script = folder / "vdp"
    script.write_text(f"#!/bin/sh\nexport OMP_NUM_THREADS=1\nexec {shlex.join(words)}\n")
    script.chmod(0o755)
    return script


def opened(build: Path, plugin: Path, folder: Path, engine: Path, shot: Path, host: str, context: str) -> Project:
    folder.mkdir()
    project = Project(
        Host(build / "ofx_host_address", folder, {"VDP_ENGINE": str(engine), "TMPDIR": str(folder)}), shot
    )
    project.host.do("timeline", time=FRAMES[0], first=FRAMES[0], last=FRAMES[-1])
    project.host.do("load", path=plugin, host=host)
    settings = {"value_shot": shot, "value_quality": "draft", "value_device": "cpu"}
    project.host.do("create", context=context, width=WIDTH, height=HEIGHT, fps=23.976, **settings)
    return project


def connect(project: Project, frames: dict[int, np.ndarray], folder: Path) -> None:
    folder.mkdir()
    for frame, pixels in frames.items():
        rgba = np.dstack([pixels, np.ones(pixels.shape[:2], np.float32)])[::-1]
        np.ascontiguousarray(rgba, np.float32).tofile(folder / f"plate.{frame}.raw")
    source = {"path": f"{folder}/plate.%d.raw", "region": WINDOW, "first": FRAMES[0], "last": FRAMES[-1], "fps": 23.976}
    project.host.do("connect", kind="files", **source)


@pytest.fixture(scope="module")
def frames() -> dict[int, np.ndarray]:
    if not CLIP.is_dir():
        pytest.skip(f"no clip in {CLIP} (set VDP_TEST_CLIPS)")
    return real_frames()


@pytest.fixture(scope="module")
def project(
    host_build: Path, checked_plugin: Path, frames: dict[int, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The clip analysed from within a host."""
    folder = tmp_path_factory.mktemp("project")
    engine = command(folder, *PATCHED, *QUICK_ENGINE)
    made = opened(host_build, checked_plugin, folder / "host", engine, folder / "sh010 v001", "nuke", "Filter")
    connect(made, frames, folder / "clip")
    answer = made.host.do("set", param="analyse", timeout=120)
    assert answer.result["rerender"] and answer.progress[0]["last"] > 0.2
    assert [text for text in answer.texts if "failed" in text] == []
    yield made
    made.host.close()


def test_the_plates_are_the_hosts_pixels_bit_for_bit(project: Project, frames: dict[int, np.ndarray]) -> None:
    for frame, pixels in frames.items():
        read = channels(project.shot / "plates" / f"ofx_plate.{frame}.exr")
        np.testing.assert_array_equal(np.stack([read[c] for c in "RGB"], -1), pixels)


@pytest.mark.parametrize("frame", [FRAMES[0], FRAMES[-2]])
def test_every_layer_is_what_the_engine_wrote(project: Project, frame: int) -> None:
    """Value for value, against the EXRs as another library reads them."""
    read = channels(project.shot / f"{project.shot.name}.{frame}.exr")
    for output in ("bg", "fg1", "clean", "residual"):
        np.testing.assert_array_equal(project.show(output, frame), layer(read, output), err_msg=output)
    confidence = np.repeat(read["confidence.A"][::-1, :, None], 4, -1)
    np.testing.assert_array_equal(project.show("confidence", frame), confidence)
    matte = project.show("matte as alpha", frame)
    np.testing.assert_array_equal(matte[..., 3], read["fg1.A"][::-1])
    assert 0.01 < matte[..., 3].mean() < 0.99, "neither empty nor full"


def test_the_layers_make_the_plate_again(project: Project, frames: dict[int, np.ndarray]) -> None:
    for frame, pixels in frames.items():
        shown = project.show("recomposition", frame)[::-1, :, :3]
        assert half_ulps(shown, pixels).max() <= 2
        total = sum(project.show(name, frame)[..., :3].astype(np.float64) for name in ("bg", "fg1", "residual"))
        assert half_ulps(np.asarray(total)[::-1], pixels).max() <= 2


def test_premultiplied_and_straight(project: Project) -> None:
    premultiplied = project.show("fg1", FRAMES[1])
    project.host.do("set", param="alpha", value="straight")
    straight = project.show("fg1", FRAMES[1])
    project.host.do("set", param="alpha", value="premultiplied")
    np.testing.assert_array_equal(straight[..., 3], premultiplied[..., 3])
    seen = straight[..., 3] > 0.05
    assert seen.any()
    np.testing.assert_allclose((straight[..., :3] * straight[..., 3:])[seen], premultiplied[..., :3][seen], rtol=2e-3)


def test_another_host_shows_the_layers_without_a_plate(
    project: Project, host_build: Path, checked_plugin: Path, tmp_path: Path
) -> None:
    """As a project is opened on another day, with the engine as users have it."""
    engine = command(tmp_path, *VDP)
    other = opened(host_build, checked_plugin, tmp_path / "host", engine, project.shot, "resolve", "General")
    for output in ("fg1", "plate"):
        pixels = other.show(output, FRAMES[2])
        if output == "fg1":
            np.testing.assert_array_equal(pixels, project.show(output, FRAMES[2]))
        else:
            read = channels(project.shot / f"{project.shot.name}.{FRAMES[2]}.exr")
            np.testing.assert_array_equal(pixels[..., :3], np.stack([read[c] for c in "RGB"], -1)[::-1])
    other.host.close()


def test_an_output_that_the_task_does_not_have(project: Project) -> None:
    project.host.do("set", param="output", value="transmission")
    picture = project.host.render(time=FRAMES[0], window=WINDOW, bounds=WINDOW)
    assert picture.status != OK and "transmission" in picture.answer.persistent["vdp"]
    assert project.show("bg", FRAMES[0]).any()


def test_a_host_that_is_killed_leaves_nothing_running(
    frames: dict[int, np.ndarray], host_build: Path, checked_plugin: Path, tmp_path: Path
) -> None:
    """Helper and run end, and the folder is free for the next host."""
    engine = command(tmp_path, *PATCHED, *SLOW_ENGINE)
    made = opened(host_build, checked_plugin, tmp_path / "host", engine, tmp_path / "shot", "resolve", "Filter")
    connect(made, frames, tmp_path / "clip")
    (helper,) = made.host.do("set", param="analyse").children
    seen = tmp_path / "shot" / "seen.json"
    until(seen.exists)
    run = int(seen.read_text().partition('"pid": ')[2].partition(",")[0])
    assert Path(f"/proc/{run}").exists()
    made.host.kill()
    until(lambda: not Path(f"/proc/{run}").exists() and not Path(f"/proc/{helper}").exists())
    assert not list((tmp_path / "host").glob("vdp-ofx-*"))


def until(done: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)
