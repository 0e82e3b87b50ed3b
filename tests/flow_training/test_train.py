"""Training: resumed it ends where it would have ended, and it learns."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.motion.samples import restless
from vdp_engine.flow_training import __main__ as command
from vdp_engine.flow_training import train
from vdp_engine.flow_training.scenes import TRAINING, make_pair
from vdp_engine.flow_training.train import Batches, Training, joined, loss_of, rate_share, samples_of
from vdp_engine.motion import boxed
from vdp_engine.motion.boxed import Mender, Way
from vdp_engine.motion.dis import DisFlow
from vdp_engine.motion.flow_net import FlowNet
from vdp_engine.motion.proxy import Proxy

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small pictures, so that a step takes a tenth of a second, and one scene to validate on."""
    monkeypatch.setattr(train, "PICTURE", (72, 96))
    monkeypatch.setattr(train, "CROP", (48, 64))
    monkeypatch.setattr(train, "_VALIDATION_SCENES", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for one another on a busy machine take minutes
    train.validation.cache_clear()
    yield
    torch.set_num_threads(before)
    train.validation.cache_clear()


def test_stopped_and_resumed_gives_the_weights_of_one_run(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    whole = Training(tmp_path / "one", 6, seed=4, validate_every=3)
    whole.run(60, lambda line: None)
    half = Training(tmp_path / "two", 6, seed=4, validate_every=3)
    for step in range(2):
        half.one_step(Batches(4)[step])
    half.save()
    rest = Training(tmp_path / "two", 6, seed=4, validate_every=3)
    assert rest.step == 2
    rest.run(60, lambda line: None)
    for key, value in whole.net.state_dict().items():
        assert torch.equal(value, rest.net.state_dict()[key]), key
        assert torch.equal(whole.mean[key], rest.mean[key]), key
    lines = [json.loads(line) for line in (tmp_path / "one" / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6]
    assert whole.best == pytest.approx(min((line["validation"] + line["own"]) / 2 for line in lines), abs=1e-4)


def test_a_new_training_may_begin_with_the_weights_of_another(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old = Training(tmp_path / "old", 2, validate_every=2)
    old.run(60, lambda line: None)
    new = Training(tmp_path / "new", 2, start=tmp_path / "old" / "best.safetensors")
    assert new.step == 0
    for key, value in old.mean.items():
        assert torch.equal(new.net.state_dict()[key], value.half().float()), key
        assert torch.equal(new.mean[key], new.net.state_dict()[key]), key


def test_another_seed_is_refused_in_a_folder_that_has_one(tmp_path: Path) -> None:
    training = Training(tmp_path, 10, seed=1)
    training.save()
    with pytest.raises(SystemExit, match="--seed 1"):
        Training(tmp_path, 10, seed=2)


def test_it_stops_when_the_time_is_up_and_keeps_what_it_has(tmp_path: Path) -> None:
    Training(tmp_path, 10).run(0.0, lambda line: None)
    assert Training(tmp_path, 10).step == 0
    assert (tmp_path / "checkpoint.pt").exists()


def test_the_best_is_kept_for_the_engine_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Training(tmp_path, 1).run(60, lambda line: None)
    target = tmp_path / "engine" / "flow.safetensors"
    monkeypatch.setattr(boxed, "WEIGHTS", target)
    monkeypatch.setattr(sys, "argv", ["flow_training", str(tmp_path), "--export", "--threads", "1"])
    command.main()
    net, _ = boxed.read_weights(target)
    assert isinstance(net, FlowNet)
    assert target.stat().st_size < 6_000_000


def test_some_steps_on_one_scene_bring_its_loss_down(tmp_path: Path) -> None:
    training = Training(tmp_path, 100, rate=1e-2, bfloat16=False)
    sample = Batches(0)[0]
    before = float(loss_of(FlowNet()(sample.clues), sample).detach())
    for _ in range(25):
        training.one_step(sample)
    with torch.inference_mode():
        after = float(loss_of(training.net(sample.clues), sample))
    assert after < 0.8 * before


def test_the_true_flow_has_the_least_loss() -> None:
    sample = samples_of(make_pair(np.random.default_rng(0), (72, 96), TRAINING))[0].crop(0, 0, (64, 96), (False, False))
    with torch.inference_mode():
        mended = FlowNet()(sample.clues)
        perfect = type(mended)(sample.truth, mended.trust, mended.coarse, [sample.truth, sample.truth])
    assert float(loss_of(perfect, sample)) < float(loss_of(mended, sample))


def test_a_batch_follows_from_seed_and_step() -> None:
    first, again, other = Batches(1)[5], Batches(1)[5], Batches(2)[5]
    later = Batches(1)
    later[3]
    for sample in (again, later[5]):
        assert torch.equal(first.clues.first, sample.clues.first)
        assert torch.equal(first.truth, sample.truth)
    assert not torch.equal(first.clues.first, other.clues.first)
    assert first.truth.shape == (2, 2, 48, 64)


@pytest.mark.parametrize("flips", [(True, False), (False, True), (True, True)])
def test_a_mirrored_crop_is_the_crop_of_a_mirrored_scene(flips: tuple[bool, bool]) -> None:
    """Flow turns with the picture: what it fetches from the second stays what it was."""
    from vdp_engine.motion.warp import warp

    sample = samples_of(make_pair(np.random.default_rng(0), (72, 96), TRAINING))[0]
    mirrored = sample.crop(0, 0, (72, 96), flips)
    axes = [axis for axis, flip in ((-1, flips[0]), (-2, flips[1])) if flip]
    plain = warp(sample.clues.second, sample.truth)[0]
    turned = warp(mirrored.clues.second, mirrored.truth)[0]
    torch.testing.assert_close(turned.flip(axes), plain, atol=1e-4, rtol=0)
    assert torch.equal(joined([mirrored, mirrored]).truth[1], mirrored.truth[0])


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    shares = [rate_share(step, 1000) for step in range(1001)]
    assert shares[0] == 0.01 and shares[500] == 1.0 and shares[1000] == 0.0
    assert shares[850] == pytest.approx(0.5)


def test_a_second_round_starts_from_what_the_first_one_made() -> None:
    pair = make_pair(np.random.default_rng(0), (72, 96), TRAINING)
    mender = Mender(restless().eval(), CPU)
    first, second = (
        Proxy(index, one, np.ones((72, 96), np.float32)) for index, one in enumerate((pair.first, pair.second))
    )
    there, back = (Way(DisFlow().flow(*order), None) for order in ((first, second), (second, first)))
    wanted = mender.mend(first, second, there, back), mender.mend(second, first, back, there)
    for sample, way in zip(samples_of(pair, mender), wanted, strict=True):
        np.testing.assert_array_equal(sample.clues.start[0].numpy(), way.flow)
        assert not np.array_equal(way.flow, there.flow)
    batches, plain = Batches(0, mender=mender), Batches(0)
    assert torch.equal(batches[0].clues.start[0], plain[0].clues.start[0])  # scene 0 is of the first round,
    assert not torch.equal(batches[0].clues.start[1], plain[0].clues.start[1])  # scene 1 of the second


def test_weights_for_the_first_round_lie_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(train.exported(restless().state_dict()))
    folder = tmp_path / "training"
    given = [str(folder), "--steps", "1", "--first-round", str(weights), "--from", str(weights), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["flow_training", *given])
    command.main()
    line = json.loads((folder / "curve.jsonl").read_text())
    assert line["start"] != pytest.approx(train.score(FlowNet(), train.validation(0))[1], abs=1e-3)
    assert (folder / "first.safetensors").read_bytes() == weights.read_bytes()
    assert Training(folder, 1).step == 1


def test_it_costs_to_take_a_moving_thing_for_still() -> None:
    """Not where the flow is more than half way to the truth, and not where the camera's motion is not told."""
    sample = Batches(0)[0]
    shift = torch.tensor([30.0, 0.0])[:, None, None]
    moving = replace(sample, truth=sample.clues.camera + shift)
    assert float(train._shrunk(sample.clues.camera, moving).min()) == pytest.approx(4.0, abs=0.01)
    assert float(train._shrunk(sample.clues.camera + 0.4 * shift, moving).mean()) == pytest.approx(0.8, abs=0.01)
    assert float(train._shrunk(sample.clues.camera + 0.6 * shift, moving).max()) == 0
    untold = replace(moving, clues=replace(moving.clues, start=moving.clues.camera))
    assert float(train._shrunk(untold.clues.camera, untold).max()) == 0
