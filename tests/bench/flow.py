"""How good optical flow is: DIS in its presets, Farneback, the engine's own network, RAFT where its weights are, and
each of the engine's own with refinement on the pair.

    python tests/bench/flow.py                              # all but clips: scenes and demo
    python tests/bench/flow.py --refined                    # what refinement does to each pair of scenes
    python tests/bench/flow.py --clips all --frames 3
    python tests/bench/flow.py --write-results --training build/flow

Scenes: generated ones of the held-out family, which shares no surface, outline or law of motion with what is
trained on. Demo: the demo plate at 480x854, whose flow is known. Both: mean end-point error in pixels, and the share of
pixels that are more than 1 and more than 3 pixels off. Clips: flow between neighbours at 480p as the engine works it
out; the picture fetched along it less the first (log-encoded, in hundredths), how far forward and backward flow miss
each other, and J of the motion evidence alone at 0.5, against the hand-drawn masks: what the layers start from.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import metrics
import numpy as np
import torch
from clips import CHECKOUT, Clip, layer_clips, machine, run_child

sys.path.insert(0, str(CHECKOUT / "tests" / "tools"))
from clip_to_exr import srgb_to_linear

from vdp_engine.demo.scene import Scene
from vdp_engine.errors import MotionError
from vdp_engine.flow_training.scenes import HELD_OUT, TRAINING, Pair, make_pair
from vdp_engine.motion.boxed import BoxedFlow
from vdp_engine.motion.dis import DisFlow, _grey
from vdp_engine.motion.estimator import FlowEstimator
from vdp_engine.motion.measure import Neighbour, measure_motion
from vdp_engine.motion.proxy import Proxy, encoded, joint_stretch, shrink, shrink_flow
from vdp_engine.motion.raft import RaftFlow
from vdp_engine.motion.refined import RefinedFlow
from vdp_engine.motion.sizes import GAPS, working_sizes

Flow = Callable[[Proxy, Proxy], np.ndarray]

_RESULTS = Path(__file__).parent / "results" / "flow.md"
_SCENE_SIZE, _SCENES = (320, 448), 32
_DEMO_SIZE, _DEMO_FRAMES = (480, 854), 24
_REFINED = " + refinement"


def estimators(weights: Path | None) -> dict[str, Flow]:
    """All that there are, by name; ``weights`` in place of those that come with the engine."""
    found: dict[str, Flow] = {
        "DIS ultrafast": _opencv(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
        "DIS fast": _opencv(cv2.DISOPTICAL_FLOW_PRESET_FAST),
        "DIS medium": _opencv(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
        "`dis`": DisFlow().flow,
        "Farneback": _farneback,
    }
    device = torch.device("cpu")
    found["`dis`" + _REFINED] = RefinedFlow(DisFlow(), device).flow
    try:
        for name, estimator in (
            ("`vdp`", lambda: BoxedFlow.load("standard", device, weights=weights)),
            ("`raft`", lambda: RaftFlow.load(None, device)),
        ):
            found[name] = _Asked(estimator())
            found[name + _REFINED] = _Asked(RefinedFlow(estimator(), device))
    except MotionError as error:
        print(f"left out: {error.happened}", flush=True)
    return found


@dataclass(frozen=True)
class _Asked:
    """The flow of one of the engine's estimators, and who else motion evidence asks."""

    estimator: FlowEstimator

    def __call__(self, source: Proxy, target: Proxy) -> np.ndarray:
        return self.estimator.flow(source, target)


def _opencv(preset: int) -> Flow:
    def flow(source: Proxy, target: Proxy) -> np.ndarray:
        low, high = joint_stretch(source, target)
        estimator = cv2.DISOpticalFlow.create(preset)
        return estimator.calc(_grey(source, low, high), _grey(target, low, high), None).transpose(2, 0, 1)

    return flow


def _farneback(source: Proxy, target: Proxy) -> np.ndarray:
    low, high = joint_stretch(source, target)
    pair = _grey(source, low, high), _grey(target, low, high)
    return cv2.calcOpticalFlowFarneback(*pair, None, 0.5, 5, 15, 3, 7, 1.5, 0).transpose(2, 0, 1)


