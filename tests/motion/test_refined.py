"""Flow refined on the pair itself: that it helps where it can, and else leaves alone what it is given."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.motion.samples import texture
from tests.motion.test_prep import FakePlate, contents, make_shot, run
from vdp_engine.errors import UsageError
from vdp_engine.flow_training.scenes import HELD_OUT, TRAINING, Family, make_pair
from vdp_engine.motion import pending, refined
from vdp_engine.motion.dis import DisFlow
from vdp_engine.motion.estimator import make_estimator
from vdp_engine.motion.proxy import Proxy
from vdp_engine.motion.refined import RefinedFlow, _enlarged, refine
from vdp_engine.motion.sizes import WorkingSizes
from vdp_engine.settings import Machine, Settings

CPU = torch.device("cpu")
SIZE = (96, 144)
SHIFT = np.array([3.25, -1.5], np.float32)

Flow = NDArray[np.float32]


def proxies(first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[Proxy, Proxy]:
    covered = np.ones(first.shape[:2], np.float32)
    return Proxy(1, first, covered), Proxy(2, second, covered)


def shifted_pair(brighter: float = 0.0) -> tuple[Proxy, Proxy]:
    return proxies(texture(SIZE), texture(SIZE, (float(SHIFT[0]), float(SHIFT[1]))) + np.float32(brighter))


def truth() -> Flow:
    """Both ways, of a shifted pair."""
    flow = np.broadcast_to(SHIFT[:, None, None], (2, *SIZE))
    return np.stack([flow, -flow]).astype(np.float32)


def smooth_error(most: float = 2.0) -> Flow:
    """Of each field its own, so that they disagree."""
    noise = np.random.default_rng(5).normal(size=(4, *SIZE)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(one, (0, 0), 12) for one in noise])
    return (smooth * (most / np.abs(smooth).max())).reshape(2, 2, *SIZE)


def error_of(flow: Flow, exact: Flow) -> float:
    return float(np.hypot(*(flow - exact).swapaxes(0, 1)).mean())


def miss_of(flow: Flow) -> list[float]:
    """Mean distance of each field from where the other leads back, none counting for more than four pixels."""
    height, width = flow.shape[-2:]
    misses = []
    for one, other in (flow, flow[::-1]):
        x, y = one[0] + np.arange(width, dtype=np.float32), one[1] + np.arange(height, dtype=np.float32)[:, None]
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        back = [cv2.remap(part, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for part in other]
        misses.append(float((np.minimum(np.hypot(*(one + back)), 4) * inside).mean()))
    return misses


class Given:
    """An estimator that gives what it was given, and counts how often it is asked."""

    name, max_gap, witness = "given", 3, None

    def __init__(self, both: Flow) -> None:
        self._both, self.asked = both, 0
        self._lock = threading.Lock()

    def flow(self, source: Proxy, target: Proxy) -> Flow:
        with self._lock:
            self.asked += 1
        return self._both[0 if source.frame < target.frame else 1]


@pytest.mark.parametrize("brighter", [0.0, 0.1])
def test_a_smooth_error_is_halved_whatever_the_exposure(brighter: float) -> None:
    start = truth() + smooth_error()
    mended = refine(*shifted_pair(brighter), start, CPU)
    assert error_of(start, truth()) > 0.5
    assert error_of(mended, truth()) < 0.5 * error_of(start, truth())
    assert mended.dtype == np.float32 and mended.shape == start.shape


def noise(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0.4, 0.1, (*SIZE, 3)).astype(np.float32)


@pytest.mark.parametrize(
    "pair",
    [
        shifted_pair(),
        shifted_pair(brighter=0.1),
        proxies(np.full((*SIZE, 3), 0.4, np.float32), np.full((*SIZE, 3), 0.5, np.float32)),
        proxies(noise(0), noise(1)),
    ],
    ids=["truth", "brighter", "flat", "noise"],
)
def test_fields_that_agree_are_left_alone_to_the_last_bit(pair: tuple[Proxy, Proxy]) -> None:
    assert np.array_equal(refine(*pair, truth(), CPU), truth())


def test_what_only_one_of_the_pictures_shows_is_left_alone() -> None:
    """Nothing is covered: there is no measuring, and so no mending."""
    first, second = (Proxy(one.frame, one.image, np.zeros(SIZE, np.float32)) for one in shifted_pair())
    start = truth() + smooth_error()
    assert np.array_equal(refine(first, second, start, CPU), start)


@pytest.mark.parametrize(("forward", "taken"), [(0.0, True), (3.0, False)])
def test_agreement_is_not_taken_at_the_price_of_the_pictures(
    forward: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either correction makes two fields agree to the last bit: one at the truth, one at 3 pixels from it."""
    start = truth()
    start[0, 0] += 0.5
    found = torch.zeros(2, 2, SIZE[0] // 8, SIZE[1] // 8)
    found[0, 0], found[1, 0] = (forward - 0.5) / 2, -forward / 2
    monkeypatch.setattr(refined, "_descend", lambda _pair: found)
    mended = refine(*shifted_pair(), start, CPU)
    assert np.array_equal(mended, start) != taken
    assert error_of(mended, truth()) <= (0.2 if taken else error_of(start, truth()))


@pytest.mark.parametrize(("right", "taken"), [(0.5, True), (30.0, False)])
def test_squares_that_do_not_agree_better_stay_and_a_picture_that_does_not_stays_whole(
    right: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The left half is put right. In the right one, where the picture has nothing to say, the fields are driven apart:
    that is left out, and where so much of it reaches over the border that all is worse, nothing is taken."""
    picture = texture(SIZE)
    picture[:, 72:] = 0.4
    start = np.zeros((2, 2, *SIZE), np.float32)
    start[0, 0] = 0.5
    found = torch.zeros(2, 2, SIZE[0] // 8, SIZE[1] // 8)
    found[0, 0, :, :9], found[0, 0, :, 9:] = -0.5 / 2, right / 2
    monkeypatch.setattr(refined, "_descend", lambda _pair: found)
    mended = refine(*proxies(picture, picture), start, CPU)
    assert np.array_equal(mended, start) != taken
    if taken:
        assert np.abs(mended[0, 0, :, :40]).max() < 0.01
        np.testing.assert_array_equal(mended[0, 0, :, 96:], start[0, 0, :, 96:])


@pytest.mark.parametrize("family", [TRAINING, HELD_OUT])
@pytest.mark.parametrize("seed", range(4))
def test_fields_agree_better_than_before_and_lie_no_further_from_the_truth(family: Family, seed: int) -> None:
    pair = make_pair(np.random.default_rng([77, seed]), (128, 192), family)
    first, second = proxies(pair.first, pair.second)
    start = np.stack([DisFlow().flow(first, second), DisFlow().flow(second, first)])
    mended = refine(first, second, start, CPU)
    assert not np.array_equal(mended, start)
    assert all(after < before for after, before in zip(miss_of(mended), miss_of(start), strict=True))
    exact = np.stack([pair.forward, pair.backward])
    assert error_of(mended, exact) < error_of(start, exact) * 1.02


def test_both_orders_of_asking_and_any_number_of_threads_give_the_same_bits() -> None:
    first, second = shifted_pair()
    flows, before = [], torch.get_num_threads()
    try:
        for threads, turned in ((1, False), (2, True), (3, False)):
            torch.set_num_threads(threads)
            estimator = RefinedFlow(Given(truth() + smooth_error()), CPU)
            ways = [(first, second), (second, first)]
            asked = {way[0].frame: estimator.flow(*way) for way in (reversed(ways) if turned else ways)}
            flows.append(np.stack([asked[1], asked[2]]))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(flows[0], flows[1]) and np.array_equal(flows[0], flows[2])
    assert not np.array_equal(flows[0], truth() + smooth_error())


def test_a_pair_asked_for_by_many_is_worked_out_once() -> None:
    first, second = shifted_pair()
    inner = Given(truth() + smooth_error())
    estimator = RefinedFlow(inner, CPU)
    with ThreadPoolExecutor(4) as pool:
        ways = [(first, second), (second, first)] * 3
        flows = list(pool.map(lambda way: estimator.flow(*way), ways))
    assert inner.asked == 2
    assert all(np.array_equal(flows[index], flows[index % 2]) for index in range(6))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 16), (13, 50), (97, 33)])
def test_any_size(size: tuple[int, int]) -> None:
    pair = proxies(texture(size), texture(size, seed=1))
    start = np.random.default_rng(3).normal(0, 2, (2, 2, *size)).astype(np.float32)
    mended = refine(*pair, start, CPU)
    assert mended.shape == start.shape and np.isfinite(mended).all()


def test_flow_that_leaves_the_picture_is_left_alone() -> None:
    start = np.full((2, 2, *SIZE), 3e4, np.float32)
    assert np.array_equal(refine(*shifted_pair(), start, CPU), start)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_enlarging_is_bilinear(factor: int) -> None:
    cells = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    wanted = torch.nn.functional.interpolate(cells, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(_enlarged(cells, factor), wanted)


# In the engine


def test_the_setting_wraps_the_estimator_and_changes_its_name() -> None:
    sizes, machine = WorkingSizes(SIZE, SIZE, SIZE), Machine(device="cpu")
    for flow in ("dis", "vdp"):
        plain, refined = (
            make_estimator(Settings(flow=flow, flow_refine=refine), None, sizes, machine)  # type: ignore[arg-type]
            for refine in (False, True)
        )
        assert isinstance(refined, RefinedFlow) and not isinstance(plain, RefinedFlow)
        assert refined.name.startswith(f"{plain.name} refined")
        assert refined.max_gap == plain.max_gap
        assert (refined.witness is None) == (plain.witness is None) == (flow != "vdp")
    assert RefinedFlow(Given(truth()), CPU).max_gap == 3


def test_vectors_of_the_plate_are_refused() -> None:
    with pytest.raises(UsageError, match="flow_refine needs flow=dis, vdp or raft"):
        Settings.parse(flow="vectors", flow_refine=True)


def test_prep_gives_the_same_bytes_in_chunks_and_others_than_without(tmp_path: Path) -> None:
    frames = range(1001, 1005)
    plain = make_shot(tmp_path / "plain", FakePlate(frames))
    whole = make_shot(tmp_path / "whole", FakePlate(frames), flow_refine=True)
    chunked = make_shot(tmp_path / "chunked", FakePlate(frames), flow_refine=True)
    run(plain)
    run(whole, threads=3)
    for chunk, threads in (((1003, 1004), 1), ((1001, 1002), 2)):
        run(chunked, chunk, threads)
    assert contents(whole) == contents(chunked)
    assert pending(whole, whole.frames) == ()
    assert all(contents(whole)[frame] != contents(plain)[frame] for frame in frames)
