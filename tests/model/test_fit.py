import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.model import tiny_shot
from tests.model.tiny_shot import CPU, STEPS, Recorder, shot_of, small
from vdp_engine.errors import FitError, ShotError
from vdp_engine.model import losses, store
from vdp_engine.model.decomposition import load_decomposition
from vdp_engine.model.fit import fit, one_cycle, pending
from vdp_engine.model.layers.objective import LayersObjective
from vdp_engine.model.task import Phase
from vdp_engine.motion import prep

EVIDENCE, JOINT = STEPS
NET = (32, 48)
fit_stage = importlib.import_module("vdp_engine.model.fit")  # the package gives the function this name


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A shot with its motion, not fitted."""
    folder = tmp_path_factory.mktemp("shot")
    shot = shot_of(tiny_shot.write_plate(folder / "plate"), folder / "out")
    shot.save()
    with small():
        prep(shot, CPU, Recorder())
    return shot


@pytest.fixture(autouse=True)
def short():
    with small():
        yield


@pytest.fixture
def fresh(prepared, tmp_path):
    """A copy of the shot for one test; other settings on request."""

    def make(name="out", **settings):
        out = tmp_path / name
        shutil.copytree(prepared.work, out / ".vdp")
        chosen = prepared.settings.model_copy(update=settings)
        return replace(prepared, out=out, settings=chosen)

    return make


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    """The model file of a fit that nothing got in the way of."""
    shot = replace(prepared, out=tmp_path_factory.mktemp("undisturbed"))
    shutil.copytree(prepared.work, shot.work)
    with small():
        fit(shot, CPU, Recorder())
    return shot.model_file.read_bytes()


def test_a_seed_gives_the_same_model_bit_for_bit(fresh, undisturbed):
    again, other = fresh("again"), fresh("other", seed=1)
    torch.manual_seed(77)  # what was drawn before plays no part
    torch.rand(5)
    for shot in (again, other):
        fit(shot, CPU, Recorder())
        assert not shot.checkpoint_file.exists()
    assert again.model_file.read_bytes() == undisturbed
    assert other.model_file.read_bytes() != undisturbed


def test_a_model_says_what_it_is(fresh, undisturbed):
    shot = fresh()
    shot.model_file.write_bytes(undisturbed)
    facts = store.facts(shot.model_file)
    expected = {"task": "layers", "objective": "vdp", "layers": 2, "found": 1, "features": "gradients", "key_frames": 6}
    assert {name: facts[name] for name in expected} == expected
    model = load_decomposition(shot, torch.device("cpu"))
    assert (model.count, model.digest) == (2, facts["digest"])
    assert model.foreground.shape == (6, *NET)
    layers = model.at(3)
    torch.testing.assert_close(layers.mattes.sum(0), torch.ones(NET))
    on_square = layers.mattes[1, 5:11, 17:22].mean()  # rows 6 to 26 and columns 29 to 49 of the plate, halved
    assert float(on_square) > 2 * float(layers.mattes[1, 18:].mean())


class Cut(BaseException):
    """The power goes."""


def cut_at(monkeypatch, name, step):
    """Raise before a step's loss."""
    whole = LayersObjective.loss

    def loss(self, phase, at):
        if (phase.name, at) == (name, step):
            raise Cut
        return whole(self, phase, at)

    monkeypatch.setattr(LayersObjective, "loss", loss)


@pytest.mark.parametrize(
    ("name", "step", "goes_on_from"),
    [
        ("evidence", 1, 1),
        ("evidence", 3, 3),  # after the colours joined once
        ("evidence", EVIDENCE - 1, EVIDENCE - 1),
        ("joint", 0, EVIDENCE - 1),  # between the phases: the checkpoint is of the first
        ("joint", 1, 1),
        ("joint", JOINT - 1, JOINT - 1),
    ],
)
def test_a_fit_that_was_cut_ends_where_an_undisturbed_one_does(
    fresh, undisturbed, monkeypatch, name, step, goes_on_from
):
    monkeypatch.setattr(fit_stage, "CHECKPOINT_SECONDS", -1.0)
    shot = fresh()
    with pytest.MonkeyPatch.context() as patch:
        cut_at(patch, name, step)
        with pytest.raises(Cut):
            fit(shot, CPU, Recorder())
    assert not shot.model_file.exists()
    assert shot.checkpoint_file.exists()
    recorder = Recorder()
    fit(shot, CPU, recorder)
    phase = "joint" if name == "joint" and step else "evidence"
    assert f"going on from step {goes_on_from} of the phase {phase}" in recorder.messages
    assert shot.model_file.read_bytes() == undisturbed
    assert not shot.checkpoint_file.exists()


@pytest.mark.parametrize("told", [3, 4])
def test_a_stop_between_steps_loses_nothing(fresh, undisturbed, monkeypatch, told):
    monkeypatch.setattr(fit_stage, "CHECKPOINT_SECONDS", -1.0)

    class Stopping(Recorder):
        def progress(self, stage, fraction, message):
            super().progress(stage, fraction, message)
            if len(self.messages) == told:
                raise Cut

    shot = fresh()
    with pytest.raises(Cut):
        fit(shot, CPU, Stopping())
    fit(shot, CPU, Recorder())
    assert shot.model_file.read_bytes() == undisturbed


KILLED = """
    import importlib, os, signal, sys
    from pathlib import Path
    from tests.model.tiny_shot import CPU, Recorder, small
    from vdp_engine.shot import Shot

    fit_stage = importlib.import_module("vdp_engine.model.fit")
    fit_stage.CHECKPOINT_SECONDS = -1.0
    saved, replace = [], os.replace

    def replace_or_die(written, place):
        saved.append(place)
        if len(saved) == 4:
            os.truncate(written, 1000)
            os.kill(os.getpid(), signal.SIGKILL)  # half a checkpoint is on the disk
        replace(written, place)

    os.replace = replace_or_die
    with small():
        fit_stage.fit(Shot.load(Path(sys.argv[1])), CPU, Recorder())
"""


