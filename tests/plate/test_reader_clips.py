"""The reader on OpenEXR's own test images, where they are at hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from tests.plate import plate_files as files
from vdp_engine.errors import PlateError
from vdp_engine.plate import Plate, Window

pytestmark = pytest.mark.skipif(
    not files.CLIPS.is_dir(), reason=f"no OpenEXR test images in {files.CLIPS} (set VDP_TEST_CLIPS)"
)


def test_a_moving_data_window_that_leaves_the_display_window() -> None:
    plate = Plate.open(files.CLIPS / "beachball")
    assert plate.frames == tuple(range(1, 9))
    assert plate.display_window == Window(0, 0, 2048, 1556)
    assert plate.canvas.x_end > plate.display_window.x_end
    assert len({plate.header(frame).data_window for frame in plate.frames}) > 1
    for frame in (1, 8):
        read = plate.read(frame)
        path = plate.source_path(frame)
        (xmin, ymin), (xmax, ymax) = OpenEXR.File(str(path)).header()["dataWindow"]
        assert read.header.data_window == Window.from_exr(int(xmin), int(ymin), int(xmax), int(ymax))
        assert np.array_equal(read.pixels, files.reference(path))
        assert read.on(plate.canvas).sum(dtype=np.float64) == pytest.approx(read.pixels.sum(dtype=np.float64))
    vectors = plate.read_channels(1, ("forward.right.u", "forward.right.v"))
    assert np.array_equal(vectors, files.reference(plate.source_path(1), ("forward.right.u", "forward.right.v")))


@pytest.mark.parametrize("layer, names", [(None, "RGB"), ("left", ("left.R", "left.G", "left.B")), ("center", "RGB")])
def test_views(layer: str | None, names: tuple[str, ...]) -> None:
    path = files.CLIPS / "multiview" / "Adjuster.exr"
    plate = Plate.open(path, layer=layer)
    assert np.array_equal(plate.read(1).pixels, files.reference(path, tuple(names)))
    assert plate.layer_names == ("", "left", "right")


@pytest.mark.parametrize("name", [f"t{number:02d}" for number in (1, 2, 4, 6, 8, 10, 12, 14)])
def test_display_windows(name: str) -> None:
    path = files.CLIPS / "display_window" / f"{name}.exr"
    number = int(name[1:])
    plate = Plate.open(path, frames=(number,))
    header = OpenEXR.File(str(path)).header()
    (xmin, ymin), (xmax, ymax) = header["displayWindow"]
    assert plate.display_window == Window.from_exr(int(xmin), int(ymin), int(xmax), int(ymax))
    assert np.array_equal(plate.read(number).pixels, files.reference(path))


@pytest.mark.parametrize("name", ["BrightRingsNanInf", "AllHalfValues", "WideColorGamut", "stripes"])
def test_images_with_every_kind_of_value(name: str) -> None:
    path = files.CLIPS / "test_images" / f"{name}.exr"
    frame = Plate.open(path).read(1)
    expected = files.reference(path)
    holes = ~np.isfinite(expected).all(axis=-1)
    assert np.array_equal(frame.holes if frame.holes is not None else np.zeros_like(holes), holes)
    assert holes.any() == (name in ("BrightRingsNanInf", "AllHalfValues"))
    assert np.array_equal(frame.pixels, np.where(holes[..., None], 0, expected))


def test_luminance_chroma_has_the_luminance_of_its_file() -> None:
    path = files.CLIPS / "luminance_chroma" / "Flowers.exr"
    plate = Plate.open(path)
    pixels = plate.read(1).pixels
    luminance = pixels.astype(np.float64) @ [0.2126, 0.7152, 0.0722]
    np.testing.assert_allclose(luminance, files.reference(path, ("Y",))[..., 0], rtol=2e-3, atol=1e-4)
    # Red at the samples of RY, and half way between two of them.
    channels = OpenEXR.File(str(path), separate_channels=True).channels()
    luma, chroma = (channels[name].pixels.astype(np.float32) for name in ("Y", "RY"))
    np.testing.assert_allclose(pixels[::2, ::2, 0], (chroma + 1) * luma[::2, ::2], rtol=1e-5, atol=1e-6)
    between = (chroma[:, :-1] + chroma[:, 1:]) / 2
    np.testing.assert_allclose(pixels[::2, 1:-1:2, 0], (between + 1) * luma[::2, 1:-1:2], rtol=1e-5, atol=1e-6)


def test_stills() -> None:
    for name in ("Desk", "Carrots"):
        path = files.CLIPS / "stills" / f"{name}.exr"
        assert np.array_equal(Plate.open(path).read(1).pixels, files.reference(path))


def test_deep_images_are_refused() -> None:
    with pytest.raises(PlateError) as caught:
        Plate.open(files.CLIPS / "deep" / "Balls.exr")
    assert caught.value.code == "plate.deep"


DAMAGED = """
import resource, sys
from pathlib import Path
from vdp_engine.errors import PlateError
from vdp_engine.plate import Plate
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for name in sys.argv[1:]:
    print("try", name, flush=True)
    try:
        plate = Plate.open(name)
        plate.read(plate.frames[0])
        outcome = "read"
    except PlateError as error:
        assert name in str(error), error
        outcome = error.code
    print("done", outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures memory as POSIX systems can")
def test_damaged_files_are_read_or_refused_and_never_crash(tmp_path: Path) -> None:
    copies = []
    for index, original in enumerate(sorted((files.CLIPS / "damaged").iterdir())):
        # Given as single images of their own, whatever digits their names hold.
        copy = tmp_path / f"damaged_v{index}.exr"
        copy.write_bytes(original.read_bytes())
        copies.append(str(copy))
    command = [sys.executable, "-c", DAMAGED, *copies]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    last = f"after {lines[-1]}: {done.stderr[-2000:]}" if lines else done.stderr
    assert done.returncode == 0, last
    results = [line.split() for line in lines if line.startswith("done")]
    assert len(results) == len(copies), last
    assert max(int(megabytes) for _, _, megabytes in results) < 2048
    assert {outcome for _, outcome, _ in results} <= {
        *("read", "plate.unreadable", "plate.too_large", "plate.deep", "plate.no_colour", "plate.no_layer")
    }
