"""Quality of the mattes on real clips: J, boundary F, steadiness, time and memory, for each variant of the settings.

    python tests/bench/layers.py --seeds 0 1 2 --variant default --variant objective=paper --variant hint=made
    python tests/bench/layers.py --clips cows dog --variant default --variant baseline --jobs 8 --share-prep

A variant is ``default``, ``baseline`` (see baseline.py), or a comma-separated list of SETTING=VALUE, files by their
absolute paths (``objective=paper,quality=draft``); ``hint=made`` hands the engine one rough hint a clip (see hints.py),
the one way for the ground truth to reach it. Each clip becomes a scene-linear EXR plate once, and a copy of the whole
engine runs on it as a child process. The ground truth is read afterwards, for the score.

What is scored is kept, a JSON file for each variant, clip, seed and digest of the engine's sources, and not run again
unless --fresh. Plates, layers and logs stay in the scratch folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import metrics
import numpy as np
from clips import CHECKOUT, Clip, Engine, Run, layer_clips, machine, read_channel, run_child, run_engine
from hints import make_hint
from tables import Row, side_by_side, table

_BASELINE = Path(__file__).with_name("baseline.py")
_RESULTS = Path(__file__).parent / "results" / "layers.md"
# What `prep` depends on. The engine checks what it is handed, so that a name missing here costs time and nothing else.
_PREP = ("colorspace", "flow", "flow_layer", "flow_refine", "flow_weights", "layer", "missing", "quality")


@dataclass(frozen=True)
class Task:
    """One decomposition to make and to score."""

    variant: str
    clip: Clip
    seed: int

    @property
    def out(self) -> Path:
        """Where its files lie in the scratch folder."""
        folder = self.variant.replace("=", "_").replace(",", "-").replace("/", "_")
        return Path("runs") / folder / f"seed{self.seed}" / self.clip.name

    @property
    def settings(self) -> dict[str, str]:
        """What the variant sets."""
        if self.variant in ("default", "baseline"):
            return {}
        pairs = [pair.partition("=") for pair in self.variant.split(",")]
        if not all(name and separator for name, separator, _ in pairs):
            raise SystemExit(f"--variant takes default, baseline or SETTING=VALUE,…, not {self.variant!r}")
        return {name: value for name, _, value in pairs}

    @property
    def motion(self) -> tuple[str, ...]:
        """What tells motion files apart that other tasks can use as well."""
        return (self.clip.name, *(f"{name}={value}" for name, value in self.settings.items() if name in _PREP))


@dataclass(frozen=True)
class Bench:
    """How tasks are run.

    Attributes:
        scratch: absolute.
        engine: the engine.
        threads: of each run, 0 for as many as the engine likes.
        jobs: runs at once.
        share_prep: hand the motion of a clip on to later runs with the same motion settings.
        slim: keep the layers of seed 0 only.
        fresh: run what has been scored before, too.
    """

    scratch: Path
    engine: Engine
    threads: int
    jobs: int
    share_prep: bool
    slim: bool
    fresh: bool

    def run(self, tasks: Sequence[Task]) -> list[Row]:
        """The rows of all tasks, in their order."""
        for clip in {task.clip for task in tasks}:
            clip.plate(self.scratch)
        todo = [task for task in tasks if self.fresh or not self._kept(task).exists()]
        for task in todo:
            self._marker(task).unlink(missing_ok=True)
        waves: list[list[Task]] = [todo]
        if self.share_prep:
            # Those that motion is taken from go before all others.
            first = {task.motion: task for task in reversed(todo) if task.variant != "baseline"}
            payers = [task for task in first.values() if self._donor(task) is None]
            waves = [payers, [task for task in todo if task not in payers]]
        for wave in waves:
            with ThreadPoolExecutor(self.jobs) as pool:
                for row in pool.map(self._run, wave):
                    told = {column: round(row[column], 3) for column in ("J", "F", "seconds")}
                    print(f"{row['variant']} {row['clip']} seed {row['seed']}: {told}", flush=True)
        return [json.loads(self._kept(task).read_text()) for task in tasks]

    def _run(self, task: Task) -> Row:
        out = self.scratch / task.out
        baseline = task.variant == "baseline"
        shutil.rmtree(out, ignore_errors=True)
        handed = self._take_motion(task, out) if self.share_prep and not baseline else 0.0
        cost = self._baseline(task, out) if baseline else self._decompose(task, out)
        row: Row = {
            "variant": task.variant, "clip": task.clip.name, "seed": task.seed, "frames": len(task.clip.numbers()),
            **score(task.clip, _pictures(out) if baseline else _layers(task.clip, out)),
            "seconds": cost.seconds, "handed seconds": handed, "cpu seconds": cost.cpu_seconds,
            "peak MiB": cost.peak_mib, "threads": self.threads, "jobs": self.jobs, "made by": self._digest(task),
        }  # fmt: skip
        if not baseline:
            paid = handed or _motion_seconds(out)
            self._marker(task).write_text(json.dumps([self.engine.digest, list(task.motion), paid]))
        if self.slim and task.seed:
            for path in out.glob("*.exr"):
                path.unlink()
        kept = self._kept(task)
        kept.with_suffix(".part").write_text(json.dumps(row, indent=2))
        kept.with_suffix(".part").replace(kept)
        return row

    def _decompose(self, task: Task, out: Path) -> Run:
        settings = dict(task.settings)
        if settings.get("hint") == "made":
            settings["hint"] = str(make_hint(task.clip, self.scratch / "hints"))
        options = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
        return run_engine(
            "run", task.clip.plate(self.scratch), "--out", str(out), "--name", task.clip.name,
            "--seed", str(task.seed), "--threads", str(self.threads), "--progress", "plain", *options,
            log=out.with_suffix(".log"), engine=self.engine,
        )  # fmt: skip

    def _baseline(self, task: Task, out: Path) -> Run:
        command = [sys.executable, str(_BASELINE), str(task.clip.frames.resolve()), "--out", str(out)]
        return run_child(command, log=out.with_suffix(".log"))

    def _digest(self, task: Task) -> str:
        is_engine = task.variant != "baseline"
        return self.engine.digest if is_engine else hashlib.sha256(_BASELINE.read_bytes()).hexdigest()[:12]

    def _kept(self, task: Task) -> Path:
        out = self.scratch / task.out
        return out.with_name(f"{out.name}.{self._digest(task)}.json")

    def _marker(self, task: Task) -> Path:
        """Says of a finished run's folder by which engine its motion was made, with what settings, in what time."""
        return self.scratch / task.out / "motion.json"

    def _donor(self, task: Task) -> tuple[Path, float] | None:
        """The motion files of a finished run that this one can use, and the seconds they took."""
        for marker in sorted(self.scratch.glob(f"runs/*/seed*/{task.clip.name}/motion.json")):
            engine, motion, seconds = json.loads(marker.read_text())
            if (engine, tuple(motion)) == (self.engine.digest, task.motion):
                return marker.parent / ".vdp" / "flow", float(seconds)
        return None

    def _take_motion(self, task: Task, out: Path) -> float:
        donor = self._donor(task)
        if donor is None:
            return 0.0
        folder, seconds = donor
        # Links: the engine replaces files and never writes into one.
        shutil.copytree(folder, out / ".vdp" / "flow", copy_function=os.link)
        return seconds


