from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.optical_flow import raft_large, raft_small

from tests.motion.samples import texture
from vdp_engine.errors import MotionError
from vdp_engine.motion.dis import DisFlow
from vdp_engine.motion.proxy import Proxy, joint_stretch
from vdp_engine.motion.raft import RaftFlow
from vdp_engine.motion.vectors import VectorFlow
from vdp_engine.plate import Window, log_encode

CPU = torch.device("cpu")


def proxy(image: np.ndarray, frame: int = 1) -> Proxy:
    return Proxy(frame, image, np.ones(image.shape[:2], np.float32))


def test_dis_finds_a_shift_in_a_low_contrast_log_image():
    flow = DisFlow().flow(proxy(texture((96, 128))), proxy(texture((96, 128), (3.0, -2.0))))
    assert flow.shape == (2, 96, 128)
    assert flow.dtype == np.float32
    inner = flow[:, 12:-12, 12:-12]
    np.testing.assert_allclose(np.median(inner, axis=(1, 2)), [3.0, -2.0], atol=0.1)
    assert np.abs(inner - np.array([3.0, -2.0])[:, None, None]).mean() < 0.15


def test_dis_does_not_depend_on_threads():
    pair = proxy(texture((128, 160))), proxy(texture((128, 160), (1.5, 0.5)))
    before, flows = cv2.getNumThreads(), []
    try:
        for threads in (1, 2, 5):
            cv2.setNumThreads(threads)
            flows.append(DisFlow().flow(*pair))
    finally:
        cv2.setNumThreads(before)
    assert all(np.array_equal(flows[0], flow) for flow in flows[1:])


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 16), (13, 200)])
def test_dis_takes_any_size(size):
    flow = DisFlow().flow(proxy(texture(size)), proxy(texture(size, seed=1)))
    assert flow.shape == (2, *size)
    assert np.isfinite(flow).all()


@pytest.mark.parametrize("value", [0.0, 0.073, 1.2])
def test_flat_frames_do_not_move(value):
    flat = proxy(np.full((32, 48, 3), value, np.float32))
    assert np.array_equal(DisFlow().flow(flat, flat), np.zeros((2, 32, 48), np.float32))


def test_the_stretch_is_the_pairs_own_and_the_same_both_ways():
    rng = np.random.default_rng(2)
    one, other = (proxy(rng.normal(mean, 0.1, (200, 200, 3)).astype(np.float32)) for mean in (0.3, 0.5))
    low, high = joint_stretch(one, other)
    assert (low, high) == joint_stretch(other, one)
    both = np.concatenate([one.image, other.image])
    np.testing.assert_allclose([low, high], np.percentile(both, [0.5, 99.5]), atol=1e-4)


def test_the_stretch_leaves_out_what_is_not_covered():
    image = np.full((40, 40, 3), 0.5, np.float32)
    image[:20], image[20:, :20] = -9.0, 0.6
    coverage = np.ones((40, 40), np.float32)
    coverage[:20] = 0.0
    half = Proxy(1, image, coverage)
    np.testing.assert_allclose(joint_stretch(half, half), [0.5, 0.6], atol=1e-6)
    nothing = Proxy(1, image, np.zeros((40, 40), np.float32))
    assert np.isfinite(DisFlow().flow(nothing, nothing)).all()


# RAFT


@pytest.fixture(scope="module")
def small_state():
    torch.manual_seed(0)
    return raft_small(weights=None, progress=False).state_dict()


def test_raft_gives_what_torchvision_gives_on_the_padded_pair(small_state, tmp_path):
    torch.save(small_state, tmp_path / "mine.pth")
    estimator = RaftFlow.load(str(tmp_path / "mine.pth"), CPU)
    source, target = texture((40, 60)), texture((40, 60), (1.0, 0.0))
    flow = estimator.flow(proxy(source), proxy(target))
    assert flow.shape == (2, 40, 60)
    assert flow.dtype == np.float32

    reference = raft_small(weights=None, progress=False).eval()
    reference.load_state_dict(small_state)
    low, high = joint_stretch(proxy(source), proxy(target))
    pair = []
    for image in (source, target):
        padded = np.pad(np.clip((image - low) / (high - low), 0, 1) * 2 - 1, ((0, 88), (0, 68), (0, 0)), mode="edge")
        pair.append(torch.from_numpy(padded.astype(np.float32)).permute(2, 0, 1)[None])
    with torch.no_grad():
        expected = reference(*pair)[-1][0, :, :40, :60].numpy()
    np.testing.assert_allclose(flow, expected, atol=1e-2)


def test_raft_weights_may_be_safetensors_and_name_the_estimator_by_their_bytes(small_state, tmp_path):
    names = []
    for index, change in enumerate((0.0, 0.0, 1.0)):
        path = tmp_path / f"{index}.safetensors"
        save_file({key: value + change for key, value in small_state.items()}, path)
        names.append(RaftFlow.load(str(path), CPU).name)
    assert names[0].startswith("raft_small ")
    assert names[0] == names[1] != names[2]


