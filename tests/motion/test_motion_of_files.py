"""The stage on real files, read by the plate room."""

import numpy as np
import OpenEXR
import pytest

from vdp_engine.errors import MotionError
from vdp_engine.motion import MotionFrame, prep
from vdp_engine.progress import Reporter
from vdp_engine.settings import Machine, Settings
from vdp_engine.shot import Shot

VECTORS = {"forward.u": 4.0, "forward.v": 2.0, "backward.u": -4.0, "backward.v": -2.0}


@pytest.fixture
def plate(tmp_path):
    """Three half-float frames with overscan: a texture that moves 4 pixels right and 2 up a frame, and says so."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.random((40, 60)), np.ones((6, 6)))[:, :, None] * [2.0, 1.0, 0.5]
    for frame in range(3):
        rows, columns = 20 + 2 * frame, 100 - 4 * frame
        rgb = texture[rows : rows + 120, columns : columns + 200].astype(np.float16)
        rgb[:, 180:] = np.nan if frame == 1 else rgb[:, 180:]
        channels = {"RGB": np.ascontiguousarray(rgb)}
        channels |= {name: np.full((120, 200), value, np.float32) for name, value in VECTORS.items()}
        header = {
            "compression": OpenEXR.ZIPS_COMPRESSION,
            "type": OpenEXR.scanlineimage,
            "dataWindow": (np.array([-10, -10], np.int32), np.array([189, 109], np.int32)),
            "displayWindow": (np.array([0, 0], np.int32), np.array([179, 99], np.int32)),
        }
        OpenEXR.File(header, channels).write(str(tmp_path / f"shot.{1001 + frame}.exr"))
    return str(tmp_path / "shot.####.exr")


@pytest.mark.parametrize("flow", ["dis", "vectors"])
def test_flow_of_a_moving_texture(plate, tmp_path, flow):
    shot = Shot.create(plate, tmp_path / "out", settings=Settings(quality="draft", flow=flow))
    prep(shot, Machine.parse(threads=2), Reporter())
    motion = MotionFrame.load(shot.motion_file(1002), 1002)
    assert motion.gaps == ((1, -1) if flow == "vectors" else (1, -1, 2, -2))
    height, width = motion.size
    seen = motion.flow[:2, :, 20:-20, 20 : int(0.8 * width)]
    expected = np.array([[4.0, -2.0], [-4.0, 2.0]]) * [width / 200, height / 120]
    np.testing.assert_allclose(seen.median(-1).values.median(-1).values.numpy(), expected, atol=0.15)
    assert motion.coverage[:, -width // 12 :].max() == 0.0  # what is not a number is a hole
    assert motion.coverage[:, : int(0.85 * width)].min() == 1.0
    assert motion.evidence.mean() < 0.05  # all of it moves with the camera


def test_a_plate_without_vectors_says_what_it_has(plate, tmp_path):
    settings = Settings(quality="draft", flow="vectors", flow_layer="mv")
    shot = Shot.create(plate, tmp_path / "out", settings=settings)
    with pytest.raises(MotionError, match=r"mv\.forward\.u.*forward\.u"):
        prep(shot, Machine.parse(threads=1), Reporter())
