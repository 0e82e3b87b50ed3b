"""The network that mends DIS, and the estimator around it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.motion.samples import restless
from vdp_engine.errors import MotionError
from vdp_engine.flow_training.scenes import HELD_OUT, make_pair
from vdp_engine.motion import boxed
from vdp_engine.motion.boxed import CORRECTIONS, ROUNDS, BoxedFlow, Mender, Way
from vdp_engine.motion.dis import DisFlow
from vdp_engine.motion.estimator import make_estimator
from vdp_engine.motion.flow_net import Clues, FlowNet, _Compared, compare
from vdp_engine.motion.proxy import Proxy
from vdp_engine.motion.sizes import WorkingSizes
from vdp_engine.settings import Machine, Settings

CPU = torch.device("cpu")
SIZES = WorkingSizes((64, 96), (64, 96), (64, 96))


def proxies(size: tuple[int, int] = (72, 100), seed: int = 0) -> tuple[Proxy, Proxy]:
    pair = make_pair(np.random.default_rng(seed), size, HELD_OUT)
    covered = np.ones(size, np.float32)
    return Proxy(1, pair.first, covered), Proxy(2, pair.second, covered)


def clues(height: int, width: int) -> Clues:
    torch.manual_seed(1)
    flows = (3 * torch.randn(2, 2, height, width) for _ in range(3))
    return Clues(torch.rand(2, 3, height, width), torch.rand(2, 3, height, width), *flows)


def test_untrained_it_is_the_identity_on_its_start() -> None:
    given = clues(48, 64)
    with torch.inference_mode():
        mended = FlowNet()(given)
    assert torch.equal(mended.flow, given.start)
    assert all(torch.equal(flow, given.start) for flow in mended.fine)
    assert not torch.equal(restless()(given).flow, given.start)


@pytest.mark.parametrize("corrections", CORRECTIONS.values())
def test_shapes(corrections: tuple[int, int]) -> None:
    with torch.inference_mode():
        mended = restless()(clues(40, 72), *corrections)
    assert mended.flow.shape == (2, 2, 40, 72)
    assert mended.trust.shape == (2, 40, 72)
    assert [flow.shape for flow in mended.coarse] == [(2, 2, 5, 9)] * corrections[0]
    assert len(mended.fine) == corrections[1]


def test_in_use_flow_is_drawn_in_full_size_once_and_is_that_of_training() -> None:
    net, given = restless(), clues(40, 72)
    with torch.inference_mode():
        trained, used = net.train()(given, 2, 3), net.eval()(given, 2, 3)
    assert len(trained.fine) == 3 and len(used.fine) == 1
    assert torch.equal(used.fine[0], used.flow)
    assert torch.equal(used.flow, trained.flow)
    assert torch.equal(used.trust, trained.trust)


def test_each_pixel_is_the_weighted_mean_of_the_nine_cells_around_it() -> None:
    torch.manual_seed(4)
    start4, change, start = torch.randn(2, 2, 3, 4), torch.randn(2, 2, 3, 4), torch.randn(2, 2, 12, 16)
    weights, replace = torch.randn(2, 9 * 16, 3, 4), torch.randn(2, 12, 16)
    found = FlowNet()._enlarged(start4, change, weights, start, replace)
    shares = weights.view(2, 9, 4, 4, 3, 4).softmax(1)
    for sample, y, x in ((0, 0, 0), (1, 5, 9), (1, 11, 15), (0, 7, 2)):
        row, column, inner = y // 4, x // 4, (y % 4, x % 4)
        near = [(min(max(row + d, 0), 2), min(max(column + a, 0), 3)) for d in (-1, 0, 1) for a in (-1, 0, 1)]
        mean = [
            sum(shares[(sample, i, *inner, row, column)] * 4 * one[sample, :, r, c] for i, (r, c) in enumerate(near))
            for one in (change, start4)
        ]
        here = start[sample, :, y, x]
        wanted = here + mean[0] + torch.tanh(replace[sample, y, x]) * (mean[1] - here)
        torch.testing.assert_close(found[sample, :, y, x], wanted)


def test_comparison_is_the_product_with_what_lies_there() -> None:
    """Against a loop, at whole-pixel flow, beyond the edge too."""
    torch.manual_seed(2)
    first, second = torch.randn(1, 5, 6, 7), torch.randn(1, 5, 6, 7)
    flow = torch.zeros(1, 2, 6, 7)
    flow[:, 0], flow[:, 1] = 2, -1
    found = compare(first, second, flow, 1)
    for row, column, down, across in ((2, 3, -1, 1), (0, 0, 1, 0), (5, 6, 0, 0), (3, 3, 0, 1)):
        y, x = row - 1 + down, column + 2 + across
        # The neighbourhood is one of the moved picture, which ends where the picture ends.
        inside = 0 <= y < 6 and 0 <= x < 7 and 0 <= row + down < 6 and 0 <= column + across < 7
        wanted = float(first[0, :, row, column] @ second[0, :, y, x]) if inside else 0.0
        index = (down + 1) * 3 + across + 1
        assert float(found[0, index, row, column]) == pytest.approx(10 * wanted, abs=1e-4)


def test_the_gradient_of_comparison() -> None:
    torch.manual_seed(3)
    first = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    moved = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: _Compared.apply(a, b, 1), (first, moved))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 16), (45, 67)])
def test_any_size_and_untrained_it_gives_what_dis_gives(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    pair = [Proxy(frame, rng.random((*size, 3), np.float32), np.ones(size, np.float32)) for frame in (1, 2)]
    flow = BoxedFlow(FlowNet(), "vdp", CPU, "standard").flow(*pair)
    assert flow.dtype == np.float32
    np.testing.assert_array_equal(flow, DisFlow().flow(*pair))
    moved, trust = BoxedFlow(restless(), "vdp", CPU, "standard").flow_and_trust(*pair)
    assert moved.shape == (2, *size) and trust.shape == size
    assert np.isfinite(moved).all()
    assert trust.min() >= 0 and trust.max() <= 1


def test_what_is_not_covered_does_no_harm() -> None:
    source, target = proxies()
    covered = np.zeros((72, 100), np.float32)
    holes = Proxy(1, np.where(covered[..., None] > 0, source.image, np.float32(-9)), covered)
    assert np.isfinite(BoxedFlow(restless(), "vdp", CPU, "draft").flow(holes, target)).all()


def test_the_same_pair_gives_the_same_flow() -> None:
    estimator = BoxedFlow(restless(), "vdp", CPU, "standard")
    flows = [estimator.flow(*proxies()) for _ in range(2)]
    np.testing.assert_array_equal(*flows)


@pytest.mark.parametrize("turned", [False, True])
def test_pictures_are_looked_at_once_and_each_round_is_worked_out_once(
    turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    mended: list[int] = []
    features, forward = FlowNet.features, FlowNet.forward
    monkeypatch.setattr(FlowNet, "features", lambda *given: looked.append(1) or features(*given))  # type: ignore[func-returns-value]
    monkeypatch.setattr(FlowNet, "forward", lambda *given: mended.append(1) or forward(*given))  # type: ignore[func-returns-value]
    estimator, pair = BoxedFlow(restless(), "vdp", CPU, "standard"), proxies()
    order = (pair[::-1], pair) if turned else (pair, pair[::-1])
    found = {one[0].frame: estimator.flow(*one) for one in order}
    assert (len(looked), len(mended)) == (1, 2 * ROUNDS["standard"])
    mender, dis = Mender(restless(), CPU), DisFlow()
    ways = [Way(dis.flow(*one), None) for one in (pair, pair[::-1])]
    for _ in range(ROUNDS["standard"]):
        ways = [mender.mend(*one, *both) for one, both in ((pair, ways), (pair[::-1], ways[::-1]))]
    for way, source in zip(ways, pair, strict=True):
        np.testing.assert_array_equal(found[source.frame], way.flow)


def test_both_ways_of_a_pair_at_once_share_dis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way is worked out once, whoever asks first, and the threads get what one alone gets."""
    asked: list[tuple[int, int]] = []
    real = DisFlow.flow

    def counted(self: DisFlow, source: Proxy, target: Proxy) -> np.ndarray:
        asked.append((source.frame, target.frame))
        return real(self, source, target)

    alone = [BoxedFlow(restless(), "vdp", CPU, "standard").flow(*pair) for pair in (proxies(), proxies()[::-1])]
    monkeypatch.setattr(DisFlow, "flow", counted)
    estimator, (first, second) = BoxedFlow(restless(), "vdp", CPU, "standard"), proxies()
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(estimator.flow, (first, second), (second, first)))
    assert sorted(asked) == [(1, 2), (2, 1)]
    for flow, wanted in zip(together, alone, strict=True):
        np.testing.assert_array_equal(flow, wanted)


