"""The command line that the benches of dehaze and relight share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clips import CHECKOUT, Clip, Engine, machine
from made import FRAMES
from restoration import OURS, PAPER, Bench, Case, Contest, spread_out
from restoration_report import document, write_sheets


@dataclass(frozen=True)
class Choice:
    """Which cases are wanted.

    Attributes:
        pairs, made, video: kinds of case.
        clips: names of those to make, none: all.
        frames: of each made clip, none: all.
    """

    pairs: bool
    made: bool
    video: bool
    clips: list[str] | None
    frames: int | None

    def count(self, clip: Clip) -> int:
        """How many frames of a clip are made."""
        return len(clip.pictures()[: self.frames])


def run_contest(contest: Contest, cases: Callable[[Choice], list[Case]], told: str | None) -> None:
    """Parse, run, print; write the results and the sheets where asked to."""
    results = Path(__file__).parent / "results" / f"{contest.task}.md"
    parser = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in ("pairs", "made", "video"):
        parser.add_argument(f"--{kind}", action="store_true")
    parser.add_argument("--clips", nargs="+", metavar="NAME", help="some of the clips to make (all)")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"of each made clip, 0 for all ({FRAMES})")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many cases of each set, evenly spaced")
    parser.add_argument("--variant", action="append", metavar="VARIANT", help="repeatable")
    parser.add_argument("--threads", type=int, default=0, help="of each run (all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="run again what this engine has been scored on")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="write contact sheets of the first variant there")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "build" / "bench", help="kept between runs")
    parser.add_argument("--write-results", action="store_true", help=f"write {results.relative_to(CHECKOUT)}")
    chosen = parser.parse_args()

    every = not (chosen.pairs or chosen.made or chosen.video)
    choice = Choice(
        chosen.pairs or every, chosen.made or every, chosen.video or every, chosen.clips, chosen.frames or None
    )
    variants = chosen.variant or [OURS, PAPER]
    scratch = chosen.scratch.resolve()
    bench = Bench(contest, scratch, Engine.of_checkout(scratch), chosen.threads, chosen.seed, chosen.fresh)
    wanted = spread_out(cases(choice), chosen.limit)
    print(f"{machine()}, engine {bench.engine.digest}, {len(wanted)} cases\n", flush=True)
    rows = bench.run(wanted, variants)
    told_rows = document(bench, rows)
    print(f"\n{told_rows}", flush=True)
    if chosen.write_results:
        results.write_text(told_rows, encoding="utf-8")
    if chosen.sheets:
        for path in write_sheets(chosen.sheets, bench, wanted, rows, variants[0]):
            print(path)