def test_a_fit_that_was_killed_while_it_saved_ends_where_an_undisturbed_one_does(fresh, undisturbed):
    shot = fresh()
    here = Path(__file__).resolve().parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(shot.out)],
        env={**os.environ, "PYTHONPATH": str(here)}, cwd=here, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert store.facts(shot.checkpoint_file)["at"] == [0, 3]
    fit(shot, CPU, Recorder())
    assert shot.model_file.read_bytes() == undisturbed


def test_a_checkpoint_of_something_else_is_not_gone_on_from(fresh, undisturbed, monkeypatch):
    shot, other = fresh(), fresh("other", seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_stage, "CHECKPOINT_SECONDS", -1.0)
        cut_at(patch, "joint", 2)
        with pytest.raises(Cut):
            fit(other, CPU, Recorder())
    shutil.copy(other.checkpoint_file, shot.checkpoint_file)
    fit(shot, CPU, Recorder())
    assert shot.model_file.read_bytes() == undisturbed


@pytest.mark.parametrize("damage", [b"", b"no safetensors"])
def test_a_damaged_checkpoint_is_started_over(fresh, undisturbed, damage):
    shot = fresh()
    shot.checkpoint_file.write_bytes(damage)
    fit(shot, CPU, Recorder())
    assert shot.model_file.read_bytes() == undisturbed


def test_a_model_that_is_up_to_date_is_left_alone(fresh, undisturbed):
    shot = fresh()
    assert pending(shot)
    shot.model_file.write_bytes(undisturbed)
    assert not pending(shot)
    before = shot.model_file.stat()
    fit(shot, CPU, Recorder())
    after = shot.model_file.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize("what", ["settings", "motion", "damage"])
def test_a_model_of_something_else_is_fitted_again(fresh, undisturbed, what):
    shot = fresh(**({"seed": 5} if what == "settings" else {}))
    shot.model_file.write_bytes(undisturbed if what != "damage" else undisturbed[:5000])
    if what == "motion":
        path = shot.motion_file(1004)
        with safe_open(path, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        save_file(tensors, path, {"stamp": "another"})
    assert pending(shot)
    fit(shot, CPU, Recorder())
    assert not pending(shot)
    assert (shot.model_file.read_bytes() == undisturbed) == (what == "damage")


def test_settings_of_the_render_do_not_touch_the_model(fresh, undisturbed):
    shot = fresh(alpha="straight", bit_depth="float")
    shot.model_file.write_bytes(undisturbed)
    assert not pending(shot)


def test_a_loss_that_is_not_finite_is_an_error_and_leaves_no_model(fresh, monkeypatch):
    monkeypatch.setattr(losses, "smoothness", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    shot = fresh()
    with pytest.raises(FitError, match="step 0 of the phase evidence") as caught:
        fit(shot, CPU, Recorder())
    assert caught.value.code == "fit.diverged"
    assert not shot.model_file.exists()


@pytest.mark.parametrize("damaged", [False, True])
def test_missing_motion_is_named(fresh, damaged):
    shot = fresh()
    path = shot.motion_file(1005)
    path.unlink()
    if damaged:
        path.write_bytes(b"half")
    assert pending(shot)
    with pytest.raises(ShotError) as caught:
        fit(shot, CPU, Recorder())
    assert (caught.value.frame, caught.value.path) == (1005, path)
    assert caught.value.code == ("shot.damaged_motion" if damaged else "shot.no_motion")
    with pytest.raises(ShotError, match="1005"):
        load_decomposition(shot, torch.device("cpu"))


def test_a_shot_without_a_model_says_so(fresh):
    with pytest.raises(ShotError, match="vdp fit") as caught:
        load_decomposition(fresh(), torch.device("cpu"))
    assert caught.value.code == "shot.no_model"


def test_the_papers_objective_and_automatic_layers_come_to_a_model(fresh):
    for settings, count in (({"objective": "paper", "layers": 3}, 3), ({"layers": "auto"}, 2)):
        shot = fresh(f"out{count}", **settings)
        fit(shot, CPU, Recorder())
        model = load_decomposition(shot, torch.device("cpu"))
        assert model.count == count
        torch.testing.assert_close(model.at(0).mattes.sum(0), torch.ones(NET))


def test_no_pickle_lies_in_the_shots_folder(fresh, monkeypatch):
    monkeypatch.setattr(fit_stage, "CHECKPOINT_SECONDS", -1.0)
    shot = fresh()
    with pytest.MonkeyPatch.context() as patch:
        cut_at(patch, "joint", 2)
        with pytest.raises(Cut):
            fit(shot, CPU, Recorder())
    header = shot.checkpoint_file.read_bytes()
    size = int.from_bytes(header[:8], "little")
    assert {"nets", "state", "optimiser"} <= {name.split("/")[0] for name in json.loads(header[8 : 8 + size])}


@pytest.mark.parametrize("steps", [12, 80, 120, 333])
def test_one_cycle_is_torchs(steps):
    phase = Phase("evidence", steps, 5e-3)
    optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], phase.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, phase.rate, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        rate, betas = one_cycle(phase, step)
        group = optimiser.param_groups[0]
        assert rate == pytest.approx(group["lr"], rel=1e-9), step
        assert betas == pytest.approx(group["betas"], rel=1e-9), step
        optimiser.step()
        if step < steps - 1:
            schedule.step()