def test_an_error_of_dis_reaches_everyone_who_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: DisFlow, source: Proxy, target: Proxy) -> np.ndarray:
        raise MemoryError("no room")

    monkeypatch.setattr(DisFlow, "flow", broken)
    estimator, pair = BoxedFlow(FlowNet(), "vdp", CPU, "draft"), proxies()
    for _ in range(2):
        with pytest.raises(MemoryError, match="no room"):
            estimator.flow(*pair)


def test_dis_is_its_witness_and_is_not_worked_out_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    dis, asked = DisFlow.flow, []
    monkeypatch.setattr(DisFlow, "flow", lambda self, *pair: asked.append(pair) or dis(self, *pair))
    estimator, pair = BoxedFlow(restless(), "vdp", CPU, "draft"), proxies()
    witness = estimator.witness
    assert witness is not None and witness.name == DisFlow().name
    mended, told = estimator.flow(*pair), witness.flow(*pair)
    assert len(asked) == 2  # both ways
    np.testing.assert_array_equal(told, dis(DisFlow(), *pair))
    assert np.abs(mended - told).max() > 0.01


def test_the_name_tells_weights_quality_and_dark_plates_apart(tmp_path: Path) -> None:
    names = set()
    for index, net in enumerate((FlowNet(), restless())):
        path = tmp_path / f"{index}.safetensors"
        save_file({key: value.half() for key, value in net.state_dict().items()}, path)
        names |= {BoxedFlow.load(quality, CPU, weights=path).name for quality in CORRECTIONS}
        names.add(BoxedFlow.load("draft", CPU, weights=path, dark=True).name)
    assert len(names) == 8


