"""Whether the engine knows when it fails: its confidence and its signs of trouble against the truth.

    python tests/bench/calibration.py build/bench/runs/default/seed0
    python tests/bench/calibration.py build/bench/runs/default/seed* --write-results

Takes folders of finished runs, one subfolder a clip. Three questions: does the report's figure rank the clips as J does
(Spearman), does it rank frames, and is a pixel of ``confidence.A`` = c right in a share c of all cases? A pixel is
right where ``A`` > 0.5 agrees with the hand-drawn mask.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import metrics
import numpy as np
from clips import CHECKOUT, Clip, layer_clips, machine, read_channel
from scipy.stats import spearmanr

_RESULTS = Path(__file__).parent / "results" / "calibration.md"
_AROUND = 0.05  # of the picture's height: how far from a matte or the object a pixel still is around it
_BINS = 10


@dataclass(frozen=True)
class Judged:
    """One finished run against the truth.

    Attributes:
        clip: its name.
        overlaps: J of every frame.
        told: the report's confidence, of the shot.
        told_frames: the same of every frame.
        means: mean of ``confidence.A`` over the picture, inside the matte, and around its and the object's edges.
        pixels, right: by tenth of ``confidence.A``, around the matte or the object: pixels, and those that are right.
        signs: codes of the report's warnings.
    """

    clip: str
    overlaps: tuple[float, ...]
    told: float
    told_frames: tuple[float, ...]
    means: tuple[float, float, float]
    pixels: np.ndarray
    right: np.ndarray
    signs: tuple[str, ...]

    @property
    def overlap(self) -> float:
        """J of the clip as DAVIS counts it."""
        return float(np.mean(metrics.scored(self.overlaps)))


def judge(clip: Clip, folder: Path) -> Judged:
    """Read one run's layers and report, and the truth."""
    report = json.loads((folder / f"{clip.name}.report.json").read_text(encoding="utf-8"))
    overlaps, means = [], []
    pixels, right = np.zeros(_BINS, np.int64), np.zeros(_BINS, np.int64)
    for frame, truth in zip(clip.numbers(), clip.truth(), strict=True):
        path = folder / f"{clip.name}.{frame:04d}.exr"
        matte, confidence = read_channel(path, "A") > 0.5, read_channel(path, "confidence.A")
        overlaps.append(metrics.iou(matte, truth))
        inside, around = confidence[matte], near(matte | truth)
        means.append([confidence.mean(), inside.mean() if inside.size else np.nan, confidence[around].mean()])
        counts = tenths(confidence[around], (matte == truth)[around])
        pixels, right = pixels + counts[0], right + counts[1]
    whole, within, beside = np.nanmean(means, axis=0)
    return Judged(
        clip.name, tuple(overlaps), float(report["confidence"]),
        tuple(float(one["confidence"]) for one in report["per_frame"]), (float(whole), float(within), float(beside)),
        pixels, right, tuple(one["code"] for one in report["warnings"]),
    )  # fmt: skip


def near(mask: np.ndarray) -> np.ndarray:
    """A bool mask (H, W), grown by ``_AROUND``; the whole picture where it is empty."""
    if not mask.any():
        return np.ones_like(mask)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(distance <= _AROUND * mask.shape[0])


def tenths(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of ``confidence`` that lie in each tenth of 0 to 1, and those that are ``right`` (same shape)."""
    index = np.clip((confidence * _BINS).astype(np.int64), 0, _BINS - 1).ravel()
    return np.bincount(index, minlength=_BINS), np.bincount(index[right.ravel()], minlength=_BINS)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's ρ; 0 where either does not vary, which ranks nothing."""
    return float(spearmanr(a, b)[0]) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def document(runs: Sequence[Judged]) -> str:
    """All findings as Markdown."""
    lines = ["| clip | J | report | picture | in the matte | around it | frames ρ | signs |", "|---" * 8 + "|"]
    for one in sorted(runs, key=lambda one: one.overlap):
        rho = rank_correlation(one.overlaps, one.told_frames)
        means = " | ".join(f"{mean:.3f}" for mean in one.means)
        signs = ", ".join(one.signs) or "none"
        lines.append(f"| {one.clip} | {one.overlap:.3f} | {one.told:.3f} | {means} | {rho:.2f} | {signs} |")
    overlaps = [one.overlap for one in runs]
    over_clips = {
        "report": rank_correlation([one.told for one in runs], overlaps),
        **{
            name: rank_correlation([one.means[index] for one in runs], overlaps)
            for index, name in enumerate(("picture", "in the matte", "around it"))
        },
    }
    pairs = [(told, found) for one in runs for told, found in zip(one.told_frames, one.overlaps, strict=True)]
    over_frames = rank_correlation(*zip(*pairs, strict=True))
    told = ", ".join(f"{name} {rho:.2f}" for name, rho in over_clips.items())
    lines += ["", f"Spearman's ρ with J over {len(runs)} runs: {told}."]
    lines += [f"Of the report's figure of a frame with J over all {len(pairs)} frames: {over_frames:.2f}.", ""]
    return "\n".join([*lines, _reliability(runs)])


def _reliability(runs: Sequence[Judged]) -> str:
    pixels, right = sum(one.pixels for one in runs), sum(one.right for one in runs)
    assert isinstance(pixels, np.ndarray) and isinstance(right, np.ndarray)
    shares = right / np.maximum(pixels, 1)
    middles = (np.arange(_BINS) + 0.5) / _BINS
    lines = ["| confidence.A | share of pixels | right |", "|---|---|---|"]
    for index in range(_BINS):
        span = f"{index / _BINS:.1f} to {(index + 1) / _BINS:.1f}"
        lines.append(f"| {span} | {pixels[index] / pixels.sum():.3f} | {shares[index]:.3f} |")
    error = float((np.abs(shares - middles) * pixels).sum() / pixels.sum())
    return "\n".join([*lines, "", f"Mean distance of confidence from the share that is right: {error:.3f}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs, as bench/runs/default/seed0")
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="some of the clips (all that are there)")
    parser.add_argument("--write-results", action="store_true", help=f"write {_RESULTS.relative_to(CHECKOUT)}")
    chosen = parser.parse_args()
    found = [
        judge(clip, folder / clip.name)
        for folder in chosen.runs
        for clip in layer_clips(chosen.clips)
        if (folder / clip.name / f"{clip.name}.report.json").exists()
    ]
    if not found:
        raise SystemExit(f"no finished runs in {', '.join(map(str, chosen.runs))}")
    told = document(found)
    print(f"{machine()}\n\n{told}")
    if chosen.write_results:
        head = f"# Does the engine know when it fails?\n\n{__doc__.split('Takes', 1)[1]}"
        _RESULTS.write_text(f"{head}\n\n{machine()}\n\n{told}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
