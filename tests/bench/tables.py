"""Benchmark rows as Markdown: one table a variant, then the variants side by side. Text only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]

STEADY = 1.3  # most that mattes may change along the motion, of what hand-drawn ones do
_DIGITS = {"spread": 4, "instability": 4, "truth": 4, "ratio": 2, "seconds": 1, "peak MiB": 0}
_COLUMNS = ("J", "spread", "J recall", "F", "instability", "truth", "ratio", "seconds", "peak MiB")


def clip_means(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """By clip, the mean over seeds of each column; ``spread`` is the largest J less the smallest.

    ``truth`` is the instability of the hand-drawn mattes and ``ratio`` that of ours in terms of it. Seconds of a run
    that was handed its motion by an earlier one include what that one paid for it.
    """
    means = {}
    for clip in dict.fromkeys(row["clip"] for row in rows):
        chosen = [row for row in rows if row["clip"] == clip]

        def mean(column: str, chosen: list[Row] = chosen) -> float:
            return float(np.mean([row[column] for row in chosen]))

        overlaps = [row["J"] for row in chosen]
        means[clip] = {
            **{column: mean(column) for column in ("J", "J recall", "F", "instability", "peak MiB")},
            "spread": max(overlaps) - min(overlaps),
            "truth": mean("instability of the truth"),
            "ratio": mean("instability") / max(mean("instability of the truth"), 1e-9),
            "seconds": float(np.mean([row["seconds"] + row["handed seconds"] for row in chosen])),
        }
    return means


def overall(means: dict[str, dict[str, float]]) -> dict[str, float]:
    """The mean over clips; ``ratio`` is that of the mean instabilities, so that a small one does not speak loudest."""
    total = {column: float(np.mean([one[column] for one in means.values()])) for column in _COLUMNS}
    return {**total, "ratio": total["instability"] / max(total["truth"], 1e-9)}


def table(rows: Sequence[Row]) -> str:
    """One variant: a row a clip, and the mean over clips."""
    means = clip_means(rows)
    frames = {row["clip"]: row["frames"] for row in rows}
    lines = ["| clip | frames | " + " | ".join(_COLUMNS) + " |", "|---" * (len(_COLUMNS) + 2) + "|"]
    lines += [f"| {clip} | {frames[clip]} | {' | '.join(_cells(one))} |" for clip, one in means.items()]
    total = (f"**{cell}**" for cell in _cells(overall(means)))
    return "\n".join([*lines, f"| **mean** | | {' | '.join(total)} |"])


def _cells(one: dict[str, float]) -> list[str]:
    return [f"{one[column]:.{_DIGITS.get(column, 3)}f}" for column in _COLUMNS]


def side_by_side(rows: Sequence[Row]) -> str:
    """All variants: their means, and J of every clip."""
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    by_variant = {name: clip_means([row for row in rows if row["variant"] == name]) for name in variants}
    titles = ("variant", "clips", "seeds", "J mean", "J least", "spread most", "J recall", "F", "ratio",
              f"clips over {STEADY}", "seconds mean", "seconds most")  # fmt: skip
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name, means in by_variant.items():
        total, each = overall(means), list(means.values())
        seeds = len({row["seed"] for row in rows if row["variant"] == name})
        least = min(means, key=lambda clip: means[clip]["J"])
        cells = (
            name, str(len(means)), str(seeds), f"{total['J']:.3f}", f"{means[least]['J']:.3f} ({least})",
            f"{max(one['spread'] for one in each):.4f}", f"{total['J recall']:.3f}", f"{total['F']:.3f}",
            f"{total['ratio']:.2f}", str(sum(one["ratio"] > STEADY for one in each)),
            f"{total['seconds']:.1f}", f"{max(one['seconds'] for one in each):.1f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    clips = list(dict.fromkeys(row["clip"] for row in rows))
    lines += ["", f"| J | {' | '.join(variants)} |", "|---" * (len(variants) + 1) + "|"]
    for clip in clips:
        found = (f"{means[clip]['J']:.3f}" if clip in means else "" for means in by_variant.values())
        lines.append(f"| {clip} | {' | '.join(found)} |")
    return "\n".join(lines)