def _motion_seconds(out: Path) -> float:
    """How long ``prep`` took: from the shot file, the first to be written, to the last motion file."""
    begun = (out / ".vdp" / "shot.json").stat().st_mtime
    return max(path.stat().st_mtime for path in (out / ".vdp" / "flow").iterdir()) - begun


def _layers(clip: Clip, out: Path) -> list[np.ndarray]:
    return [read_channel(out / f"{clip.name}.{frame:04d}.exr", "A") for frame in clip.numbers()]


def _pictures(out: Path) -> list[np.ndarray]:
    return [np.asarray(cv2.imread(str(path), 0), np.float32) / 255 for path in sorted(out.glob("*.png"))]


def score(clip: Clip, mattes: Sequence[np.ndarray]) -> dict[str, float]:
    """The scores of mattes, float32 (H, W) each; ``J all`` counts the first and last frame too."""
    truth, flows = clip.truth(), clip.flows()
    overlaps = [metrics.iou(matte > 0.5, mask) for matte, mask in zip(mattes, truth, strict=True)]
    edges = [metrics.boundary_f(matte > 0.5, mask) for matte, mask in zip(mattes, truth, strict=True)]
    return {
        "J": float(np.mean(metrics.scored(overlaps))),
        "J all": float(np.mean(overlaps)),
        "J recall": metrics.recall(metrics.scored(overlaps)),
        "F": float(np.mean(metrics.scored(edges))),
        "instability": metrics.instability(mattes, flows),
        "instability of the truth": metrics.instability([mask.astype(np.float32) for mask in truth], flows),
    }