def proxy(light: np.ndarray, frame: int = 0) -> Proxy:
    """What an estimator sees of scene-linear light (h, w, 3)."""
    return Proxy(frame, encoded(light), np.ones(light.shape[:2], np.float32))


@dataclass(frozen=True)
class Known:
    """A pair whose flow (2, h, w) is known, and the parts (h, w) of the picture that are told apart."""

    source: Proxy
    target: Proxy
    flow: np.ndarray
    parts: dict[str, np.ndarray]


def scene_pairs() -> Iterator[Known]:
    """Generated scenes; part: what is seen in both frames."""
    for index in range(_SCENES):
        pair = make_pair(np.random.default_rng([2026, index]), _SCENE_SIZE, HELD_OUT)
        covered = np.ones(_SCENE_SIZE, np.float32)
        frames = Proxy(0, pair.first, covered), Proxy(1, pair.second, covered)
        yield Known(*frames, pair.forward, {"seen in both": pair.seen})


def demo_pairs() -> Iterator[Known]:
    """The demo; parts: the creature, the background."""
    scene = Scene(_DEMO_SIZE[1], _DEMO_SIZE[0], _DEMO_FRAMES)
    for index in range(1, _DEMO_FRAMES - 1, 5):
        here, there = scene.render(index), scene.render(index + 1)
        flow = np.ascontiguousarray(here.forward.transpose(2, 0, 1)) * np.float32([[[1]], [[-1]]])
        parts = {"creature": here.alpha >= 0.5, "background": here.alpha <= 0}
        yield Known(proxy(here.plate), proxy(there.plate, 1), flow, parts)


def known_table(pairs: Sequence[Known], flows: dict[str, Flow], costs: dict[str, str]) -> str:
    """Mean end-point error over all of the picture and over its parts, and shares of pixels that are off."""
    parts = list(pairs[0].parts)
    heads = ["estimator", "EPE", *parts, ">1 px %", ">3 px %", *(["CPU s", "MiB"] if costs else [])]
    rows = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, flow in flows.items():
        errors = [np.hypot(*(flow(pair.source, pair.target) - pair.flow)) for pair in pairs]
        within = [[error[pair.parts[part]].mean() for error, pair in zip(errors, pairs, strict=True)] for part in parts]
        means = [np.mean([error.mean() for error in errors]), *map(np.mean, within)]
        shares = [100 * np.mean([(error > limit).mean() for error in errors]) for limit in (1, 3)]
        cells = [name, *(f"{mean:.3f}" for mean in means), *(f"{share:.1f}" for share in shares)]
        rows.append("| " + " | ".join([*cells, *([costs[name]] if costs else [])]) + " |")
    return "\n".join(rows)


def clip_row(clip: Clip, flow: Flow, frames: int) -> tuple[float, float, float]:
    """Photometric error in 1/100 of log code, forward-backward miss in pixels (medians of frames), J of evidence."""
    pictures, masks = clip.pictures(), clip.truth()
    height, width = masks[0].shape
    sizes = working_sizes((height, width), 1.0, "standard")
    gaps = [sign * gap for gap in GAPS["standard"] for sign in (1, -1)]
    scores = []
    for middle in np.linspace(2, len(pictures) - 3, frames).astype(int):
        lights = {gap: _light(pictures[middle + gap]) for gap in (0, *gaps)}
        full = np.ones((height, width), np.float32)
        seen = {gap: proxy(shrink(light, full, sizes.flow)[0], gap) for gap, light in lights.items()}
        there = {gap: flow(seen[0], seen[gap]) for gap in gaps}
        back = {gap: flow(seen[gap], seen[0]) for gap in gaps}
        covered = np.ones(sizes.motion, np.float32)
        witness = flow.estimator.witness if isinstance(flow, _Asked) else None
        near = {}
        for gap in gaps:
            ways = [(there[gap], back[gap])]
            if witness is not None:
                ways.append((witness.flow(seen[0], seen[gap]), witness.flow(seen[gap], seen[0])))
            own, *other = (tuple(shrink_flow(np.ascontiguousarray(one), sizes.motion) for one in way) for way in ways)
            near[gap] = Neighbour(*own, covered, *other)
        motion = measure_motion(proxy(shrink(lights[0], full, sizes.motion)[0]), gaps, near)
        evidence = cv2.resize(motion.evidence.numpy(), (width, height), interpolation=cv2.INTER_LINEAR)
        fetched, inside = _fetched(seen[1].image, there[1])
        apart = np.abs(fetched - seen[0].image).mean(-1)[inside]
        miss = np.hypot(*(there[1] + _fetched(back[1].transpose(1, 2, 0), there[1])[0].transpose(2, 0, 1)))[inside]
        scores.append((100 * apart.mean(), miss.mean(), metrics.iou(evidence > 0.5, masks[middle])))
    table = np.array(scores)
    return float(np.median(table[:, 0])), float(np.median(table[:, 1])), float(table[:, 2].mean())


