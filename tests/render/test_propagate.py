"""Edits carried over a shot whose every motion is known: ground under a moving camera, a disc that flies before it."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from tests.model.tiny_shot import CPU, Recorder, shot_of
from tests.plate import plate_files
from vdp_engine.equations import MODEL_ATTRIBUTE, SETTINGS_ATTRIBUTE
from vdp_engine.errors import ShotError, UsageError
from vdp_engine.model.fit import fit_digest
from vdp_engine.motion import prep
from vdp_engine.plate import Plate, write_layers
from vdp_engine.render import carry
from vdp_engine.render import propagate as stage
from vdp_engine.render.edit import read_edit
from vdp_engine.render.propagate import Edit, pending, placed, propagate, ways

HEIGHT, WIDTH, FIRST, FRAMES = 96, 144, 1001, 24
REFERENCE = 10
RADIUS = 26


def similarity(at, goes_to, scale, angle):
    """(3, 3) matrix that turns and scales about ``at`` and carries it to ``goes_to``."""
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, np.array(goes_to) - turn @ np.array(at)
    return matrix


@dataclass(frozen=True)
class Motion:
    """Per frame: pixels the camera pans and the disc flies, degrees and share they turn and grow."""

    pan: tuple = (0.0, 0.0)
    fly: tuple = (0.0, 0.0)
    turn: float = 0.0
    grow: float = 1.0

    def texel(self, layer, index):
        """(3, 3) from pixels of a frame to the layer's texture."""
        t, centre = index - REFERENCE, np.array([WIDTH / 2, HEIGHT / 2])
        angle, scale = math.radians(self.turn) * t, self.grow**-t
        if layer == "bg":
            return similarity(centre, centre + 100 + np.array(self.pan) * t, scale, angle)
        return similarity(centre + np.array(self.fly) * t, (40, 40), scale, -angle)

    def way(self, layer, index):
        """(3, 3) from pixels of a frame to those of the reference."""
        return np.linalg.inv(self.texel(layer, REFERENCE)) @ self.texel(layer, index)


MOTIONS = {
    "still": Motion(),
    "moved": Motion(pan=(1.7, 0.6), fly=(-1.3, 0.4)),
    "turned and zoomed": Motion(pan=(0.4, 0.0), fly=(0.8, 0.3), turn=1.2, grow=1.012),
    "crossing": Motion(fly=(5.0, 0.0)),
}


def noise(height, width, seed):
    raw = np.random.default_rng(seed).normal(size=(height, width, 3))
    fine, coarse = (cv2.GaussianBlur(raw, (0, 0), sigma) * sigma for sigma in (1.5, 6))
    return np.clip(0.4 + 0.4 * fine + 0.5 * coarse, 0.03, 2).astype(np.float32)


