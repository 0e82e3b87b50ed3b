import hashlib
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np
import OpenEXR
import pytest

from tests.plate import plate_files as files
from vdp_engine.errors import TryAgainError
from vdp_engine.plate import Plate, to_half, write_layers
from vdp_engine.plate.writer import BitDepth
from vdp_engine.settings import Compression


def rich_header() -> dict[str, Any]:
    code, key = OpenEXR.TimeCode(), OpenEXR.KeyCode()
    code.hours, code.minutes, code.seconds, code.frame, code.userData = 1, 2, 3, 4, 77
    key.filmMfcCode, key.prefix, key.perfOffset = 5, 1234, 3
    return {
        "timeCode": code,
        "keyCode": key,
        "framesPerSecond": Fraction(24000, 1001),
        "chromaticities": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
        "worldToCamera": np.arange(16, dtype=np.float32).reshape(4, 4),
        "matrix33": np.arange(9, dtype=np.float32).reshape(3, 3),
        "owner": "the studio",
        "comments": "plate für Einstellung 12",
        "capDate": "2024:01:02 03:04:05",
        "cameraModel": "ALEXA 35",
        "studio/shot": "ab_0120",
        "studio/take": 5,
        "expTime": 0.02,
        "isoSpeed": 800.0,
        "strings": ["a", "b c"],
        "vector": np.array([1, 2, 3], np.float32),
        "whiteLuminance": 100.0,
        "pixelAspectRatio": 2.0,
        "screenWindowWidth": 1.25,
        "dataWindow": files.box(-3, 2, 10, 7),
        "displayWindow": files.box(0, 0, 20, 15),
    }


def plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def layers(shape: tuple[int, int], dtype: Any = np.float32) -> dict[str, np.ndarray]:
    names = ("R", "G", "B", "A", "bg.R", "bg.A", "fg1.R", "residual.R", "confidence.A")
    return {name: files.ramp(*shape, index, dtype) for index, name in enumerate(names)}


@pytest.mark.parametrize("bit_depth, dtype", [("half", np.float16), ("float", np.float32)])
@pytest.mark.parametrize("given", [np.float16, np.float32])
def test_openexr_reads_back_what_was_written(tmp_path: Path, bit_depth: Any, dtype: Any, given: Any) -> None:
    plate = Plate.open(files.write(tmp_path / "p.exr", files.colour_channels(7, 10), **rich_header()))
    channels = layers((7, 10), given)
    path = tmp_path / "out.1001.exr"
    write_layers(path, channels, plate.header(1), bit_depth=bit_depth)
    read = OpenEXR.File(str(path), separate_channels=True)
    assert set(read.channels()) == set(channels)
    for name, values in channels.items():
        assert read.channels()[name].pixels.dtype == dtype
        assert np.array_equal(read.channels()[name].pixels, values.astype(dtype))
    assert len(read.parts) == 1
    assert read.header()["compression"] == OpenEXR.ZIPS_COMPRESSION
    assert read.header()["type"] == OpenEXR.scanlineimage
    assert [entry.name for entry in tmp_path.iterdir() if ".tmp" in entry.name] == []


def test_windows_and_attributes_survive(tmp_path: Path) -> None:
    given = rich_header()
    plate = Plate.open(files.write(tmp_path / "p.exr", files.colour_channels(7, 10), **given))
    assert plate.frame_rate == pytest.approx(24000 / 1001)
    path = tmp_path / "out.exr"
    extra: dict[str, str | int | float] = {"vdp/version": "1.0", "vdp/seed": 7, "vdp/gamma": 0.5}
    write_layers(path, layers((7, 10)), plate.header(1), attributes=extra)
    before, after = OpenEXR.File(str(tmp_path / "p.exr")).header(), OpenEXR.File(str(path)).header()
    for name in given:
        assert plain(after[name]) == plain(before[name]), name
    assert {name: after[name] for name in extra} == extra
    invented = set(after) - set(before) - set(extra)
    assert invented == set()


def test_a_layer_file_of_a_part_carries_no_view_or_part_name(tmp_path: Path) -> None:
    part = {"name": "rgba.left", "view": "left", "type": OpenEXR.tiledimage, "tiles": files.tiles(16)}
    OpenEXR.File([OpenEXR.Part(part, files.colour_channels(7, 10))]).write(str(tmp_path / "p.exr"))
    write_layers(tmp_path / "out.exr", layers((7, 10)), Plate.open(tmp_path / "p.exr").header(1))
    header = OpenEXR.File(str(tmp_path / "out.exr")).header()
    assert not {"name", "view", "multiView", "tiles", "chunkCount"} & set(header)


def test_the_same_frame_gives_the_same_bytes(tmp_path: Path) -> None:
    plate = Plate.open(files.write(tmp_path / "p.exr", files.colour_channels(7, 10)))
    digests = set()
    for name in ("a.exr", "b.exr"):
        write_layers(tmp_path / name, layers((7, 10)), plate.header(1))
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1
    assert b"capDate" not in (tmp_path / "a.exr").read_bytes()