def _light(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None
    return srgb_to_linear(picture[..., ::-1] / np.float32(255))


def _fetched(x: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``x`` (h, w, C) at ``p + flow(p)``, and which of these places lie in the picture."""
    height, width = x.shape[:2]
    across = (flow[0] + np.arange(width, dtype=np.float32)).astype(np.float32)
    down = (flow[1] + np.arange(height, dtype=np.float32)[:, None]).astype(np.float32)
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
    return cv2.remap(np.ascontiguousarray(x), across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), inside


def refinement_table(flows: dict[str, Flow]) -> str:
    """What refinement does to each pair of generated scenes, both ways together, and where it makes it worse."""
    heads = ("scenes", "start", "EPE", "refined", "of a pair's own EPE", ">1 px %", "refined", "pairs worse", "worst")
    rows = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for family, seed, told in ((TRAINING, 777, "training (tuned on)"), (HELD_OUT, 2026, "held-out")):
        pairs = [make_pair(np.random.default_rng([seed, index]), _SCENE_SIZE, family) for index in range(_SCENES)]
        for name in [name for name in flows if name + _REFINED in flows]:
            both = (name, name + _REFINED)
            before, after = (np.array([_both_ways(pair, flows[one]) for pair in pairs]) for one in both)
            change = after[:, 0] - before[:, 0]
            worst = f"{max(0, change.max()):.3f} px, {100 * max(0, (change / before[:, 0]).max()):.1f} %"
            cells = (
                told, name, f"{before[:, 0].mean():.3f}", f"{after[:, 0].mean():.3f}",
                f"{100 * (change / before[:, 0]).mean():+.1f} %", f"{before[:, 1].mean():.1f}",
                f"{after[:, 1].mean():.1f}", f"{(change > 0).sum()} of {len(pairs)}", worst,
            )  # fmt: skip
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _both_ways(pair: Pair, flow: Flow) -> tuple[float, float]:
    """Mean end-point error of both fields, and the share of pixels in % that are more than a pixel off."""
    covered = np.ones(_SCENE_SIZE, np.float32)
    first, second = Proxy(0, pair.first, covered), Proxy(1, pair.second, covered)
    ways = ((first, second, pair.forward), (second, first, pair.backward))
    errors = np.stack([np.hypot(*(flow(source, target) - exact)) for source, target, exact in ways])
    return float(errors.mean()), float(100 * (errors > 1).mean())


def cost(name: str, flow: Flow) -> None:
    """Print processor seconds of a pair of demo frames at 480p, one thread; for ``_costs`` to read."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    scene = Scene(_DEMO_SIZE[1], _DEMO_SIZE[0], _DEMO_FRAMES)
    pair = [proxy(scene.render(index).plate, index) for index in (10, 11)]
    seconds = []
    for _ in range(4):
        fresh = [replace(one) for one in pair]  # some remember what they found of the pair they saw last
        began = time.process_time()
        flow(*fresh)
        seconds.append(time.process_time() - began)
    print(json.dumps({"name": name, "seconds": min(seconds[1:])}))


def _costs(names: Sequence[str], scratch: Path, weights: Path | None) -> dict[str, str]:
    """Seconds, and MiB above those of a process that loads everything and estimates nothing."""
    log = scratch / "cost.log"
    options = ["--weights", str(weights)] if weights else []
    measured = {}
    for name in ("nothing", *names):
        peak = run_child([sys.executable, __file__, "--cost", name, *options], log=log).peak_mib
        measured[name] = json.loads(log.read_text().splitlines()[-1])["seconds"], peak
    idle = measured["nothing"][1]
    return {name: f"{measured[name][0]:.2f} | {max(0, measured[name][1] - idle):.0f}" for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="estimators whose names hold one of these")
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="clips, or all; none: scenes and demo instead")
    parser.add_argument("--refined", action="store_true", help="scenes of both families, pair by pair, instead")
    parser.add_argument("--frames", type=int, default=3, help="of each clip")
    parser.add_argument("--weights", type=Path, help="of `vdp`, in place of those that come with the engine")
    parser.add_argument("--training", type=Path, help="folder of the training, whose curve is told")
    parser.add_argument("--cost", help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench" / "flow")
    parser.add_argument("--write-results", action="store_true", help=f"write {_RESULTS.relative_to(CHECKOUT)}")
    chosen = parser.parse_args()

    flows = estimators(chosen.weights)
    if chosen.cost:
        cost(chosen.cost, flows.get(chosen.cost, lambda *pair: np.zeros(1)))
        return
    if chosen.only:
        flows = {name: flow for name, flow in flows.items() if any(word in name for word in chosen.only)}
    chosen.scratch.mkdir(parents=True, exist_ok=True)
    parts = [f"    python tests/bench/flow.py {' '.join(sys.argv[1:])}", f"{machine()}; one thread."]
    if chosen.training:
        parts.append(_curve(chosen.training))
    if chosen.clips:
        parts += list(_clip_tables(flows, None if chosen.clips == ["all"] else chosen.clips, chosen.frames))
    elif chosen.refined:
        parts += [f"## Refinement, {_SCENES} pairs of each family, both ways", refinement_table(flows)]
    else:
        parts += list(_known_tables(flows, chosen.scratch, chosen.weights))
    told = "\n\n".join(parts) + "\n"
    print(told, flush=True)
    if chosen.write_results:
        before = _RESULTS.read_text(encoding="utf-8") + "\n" if _RESULTS.exists() else "# Optical flow\n\n"
        _RESULTS.write_text(before + told, encoding="utf-8")


def _known_tables(flows: dict[str, Flow], scratch: Path, weights: Path | None) -> Iterator[str]:
    costs = _costs(list(flows), scratch, weights)
    yield f"## {_SCENES} held-out scenes of {_SCENE_SIZE[0]}x{_SCENE_SIZE[1]}; cost of a pair at 480x854"
    yield known_table(list(scene_pairs()), flows, costs)
    yield f"## The demo plate at {_DEMO_SIZE[0]}x{_DEMO_SIZE[1]}"
    yield known_table(list(demo_pairs()), flows, {})


def _clip_tables(flows: dict[str, Flow], names: list[str] | None, frames: int) -> Iterator[str]:
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for clip in layer_clips(names):
        found[clip.name] = {name: clip_row(clip, flow, frames) for name, flow in flows.items()}
        print(clip.name, {name: [round(one, 3) for one in row] for name, row in found[clip.name].items()}, flush=True)
    head = "| clip | " + " | ".join(flows) + " |\n|---|" + "---|" * len(flows)
    titles = ("Photometric error, 1/100 of log code", "Forward-backward miss, pixels", "J of the evidence alone")
    for index, (title, digits) in enumerate(zip(titles, (2, 2, 3), strict=True)):
        yield f"## {title}; {frames} frames a clip"
        rows = [
            f"| {clip} | " + " | ".join(f"{row[name][index]:.{digits}f}" for name in flows) + " |"
            for clip, row in found.items()
        ]
        means = (np.mean([row[name][index] for row in found.values()]) for name in flows)
        rows.append("| **mean** | " + " | ".join(f"**{mean:.{digits}f}**" for mean in means) + " |")
        yield "\n".join([head, *rows])


def _curve(folder: Path) -> str:
    lines = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    rows = ["| step | CPU hours | loss | EPE | EPE of what moves by itself |", "|---|---|---|---|---|"]
    for line in lines:
        cells = line["step"], f"{line['cpu seconds'] / 3600:.2f}", line["loss"], line["validation"], line.get("own", "")
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    last = lines[-1]
    rows.append(f"| DIS | | | {last['start']} | {last['own start']} |")
    return "## Training: scenes of the training family that are not trained on\n\n" + "\n".join(rows)


if __name__ == "__main__":
    main()
