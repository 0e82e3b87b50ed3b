"""Quality of the mattes on real clips: J, boundary F, steadiness, time and memory, for each variant of the settings.

    python tests/bench/layers.py
    python tests/bench/layers.py --clips cows dog --seeds 0 1 2 --variant quality=draft --variant quality=standard

A variant is a comma-separated list of SETTING=VALUE (``objective=paper,quality=draft``); without one the defaults
are run. Each clip becomes a scene-linear EXR plate once, and the whole engine runs on it as a child process. The
ground truth is read afterwards, for the score only. Plates, layers and logs stay in the scratch folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import metrics
import numpy as np
from clips import CHECKOUT, Clip, Run, layer_clips, machine, read_channel, run_engine

_COLUMNS = ("J", "J all", "J recall", "F", "instability", "seconds", "peak MiB")


def score(clip: Clip, layers: Path) -> dict[str, float]:
    """The scores of one decomposition; ``J all`` counts the first and last frame too."""
    count = len(clip.pictures())
    mattes = [read_channel(layers / f"{clip.name}.{frame:04d}.exr", "A") for frame in range(1001, 1001 + count)]
    truth = clip.truth()
    overlaps = [metrics.iou(matte > 0.5, mask) for matte, mask in zip(mattes, truth, strict=True)]
    edges = [metrics.boundary_f(matte > 0.5, mask) for matte, mask in zip(mattes, truth, strict=True)]
    flows = clip.flows()
    return {
        "J": float(np.mean(metrics.scored(overlaps))),
        "J all": float(np.mean(overlaps)),
        "J recall": metrics.recall(metrics.scored(overlaps)),
        "F": float(np.mean(metrics.scored(edges))),
        "instability": metrics.instability(mattes, flows),
        "instability of the truth": metrics.instability([mask.astype(np.float32) for mask in truth], flows),
    }


def run_clip(clip: Clip, scratch: Path, variant: str, seed: int) -> dict[str, float | str | int]:
    """Decompose and score one clip."""
    out = scratch / "runs" / (variant.replace("=", "_").replace(",", "-") or "default") / f"seed{seed}" / clip.name
    shutil.rmtree(out, ignore_errors=True)
    options = [word for pair in variant.split(",") if pair for word in _option(pair)]
    cost: Run = run_engine(
        "run", clip.plate(scratch), "--out", str(out), "--name", clip.name, "--seed", str(seed),
        "--progress", "plain", *options, log=out.with_suffix(".log"),
    )  # fmt: skip
    return {
        "variant": variant or "default", "clip": clip.name, "seed": seed, "frames": len(clip.pictures()),
        **score(clip, out), "seconds": cost.seconds, "cpu seconds": cost.cpu_seconds, "peak MiB": cost.peak_mib,
    }  # fmt: skip


def _option(pair: str) -> tuple[str, str]:
    name, separator, value = pair.partition("=")
    if not separator:
        raise SystemExit(f"--variant takes SETTING=VALUE, not {pair!r}")
    return f"--{name.replace('_', '-')}", value


def table(rows: list[dict[str, float | str | int]]) -> str:
    """One Markdown table: a row a clip (mean over seeds), and the mean over clips."""
    lines = ["| clip | frames | " + " | ".join(_COLUMNS) + " |", "|---" * (len(_COLUMNS) + 2) + "|"]
    names = list(dict.fromkeys(str(row["clip"]) for row in rows))
    means = []
    for name in names:
        chosen = [row for row in rows if row["clip"] == name]
        means.append([float(np.mean([float(row[column]) for row in chosen])) for column in _COLUMNS])
        lines.append(f"| {name} | {chosen[0]['frames']} | " + " | ".join(_cells(means[-1])) + " |")
    lines.append("| **mean** | | " + " | ".join(f"**{cell}**" for cell in _cells(np.mean(means, axis=0))) + " |")
    return "\n".join(lines)


def _cells(values: list[float] | np.ndarray) -> list[str]:
    digits = {"instability": 4, "seconds": 1, "peak MiB": 0}
    return [f"{value:.{digits.get(column, 3)}f}" for column, value in zip(_COLUMNS, values, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="some of the clips (all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--variant", action="append", default=[], metavar="SETTING=VALUE,…", help="repeatable")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench", help="kept between runs")
    parser.add_argument("--json", type=Path, help="where the numbers go (SCRATCH/layers.json)")
    chosen = parser.parse_args()

    print(f"{machine()}\n", flush=True)
    rows: list[dict[str, float | str | int]] = []
    path = chosen.json or chosen.scratch / "layers.json"
    for variant in chosen.variant or [""]:
        begin = len(rows)
        for clip in layer_clips(chosen.clips):
            for seed in chosen.seeds:
                rows.append(run_clip(clip, chosen.scratch, variant, seed))
                told = {column: rows[-1][column] for column in ("J", "F", "seconds")}
                print(f"{variant or 'default'} {clip.name} seed {seed}: {told}", flush=True)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2))
        print(f"\n### {variant or 'default settings'}, seeds {chosen.seeds}\n\n{table(rows[begin:])}\n", flush=True)


if __name__ == "__main__":
    main()