def document(rows: Sequence[Row], engine: Engine) -> str:
    """All rows as the Markdown that ``results/layers.md`` holds."""
    timed = {(row["threads"], row["jobs"]) for row in rows}
    how = "; ".join(f"threads a run: {threads or 'all'}, runs at once: {jobs}" for threads, jobs in sorted(timed))
    parts = [
        "# Quality of the mattes on real clips",
        "    python tests/bench/layers.py " + " ".join(sys.argv[1:]),
        f"{machine()}; engine {engine.digest}; {how}.",
        "J, its recall (share of frames over 0.5) and F as DAVIS defines them, at full resolution against hand-drawn "
        "masks, first and last frame left out. Each is a mean over seeds; \"spread\" is the largest J of a clip less "
        "its smallest. \"Instability\" is the mean change of the matte from frame to frame along the optical flow, "
        "\"truth\" that of the hand-drawn masks, \"ratio\" the first over the second. The engine runs without "
        "weights and, but for `hint=made`, without hints.",
        "## Side by side",
        side_by_side(rows),
    ]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        chosen = [row for row in rows if row["variant"] == variant]
        seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in chosen}))
        parts += [f"## {variant}, seeds {seeds}", table(chosen)]
    if any(row["jobs"] > 1 for row in rows):
        parts.append("Several runs shared the machine: the seconds are an upper bound and compare variants only.")
    if any(row["handed seconds"] for row in rows):
        parts.append("Motion was worked out once a clip and handed on; the seconds count it for each run.")
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="some of the clips (all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--variant", action="append", metavar="VARIANT", help="repeatable (default)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, each with one thread where more than 1")
    parser.add_argument("--threads", type=int, help="of each run (all; 1 with --jobs)")
    parser.add_argument("--share-prep", action="store_true", help="work out motion once for runs that agree on it")
    parser.add_argument("--slim", action="store_true", help="keep the layers of seed 0 only")
    parser.add_argument("--fresh", action="store_true", help="run again what this engine has been scored on")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench", help="kept between runs")
    parser.add_argument("--write-results", action="store_true", help=f"write {_RESULTS.relative_to(CHECKOUT)}")
    chosen = parser.parse_args()

    scratch = chosen.scratch.resolve()
    engine = Engine.of_checkout(scratch)
    threads = chosen.threads if chosen.threads is not None else int(chosen.jobs > 1)
    bench = Bench(scratch, engine, threads, chosen.jobs, chosen.share_prep, chosen.slim, chosen.fresh)
    tasks = [
        Task(variant, clip, seed)
        for seed in chosen.seeds
        for variant in chosen.variant or ["default"]
        for clip in layer_clips(chosen.clips)
        # Nothing is random in the baseline.
        if variant != "baseline" or seed == chosen.seeds[0]
    ]
    print(f"{machine()}, engine {engine.digest}, {len(tasks)} runs\n", flush=True)
    told = document(bench.run(tasks), engine)
    print(f"\n{told}", flush=True)
    if chosen.write_results:
        _RESULTS.write_text(told, encoding="utf-8")


if __name__ == "__main__":
    main()