def test_raft_large_is_told_by_its_weights_and_found_in_the_torch_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    torch.save(raft_large(weights=None, progress=False).state_dict(), folder / "raft_large_C_T_V2-1bb1363a.pth")
    assert RaftFlow.load(None, CPU).name.startswith("raft_large ")


def test_missing_raft_weights_say_which_where_and_what_else(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    with pytest.raises(MotionError) as caught:
        RaftFlow.load(None, CPU)
    assert caught.value.code == "motion.raft_weights"
    for part in (str(tmp_path), "raft_large_C_T_SKHT_V2-ff5fadd5.pth", "Raft_Large_Weights", "--flow dis", "https://"):
        assert part in str(caught.value)


@pytest.mark.parametrize("case", ["absent", "not_weights", "cut", "other_net", "other_safetensors"])
def test_wrong_raft_weights_are_refused_by_name(small_state, tmp_path, case):
    path = tmp_path / ("mine.safetensors" if case == "other_safetensors" else "mine.pth")
    if case == "not_weights":
        path.write_text("hello")
    elif case == "cut":
        torch.save(small_state, path)
        path.write_bytes(path.read_bytes()[:5000])
    elif case == "other_net":
        torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    elif case == "other_safetensors":
        save_file({"weight": torch.ones(2)}, path)
    with pytest.raises(MotionError) as caught:
        RaftFlow.load(str(path), CPU)
    assert caught.value.code == "motion.raft_weights"
    assert str(path) in str(caught.value)


# Motion vectors


class VectorPlate:
    """Constant motion vectors (u, v) per direction on an 80×40 canvas; the data window leaves out 20 columns."""

    def __init__(self, frames=(1, 2, 3), names=("forward.u", "forward.v", "backward.u", "backward.v")):
        self.frames = frames
        self.canvas = Window(0, 0, 80, 40)
        self._names = names

    def header(self, frame):
        return SimpleNamespace(data_window=Window(0, 0, 60, 40))

    def channel_names(self, frame):
        return ["R", "G", "B", *self._names]

    def read_channels(self, frame, names):
        values = {"forward.u": 8.0, "forward.v": 4.0, "backward.u": -8.0, "backward.v": -4.0}
        pixels = np.empty((40, 60, len(names)), np.float32)
        for index, name in enumerate(names):
            pixels[..., index] = values[name.removeprefix("mv.")]
        pixels[0, 0] = np.nan
        return pixels


@pytest.mark.parametrize("layer", [None, "mv"])
def test_vectors_are_scaled_to_the_flow_size_and_turned_upside_down(layer):
    prefix = f"{layer}." if layer else ""
    names = [f"{prefix}{direction}.{axis}" for direction in ("forward", "backward") for axis in "uv"]
    estimator = VectorFlow(VectorPlate(names=names), (20, 20), layer)
    one, two = (Proxy(frame, np.zeros((20, 20, 3), np.float32), np.ones((20, 20), np.float32)) for frame in (1, 2))
    forward, backward = estimator.flow(one, two), estimator.flow(two, one)
    # 8 pixels right and 4 up of 80×40 are 2 right and 2 up of 20×20.
    np.testing.assert_allclose(forward[0, :, :15], 2.0)
    np.testing.assert_allclose(forward[1, :, :15], -2.0)
    np.testing.assert_allclose(backward, -forward)
    np.testing.assert_array_equal(forward[:, :, 15:], 0.0)
    assert estimator.max_gap == 1


@pytest.mark.parametrize(
    ("frames", "names", "layer", "code", "told"),
    [
        ((1, 3, 5), ("forward.u", "forward.v", "backward.u", "backward.v"), None, "vectors_frames", "consecutive"),
        ((1, 2), ("forward.u", "forward.v"), None, "vectors_channels", "backward.u and backward.v"),
        ((1, 2), (), None, "vectors_channels", "R, G, B"),
        ((1, 2), ("mv.u", "mv.v"), "mv", "vectors_channels", "mv.u/v lead one way only"),
    ],
)
def test_vectors_that_cannot_be_used_are_refused(frames, names, layer, code, told):
    with pytest.raises(MotionError) as caught:
        VectorFlow(VectorPlate(frames, names), (20, 20), layer)
    assert caught.value.code == f"motion.{code}"
    assert told in str(caught.value)


def test_flow_of_dark_plates_is_smoother_and_known_by_its_name():
    """The same pair under the noise of a dark plate: nearer to the true shift, and never mistaken for the other."""
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.normal(size=(96, 140)), (0, 0), 3)
    scene = np.interp(scene, (scene.min(), scene.max()), (0.001, 0.01))

    def seen(left: int) -> Proxy:
        light = scene[:, left : left + 128] + rng.normal(0, 8e-4, (96, 128))
        image = log_encode(np.repeat(light[..., None], 3, -1)).astype(np.float32)
        return Proxy(0, image, np.ones((96, 128), np.float32))

    source, target = seen(4), seen(2)
    errors = []
    for estimator in (DisFlow(), DisFlow(dark=True)):
        flow = estimator.flow(source, target)[:, 16:-16, 16:-16]
        errors.append(float(np.hypot(flow[0] - 2, flow[1]).mean()))
    assert errors[1] < errors[0]
    assert DisFlow().name != DisFlow(dark=True).name