@pytest.mark.parametrize("case", ["absent", "cut", "other_net"])
def test_weights_that_are_not_there_are_named_with_a_way_out(tmp_path: Path, case: str) -> None:
    path = tmp_path / "flow.safetensors"
    if case != "absent":
        save_file({"weight": torch.ones(2)}, path)
    if case == "cut":
        path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(MotionError) as caught:
        BoxedFlow.load("draft", CPU, weights=path)
    assert caught.value.code == "motion.boxed_weights"
    assert str(path) in str(caught.value) and "--flow dis" in str(caught.value)
    assert ("is not there" in str(caught.value)) == (case == "absent")


def test_a_shot_without_its_weights_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxed.read_weights, "__defaults__", (tmp_path / "gone.safetensors",))
    monkeypatch.setattr(boxed, "WEIGHTS", tmp_path / "gone.safetensors")
    with pytest.raises(MotionError, match=r"gone\.safetensors is not there"):
        make_estimator(Settings.parse(flow="vdp"), None, SIZES, Machine.parse(device="cpu"))  # type: ignore[arg-type]


def test_the_weights_in_the_box_are_small_and_better_than_dis() -> None:
    assert boxed.WEIGHTS.stat().st_size < 6_000_000
    estimator = make_estimator(Settings.parse(flow="vdp"), None, SIZES, Machine.parse(device="cpu"))  # type: ignore[arg-type]
    assert isinstance(estimator, BoxedFlow)
    assert estimator.max_gap is None
    errors: list[tuple[float, float]] = []
    for seed in range(6):
        pair = make_pair(np.random.default_rng([7, seed]), (128, 176), HELD_OUT)
        covered = np.ones((128, 176), np.float32)
        given = Proxy(1, pair.first, covered), Proxy(2, pair.second, covered)
        flows = (estimator.flow(*given), DisFlow().flow(*given))
        errors.append(tuple(float(np.hypot(*(flow - pair.forward)).mean()) for flow in flows))  # type: ignore[arg-type]
    ours, dis = np.mean(errors, 0)
    assert ours < 0.9 * dis