@pytest.mark.parametrize("compression", get_args(Compression))
def test_every_compression(tmp_path: Path, compression: Compression) -> None:
    plate = Plate.open(files.write(tmp_path / "p.exr", files.colour_channels(70, 90)))
    channels = layers((70, 90))
    path = tmp_path / "out.exr"
    write_layers(path, channels, plate.header(1), compression=compression)
    read = OpenEXR.File(str(path), separate_channels=True)
    assert read.header()["compression"] == files.COMPRESSIONS[compression]
    lossy = compression in ("b44", "b44a", "dwaa", "dwab")
    for name, values in channels.items():
        np.testing.assert_allclose(
            read.channels()[name].pixels, values.astype(np.float16), rtol=0.05 * lossy, atol=0.2 * lossy
        )


def test_many_blocks_of_rows_join_seamlessly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vdp_engine.plate import writer

    monkeypatch.setattr(writer, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(writer, "_CACHE_BYTES", 3 * 50 * 9 * 2)
    plate = Plate.open(files.write(tmp_path / "p.exr", files.colour_channels(301, 50)))
    channels = layers((301, 50))
    write_layers(tmp_path / "out.exr", channels, plate.header(1))
    read = OpenEXR.File(str(tmp_path / "out.exr"), separate_channels=True).channels()
    for name, values in channels.items():
        assert np.array_equal(read[name].pixels, values.astype(np.float16))


def test_what_the_file_cannot_hold_is_clamped_not_written(tmp_path: Path) -> None:
    plate = Plate.open(files.write(tmp_path / "p.exr", files.colour_channels(1, 5)))
    values = np.array([[np.nan, np.inf, -np.inf, 1e6, -70000.0]], np.float32)
    limits: dict[BitDepth, float] = {"half": 65504.0, "float": float(np.finfo(np.float32).max)}
    for bit_depth, limit in limits.items():
        for given in (values, np.array([[np.nan, np.inf, -np.inf, 9, -8]], np.float16)):
            write_layers(tmp_path / "out.exr", {"R": given}, plate.header(1), bit_depth=bit_depth)
            read = files.reference(tmp_path / "out.exr", ("R",))[0, :, 0]
            expected = np.clip(
                np.nan_to_num(given[0].astype(np.float32), nan=0, posinf=limit, neginf=-limit), -limit, limit
            )
            assert np.array_equal(read, expected)


def test_to_half_rounds_like_ieee_and_counts_what_it_clamped() -> None:
    halfs = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
    exact = np.concatenate([halfs, -halfs]).astype(np.float32)
    kept, clamped = to_half(exact)
    assert clamped == 0 and np.array_equal(kept.view(np.uint16), exact.astype(np.float16).view(np.uint16))

    # Halfway between two halfs the even one wins: the reference is exact arithmetic in float64.
    lower = halfs[:-1].astype(np.float64)
    upper = halfs[1:].astype(np.float64)
    middle = ((lower + upper) / 2).astype(np.float32)
    even = np.where(np.arange(len(lower)) % 2 == 0, lower, upper)
    assert np.array_equal(to_half(middle)[0].astype(np.float64), even)

    values = np.array([65504.0, 65505.0, -1e9, np.inf, -np.inf, np.nan, 1.0], np.float32)
    half, clamped = to_half(values)
    assert clamped == 5
    assert half.tolist() == [65504.0, 65504.0, -65504.0, 65504.0, -65504.0, 0.0, 1.0]
    assert half.dtype == np.float16
    assert to_half(np.array([1.0, np.inf], np.float16))[0].tolist() == [1.0, 65504.0]
    assert to_half(np.zeros((0, 3), np.float32))[0].shape == (0, 3)


def test_wrong_requests(tmp_path: Path) -> None:
    plate = Plate.open(files.write(tmp_path / "p.exr", files.colour_channels(7, 10)))
    with pytest.raises(ValueError, match="does not cover"):
        write_layers(tmp_path / "out.exr", layers((7, 11)), plate.header(1))
    assert not (tmp_path / "out.exr").exists()


def test_a_folder_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    plate = Plate.open(files.write(tmp_path / "p.exr", files.colour_channels(7, 10)))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((TryAgainError, OSError)):
        write_layers(tmp_path / "file" / "out.exr", layers((7, 10)), plate.header(1))


FULL_DRIVE = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from vdp_engine.errors import TryAgainError
from vdp_engine.plate import Plate, write_layers
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
plate, out = Plate.open(sys.argv[1]), Path(sys.argv[2])
noise = np.random.default_rng(0)
channels = {name: noise.random((128, 128), dtype=np.float32) for name in "RGB"}
write_layers(out, channels, plate.header(1))
size = out.stat().st_size
out.unlink()
for lacking in (1, 100, 1000, 5000, size // 2, size - 2000, size - 100, size - 10):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - lacking, resource.RLIM_INFINITY))
    try:
        write_layers(out, channels, plate.header(1))
        outcome = "written"
    except TryAgainError as error:
        outcome = f"{error.code} {error.path == out} {error.exit_code}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(lacking, outcome, sorted(p.name for p in out.parent.iterdir()), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as POSIX systems can")
def test_a_full_drive_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    plate = files.write(tmp_path / "p.exr", files.colour_channels(128, 128))
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", FULL_DRIVE, str(plate), str(tmp_path / "out" / "x.exr")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert len(lines) == 8, done.stderr
    for line in lines:
        assert line.split(" ", 1)[1] == "machine.disk True 75 []"