def picture(motion, index):
    """Plate (H, W, 3) and the disc's matte (H, W)."""

    def seen(texture, layer):
        return cv2.warpAffine(
            texture, motion.texel(layer, index)[:2], (WIDTH, HEIGHT),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip

    y, x = np.mgrid[:81, :81]
    disc = np.clip(RADIUS + 0.5 - np.hypot(x - 40, y - 40), 0, 1).astype(np.float32)
    matte = cv2.warpAffine(
        disc, motion.texel("fg1", index)[:2], (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    foreground = seen(noise(81, 81, 1) * np.float32([1.6, 0.8, 0.5]), "fg1")
    background = seen(noise(HEIGHT + 200, WIDTH + 200, 0), "bg")
    return matte[..., None] * foreground + (1 - matte[..., None]) * background, matte


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """Shots by the name of their motion, with motion files and with layers whose mattes are the truth."""
    made = {}

    def of(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("shot")
            pictures = [picture(MOTIONS[name], index) for index in range(FRAMES)]
            for index, (image, _) in enumerate(pictures):
                channels = {c: np.ascontiguousarray(image[..., i], np.float16) for i, c in enumerate("RGB")}
                plate_files.write(folder / "plate" / f"shot.{FIRST + index}.exr", channels, owner="somebody")
            shot = shot_of(str(folder / "plate" / "shot.####.exr"), folder / "out")
            shot.save()
            prep(shot, CPU, Recorder())
            render_known(shot, [matte for _, matte in pictures])
            made[name] = shot
        return made[name]

    return of


def render_known(shot, mattes):
    """Layer files as `render` writes them, as far as an edit is concerned."""
    made_from = {SETTINGS_ATTRIBUTE: shot.settings.digest("render"), MODEL_ATTRIBUTE: fit_digest(shot)}
    for frame, matte in zip(shot.frames, mattes, strict=True):
        channels = {f"{layer}.{c}": np.zeros_like(matte) for layer in ("bg", "fg1") for c in "RGB"}
        channels |= {"fg1.A": matte, "bg.A": 1 - matte}
        write_layers(shot.layer_file(frame), channels, shot.plate.header(frame), attributes=made_from)


def write_edit(path, rgba, **header):
    channels = {c: np.ascontiguousarray(rgba[..., i], np.float32) for i, c in enumerate("RGBA")}
    return plate_files.write(path, channels, **header)


def painted(seed=5):
    """Soft premultiplied colours (H, W, 4) everywhere, half to fully opaque."""
    rgb = noise(HEIGHT, WIDTH, seed)
    alpha = np.clip(noise(HEIGHT, WIDTH, seed + 1)[..., :1] + 0.3, 0.5, 1)
    return np.concatenate([rgb * alpha, alpha], -1).astype(np.float16).astype(np.float32)


@pytest.fixture
def edit(tmp_path):
    return Edit(write_edit(tmp_path / "paint.exr", painted()), "fg1", FIRST + REFERENCE, "paint")


def own(shot, tmp_path):
    """The same shot with a folder of its own for the edits."""
    out = tmp_path / "out"
    out.mkdir()
    for path in shot.out.iterdir():
        (out / path.name).symlink_to(path)
    return replace(shot, out=out)


def carried(shot, edit, frame):
    return plate_files.reference(edit.file(shot, frame), ("R", "G", "B", "A"))


@pytest.mark.parametrize("layer", ["bg", "fg1"])
@pytest.mark.parametrize("name", ["moved", "turned and zoomed"])
def test_points_of_a_layer_stay_on_its_surface_over_24_frames(shots, name, layer):
    motion, shot = MOTIONS[name], shots(name)
    found = dict(ways(shot, layer, REFERENCE, range(FRAMES)))
    assert sorted(found) == list(range(FRAMES))
    np.testing.assert_array_equal(found[REFERENCE], 0.0)
    there = picture(motion, REFERENCE)[1]
    for index, shift in found.items():
        matte = picture(motion, index)[1]
        y, x = np.nonzero((matte if layer == "fg1" else 1 - matte) > 0.9)
        truth = (motion.way(layer, index) @ np.stack([x, y, np.ones(len(x))]))[:2]
        # A surface that the reference does not show has no place in it.
        column, row = truth.round().astype(int)
        shown = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
        hidden = there[row.clip(0, HEIGHT - 1), column.clip(0, WIDTH - 1)]
        shown &= (hidden if layer == "fg1" else 1 - hidden) > 0.9
        error = np.linalg.norm(np.stack([x, y]) + shift[y, x].T - truth, axis=0)[shown]
        assert error.mean() < 0.25, index
        assert np.quantile(error, 0.99) < 1.0, index


def test_errors_do_not_add_up(shots, monkeypatch):
    """Flow that is off by 0.4 pixels each frame would be off by 5 after 13."""
    measured = carry.layer_flow
    monkeypatch.setattr(stage, "layer_flow", lambda *args, **named: measured(*args, **named) + np.float32(0.4))
    motion, shot = MOTIONS["moved"], shots("moved")
    *_, (index, shift) = ways(shot, "fg1", REFERENCE, [FRAMES - 1])
    assert index == FRAMES - 1
    y, x = np.nonzero(picture(motion, index)[1] > 0.9)
    truth = (motion.way("fg1", index) @ np.stack([x, y, np.ones(len(x))]))[:2]
    assert np.linalg.norm(np.stack([x, y]) + shift[y, x].T - truth, axis=0).mean() < 0.5


def test_on_its_own_frame_it_is_the_edit_times_the_matte(shots, edit, tmp_path):
    shot = own(shots("moved"), tmp_path)
    propagate(shot, CPU, Recorder(), edit, [edit.frame])
    matte = plate_files.reference(shot.layer_file(edit.frame), ("fg1.A",))
    expected = (painted() * matte).astype(np.float16)
    np.testing.assert_array_equal(carried(shot, edit, edit.frame), expected.astype(np.float32))


def test_over_the_plate_it_lies_where_the_surface_is(shots, edit, tmp_path):
    motion, shot = MOTIONS["turned and zoomed"], own(shots("turned and zoomed"), tmp_path)
    frame = FIRST + REFERENCE + 6
    propagate(shot, CPU, Recorder(), edit, [frame])
    moved = cv2.warpAffine(
        painted(), motion.way("fg1", REFERENCE + 6)[:2], (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    )
    matte = picture(motion, REFERENCE + 6)[1][..., None]
    found = carried(shot, edit, frame)
    inside = cv2.erode(matte, np.ones((9, 9))) > 0.5
    assert np.abs(found - moved * matte)[inside].mean() < 0.05 * moved[inside].std()
    np.testing.assert_array_equal(found[matte[..., 0] == 0], 0.0)
    assert (found[..., 3] <= matte[..., 0] + 1e-3).all()


def test_what_is_hidden_in_between_comes_back(shots, edit, tmp_path):
    """The disc flies over the painted ground."""
    motion, shot = MOTIONS["crossing"], own(shots("crossing"), tmp_path)
    ground = replace(edit, layer="bg", frame=FIRST + 2)
    frames = [FIRST + 2, FIRST + 13, FIRST + 22]
    propagate(shot, CPU, Recorder(), ground, frames)
    spot = (slice(44, 52), slice(82, 92))
    mattes = [picture(motion, frame - FIRST)[1][spot] for frame in frames]
    assert [matte.mean().round(2) for matte in mattes] == [0, 1, 0], "the spot is free, hidden, free"
    before, hidden, after = (carried(shot, ground, frame)[spot] for frame in frames)
    np.testing.assert_array_equal(hidden, 0.0)
    assert np.abs(after - before).mean() < 0.02


def test_over_leaves_it_whole(shots, edit, tmp_path):
    shot = own(shots("still"), tmp_path)
    frame = edit.frame + 2
    over = replace(edit, over=True)
    propagate(shot, CPU, Recorder(), over, [edit.frame, frame])
    np.testing.assert_array_equal(carried(shot, over, edit.frame), painted())
    middle = (slice(8, -8), slice(8, -8))
    assert np.abs(carried(shot, over, frame) - painted())[middle].mean() < 0.01


def test_a_file_is_like_the_plate_and_says_what_it_is(shots, edit, tmp_path):
    shot = own(shots("still"), tmp_path)
    propagate(shot, CPU, Recorder(), edit, [edit.frame])
    assert edit.file(shot, edit.frame) == shot.out / "edits" / f"paint.fg1.{edit.frame}.exr"
    file = OpenEXR.File(str(edit.file(shot, edit.frame)), separate_channels=True)
    assert sorted(file.channels(0)) == ["A", "B", "G", "R"]
    assert {channel.pixels.dtype for channel in file.channels(0).values()} == {np.dtype(np.float16)}
    header = file.header()
    assert header["owner"] == "somebody"
    assert header["compression"] == OpenEXR.ZIPS_COMPRESSION
    assert (header["vdp/layer"], header["vdp/edit_frame"]) == ("fg1", edit.frame)


def test_only_what_is_missing_or_stale_is_made(shots, edit, tmp_path):
    shot = own(shots("still"), tmp_path)
    recorder, frames = Recorder(), [edit.frame - 1, edit.frame, edit.frame + 1]
    propagate(shot, CPU, recorder, edit, frames)
    assert sorted(recorder.frames) == frames
    times = [edit.file(shot, frame).stat().st_mtime_ns for frame in frames]
    propagate(shot, CPU, recorder, edit, frames)
    assert [edit.file(shot, frame).stat().st_mtime_ns for frame in frames] == times
    edit.file(shot, frames[0]).write_bytes(b"damaged")
    assert pending(shot, edit, frames) == (frames[0],)
    for other in (replace(edit, over=True), replace(edit, frame=edit.frame + 1)):
        assert len(pending(shot, other, frames)) == 3
    write_edit(edit.path, painted(9))
    assert len(pending(shot, edit, frames)) == 3


def test_chunks_give_the_same_bytes(shots, edit, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole, parts = own(shots("moved"), tmp_path / "a"), own(shots("moved"), tmp_path / "b")
    frames = [edit.frame - 2, edit.frame + 1, edit.frame + 3]
    propagate(whole, CPU, Recorder(), edit, frames)
    for frame in reversed(frames):
        propagate(parts, CPU, Recorder(), edit, [frame])
    for frame in frames:
        assert edit.file(whole, frame).read_bytes() == edit.file(parts, frame).read_bytes()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"layer": "fg2"}, "usage.layer", "one of bg, fg1"),
        ({"frame": 1500}, "usage.frames", "1001-1024"),
        ({"path": Path("nothing.exr")}, "usage.edit", "no file nothing.exr"),
    ],
)
def test_what_cannot_be_is_refused(shots, edit, change, code, said):
    with pytest.raises(UsageError, match=said) as raised:
        propagate(shots("still"), CPU, Recorder(), replace(edit, **change))
    assert raised.value.code == code


def test_the_edit_is_never_overwritten(shots, edit, tmp_path):
    shot = own(shots("still"), tmp_path)
    beside = edit.file(shot, edit.frame)
    write_edit(beside, painted())
    content = beside.read_bytes()
    with pytest.raises(UsageError, match="overwrite"):
        propagate(shot, CPU, Recorder(), replace(edit, path=beside))
    assert beside.read_bytes() == content


def test_layers_have_to_be_there(shots, edit, tmp_path):
    shot = own(shots("still"), tmp_path)
    shot.layer_file(edit.frame + 2).unlink()
    propagate(shot, CPU, Recorder(), edit, [edit.frame - 1])
    with pytest.raises(ShotError, match=rf"frames {edit.frame + 2} are missing.*vdp render"):
        propagate(shot, CPU, Recorder(), edit, [edit.frame + 3])


def test_carrying_is_one_sharp_resampling():
    """A shift by half a pixel keeps of a fine stripe what a cubic keeps, which is more than a linear."""
    stripes = np.tile(0.5 + 0.5 * np.cos(np.arange(64) * 2 * np.pi / 5), (32, 1)).astype(np.float32)
    edit = np.dstack([stripes] * 4)
    shift = np.full((16, 32, 2), [0.25, 0], np.float32)  # in pixels of half the size
    found = placed(edit, shift, np.ones((32, 64), np.float32))[:, 8:-8, 0]
    truth = (0.5 + 0.5 * np.cos((np.arange(64) + 0.5) * 2 * np.pi / 5))[8:-8]
    linear = (stripes[0, 8:-8] + stripes[0, 9:-7]) / 2
    assert np.abs(found[16] - truth).mean() < 0.5 * np.abs(linear - truth).mean()
    whole = placed(edit, np.full((32, 64, 2), [3, 1], np.float32), None)
    np.testing.assert_array_equal(whole[:31, :61], edit[1:, 3:])
    np.testing.assert_array_equal(whole[:, 61:], 0.0)


def test_what_gets_smaller_is_averaged_not_picked():
    checks = (np.indices((96, 96)).sum(0) % 2).astype(np.float32)
    edit = np.dstack([checks] * 3 + [np.ones_like(checks)])
    y, x = np.mgrid[:96, :96].astype(np.float32)
    shift = np.dstack([x * 2 - 60, y * 2 - 60])  # a third of the size
    found = placed(edit, shift, None)[24:48, 24:48]
    assert np.abs(found[..., 0] - 0.5).max() < 0.2
    np.testing.assert_allclose(found[..., 3], 1.0, atol=1e-3)


def test_an_overshoot_makes_no_new_extremes():
    edge = np.zeros((16, 64, 4), np.float32)
    edge[:, 32:] = [40.0, 1.0, 0.5, 1.0]
    found = placed(edge, np.full((16, 64, 2), [0.3, 0], np.float32), None)
    assert found.min() >= 0 and found[..., 3].max() <= 1 and found[..., 0].max() <= 50


def plate_of(folder, **header):
    channels = plate_files.colour_channels(12, 16)
    return Plate.open(str(plate_files.write(folder / "plate.1001.exr", channels, **header)), frames="1001")


def test_an_exr_is_placed_by_its_windows(tmp_path):
    windows = {"dataWindow": plate_files.box(-2, -1, 16, 12), "displayWindow": plate_files.box(0, 0, 14, 10)}
    plate = plate_of(tmp_path, **windows)
    patch = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 24
    patch[0, 0, 0] = np.nan
    inside = {"dataWindow": plate_files.box(4, 5, 3, 2), "displayWindow": plate_files.box(0, 0, 14, 10)}
    found = read_edit(write_edit(tmp_path / "edit.exr", patch, **inside), plate)
    expected = np.zeros((12, 16, 4), np.float32)
    expected[6:8, 6:9] = patch
    expected[6, 6] = 0
    np.testing.assert_array_equal(found, expected)


def test_a_png_is_display_referred_and_straight(tmp_path):
    plate = plate_of(tmp_path)
    bgra = np.random.default_rng(0).integers(0, 256, (12, 16, 4), np.uint8)
    cv2.imwrite(str(tmp_path / "edit.png"), bgra)
    code = bgra[..., 2::-1].astype(np.float64) / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    found = read_edit(tmp_path / "edit.png", plate)
    alpha = bgra[..., 3:] / 255.0
    np.testing.assert_allclose(found, np.concatenate([linear * alpha, alpha], -1), atol=2e-6)


def test_a_png_is_encoded_as_its_plate(tmp_path):
    code = np.random.default_rng(0).integers(0, 256, (12, 16, 4), np.uint8)
    code[..., 3] = 255
    cv2.imwrite(str(tmp_path / "plate.1001.png"), code[..., :3])
    cv2.imwrite(str(tmp_path / "edit.png"), code)
    plate = Plate.open(str(tmp_path / "plate.1001.png"), frames="1001", colorspace="sRGB - Texture")
    found = read_edit(tmp_path / "edit.png", plate)
    np.testing.assert_allclose(found[..., :3], plate.read(1001).pixels, atol=1e-6)


def test_an_edit_of_another_kind_is_refused(tmp_path):
    plate = plate_of(tmp_path)
    cases = {
        "usage.size": (write_edit(tmp_path / "large.exr", np.ones((24, 32, 4))), r"32x24\+0\+0.*16x12\+0\+0"),
        "usage.edit": (plate_files.write(tmp_path / "rgb.exr", plate_files.colour_channels(12, 16)), "R G B A"),
    }
    for code, (path, said) in cases.items():
        with pytest.raises(UsageError, match=said) as raised:
            read_edit(path, plate)
        assert raised.value.code == code
