"""The demo shot is what it claims to be: exactly composited, exactly moving, HDR, and the same every time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from vdp_engine.demo import make_demo
from vdp_engine.demo.scene import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(192, 108, frames=12)


def _carried(values: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """``values`` (H, W, C) fetched from where ``flow`` (y up) points."""
    x, y = np.meshgrid(np.arange(flow.shape[1], dtype=np.float32), np.arange(flow.shape[0], dtype=np.float32))
    return cv2.remap(values, x + flow[..., 0], y - flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def test_the_plate_is_the_composite_of_its_layers(scene: Scene) -> None:
    truth = scene.render(5)
    composite = truth.foreground.astype(np.float64) + (1.0 - truth.alpha[..., None]) * truth.background
    spacing = np.spacing(np.abs(truth.plate).astype(np.float16)).astype(np.float64)
    assert (np.abs(composite - truth.plate) <= 0.51 * spacing).all()


def test_it_is_a_hard_plate() -> None:
    truth = Scene().render(12)
    assert truth.plate.max() > 10 and truth.plate.min() < 0
    assert 0.04 < (truth.alpha > 0.5).mean() < 0.15
    assert ((truth.alpha > 0.02) & (truth.alpha < 0.98)).mean() > 0.01, "the rim is soft"
    assert (truth.foreground.max(-1)[truth.alpha == 0] == 0).all(), "premultiplied"
    assert (truth.alpha.min(), truth.alpha.max()) == (0.0, 1.0)


def test_frames_come_out_the_same_in_any_order(scene: Scene) -> None:
    again = Scene(192, 108, frames=12)
    for index in (7, 2):
        first, second = scene.render(index), again.render(index)
        np.testing.assert_array_equal(first.plate, second.plate)
        np.testing.assert_array_equal(first.forward, second.forward)
    assert (Scene(192, 108, frames=12, seed=8).render(2).plate != first.plate).any()


def test_forward_and_backward_flow_cancel(scene: Scene) -> None:
    now, then = scene.render(5), scene.render(6)
    back = _carried(then.backward, now.forward)
    inner = np.zeros(now.alpha.shape, bool)
    inner[8:-8, 8:-8] = True  # what the flow carries out of the picture has no way back
    for mask in (now.alpha == 0, now.alpha == 1):
        # Only where the flow leads to the same surface: not where the other one hides it.
        same = inner & mask & (_carried(then.alpha, now.forward) == now.alpha)
        assert same.sum() > 300
        np.testing.assert_allclose((now.forward + back)[same], 0, atol=1e-3)


def test_flow_leads_to_the_same_light(scene: Scene) -> None:
    now, then = scene.render(5), scene.render(6)
    for mask in (now.alpha == 0, now.alpha == 1):
        right, still, mirrored = (
            np.median(np.abs(_carried(then.plate, flow) - now.plate)[mask])
            for flow in (now.forward, 0 * now.forward, now.forward * np.float32([1, -1]))
        )
        assert right < 0.8 * still and right <= mirrored


def test_the_creature_moves_against_the_camera(scene: Scene) -> None:
    truth = scene.render(5)
    own, camera = (truth.forward[mask].mean(0) for mask in (truth.alpha == 1, truth.alpha == 0))
    assert own[0] > 1 and camera[0] < -0.5


def test_files_on_disk(tmp_path: Path) -> None:
    pattern = make_demo(tmp_path, width=96, height=54, frames=2)
    assert pattern == str(tmp_path / "plate" / "demo.1001-1002#.exr")
    truth = Scene(96, 54, frames=2).render(1)
    for folder, names in (
        ("plate", {"R", "G", "B"}),
        ("truth", {f"fg1.{c}" for c in "RGBA"} | {f"clean.{c}" for c in "RGB"} | {"forward.u", "forward.v",
                                                                                 "backward.u", "backward.v"}),
    ):  # fmt: skip
        with OpenEXR.File(str(tmp_path / folder / "demo.1002.exr"), separate_channels=True) as file:
            header, channels = file.header(), file.channels()
            assert set(channels) == names
            assert {channel.pixels.dtype for channel in channels.values()} == {np.dtype(np.float16)}
            assert header["compression"] == OpenEXR.ZIPS_COMPRESSION
            assert header["framesPerSecond"] == 24
            assert str(header["timeCode"]) == "(1, 0, 0, 1, 0, 0, 0, 0, 0, 0)"
            name, plane = ("G", truth.plate[..., 1]) if folder == "plate" else ("fg1.A", truth.alpha)
            np.testing.assert_array_equal(channels[name].pixels.astype(np.float32), plane)
    assert sorted(path.name for path in tmp_path.rglob("*.exr")) == ["demo.1001.exr"] * 2 + ["demo.1002.exr"] * 2


def test_writing_again_leaves_the_files_alone(tmp_path: Path) -> None:
    make_demo(tmp_path, width=96, height=54, frames=2)
    paths = sorted(tmp_path.rglob("*.exr"))
    paths[0].write_bytes(b"torn")
    written = {path: path.stat().st_mtime_ns for path in paths}
    make_demo(tmp_path, width=96, height=54, frames=2)
    assert [path for path in paths if path.stat().st_mtime_ns != written[path]] == paths[:1]
    make_demo(tmp_path, width=96, height=54, frames=2, seed=8)
    assert all(path.stat().st_mtime_ns != written[path] for path in paths)
