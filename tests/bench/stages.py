"""What each stage of the fit adds: J, recomposition error and flicker after evidence, α-Net and joint phase.

    python tests/bench/stages.py
    python tests/bench/stages.py --clips cows dog

Per clip, on every frame: motion evidence gathered along the flow, the same after the shot's consensus, the α-Net alone
after its evidence phase, the average of both as rendered, and the same after the joint phase. Recomposition error is
the mean |log-encoded plate − Σ α L| of the nets at net size, completion the error of the background's colour where it
was hidden on purpose by a shape like the foreground. Both compare the RGB-Nets with what they start from, colours
carried on smoothly. The ground truth is read for the score only.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import metrics
import numpy as np
import torch
from clips import CHECKOUT, Clip, layer_clips, machine, run_engine

from vdp_engine.model.features import gradients
from vdp_engine.model.fit import net_frames, one_cycle
from vdp_engine.model.frames import NetFrames, without_border
from vdp_engine.model.layers import objective as layers
from vdp_engine.model.layers.consensus import shot_evidence
from vdp_engine.model.layers.model import apply_layers
from vdp_engine.model.layers.training import TrainingSet
from vdp_engine.render.refine import refine
from vdp_engine.shot import Shot

_COLUMNS = ("J gathered", "J consensus", "J α-Net", "J both", "J joint", "flicker both", "flicker joint",
            "rec. smooth", "rec. joint", "compl. smooth", "compl. joint")  # fmt: skip


def optimise(objective: layers.LayersObjective, frames: NetFrames, phase: layers.Phase) -> None:
    """One phase of the fit, without checkpoints."""
    parameters = objective.parameters(phase)
    optimiser = torch.optim.AdamW(parameters, phase.rate, weight_decay=1e-4)
    for step in range(phase.steps):
        objective.before_step(phase, step)
        for group in optimiser.param_groups:
            group["lr"], group["betas"] = one_cycle(phase, step)
        loss, _ = objective.loss(phase, step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    objective.after_phase(phase, frames)


def jaccard(clip: Clip, shot: Shot, mattes: list[np.ndarray]) -> float:
    """Mean J over all frames of mattes (h, w) at net size, refined to plate size."""
    scores = []
    for frame, matte, truth in zip(shot.frames, mattes, clip.truth(), strict=True):
        plate = shot.plate.read(frame).on(shot.plate.canvas)
        scores.append(metrics.iou(refine(matte[None], plate, plate)[0] > 0.5, truth))
    return float(np.mean(scores))


@torch.no_grad()
def colour_errors(objective: layers.LayersObjective, training: TrainingSet) -> tuple[float, float]:
    """Recomposition error, and completion error of the background, over the key frames."""
    recomposition, completion = [], []
    for index in range(len(training.image)):
        image = training.image[index : index + 1]
        mattes = objective.nets.logits(image, training.flow_rgb[index : index + 1]).softmax(1)
        visible = layers.visibility(mattes)
        recomposed = layers.recompose(mattes, objective.nets.colours(image, visible))
        recomposition.append(float((recomposed - image).abs().mean()))
        hidden = visible[:, 1:].sum(1, keepdim=True).roll(visible.shape[-1] // 3, 3) > 0.5
        known_truth = hidden & (visible[:, :1] > 0.5)
        if known_truth.any():
            completed = objective.nets.colours(image, visible * ~hidden)[:, 0]
            completion.append(float((completed - image).abs().mean(1, keepdim=True)[known_truth].mean()))
    return float(np.mean(recomposition)), float(np.mean(completion)) if completion else float("nan")


def flicker(frames: NetFrames, mattes: list[np.ndarray]) -> float:
    """Mean |α_t − α_t+1 carried along the flow| at net size."""
    flows = [frames[position].flow[0].permute(1, 2, 0).numpy() for position in range(frames.count - 1)]
    return metrics.instability(mattes, flows)


def measure(clip: Clip, scratch: Path) -> list[float]:
    """The row of one clip."""
    out = scratch / "stages" / clip.name
    run_engine("init", clip.plate(scratch), "--out", str(out), "--name", clip.name, log=out.with_suffix(".log"))
    run_engine("prep", str(out), "--progress", "plain", log=out.with_suffix(".log"))
    shot = Shot.load(out)
    torch.manual_seed(shot.settings.seed)
    frames = net_frames(shot)
    known = shot_evidence(frames)
    training = TrainingSet.with_evidence(frames, known)
    objective = layers.LayersObjective(training, shot.settings, gradients)
    every = range(frames.count)

    gathered = [np.clip(without_border(frames.gathered_evidence(i)).numpy() + 0.05, 0, 1) for i in every]
    evidence = [np.clip(moving + 0.5, 0, 1) for moving in known.moving]
    optimise(objective, frames, objective.phases[0])
    with torch.no_grad():
        net = [
            1 - objective.nets.logits(frames[i].image[None], frames[i].flow_rgb[None]).softmax(1)[0, 0].numpy()
            for i in every
        ]

    def rendered() -> list[np.ndarray]:
        kept = (objective.state[name] for name in ("evidence", "owner"))
        apply = partial(apply_layers, objective.nets, *kept, frames)
        return [1 - apply(position).mattes[0].numpy() for position in every]

    both, smooth = rendered(), colour_errors(objective, training)
    optimise(objective, frames, objective.phases[1])
    joint, fitted = rendered(), colour_errors(objective, training)
    scores = [jaccard(clip, shot, mattes) for mattes in (gathered, evidence, net, both, joint)]
    return [*scores, flicker(frames, both), flicker(frames, joint), smooth[0], fitted[0], smooth[1], fitted[1]]


def main() -> None:
    """Print one table over the chosen clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="*", help="names of clips; default: all")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench")
    arguments = parser.parse_args()
    print(f"{machine()}\n\n| clip | {' | '.join(_COLUMNS)} |\n|---|{'---|' * len(_COLUMNS)}", flush=True)
    rows = []
    for clip in layer_clips(arguments.clips):
        rows.append(measure(clip, arguments.scratch))
        print(f"| {clip.name} | {' | '.join(f'{value:.4f}' for value in rows[-1])} |", flush=True)
    print(f"| **mean** | {' | '.join(f'{value:.4f}' for value in np.nanmean(rows, 0))} |")


if __name__ == "__main__":
    main()
